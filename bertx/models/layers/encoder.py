"""The stack of Transformer layers, post-norm (Vaswani et al. 2017, section 3.1)."""

from .. import nn
from .attention import Attention, CrossAttention
from .cache import cross_key_value
from .feed_forward import Intermediate, Output
from .outputs import BaseModelOutput
from .segments import Segments


class Layer(nn.Module):
    """One layer: attention, where the config adds it a decoder's attention to an encoder, and feed-forward."""

    def __init__(self, config, shared=None):
        super().__init__()
        self.attention = Attention(config) if shared is None else shared.attention
        self.crossattention = CrossAttention(config) if config.add_cross_attention else None
        self.intermediate = Intermediate(config) if shared is None else shared.intermediate
        self.output = Output(config) if shared is None else shared.output

    def forward(
        self,
        hidden_states,
        bias=None,
        output_attentions=False,
        readout=None,
        past_key_value=None,
        encoder_hidden_states=None,
        encoder_bias=None,
        head_mask=None,
    ):
        """hidden_states [B, T, H] → [B, T, H], or [B, K, H] of what is read out; the rest as of SelfAttention.

        The fourth result are the probabilities [B, N, T, S] of the attention to encoder_hidden_states [B, S, H], or to
        what past_key_value holds of them; () where there are none.
        """
        attended, probabilities, key_value = self.attention(
            hidden_states,
            bias=bias,
            output_attentions=output_attentions,
            readout=readout,
            past_key_value=past_key_value,
            head_mask=head_mask,
        )
        cross_probabilities, cross = (), cross_key_value(past_key_value)
        if encoder_hidden_states is not None or cross:
            attended, cross_probabilities, cross = self.crossattention(  # pyright: ignore[reportOptionalCall]
                attended,
                encoder_hidden_states,
                bias=encoder_bias,
                output_attentions=output_attentions,
                key_value=cross,
                head_mask=head_mask,
            )
            key_value = () if past_key_value is None else (*key_value, *cross)
        return nn.rowwise(self.feed_forward, attended), probabilities, key_value, cross_probabilities

    def feed_forward(self, attended):
        """attended [..., H] → [..., H]."""
        return self.output(self.intermediate(attended), attended)


class Encoder(nn.Module):
    """The stack of layers; those of `shared`, another one, are this one's too, but for cross-attention."""

    def __init__(self, config, shared=None):
        super().__init__()
        others = [None] * config.num_hidden_layers if shared is None else shared.layer
        self.layer = nn.ModuleList([Layer(config, other) for other in others])
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
        encoder_hidden_states=None,
        encoder_bias=None,
        head_masks=None,
    ):
        """hidden_states [B, T, H], bias [B or 1, 1, T or 1, T], encoder_bias the same of S keys → BaseModelOutput.

        head_masks: for each layer [1, N, 1, 1].
        readout: [B, T, H] → [B, K, H], the positions that are read; the last layer then computes no others, where
        they all see the same keys and nothing else is asked for.
        """
        past = past_key_values or (() if use_cache else None)
        reads_early = (
            readout is not None
            and not (output_attentions or output_hidden_states)
            and not isinstance(bias, Segments)
            and all(each is None or each.shape[2] == 1 for each in (bias, encoder_bias))
            and self.position_embedding_type == "absolute"
        )
        all_states, all_probabilities, all_keys, all_cross_probabilities = [hidden_states], [], [], []
        for i, layer in enumerate(self.layer, 1):
            run = nn.checkpointed(layer) if self.gradient_checkpointing else layer
            reads = reads_early and i == len(self.layer)
            options = {"readout": readout} if reads else {}
            if past is not None:
                options["past_key_value"] = past and past[i - 1]
            if encoder_hidden_states is not None:
                options["encoder_hidden_states"] = encoder_hidden_states
            if encoder_bias is not None:
                options["encoder_bias"] = encoder_bias
            if head_masks is not None:
                options["head_mask"] = head_masks[i - 1]
            hidden_states, probabilities, key_value, cross_probabilities = run(
                hidden_states, bias=bias, output_attentions=output_attentions, **options
            )
            all_states.append(hidden_states)
            all_probabilities.append(probabilities)
            all_keys.append(key_value)
            if not isinstance(cross_probabilities, tuple):
                all_cross_probabilities.append(cross_probabilities)
        if readout is not None and not (reads_early and self.layer):
            hidden_states = readout(hidden_states)
        return BaseModelOutput(
            last_hidden_state=hidden_states,
            hidden_states=tuple(all_states) if output_hidden_states else None,
            past_key_values=tuple(all_keys) if use_cache else None,
            attentions=tuple(all_probabilities) if output_attentions else None,
            cross_attentions=(tuple(all_cross_probabilities) or None) if output_attentions else None,
        )
