"""The stack of Transformer layers, post-norm (Vaswani et al. 2017, section 3.1)."""

from .. import nn
from .attention import Attention
from .feed_forward import Intermediate, Output
from .outputs import BaseModelOutput


class Layer(nn.Module):
    """One encoder layer. Cross-attention, when it comes, is a second Attention between the two steps."""

    def __init__(self, config):
        super().__init__()
        if config.add_cross_attention:
            raise ValueError("add_cross_attention is true: bertx has no encoder-decoder models yet")
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config)

    def forward(self, hidden_states, bias=None, output_attentions=False, readout=None, past_key_value=None):
        """hidden_states [B, T, H] → [B, T, H], or [B, K, H] of what is read out; the rest as of SelfAttention."""
        attended, *others = self.attention(
            hidden_states,
            bias=bias,
            output_attentions=output_attentions,
            readout=readout,
            past_key_value=past_key_value,
        )
        return nn.rowwise(self.feed_forward, attended), *others

    def feed_forward(self, attended):
        """attended [..., H] → [..., H]."""
        return self.output(self.intermediate(attended), attended)


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])
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
