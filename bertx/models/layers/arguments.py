"""Checks of the arguments of a forward pass, with errors that name them."""

from .. import nn


def check_tensors(**arguments):
    """Raises ValueError for an argument, None or a tensor, that is a list or a number of Python."""
    for name, value in arguments.items():
        if value is not None and not hasattr(value, "shape"):
            raise ValueError(f"{name} is a {type(value).__name__} of Python, expected a tensor or array: convert it")


def check_tokens(input_ids, inputs_embeds, axes="B, T"):
    """Raises ValueError unless input_ids has these axes, or inputs_embeds these and one more, and T is not 0."""
    check_tensors(input_ids=input_ids, inputs_embeds=inputs_embeds)
    for name, value, expected in (("input_ids", input_ids, axes), ("inputs_embeds", inputs_embeds, f"{axes}, H")):
        if value is None or nn.rank(value) is None:
            continue
        shape, dimensions = list(value.shape), expected.count(",") + 1
        length = shape[axes.count(",")] if len(shape) == dimensions else None
        if len(shape) != dimensions or (isinstance(length, int) and length == 0):
            raise ValueError(f"{name} has the shape {shape}, expected [{expected}] with at least one token")
