"""Why a checkpoint cannot be used."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, broken, or not what its config says; the message names the file and the place."""


class MissingExtraError(ImportError):
    """A backend or format whose library is not installed; the message says what to install."""
