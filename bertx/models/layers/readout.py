"""What is read of the last hidden states: the pooler, and the positions that a head scores."""

from .. import nn


class Pooler(nn.Module):
    """tanh of a Linear of the first position."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, axes=("pooled", "embed"))

    def forward(self, hidden_states):
        """[B, T, H] → [B, H]."""
        return nn.tanh(self.dense(hidden_states[:, 0]))


def first_position(hidden_states):
    """[B, T, H] → [B, 1, H], all that the pooler reads."""
    return hidden_states[:, :1]


def first_position_of(segments):
    """segments [B, T] or None → a function [B, T, H], or where rows are packed [1, S, H], → [B, 1, H]."""
    if segments is None:
        return first_position

    def read(packed):
        found = nn.take_positions(packed, nn.reshape(segments[:, 0], (1, -1)))
        return nn.reshape(found, (-1, 1, packed.shape[-1]))

    return read


def positions_at(positions):
    """positions [B, K] → a function [B, T, H] → [B, K, H]."""
    return lambda hidden_states: nn.take_positions(hidden_states, positions)


def first_and_positions_at(positions):
    """positions [B, K] → a function [B, T, H] → [B, 1 + K, H]: what the pooler reads comes first."""
    return lambda states: nn.concat([first_position(states), nn.take_positions(states, positions)], 1)
