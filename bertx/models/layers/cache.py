"""What a decoder attends to beside its own positions: the keys and values of those before, and of an encoder."""

from .. import nn


class Slots:
    """One layer's past in buffers with room for more: of their S positions the first `length` are taken.

    `length` is an integer, or a scalar tensor where a graph is traced once for all lengths. `cross`: the keys and the
    values of an encoder's states, () where there is none.

    Shapes: key, value [B, N, S, D]; those of `cross` [B, N, E, D].
    """

    def __init__(self, key, value, *cross, length):
        self.key, self.value, self.cross, self.length = key, value, cross, length


def cross_key_value(past):
    """The keys and the values of an encoder that a layer's past holds, or ().

    past: Slots; a tuple of its own keys and values and where there is an encoder of that's; () or None.
    """
    return past.cross if isinstance(past, Slots) else tuple(past or ())[2:]


def extended(past, key, value):
    """A layer's past and what follows it → the keys and values of all positions, and how many came before.

    past: Slots, which new keys are written into, or a tuple that begins with the keys and the values [B, N, P, D],
    which they are appended to. Slots whose length is a tensor come back whole: a causal mask hides what is not taken
    yet.

    Shapes: key, value [B, N, T, D] → [B, N, P + T, D] or [B, N, S, D].
    """
    if not isinstance(past, Slots):
        return nn.concat([past[0], key], 2), nn.concat([past[1], value], 2), nn.shape(past[0])[2]
    before, length = past.length, nn.shape(key)[2]
    key, value = nn.write_positions(past.key, key, before), nn.write_positions(past.value, value, before)
    if isinstance(before, int):
        key, value = key[:, :, : before + length], value[:, :, : before + length]
    return key, value, before


def past_lengths(past_key_values, length):
    """(how many positions came before, how many there are to attend to with `length` more)."""
    if not past_key_values:
        return 0, length
    first = past_key_values[0]
    if not isinstance(first, Slots):
        before = nn.shape(first[0])[2]
    elif isinstance(first.length, int):
        before = first.length
    else:
        return first.length, nn.shape(first.key)[2]
    return before, before + length


def encoder_length(encoder_hidden_states, past_key_values):
    """How many states of an encoder [B, S, H] there are: those that are given, or that a past holds; else None."""
    if encoder_hidden_states is not None:
        return nn.shape(encoder_hidden_states)[1]
    cross = cross_key_value(past_key_values[0]) if past_key_values else ()
    return nn.shape(cross[0])[2] if cross else None


def left_padded(input_ids, starts, first_position, past_key_values=(), states=None, mask=None):
    """The inputs of a decoder whose rows end together and have padding on the left; it scores their last position.

    starts: the index of each row's first token among all its positions, the past ones too. first_position: the
    position id of a first token. states, mask: of an encoder that the rows attend to.

    Shapes: input_ids [B, T], starts [B], states [B, S, H], mask [B, S].
    """
    length = nn.shape(input_ids)[1]
    before, total = past_lengths(past_key_values, length)
    starts = nn.reshape(starts, (-1, 1))
    position_ids = nn.arange(length, like=input_ids) + before - starts
    inputs = {
        "input_ids": input_ids,
        "attention_mask": nn.arange(total, like=input_ids) >= starts,
        "position_ids": nn.where(position_ids < 0, nn.zeros_like(position_ids), position_ids) + first_position,
        "past_key_values": past_key_values,
        "use_cache": True,
        "return_dict": True,
    }
    inputs |= {} if states is None else {"encoder_hidden_states": states}
    inputs |= {} if mask is None else {"encoder_attention_mask": mask}
    if not isinstance(length, int) or length > 1:
        inputs["mask_positions"] = nn.zeros_like(starts) + (length - 1)
    return inputs
