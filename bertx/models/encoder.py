"""The Transformer encoder (Vaswani et al. 2017, section 3; post-norm, as BERT has it), and BertModel."""

from . import nn
from .layers.activations import activation
from .layers.arguments import check_tensors, check_tokens
from .layers.embeddings import BertEmbeddings
from .layers.outputs import BaseModelOutput, BaseModelOutputWithPooling


class BertSelfAttention(nn.Module):
    """softmax(Q Kᵀ / √D + bias) V per head, with relative positions where the config asks for them.

    Relative positions (Shaw et al. 2018; Huang et al. 2020) add q·e(i−j), and for relative_key_query
    also k·e(i−j), to Q Kᵀ; the distance is that of the places in the row, whatever position_ids say.
    """

    def __init__(self, config):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_size = config.hidden_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.position_embedding_type = config.position_embedding_type
        self.max_length = config.max_position_embeddings
        if self.position_embedding_type != "absolute":
            self.distance_embedding = nn.Embedding(2 * self.max_length - 1, self.head_size)

    def forward(self, hidden_states, bias=None, output_attentions=False, queries=None, past_key_value=None):
        """hidden_states [B, T, H], bias [B or 1, 1, T or 1, T] → context [B, T, H], probabilities [B, N, T, T].

        queries [B, K, H]: only these states attend, K for the first T.
        past_key_value: the keys and values [B, N, P, D] of what came before, or () where nothing did; there are then
        P + T of them to attend to, and the third result are all these. Where it is None, the third is ().
        """
        queries = hidden_states if queries is None else queries
        query = self.split_heads(nn.linear(self.query, queries))
        key = self.split_heads(nn.linear(self.key, hidden_states))
        value = self.split_heads(nn.linear(self.value, hidden_states))
        if past_key_value:
            key, value = (nn.concat([past, new], 2) for past, new in zip(past_key_value, (key, value), strict=True))
        scale = self.head_size**-0.5
        if self.position_embedding_type != "absolute":
            relative = self.relative_scores(query, key) * scale
            bias = relative if bias is None else bias + relative
        context, probabilities = nn.attention(query, key, value, bias, scale, self.dropout, output_attentions)
        context = nn.reshape(nn.transpose(context, (0, 2, 1, 3)), nn.shape(queries))
        return context, probabilities, () if past_key_value is None else (key, value)

    def split_heads(self, projected):
        """[B, T, H] → [B, N, T, D]."""
        batch, length = nn.shape(projected)[:2]
        return nn.transpose(nn.reshape(projected, (batch, length, self.num_heads, self.head_size)), (0, 2, 1, 3))

    def relative_scores(self, query, key):
        """query [B, N, T, D], key [B, N, P + T, D] → what the places' distance adds to the scores [B, N, T, P + T]."""
        place = nn.arange(nn.shape(key)[2], like=query)
        own = place[-nn.shape(query)[2] :]
        distance = self.distance_embedding(nn.reshape(own, (-1, 1)) - place + (self.max_length - 1))
        scores = nn.einsum("bnid,ijd->bnij", query, distance)
        if self.position_embedding_type == "relative_key_query":
            scores = scores + nn.einsum("bnjd,ijd->bnij", key, distance)
        return scores


class BertSelfOutput(nn.Module):
    """Linear, dropout, residual, LayerNorm."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states, residual):
        """hidden_states, residual [B, T, H] → [B, T, H]."""
        return self.LayerNorm(self.dropout(nn.linear(self.dense, hidden_states)) + residual)


class BertAttention(nn.Module):
    """Self-attention and its output block."""

    def __init__(self, config):
        super().__init__()
        self.self = BertSelfAttention(config)
        self.output = BertSelfOutput(config)

    def forward(self, hidden_states, bias=None, output_attentions=False, readout=None, past_key_value=None):
        """hidden_states [B, T, H] → [B, T, H], or [B, K, H] of what is read out; the rest as of BertSelfAttention."""
        queries = hidden_states if readout is None else readout(hidden_states)
        context, *others = self.self(
            hidden_states,
            bias=bias,
            output_attentions=output_attentions,
            queries=queries,
            past_key_value=past_key_value,
        )
        return nn.reshape(self.output(as_rows(context), as_rows(queries)), nn.shape(queries)), *others


class BertIntermediate(nn.Module):
    """Linear to the intermediate size, activation."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = activation(config.hidden_act)

    def forward(self, hidden_states):
        """[..., H] → [..., intermediate]."""
        return nn.activated(self.dense, self.activation, hidden_states)


class BertOutput(nn.Module):
    """Linear back to the hidden size, dropout, residual, LayerNorm."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states, residual):
        """hidden_states [..., intermediate], residual [..., H] → [..., H]."""
        return self.LayerNorm(self.dropout(nn.linear(self.dense, hidden_states)) + residual)


def as_rows(hidden_states):
    """[B, T, H] → [B·T, H]: TensorFlow fuses a product with its bias, its activation and its residual, of matrices."""
    return nn.reshape(hidden_states, (-1, nn.shape(hidden_states)[-1]))


class BertLayer(nn.Module):
    """One encoder layer. Cross-attention, when it comes, is a second BertAttention between the two steps."""

    def __init__(self, config):
        super().__init__()
        if config.add_cross_attention:
            raise ValueError("add_cross_attention is true: bertx has no encoder-decoder models yet")
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def forward(self, hidden_states, bias=None, output_attentions=False, readout=None, past_key_value=None):
        """hidden_states [B, T, H] → [B, T, H], or [B, K, H] of what is read out; the rest as of BertSelfAttention."""
        attended, *others = self.attention(
            hidden_states,
            bias=bias,
            output_attentions=output_attentions,
            readout=readout,
            past_key_value=past_key_value,
        )
        rows = as_rows(attended)
        return nn.reshape(self.output(self.intermediate(rows), rows), nn.shape(attended)), *others


class BertEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(config) for _ in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False
        self.position_embedding_type = config.position_embedding_type

    def forward(
        self,
        hidden_states,
        bias=None,
        output_attentions=False,
        output_hidden_states=False,
        readout=None,
        past_key_values=None,
        use_cache=False,
    ):
        """hidden_states [B, T, H], bias [B or 1, 1, T or 1, T] → BaseModelOutput.

        readout: [B, T, H] → [B, K, H], the positions that are read; the last layer then computes no others, where
        they all see the same keys and nothing else is asked for.
        """
        past = past_key_values or (() if use_cache else None)
        reads_early = (
            readout is not None
            and not (output_attentions or output_hidden_states)
            and (bias is None or bias.shape[2] == 1)
            and self.position_embedding_type == "absolute"
        )
        all_states, all_probabilities, all_keys = [hidden_states], [], []
        for i, layer in enumerate(self.layer, 1):
            run = nn.checkpointed(layer) if self.gradient_checkpointing else layer
            reads = reads_early and i == len(self.layer)
            options = {"readout": readout} if reads else {}
            if past is not None:
                options["past_key_value"] = past and past[i - 1]
            hidden_states, probabilities, key_value = run(
                hidden_states, bias=bias, output_attentions=output_attentions, **options
            )
            all_states.append(hidden_states)
            all_probabilities.append(probabilities)
            all_keys.append(key_value)
        if readout is not None and not (reads_early and self.layer):
            hidden_states = readout(hidden_states)
        return BaseModelOutput(
            last_hidden_state=hidden_states,
            hidden_states=tuple(all_states) if output_hidden_states else None,
            past_key_values=tuple(all_keys) if use_cache else None,
            attentions=tuple(all_probabilities) if output_attentions else None,
        )


class BertPooler(nn.Module):
    """tanh of a Linear of the first position."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states):
        """[B, T, H] → [B, H]."""
        return nn.tanh(self.dense(hidden_states[:, 0]))


def first_position(hidden_states):
    """[B, T, H] → [B, 1, H], all that the pooler reads."""
    return hidden_states[:, :1]


def positions_at(places):
    """places [B, K] → a function [B, T, H] → [B, K, H]."""
    return lambda hidden_states: nn.take_positions(hidden_states, places)


def attention_bias(hidden_states, attention_mask, is_decoder, past_length=0):
    """What a mask adds to the attention scores: 0 where a position may be attended, half the lowest number where not.

    attention_mask [B, P + T], P the `past_length` (0 hides a key from every query; [B, T, P + T], or
    [B, 1, T, P + T] of booleans or integers, gives each query its own keys); a decoder's query also sees no later key.
    None where nothing is hidden. Half the lowest number of the dtype cannot overflow when a score is added and leaves
    nothing of the score in float32 and float64: a query whose keys are all hidden attends to all of them alike.

    Axes are added by reshape: TensorFlow Lite has no slice that adds one.

    Shapes: hidden_states [B, T, H] → [B or 1, 1, T or 1, P + T] or None.
    """
    length = past_length + nn.shape(hidden_states)[1]
    visible = None
    if attention_mask is not None:
        given = nn.shape(attention_mask)[-1]
        if isinstance(given, int) and isinstance(length, int) and given != length:
            before = f", {past_length} of them past" if past_length else ""
            raise ValueError(f"attention_mask has {given} positions, expected {length}{before}")
        if len(attention_mask.shape) == 4:
            _check_mask_of_four_axes(attention_mask, hidden_states, length)
            attention_mask = nn.reshape(attention_mask, (-1, *nn.shape(attention_mask)[2:]))
        queries = 1 if len(attention_mask.shape) == 2 else nn.shape(attention_mask)[1]
        visible = nn.reshape(nn.as_bool(attention_mask), (-1, 1, queries, given))
    if is_decoder:
        place = nn.arange(length, like=hidden_states)
        causal = nn.reshape(place[past_length:], (1, 1, -1, 1)) >= place
        visible = causal if visible is None else visible & causal
    if visible is None:
        return None
    shown = nn.zeros_like(nn.cast_like(visible, hidden_states))
    return nn.where(visible, shown, shown + nn.lowest(hidden_states) / 2)


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


class BertModel(nn.Model):
    """BERT without a head (Devlin et al. 2019): embeddings, encoder and, unless left out, the pooler."""

    output_class = BaseModelOutputWithPooling

    def __init__(self, config, add_pooling_layer=True):
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.is_decoder = config.is_decoder
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        past_key_values=None,
        use_cache=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        readout=None,
    ):
        """Ids and masks → BaseModelOutputWithPooling.

        Args:
            input_ids: [B, T], the ids of the tokens.
            attention_mask: [B, T], 0 hides a position from all others; [B, T, T], or [B, 1, T, T] of booleans or
                integers, gives each query its own; None hides nothing.
            token_type_ids: [B, T], 0 for a first text, 1 for its pair; None is 0.
            position_ids: [B, T]; None counts from 0 in every row, or from where the past ends.
            inputs_embeds: [B, T, H], in the place of input_ids: what would be the word embeddings.
            past_key_values: what a decoder gave under this name for the P positions before these, for each layer the
                keys and the values, [B, N, P, D]; attention_mask is then [B, P + T], or [B, T, P + T].
            use_cache: whether a decoder gives past_key_values, these positions among them.
            output_attentions: whether the probabilities of each layer's attention are given too; None, here and
                below, is as the config says: False, but for return_dict.
            output_hidden_states: whether the embeddings and what each layer gives are given too.
            return_dict: False gives a tuple of the outputs.
            readout: a function [B, T, H] → [B, K, H] of the positions that are read: last_hidden_state has only these.

        Raises:
            ValueError: both or neither of input_ids and inputs_embeds, more positions than max_position_embeddings, or
                past_key_values for a model that is no decoder.
        """
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if use_cache is None:
            use_cache = self.customs.caches and self.config.use_cache
        if past_key_values and not self.is_decoder:
            raise ValueError("past_key_values need a decoder, and is_decoder is false in the config")
        check_tensors(attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=position_ids)
        check_tokens(input_ids, inputs_embeds)
        past_length = nn.shape(past_key_values[0][0])[2] if past_key_values else 0
        hidden_states = self.embeddings(
            input_ids=input_ids,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            past_length=past_length,
        )
        encoded = self.encoder(
            hidden_states,
            bias=attention_bias(hidden_states, attention_mask, self.is_decoder, past_length),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            readout=readout,
            past_key_values=past_key_values,
            use_cache=use_cache and self.is_decoder,
        )
        past = {"past_key_values": encoded.past_key_values}
        return self.output_class(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=None if self.pooler is None else self.pooler(encoded.last_hidden_state),
            **(past if self.customs.past_first else {}),
            hidden_states=encoded.hidden_states,
            **({} if self.customs.past_first else past),
            attentions=encoded.attentions,
        ).returned(return_dict, self.config, self.customs.empty_places)
