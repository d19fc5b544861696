"""Served: a model that is loaded, with the calls of its task that requests make."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..tasks.options import max_tokens
from ..tasks.pooling import Pooling
from ..tasks.streaming import STEPS, Steps
from .settings import ModelSettings, Settings

# How many different sets of options have their steps kept; those that are kept share batches.
_KEPT = 64


class Served:
    """One model.

    Attributes:
        name, source: as in `ModelSettings`.
        dtype: of its weights.
        model: the `bertx.Model`.
        task: its pipeline tag.
        max_input_length: the most tokens of a text.
        width: how many values its embeddings have; None where it gives none.
    """

    def __init__(self, settings: ModelSettings, model: Any, pooling: str | None = None, dtype: str = "float32"):
        self.name, self.source, self.dtype = settings.name, settings.source, dtype
        self.model, self.task = model, model.task
        self.tokenizer = model.tokenizer
        model([])  # makes the task
        self.max_input_length: int = getattr(model._task, "max_length", None) or max_tokens(model)
        self._always: dict[str, Any] = {}
        self.width: int | None = None
        if self.task == "feature-extraction":
            self._always = {"pooling": pooling} if pooling else {}
            none = model([], **self._always)
            self.width = none.shape[1] if hasattr(none, "shape") else None
        self._steps = functools.lru_cache(_KEPT)(self._make_steps)

    @property
    def kind(self) -> dict[str, Any]:
        """What kind of a model it is, as text-embeddings-inference tells it."""
        if self.task == "feature-extraction":
            return {"embedding": {"pooling": self._pooling()}}
        if not self.labels:
            return {self.task: {}}
        names = {"id2label": dict(enumerate(self.labels)), "label2id": {name: i for i, name in enumerate(self.labels)}}
        if self.task == "text-classification":
            return {"reranker" if len(self.labels) == 1 else "classifier": names}
        return {self.task: names}

    @property
    def labels(self) -> list[str]:
        """The names of a classifier's outputs; none for another model."""
        return list(self.model.config.labels) if self.task.endswith("-classification") else []

    @property
    def entails(self) -> bool:
        """Whether it was trained on natural language inference, and ranks labels of any name."""
        return self.task == "text-classification" and any(name.lower().startswith("entail") for name in self.labels)

    def _pooling(self) -> str:
        """How token vectors are pooled; "none" where nothing says it."""
        own = [module.modes for module in self.model._task._settings.modules if isinstance(module, Pooling)]
        return self._always.get("pooling") or "+".join(own[0] if own else ("none",))

    def steps(self, options: dict[str, Any], call: Callable[..., Any] | None = None) -> Steps:
        """The steps of the task with these options, or of another function of the model; the same ones again.

        Raises:
            ValueError, TypeError: options that the task does not take.
        """
        return self._steps(call, tuple((name, _hashable(value)) for name, value in sorted(options.items())))

    def _make_steps(self, call: Callable[..., Any] | None, options: tuple[tuple[str, Any], ...]) -> Steps:
        given = dict(options)
        if call is not None:
            return call(self.model, STEPS, **given)
        return self.model(STEPS, **{**self._always, **given})

    def prompt(self, name: str | None) -> str:
        """What a checkpoint puts before each text; "" where it has no prompts.

        Raises:
            ValueError: it has none of this name.
        """
        settings = getattr(self.model._task, "_settings", None)
        if settings is None:
            if name is not None:
                raise ValueError(f"prompt_name is {name!r:.60}, and the checkpoint has no prompts: leave it out")
            return ""
        return settings.prompt(None, name)

    def has_token(self, token: str) -> bool:
        """Whether the vocabulary has a token."""
        return self.tokenizer.backend_tokenizer.token_to_id(token) is not None

    def text(self, value: str | Sequence[int]) -> str:
        """A text as it is, or that of ids.

        Raises:
            ValueError: an id that the vocabulary does not have.
        """
        return value if isinstance(value, str) else self.decoded(value)

    def decoded(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids.

        Raises:
            ValueError: an id that the vocabulary does not have.
        """
        if unknown := sorted({one for one in ids if one >= len(self.tokenizer)}):
            raise ValueError(
                f"ids {', '.join(map(str, unknown[:10]))} are none of the vocabulary's {len(self.tokenizer)}"
            )
        return self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def load_models(settings: Settings) -> list[Served]:
    """Loads what is served.

    Raises:
        CheckpointError, OSError, ValueError: a source that cannot be loaded, or has no head that was trained for its
            task.
    """
    from ..checkpoints.load import load

    found = []
    for one in settings.models:
        model = load(
            one.source,
            task=one.task,
            backend=settings.backend,
            dtype=settings.dtype,
            device=settings.device,
            revision=settings.revision,
        )
        found.append(Served(one, model, settings.pooling, settings.dtype))
    if settings.pooling and not any(served.task == "feature-extraction" for served in found):
        raise ValueError(f"pooling is {settings.pooling!r}, and no model that is served gives embeddings: leave it out")
    return found


def check_models(settings: Settings) -> None:
    """That there is a checkpoint with a trained head behind every name, before any weights are read.

    Raises:
        CheckpointError: there is none; all such models at once.
        ValueError: two models of one name.
    """
    from bertx_weights import CheckpointError

    from ..checkpoints.inspect import inspect
    from ..registry import trained_as

    names = [one.name for one in settings.models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several models are called {', '.join(twice)}: give each a name of its own, NAME=SOURCE")
    problems = []
    for one in settings.models:
        try:
            found = inspect(one.source, task=one.task, revision=settings.revision)
        except (ValueError, OSError) as error:
            problems.append(f"{one.source}: {error}" if one.source not in str(error) else str(error))
            continue
        missing = list(found.report.initialised) or trained_as(found.config, found.architecture)
        if missing:
            problems.append(
                f"{one.source} has no head that was trained for {found.task}: its answers would be random. Give "
                f"another checkpoint, or the --task that it was trained for"
            )
    if problems:
        raise CheckpointError("\n".join(problems))
