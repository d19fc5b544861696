"""Word, position and token-type embeddings (Devlin et al. 2019, section 3 and figure 2)."""

from .. import nn


class Embeddings(nn.Module):
    """Sum of the three embeddings, normalised.

    Positions count from 0 in every row, padding included; without token types all are type 0. With
    relative position embeddings the absolute ones are not added, though the checkpoint holds them.
    """

    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, axes=("vocab", "embed"))
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, config.hidden_size, axes=("position", "embed")
        )
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size, axes=("type", "embed"))
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.adds_positions = config.position_embedding_type == "absolute"
        self.max_length = config.max_position_embeddings

    def forward(
        self, input_ids=None, token_type_ids=None, position_ids=None, inputs_embeds=None, past_length=0, segments=None
    ):
        """input_ids, token_type_ids, position_ids [B, T], or inputs_embeds [B, T, H] for the ids → [B, T, H].

        past_length: how many positions come before these. segments: of a packed batch [1, S], whose rows have
        positions of their own.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        length = past_length + nn.shape(tokens if segments is None else segments.index)[1]
        if isinstance(length, int) and length > self.max_length:
            raise ValueError(
                f"the sequence has {length} positions, max_position_embeddings is {self.max_length}: "
                "truncate it or split it into windows"
            )
        if token_type_ids is None:
            token_type_ids = nn.reshape(nn.arange(1, like=tokens), (1, 1))
        if position_ids is None:
            position_ids = self._positions(input_ids, tokens, past_length, segments)
        hidden_states = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        hidden_states = hidden_states + self.token_type_embeddings(token_type_ids)
        if self.adds_positions:
            hidden_states = hidden_states + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(hidden_states))

    def _positions(self, input_ids, tokens, past_length, segments):
        if segments is None:
            return self.positions(input_ids, tokens, past_length)
        ids = None if input_ids is None else segments.rows(input_ids)
        of_rows = self.positions(ids, segments.index if ids is None else ids, past_length)
        return segments.tokens(nn.zeros_like(segments.index) + of_rows)

    def positions(self, input_ids, tokens, past_length):
        """The position_ids [1 or B, T] of tokens [B, T] or [B, T, H] that have none."""
        length = past_length + nn.shape(tokens)[1]
        return nn.reshape(nn.arange(length, like=tokens)[past_length:], (1, -1))
