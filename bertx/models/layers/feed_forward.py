"""The feed-forward block (Vaswani et al. 2017, section 3.3)."""

from .. import nn
from .activations import activation


class Intermediate(nn.Module):
    """Linear to the intermediate size, activation."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size, axes=("mlp", "embed"))
        self.activation = activation(config.hidden_act)

    def forward(self, hidden_states):
        """[..., H] → [..., intermediate]."""
        return nn.activated(self.dense, self.activation, hidden_states)


class Output(nn.Module):
    """Linear back to the hidden size, dropout, residual, LayerNorm."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size, axes=("embed", "mlp"))
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states, residual):
        """hidden_states [..., intermediate], residual [..., H] → [..., H]."""
        return self.LayerNorm(self.dropout(nn.linear(self.dense, hidden_states)) + residual)
