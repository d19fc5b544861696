"""Self-attention with the relative positions that BERT's config has, and a decoder's attention to an encoder.

Vaswani et al. 2017, section 3.2.
"""

from .. import nn
from .cache import extended
from .segments import Segments


class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / √D + bias) V per head, with relative positions where the config asks for them.

    Relative positions (Shaw et al. 2018; Huang et al. 2020) add q·e(i−j), and for relative_key_query
    also k·e(i−j), to Q Kᵀ; i and j are indices in the row, whatever position_ids say.
    """

    def __init__(self, config, position_embedding_type=None):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_size = config.hidden_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size, axes=("heads", "embed"))
        self.key = nn.Linear(config.hidden_size, config.hidden_size, axes=("heads", "embed"))
        self.value = nn.Linear(config.hidden_size, config.hidden_size, axes=("heads", "embed"))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.position_embedding_type = position_embedding_type or config.position_embedding_type
        self.max_length = config.max_position_embeddings
        if self.position_embedding_type != "absolute":
            self.distance_embedding = nn.Embedding(2 * self.max_length - 1, self.head_size, axes=("distance", "head"))

    def forward(
        self, hidden_states, bias=None, output_attentions=False, queries=None, past_key_value=None, head_mask=None
    ):
        """hidden_states [B, T, H], bias [B or 1, 1, T or 1, T] → context [B, T, H], probabilities [B, N, T, T].

        bias: of a packed batch [1, S, H] its Segments; then no probabilities are given.
        queries [B, K, H]: only these states attend, K for the first T.
        past_key_value: the keys and values [B, N, P, D] of what came before, as a pair or as `cache.Slots`, or () where
        nothing did; there are then P + T of them to attend to, and the third result are all these. Where it is None,
        the third is ().
        head_mask [1, N, 1, 1]: what the probabilities of each head are multiplied by.
        """
        queries = hidden_states if queries is None else queries
        query = self.split_heads(nn.linear(self.query, queries))
        key = self.split_heads(nn.linear(self.key, hidden_states))
        value = self.split_heads(nn.linear(self.value, hidden_states))
        before = 0
        if past_key_value:
            key, value, before = extended(past_key_value, key, value)
        scale = self.head_size**-0.5
        if self.position_embedding_type != "absolute":
            relative = self.relative_scores(query, key, before) * scale
            bias = relative if bias is None else bias + relative
        attend = nn.packed_attention if isinstance(bias, Segments) else nn.attention
        attended = attend(query, key, value, bias, scale, self.dropout, output_attentions)
        context, probabilities = with_head_mask(*attended, head_mask)
        context = nn.reshape(nn.transpose(context, (0, 2, 1, 3)), nn.shape(queries))
        return context, probabilities, () if past_key_value is None else (key, value)

    def split_heads(self, projected):
        """[B, T, H] → [B, N, T, D]."""
        batch, length = nn.shape(projected)[:2]
        return nn.transpose(nn.reshape(projected, (batch, length, self.num_heads, self.head_size)), (0, 2, 1, 3))

    def relative_scores(self, query, key, before):
        """query [B, N, T, D], key [B, N, P + T, D] → what the distances add to the scores [B, N, T, P + T].

        before: P, the index of the first query.
        """
        index = nn.arange(nn.shape(key)[2], like=query)
        own = nn.arange(nn.shape(query)[2], like=query) + before
        distance = self.distance_embedding(nn.reshape(own, (-1, 1)) - index + (self.max_length - 1))
        scores = nn.einsum("bnid,ijd->bnij", query, distance)
        if self.position_embedding_type == "relative_key_query":
            scores = scores + nn.einsum("bnjd,ijd->bnij", key, distance)
        return scores


class EncoderAttention(SelfAttention):
    """softmax(Q Kᵀ / √D + bias) V per head; K and V are of an encoder's states, without relative positions."""

    def __init__(self, config):
        super().__init__(config, position_embedding_type="absolute")

    def forward(
        self, hidden_states, encoder_hidden_states, bias=None, output_attentions=False, key_value=(), head_mask=None
    ):
        """hidden_states [B, T, H], encoder_hidden_states [B, S, H] → context [B, T, H], probabilities [B, N, T, S].

        bias: [B, 1, T or 1, S]. key_value: the keys and the values [B, N, S, D] where they were computed before, in
        the place of encoder_hidden_states. The third result are these. They may be of fewer rows, P; B / P rows after
        one another then attend to each of them, as the beams of a text do, and bias is [P, 1, 1, S].
        """
        query = self.split_heads(nn.linear(self.query, hidden_states))
        held = bool(key_value)
        if not held:
            key_value = tuple(
                self.split_heads(nn.linear(dense, encoder_hidden_states)) for dense in (self.key, self.value)
            )
        scale = self.head_size**-0.5
        key, value = key_value
        rows, heads, length, size = nn.shape(query)
        texts, _, keys, _ = nn.shape(key)
        shared = held and not (isinstance(texts, int) and texts == rows)
        if shared:  # the rows of a text are further queries of it
            query = nn.transpose(nn.reshape(query, (texts, -1, heads, length, size)), (0, 2, 1, 3, 4))
            query = nn.reshape(query, (texts, heads, -1, size))
        attended = nn.attention(query, key, value, bias, scale, self.dropout, output_attentions)
        context, probabilities = with_head_mask(*attended, head_mask)
        if shared:
            context = nn.transpose(nn.reshape(context, (texts, heads, -1, length, size)), (0, 2, 1, 3, 4))
            context = nn.reshape(context, (rows, heads, length, size))
            if output_attentions:
                probabilities = nn.reshape(probabilities, (texts, heads, -1, length, keys))  # pyright: ignore[reportCallIssue, reportArgumentType]
                probabilities = nn.reshape(nn.transpose(probabilities, (0, 2, 1, 3, 4)), (rows, heads, length, keys))
        return nn.reshape(nn.transpose(context, (0, 2, 1, 3)), nn.shape(hidden_states)), probabilities, key_value


def with_head_mask(context, probabilities, head_mask):
    """Both of heads whose probabilities are multiplied by head_mask [1, N, 1, 1]: so is the context, a sum by them."""
    if head_mask is not None:
        context = context * head_mask
        if probabilities is not None:
            probabilities = probabilities * head_mask
    return context, probabilities


class SelfOutput(nn.Module):
    """Linear, dropout, residual, LayerNorm."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, axes=("embed", "heads"))
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states, residual):
        """hidden_states, residual [..., H] → [..., H]."""
        return self.LayerNorm(self.dropout(nn.linear(self.dense, hidden_states)) + residual)


class Attention(nn.Module):
    """Self-attention and its output block."""

    def __init__(self, config):
        super().__init__()
        self.self = SelfAttention(config)
        self.output = SelfOutput(config)

    def forward(
        self, hidden_states, bias=None, output_attentions=False, readout=None, past_key_value=None, head_mask=None
    ):
        """hidden_states [B, T, H] → [B, T, H], or [B, K, H] of what is read out; the rest as of SelfAttention."""
        queries = hidden_states if readout is None else readout(hidden_states)
        context, *others = self.self(
            hidden_states,
            bias=bias,
            output_attentions=output_attentions,
            queries=queries,
            past_key_value=past_key_value,
            head_mask=head_mask,
        )
        return nn.rowwise(self.output, context, queries), *others


class CrossAttention(nn.Module):
    """A decoder's attention to an encoder's states, and its output block."""

    def __init__(self, config):
        super().__init__()
        self.self = EncoderAttention(config)
        self.output = SelfOutput(config)

    def forward(
        self, hidden_states, encoder_hidden_states, bias=None, output_attentions=False, key_value=(), head_mask=None
    ):
        """hidden_states [B, T, H] → [B, T, H]; the rest as of EncoderAttention."""
        context, *others = self.self(
            hidden_states,
            encoder_hidden_states,
            bias=bias,
            output_attentions=output_attentions,
            key_value=key_value,
            head_mask=head_mask,
        )
        return nn.rowwise(self.output, context, hidden_states), *others
