"""Packed rows: the tokens of a batch one after the other in one row [1, S], so that nothing is computed of padding."""

from .. import nn
from .masks import bias_of


class Segments:
    """Which tokens of a packed batch are of which row.

    index: [B, T], for each row the indices of its tokens in the packed one, and −1 after its end. Together and in
    order they are 0 … S − 1, and no row is empty.
    count: S.
    """

    def __init__(self, index, count):
        self.index = index
        self.shown = index >= 0
        self._taken = nn.reshape(nn.where(self.shown, index, 0), (1, -1))
        before = nn.cumsum(nn.reshape(nn.where(self.shown, 1, 0), (-1,)), 0)
        # Where each token is among the B · T positions of padded rows.
        self._places = nn.reshape(nn.searchsorted(before, nn.arange(count, like=index) + 1), (1, -1))

    def rows(self, packed):
        """[1, S, ...] → [B, T, ...], padded on the right with the first token of all."""
        found = nn.take_positions(nn.reshape(packed, (1, nn.shape(packed)[1], -1)), self._taken)
        return nn.reshape(found, (*nn.shape(self.index), *nn.shape(packed)[2:]))

    def tokens(self, rows):
        """[B, T, ...] → [1, S, ...]."""
        size = nn.shape(rows)
        found = nn.take_positions(nn.reshape(rows, (1, size[0] * size[1], -1)), self._places)
        return nn.reshape(found, (1, -1, *size[2:]))

    def in_padded_rows(self, attention, query, key, value, scale, dropout):
        """What `attention` gives of padded rows: query, key, value [1, N, S, D] → context [1, N, S, D]."""
        bias = bias_of(nn.reshape(self.shown, (nn.shape(self.index)[0], 1, 1, -1)), query)
        padded = [_swapped(self.rows(_swapped(states))) for states in (query, key, value)]
        context, _ = attention(*padded, bias, scale, dropout, False)
        return _swapped(self.tokens(_swapped(context)))


def _swapped(states):
    return nn.transpose(states, (0, 2, 1, 3))


def check_packed(model, segments, tokens, **of_padded_rows):
    """Raises ValueError where rows cannot be packed: relative positions, a causal mask, or one of `of_padded_rows`.

    Shapes: segments [B, T], tokens [1, S] or [1, S, H].
    """
    if nn.rank(segments) not in (2, None):
        raise ValueError(
            f"segments has the shape {list(segments.shape)}, expected [B, T]: the indices of each row's tokens"
        )
    if isinstance(tokens.shape[0], int) and tokens.shape[0] != 1:
        raise ValueError(f"segments are of rows packed in one, [1, S], and {tokens.shape[0]} rows were given")
    reasons = [name for name, value in of_padded_rows.items() if value is not None]
    if model.is_decoder:
        reasons.append("a causal model, whose is_decoder is true,")
    if model.encoder.position_embedding_type != "absolute":
        reasons.append(f"relative positions, position_embedding_type {model.encoder.position_embedding_type!r},")
    if reasons:
        raise ValueError(
            f"segments cannot be given with {' and '.join(reasons)}: give padded rows [B, T] and an attention_mask"
        )
