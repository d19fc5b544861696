"""Next-sentence prediction: whether a second sentence follows the first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tokenizers.ragged import RaggedBatch
from .options import TokenizerOptions, takes_options
from .pairs import encode_pairs
from .scores import softmax
from .streaming import batch_of, run_whole

if TYPE_CHECKING:
    from .protocol import TaskModel


class NextSentencePrediction:
    """The task of a BertForNextSentencePrediction."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        self._model = model

    @takes_options("next-sentence-prediction")
    def __call__(self, pairs: Any, *, max_length: int | None = None, batch_tokens: int | None = None) -> Any:
        """How likely each second sentence follows its first.

        Args:
            pairs: a pair (a tuple, or {"text": …, "text_pair": …}), a list of them or a stream.
            max_length: of both, in tokens; None is what the model takes.
            batch_tokens: the most tokens of a batch.

        Returns:
            {"is_next": true or false, "score": the probability that it follows} of each pair.

        Raises:
            InputError: texts without a second one.
            ValueError: a max_length that the model does not take.
        """
        options = TokenizerOptions.checked(self._model, max_length)

        def compute(rows: RaggedBatch) -> list[dict[str, Any]]:
            batch = batch_of(self._model, rows)
            follows = softmax(self._model.forward(**batch)["logits"])[:, 0]
            return [{"is_next": bool(score >= 0.5), "score": float(score)} for score in follows]

        def encode(window: list[Any]) -> RaggedBatch:
            return encode_pairs(self._model, window, second=True, options=options)

        return run_whole(self._model, pairs, encode, compute, batch_tokens)
