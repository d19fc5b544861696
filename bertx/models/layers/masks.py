"""What an attention mask adds to the attention scores."""

from .. import nn


def attention_bias(hidden_states, attention_mask, is_decoder, past_length=0, keys=None, name="attention_mask"):
    """What a mask adds to the attention scores: 0 where a position may be attended, half the lowest number where not.

    attention_mask [B, P + T], P the `past_length` (0 hides a key from every query; [B, T, P + T], or
    [B, 1, T, P + T] of booleans or integers, gives each query its own keys); a decoder's query also sees no later key.
    `keys`: how many keys there are, where that is more than P + T, or they are an encoder's. `name`: of the mask, for
    errors. None where nothing is hidden. Half the lowest number of the dtype cannot overflow when a score is added and
    leaves nothing of the score in float32 and float64: a query whose keys are all hidden attends to all of them alike.

    Axes are added by reshape: TensorFlow Lite has no slice that adds one.

    Shapes: hidden_states [B, T, H] → [B or 1, 1, T or 1, P + T] or None.
    """
    queries = nn.shape(hidden_states)[1]
    length = past_length + queries if keys is None else keys
    visible = None
    if attention_mask is not None:
        given = nn.shape(attention_mask)[-1]
        if isinstance(given, int) and isinstance(length, int) and given != length:
            before = f", {past_length} of them past" if past_length else ""
            raise ValueError(f"{name} has {given} positions, expected {length}{before}")
        if len(attention_mask.shape) == 4:
            _check_mask_of_four_axes(attention_mask, hidden_states, length)
            attention_mask = nn.reshape(attention_mask, (-1, *nn.shape(attention_mask)[2:]))
        rows = 1 if len(attention_mask.shape) == 2 else nn.shape(attention_mask)[1]
        visible = nn.reshape(nn.as_bool(attention_mask), (-1, 1, rows, given))
    if is_decoder:
        own = nn.arange(queries, like=hidden_states) + past_length
        causal = nn.reshape(own, (1, 1, -1, 1)) >= nn.arange(length, like=hidden_states)
        visible = causal if visible is None else visible & causal
    return None if visible is None else bias_of(visible, hidden_states)


def head_masks(head_mask, hidden_states, config):
    """head_mask [N], or [L, N] of each layer, in the dtype of hidden_states → for each of L layers [1, N, 1, 1].

    Raises:
        ValueError: it has another shape.
    """
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if nn.rank(head_mask) == 1:
        head_mask = nn.reshape(nn.check_shape(head_mask, (heads,), "head_mask"), (1, heads))
    else:
        head_mask = nn.check_shape(head_mask, (layers, heads), "head_mask")
    factors = nn.reshape(nn.cast_like(head_mask, hidden_states), (-1, 1, heads, 1, 1))
    return [factors[min(layer, factors.shape[0] - 1)] for layer in range(layers)]


def bias_of(visible, like):
    """What is added to scores of the dtype of `like`: 0 where `visible` is True, half the lowest number where not."""
    shown = nn.zeros_like(nn.cast_like(visible, like))
    return nn.where(visible, shown, shown + nn.lowest(like) / 2)


def _check_mask_of_four_axes(attention_mask, hidden_states, length):
    batch, queries = nn.shape(hidden_states)[:2]
    expected, found = (batch, 1, queries, length), nn.shape(attention_mask)
    others = [
        (size, wanted)
        for size, wanted in zip(found, expected, strict=True)
        if isinstance(size, int) and isinstance(wanted, int) and size != wanted
    ]
    if others and not (found[0] == 1 and others == [(1, batch)]):  # one mask for all rows
        shapes = ([size if isinstance(size, int) else None for size in shape] for shape in (found, expected))
        raise ValueError("attention_mask has the shape {}, expected [B, T], [B, T, T] or {}".format(*shapes))
    if nn.is_floating(attention_mask):
        raise ValueError(
            "attention_mask [B, 1, T, T] is floating, as a mask that is added to the scores is, which bertx does not "
            "take: give booleans or integers, False or 0 where a position is hidden (attention_mask == 0 of one of "
            "zeros and large negative numbers)"
        )
