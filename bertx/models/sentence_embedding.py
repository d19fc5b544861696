"""Sentence embeddings: what sentence-transformers computes of token vectors, as a head over a base model.

Its parameters, those of Dense modules, are no part of the base model's schema: they lie in folders of their own.
"""

from . import nn
from .heads import merge_choices
from .layers.activations import TORCH_ACTIVATIONS
from .layers.losses import cross_entropy, mean_squared_error
from .layers.outputs import SentenceEmbeddingOutput, SentenceSimilarityOutput
from .layers.segments import Segments
from .over_model import OverModel


class Pooling(nn.Module):
    """One vector of the token vectors of each row, those of several modes joined.

    `modes`: of `MODES`. `include_prompt`: whether the tokens of a prompt count.
    """

    def __init__(self, modes, include_prompt=True):
        super().__init__()
        self.modes = modes
        self.include_prompt = include_prompt

    def forward(self, hidden_states, attention_mask=None, prompt_lengths=None, mode=None):
        """hidden_states [B, T, H], attention_mask [B, T], prompt_lengths [B] → [B, H · modes], float32 or wider.

        prompt_lengths: how many of a row's first tokens are a prompt's; `mode` is used in place of the own modes.
        """
        return pool(
            hidden_states,
            attention_mask,
            None if self.include_prompt else prompt_lengths,
            self.modes if mode is None else (mode,),
        )


class Dense(nn.Module):
    """f(W x + b); with `use_residual` x is added to it, or V x where the sizes differ."""

    def __init__(self, in_features, out_features, activation, use_residual=False):
        super().__init__()
        axes = ("pooled", "embed")
        self.linear = nn.Linear(in_features, out_features, axes=axes)
        self.activation = TORCH_ACTIVATIONS[activation]
        self.use_residual = use_residual
        projects = use_residual and in_features != out_features
        self.residual = nn.Linear(in_features, out_features, axes=axes) if projects else None

    def forward(self, embeddings):
        """[B, in] → [B, out]."""
        found = self.activation(self.linear(embeddings))
        if not self.use_residual:
            return found
        return found + (embeddings if self.residual is None else self.residual(embeddings))


class Normalize(nn.Module):
    """Scales embeddings to length 1."""

    def forward(self, embeddings):
        """[B, D] → [B, D]."""
        return unit(embeddings)


BLOCKS = {"Pooling": Pooling, "Dense": Dense, "Normalize": Normalize}


class SentenceEmbedding(OverModel):
    """A base model, and what is computed of its last hidden states.

    modules: (one of `BLOCKS`, its arguments) in order; truncate_dim: how many values of an embedding are kept.
    """

    task = "feature-extraction"
    output_class = SentenceEmbeddingOutput

    def __init__(self, config, modules, truncate_dim=None):
        super().__init__(config)
        self.steps = nn.ModuleList([BLOCKS[name](**arguments) for name, arguments in modules])
        self.truncate_dim = truncate_dim
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        prompt_lengths=None,
        pooling=None,
        normalize=None,
        segments=None,
        return_dict=None,
    ):
        """Inputs as for BaseModel, but attention_mask [B, T] alone; the others as for `embed`."""
        encoded = getattr(self, self.base_model_prefix)(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            use_cache=False,
            output_attentions=False,
            output_hidden_states=False,
            return_dict=True,
            **({} if segments is None else {"segments": segments}),
        )
        states = encoded["last_hidden_state"]
        if segments is not None:
            packed = Segments(segments, nn.shape(states)[1])
            states, attention_mask = packed.rows(states), packed.shown
        found = self.embed(states, attention_mask, prompt_lengths, pooling, normalize)
        return self.returned(self.output_class(sentence_embedding=found), return_dict)

    def embed(self, hidden_states, attention_mask=None, prompt_lengths=None, pooling=None, normalize=None):
        """hidden_states [B, T, H], attention_mask [B, T] → [B, D].

        Args:
            hidden_states: the token vectors.
            attention_mask: 0 where a token does not count; None counts all.
            prompt_lengths: [B], how many of a row's first tokens are a prompt's.
            pooling: the mode of each Pooling in place of its own; where there is none, of one before all modules.
            normalize: True scales embeddings to length 1 in the end, False leaves out what does.

        Raises:
            ValueError: attention_mask has other axes, or there is no Pooling and no `pooling`.
        """
        if attention_mask is not None and nn.rank(attention_mask) not in (2, None):
            raise ValueError(f"attention_mask has the shape {list(attention_mask.shape)}, expected [B, T] to be pooled")
        pools = any(isinstance(step, Pooling) for step in self.steps)
        if pooling is None and not pools:
            raise ValueError(f"no module pools: pooling is None, expected one of {', '.join(MODES)}")
        embeddings = hidden_states if pools else pool(hidden_states, attention_mask, None, (pooling,))
        for step in self.steps:
            if isinstance(step, Pooling):
                embeddings = step(
                    hidden_states, attention_mask=attention_mask, prompt_lengths=prompt_lengths, mode=pooling
                )
            elif not isinstance(step, Normalize) or normalize is not False:
                embeddings = step(embeddings)
        if self.truncate_dim is not None:
            embeddings = embeddings[:, : self.truncate_dim]
        return unit(embeddings) if normalize else embeddings


class SentenceSimilarity(SentenceEmbedding):
    """A SentenceEmbedding that is trained: rows of K texts, a pair or a triplet, and the loss of their embeddings."""

    task = "sentence-similarity"
    labels = {"labels": ("texts", "numbers")}
    needs_labels = False
    scores = "choices"
    output_class = SentenceSimilarityOutput

    def architecture(self):
        """Its own name: its inputs are those of no class of an architecture."""
        return SentenceSimilarity.__name__

    def schema_rows(self):
        """Those of the base model, by their names here."""
        base = getattr(self, self.base_model_prefix)
        prefix = f"{self.base_model_prefix}."
        return tuple(type(row)(**{**vars(row), "name": f"{prefix}{row.name}"}) for row in base.schema_rows())

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        labels=None,
        return_dict=None,
    ):
        """Inputs [B, K, T], labels as for `loss_function` → SentenceSimilarityOutput."""
        inputs = map(merge_choices, (input_ids, attention_mask, token_type_ids, position_ids))
        flat = super().forward(*inputs, return_dict=True)["sentence_embedding"]
        embeddings = nn.reshape(flat, (-1, nn.shape(input_ids)[1], nn.shape(flat)[-1]))
        output = self.output_class(loss=self.loss_function(embeddings, labels), sentence_embedding=embeddings)
        return self.returned(output, return_dict)

    def loss_function(self, embeddings, labels=None):
        """embeddings [B, K, D], labels [B] or None → [].

        With labels, the squared difference of the cosine of a pair from its label. Without, the cross-entropy of an
        anchor's cosines with all positives and negatives of the batch, of which its own positive is the right one
        (Henderson et al. 2017): CosineSimilarityLoss and MultipleNegativesRankingLoss of sentence-transformers.
        """
        anchors = unit(embeddings[:, 0])
        if labels is not None:
            cosines = nn.einsum("bd,bd->b", anchors, unit(embeddings[:, 1]))
            return mean_squared_error(nn.reshape(cosines, (-1, 1)), labels)
        others = nn.transpose(embeddings[:, 1:], (1, 0, 2))  # all positives, then all negatives
        candidates = unit(nn.reshape(others, (-1, nn.shape(others)[-1])))
        scores = nn.einsum("bd,cd->bc", anchors, candidates) * COSINE_SCALE
        return cross_entropy(scores, nn.arange(nn.shape(anchors)[0], like=scores))


COSINE_SCALE = 20.0
"""What cosines are multiplied by to be logits, as in sentence-transformers."""


def unit(embeddings):
    """[B, D] → [B, D] of length 1."""
    length = nn.einsum("bd->b", embeddings * embeddings) ** 0.5
    return embeddings / nn.reshape(nn.where(length > 1e-12, length, 1e-12), (-1, 1))


def pool(hidden_states, attention_mask, prompt_lengths, modes):
    """hidden_states [B, T, H], attention_mask [B, T] or None, prompt_lengths [B] or None → [B, H · modes].

    Sums are of float32 or wider. Positions count from the first token that is not masked, whatever side padding is on.
    """
    states = nn.at_least_float32(hidden_states)
    if attention_mask is None:
        attention_mask = nn.zeros_like(states[..., 0]) == 0
    counted = nn.as_bool(attention_mask)
    shown = counted
    if prompt_lengths is not None:
        counted = counted & (_positions(shown) >= nn.reshape(prompt_lengths, (-1, 1)))
    found = [MODES[mode](states, counted, shown) for mode in modes]
    return found[0] if len(found) == 1 else nn.concat(found, -1)


def _first(counted):
    """[B, T] → [B]: the first position that counts, 0 where none does."""
    length = nn.shape(counted)[1]
    before_end = nn.amax(nn.where(counted, length - nn.arange(length, like=counted), 0), 1)
    return nn.where(before_end > 0, length - before_end, 0)


def _positions(shown):
    """[B, T] → [B, T]: 0 for the first position that is not masked, 1 for the next."""
    return nn.arange(nn.shape(shown)[1], like=shown) - nn.reshape(_first(shown), (-1, 1))


def _at(states, index):
    """[B, T, H], [B] → [B, H]."""
    return nn.take_positions(states, nn.reshape(index, (-1, 1)))[:, 0]


def _cls(states, counted, shown):
    return _at(states, _first(counted))


def _last(states, counted, shown):
    index = nn.amax(nn.where(counted, nn.arange(nn.shape(counted)[1], like=counted), 0), 1)
    counts = nn.take_last(nn.cast_like(counted, states), index)  # 0 where no position counts
    return nn.where(nn.reshape(counts, (-1, 1)) > 0, _at(states, index), 0.0)


def _max(states, counted, shown):
    return nn.amax(nn.where(nn.reshape(counted, (*nn.shape(counted), 1)), states, -float("inf")), 1)


def _sums(states, weights):
    """([B, H], [B, 1]): the sum of the states by weights [B, T], as a product, and that of the weights, at least 1."""
    total = (nn.reshape(weights, (-1, 1, nn.shape(weights)[1])) @ states)[:, 0]
    count = nn.einsum("bt->b", weights)
    return total, nn.reshape(nn.where(count > 0, count, 1.0), (-1, 1))


def _mean(states, counted, shown):
    total, count = _sums(states, nn.cast_like(counted, states))
    return total / count


def _mean_sqrt(states, counted, shown):
    total, count = _sums(states, nn.cast_like(counted, states))
    return total / count**0.5


def _weighted_mean(states, counted, shown):
    total, count = _sums(states, nn.cast_like(counted, states) * nn.cast_like(_positions(shown) + 1, states))
    return total / count


# (states [B, T, H], counted [B, T], shown [B, T]: those and a prompt's) → [B, H]; in the order in which older configs
# join several.
MODES = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
