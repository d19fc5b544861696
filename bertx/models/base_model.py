"""What every model is without a head."""

from . import nn
from .layers.arguments import check_encoder, check_tensors, check_tokens
from .layers.cache import encoder_length, past_lengths
from .layers.embeddings import Embeddings
from .layers.encoder import Encoder
from .layers.masks import attention_bias, head_masks
from .layers.outputs import BaseModelOutputWithPooling
from .layers.readout import Pooler, first_position_of
from .layers.segments import Segments, check_packed


class BaseModel(nn.Model):
    """A model without a head: embeddings, encoder and, unless left out, the pooler.

    An architecture's own class says what its embeddings are, and what its config's `model_type` is.
    """

    task = "feature-extraction"
    labels = {}
    label_aliases = {}
    logit_names = ()
    scores = "tokens"
    causal = True
    output_class = BaseModelOutputWithPooling
    embeddings_class = Embeddings

    def __init__(self, config, add_pooling_layer=True, *, shared=None):
        """shared: another such model, whose parameters are this one's too, but for the pooler and cross-attention."""
        super().__init__(config)
        self.embeddings = self.embeddings_class(config) if shared is None else shared.embeddings
        self.encoder = Encoder(config, shared=None if shared is None else shared.encoder)
        self.pooler = Pooler(config) if add_pooling_layer else None
        self.is_decoder = config.is_decoder
        self.add_cross_attention = config.add_cross_attention
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        head_mask=None,
        encoder_hidden_states=None,
        encoder_attention_mask=None,
        past_key_values=None,
        use_cache=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        readout=None,
        segments=None,
    ):
        """Ids and masks → BaseModelOutputWithPooling.

        Args:
            input_ids: [B, T], the ids of the tokens.
            attention_mask: [B, T], 0 hides a position from all others; [B, T, T], or [B, 1, T, T] of booleans or
                integers, gives each query its own; None hides nothing.
            token_type_ids: [B, T], 0 for a first text, 1 for its pair; None is 0.
            position_ids: [B, T]; None counts from 0 in every row, or from where the past ends.
            inputs_embeds: [B, T, H], in the place of input_ids: what would be the word embeddings.
            head_mask: [N], what the attention probabilities of each head are multiplied by, to an encoder too; or
                [L, N], of each layer. 0 silences a head.
            encoder_hidden_states: [B, S, H], the last states of an encoder, which a decoder with `add_cross_attention`
                attends to; without them it does not, unless past_key_values hold their keys and values.
            encoder_attention_mask: [B, S], 0 hides a state of the encoder; [B, T, S] gives each query its own.
            past_key_values: what a decoder gave under this name for the P positions before these, for each layer the
                keys and the values, [B, N, P, D], and of a decoder that attends to an encoder those of the encoder's
                states, [B, N, S, D], which are then not computed again; or for each layer `cache.Slots`.
                attention_mask is then [B, P + T], or [B, T, P + T].
            use_cache: whether a decoder gives past_key_values, these positions among them.
            output_attentions: whether the probabilities of each layer's attention are given too; None, here and
                below, is as the config says: False, but for return_dict.
            output_hidden_states: whether the embeddings and what each layer gives are given too.
            return_dict: False gives a tuple of the outputs.
            readout: a function [B, T, H] → [B, K, H] of the positions that are read: last_hidden_state has only these.
            segments: [B, T], of B rows that are packed in one: input_ids and the like are [1, S], all their tokens one
                after the other, and this has for each row the indices of its tokens there, −1 after its end. Each row
                is computed by itself, as if it were padded; pooler_output is [B, H], all else [1, S, …]. Such a batch
                has no attention_mask, no attentions, no past and no relative positions.

        Raises:
            ValueError: both or neither of input_ids and inputs_embeds, more positions than max_position_embeddings,
                past_key_values for a model that is no decoder, encoder_hidden_states for one without
                `add_cross_attention`, a head_mask of another shape, or segments with what they do not go with.
        """
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if use_cache is None:
            use_cache = self.config.use_cache
        if past_key_values and not self.is_decoder:
            raise ValueError("past_key_values need a decoder, and is_decoder is false in the config")
        check_tensors(attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=position_ids)
        check_tensors(segments=segments, head_mask=head_mask)
        check_tokens(input_ids, inputs_embeds)
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        past_length, keys = past_lengths(past_key_values, nn.shape(tokens)[1])
        check_encoder(
            self,
            tokens,
            encoder_hidden_states,
            encoder_attention_mask,
            keys=encoder_length(None, past_key_values),
        )
        packed = None
        if segments is not None:
            attentions = output_attentions or None
            check_packed(self, segments, tokens, attention_mask=attention_mask, output_attentions=attentions)
            packed = Segments(segments, nn.shape(tokens)[1])
        hidden_states = self.embeddings(
            input_ids=input_ids,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            past_length=past_length,
            segments=packed,
        )
        bias = packed
        if packed is None:
            bias = attention_bias(hidden_states, attention_mask, self.is_decoder, past_length, keys)
        encoded = self.encoder(
            hidden_states,
            bias=bias,
            head_masks=None if head_mask is None else head_masks(head_mask, hidden_states, self.config),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            readout=readout,
            past_key_values=past_key_values,
            use_cache=use_cache and self.is_decoder,
            encoder_hidden_states=encoder_hidden_states,
            encoder_bias=None
            if encoder_attention_mask is None
            else attention_bias(
                hidden_states,
                encoder_attention_mask,
                False,
                keys=encoder_length(encoder_hidden_states, past_key_values),
                name="encoder_attention_mask",
            ),
        )
        read = encoded.last_hidden_state
        if packed is not None and readout is None:
            read = first_position_of(segments)(read)
        output = self.output_class(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=None if self.pooler is None else self.pooler(read),
            hidden_states=encoded.hidden_states,
            past_key_values=encoded.past_key_values,
            attentions=encoded.attentions,
            cross_attentions=encoded.cross_attentions,
        )
        return self.returned(output, return_dict)
