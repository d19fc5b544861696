"""The one error of a checkpoint that cannot be used."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, broken, or not what its config says; the message names the file and the place."""
