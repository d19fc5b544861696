"""Checks of the arguments of a forward pass, with errors that name them."""

from .. import nn


def check_tensors(**arguments):
    """Raises ValueError for an argument, None or a tensor, that is a list or a number of Python."""
    for name, value in arguments.items():
        if value is not None and not hasattr(value, "shape"):
            raise ValueError(f"{name} is a {type(value).__name__} of Python, expected a tensor or array: convert it")


def check_encoder(model, tokens, encoder_hidden_states, encoder_attention_mask, keys):
    """Raises ValueError unless a model takes these states of an encoder, [B, S, H], and this mask.

    keys: how many of its states the past of a decoder holds, None where it has none.
    """
    check_tensors(encoder_hidden_states=encoder_hidden_states, encoder_attention_mask=encoder_attention_mask)
    if encoder_hidden_states is None and encoder_attention_mask is None:
        return
    if not model.add_cross_attention:
        raise ValueError(
            "encoder_hidden_states and encoder_attention_mask need a decoder that attends to an encoder: is_decoder "
            "and add_cross_attention are not both true in the config"
        )
    if encoder_hidden_states is None:
        if keys is None:
            raise ValueError("encoder_attention_mask needs encoder_hidden_states, or past_key_values that hold them")
    else:
        size = model.config.hidden_size
        expected = (tokens.shape[0], None, size)
        found = list(encoder_hidden_states.shape)
        if len(found) != 3 or any(
            isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(found, expected, strict=True)
        ):
            raise ValueError(
                f"encoder_hidden_states has the shape {found}, expected [B, S, H] of the same batch, H being {size}"
            )
        if keys is not None and isinstance(keys, int) and isinstance(found[1], int) and keys != found[1]:
            raise ValueError(
                f"encoder_hidden_states has {found[1]} positions, and past_key_values were computed of {keys}"
            )
    if encoder_attention_mask is not None and nn.rank(encoder_attention_mask) not in (2, 3, None):
        raise ValueError(
            f"encoder_attention_mask has the shape {list(encoder_attention_mask.shape)}, expected [B, S] or [B, T, S]"
        )


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
