"""Tests for anyone's backend: a class that a test file subclasses. Needs pytest, which `import bertx` does not."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from .backend import Backend, get_backend
from .checkpoints.load import load
from .configs.base import ModelConfig
from .model import Model
from .models import nn as contract
from .models.sentence_embedding import MODES
from .registry import MODELS, architectures, head_of, is_base, made_config, model_of, options_of, schema
from .tasks.pooling import Dense, Normalize, Pooling

# Odd and all different, so that no transposed or swapped axis fits by accident.
SIZES: Mapping[str, int] = {
    "vocab_size": 131,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 100,
    "max_position_embeddings": 37,
    "type_vocab_size": 3,
    "num_labels": 5,
}
BATCH, CHOICES, LENGTH, STATES, TARGETS = 4, 3, 13, 9, 7
# What the decoder of an encoder has otherwise.
_OF_DECODER = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
PADDINGS = (None, "right", "left")
BASES = [name for name in architectures() if is_base(name)]
CAUSAL = [name for name in architectures() if head_of(name).task == "text-generation"]
# What the oracle reads of its own blocks; the spec does not use it.
_ORACLES_OWN = {"parameters"}
_FLAGS = {"output_hidden_states": True, "output_attentions": True}


# --- what is compared -------------------------------------------------------------------------------


def config_of(architecture: str, **changes: Any) -> ModelConfig:
    """A small config for a class; a causal head's is that of a decoder, and one in a model of two parts is smaller."""
    model = model_of(architecture)
    if model.parts:
        decoder = {**SIZES, **_OF_DECODER, "is_decoder": True, "add_cross_attention": True}
        parts = {"encoder": made_config("bert", **SIZES, **changes), "decoder": made_config("roberta", **decoder)}
        return model.config_class(**parts, decoder_start_token_id=2, pad_token_id=1)  # pyright: ignore[reportCallIssue]
    fields: dict[str, Any] = {**SIZES, "is_decoder": architecture in CAUSAL, **changes}
    return model.config_class(**fields)


@functools.cache
def values_of(architecture: str, seed: int = 0, add_cross_attention: bool = False) -> dict[str, np.ndarray]:
    """Schema name → float32 values, N(0, 0.1); a norm's weight is 1 more. 0.02 would hide a wrong GELU."""
    generator, values = np.random.default_rng(seed), {}
    changes = {"add_cross_attention": True} if add_cross_attention else {}
    for row in schema(architecture, config_of(architecture, **changes)):
        drawn = generator.normal(0, 0.1, row.shape) + (row.kind == "norm")
        values[row.name] = values[row.tied_to] if row.tied_to else drawn.astype(np.float32)
    return values


def inputs_of(architecture: str, padding: str | None, seed: int = 1) -> dict[str, Any]:
    """Random ids and token types, and labels of what the head says they are, some of them not counted.

    padding: "right" or "left", rows of different length; None: none.
    """
    head, config = head_of(architecture), config_of(architecture)
    generator = np.random.default_rng(seed)
    shape = (BATCH, CHOICES, LENGTH) if head.scores == "choices" else (BATCH, LENGTH)
    mask = np.ones(shape, np.int64)
    if padding is not None:
        rows = mask.reshape(-1, LENGTH)
        for row, hidden in zip(rows[1:], generator.integers(1, LENGTH - 1, len(rows) - 1), strict=True):
            row[LENGTH - hidden :] = 0
        if padding == "left":
            rows[:] = rows[:, ::-1].copy()
    ids = generator.integers(0, config.vocab_size, shape)
    inputs = {
        # Positions may be counted from the padding.
        "input_ids": np.where(mask == 0, config.pad_token_id or 0, ids),
        "attention_mask": mask,
        "token_type_ids": generator.integers(0, config.type_vocab_size, shape),
    }
    for name, (of, limit) in head.labels.items():
        size = {"tokens": (BATCH, LENGTH), "targets": (BATCH, TARGETS)}.get(of, (BATCH,))
        if limit == "numbers":
            inputs[name] = generator.normal(size=size).astype(np.float32)
            continue
        if limit == "positions":
            most = LENGTH + 5  # one past the end is not counted
        elif limit == "choices":
            most = CHOICES
        else:
            most = getattr(config, limit) if isinstance(limit, str) else limit
        inputs[name] = generator.integers(0, most, size)
        if len(size) > 1:
            inputs[name][:, ::3] = -100
    return inputs


def encoder_of(padding: str | None, seed: int = 2) -> dict[str, Any]:
    """What a decoder attends to: random states of an encoder, and a mask."""
    generator = np.random.default_rng(seed)
    states = generator.normal(size=(BATCH, STATES, SIZES["hidden_size"])).astype(np.float32)
    shown = np.arange(STATES) < generator.integers(1, STATES, (BATCH, 1))
    if padding is None:
        return {"encoder_hidden_states": states}
    return {
        "encoder_hidden_states": states,
        "encoder_attention_mask": (shown if padding == "right" else shown[:, ::-1]).astype(np.int64),
    }


def build(backend: Backend, architecture: str, dtype: str, config: ModelConfig | None = None, **values: Any) -> Model:
    """A model of a backend with `values_of`, `values` in place of some."""
    config = config or config_of(architecture)
    tensors = values_of(architecture, add_cross_attention=config.add_cross_attention) | values
    module = backend.build(
        backend.model_class(architecture),
        config,
        lambda name, shape: tensors[name].copy(),
        dtype,
        None,
        options_of(architecture, tensors),
    )
    return Model(module, config, backend, architecture)


@functools.cache
def oracle(architecture: str) -> Model:
    """The spec on NumPy in float64."""
    return build(get_backend("numpy"), architecture, "float64")


@functools.cache
def decoder_oracle(architecture: str) -> Model:
    """The same of a decoder that attends to an encoder."""
    return build(get_backend("numpy"), architecture, "float64", config_of(architecture, add_cross_attention=True))


@functools.cache
def expected_of(architecture: str, padding: str | None) -> dict[str, Any]:
    """The oracle's outputs, with all layers and attentions."""
    return oracle(architecture).forward(**inputs_of(architecture, padding), **_FLAGS)


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, float]:
    """max |Δ| of each output, and of each layer's; a NaN stays one.

    Raises:
        AssertionError: other outputs, in another order, or other shapes.
    """
    assert list(found) == list(expected), f"the outputs are {list(found)}, expected {list(expected)}"
    worst = {}
    for name, value in expected.items():
        mine, theirs = (each if isinstance(each, tuple) else (each,) for each in (found[name], value))
        assert len(mine) == len(theirs), f"{name} has {len(mine)} parts, expected {len(theirs)}"
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            assert np.shape(a) == np.shape(b), f"{name}.{i} is {np.shape(a)}, expected {np.shape(b)}"
            worst[f"{name}.{i}"] = float(np.max(np.abs(np.asarray(a, np.float64) - b)))
    return worst


def packed_of(architecture: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The batch that is padded on the right, its labels of padding not counted; and the same with rows packed in one.

    Without labels that are positions, which are those of padded rows.
    """
    labels = head_of(architecture).labels
    inputs = inputs_of(architecture, "right")
    padded = {name: value for name, value in inputs.items() if labels.get(name, ("", ""))[1] != "positions"}
    shown = padded["attention_mask"] != 0
    for name in padded.keys() & labels.keys():
        if labels[name][0] == "tokens":
            padded[name] = np.where(shown, padded[name], -100)
    packed = {
        name: value[shown][None] if value.shape == shown.shape else value
        for name, value in padded.items()
        if name != "attention_mask"
    }
    return padded, packed | {"segments": np.where(shown, np.cumsum(shown).reshape(shown.shape) - 1, -1)}


def as_packed(outputs: Mapping[str, Any], segments: np.ndarray) -> dict[str, Any]:
    """What a padded batch gives, without that of padding: arrays [B, T, …] as [1, S, …]."""
    shown = segments.reshape(-1, LENGTH) >= 0

    def kept(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(kept, value))
        return value[shown][None] if np.shape(value)[:2] == shown.shape else value

    return {name: kept(value) for name, value in outputs.items()}


# --- the contract of nn -----------------------------------------------------------------------------


def contract_names() -> set[str]:
    """The public names that `bertx.models.nn` defines for the spec."""
    found: set[str] = set()
    for node in ast.parse(inspect.getsource(contract)).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return {name for name in found if not name.startswith("_")} - _ORACLES_OWN


def contract_problems(module: Any) -> list[str]:
    """What a backend's `nn` lacks of the contract, and what cannot be called as the contract's can.

    A function takes each of the contract's arguments, a block those that have no default. What says no signature, as a
    framework's own functions may, is not checked.
    """
    names = sorted(contract_names())
    problems = [f"{name} is missing" for name in names if not hasattr(module, name)]
    for name in names:
        theirs, ours = getattr(module, name, None), getattr(contract, name)
        if getattr(ours, "__module__", None) != contract.__name__ or not callable(theirs):
            continue  # an alias of NumPy's: the framework's own names its arguments otherwise
        try:
            expected, found = inspect.signature(ours), inspect.signature(theirs)
        except (TypeError, ValueError):
            continue
        parameters = [
            each for each in expected.parameters.values() if not inspect.isclass(ours) or each.default is each.empty
        ]
        by_position = [each for each in parameters if each.kind not in (each.KEYWORD_ONLY, each.VAR_KEYWORD)]
        by_name = {each.name: None for each in parameters if each.kind == each.KEYWORD_ONLY}
        try:
            found.bind(*by_position, **by_name)
        except TypeError as error:
            problems.append(f"{name}{found} cannot be called as {name}{expected}: {error}")
    return problems


# --- mutants ----------------------------------------------------------------------------------------


def other_gelu(nn: Any) -> dict[str, Any]:
    """The tanh approximation for the exact GELU."""
    return {"activated": lambda dense, activation, x: nn.gelu_tanh(dense(x))}


def mask_dropped(nn: Any) -> dict[str, Any]:
    """An attention that sees padding."""
    attention = nn.attention
    return {"attention": lambda query, key, value, bias, *others: attention(query, key, value, None, *others)}


def other_epsilon(nn: Any) -> dict[str, Any]:
    """A LayerNorm with an epsilon of its own."""
    layer_norm = nn.LayerNorm
    return {"LayerNorm": lambda features, eps: layer_norm(features, 1e-5)}


def scale_forgotten(nn: Any) -> dict[str, Any]:
    """An attention that does not divide by √D."""
    attention = nn.attention
    return {"attention": lambda query, key, value, bias, scale, *others: attention(query, key, value, bias, 1, *others)}


def encoder_mask_dropped(nn: Any) -> dict[str, Any]:
    """A decoder that sees an encoder's padding; its own keys are hidden from each query by itself."""
    attention = nn.attention

    def mutated(query: Any, key: Any, value: Any, bias: Any, *others: Any) -> Any:
        return attention(query, key, value, None if bias is not None and bias.shape[2] == 1 else bias, *others)

    return {"attention": mutated}


def modules_of(bias: float = 0) -> tuple[Any, ...]:
    """All poolings joined, the prompt left out, and what may follow; `bias` is added to one bias."""
    generator, sizes = np.random.default_rng(5), (len(MODES) * SIZES["hidden_size"], 20, 20)
    dense = []
    for given, made in itertools.pairwise(sizes):
        weights = {name: generator.normal(0, 0.1, (made, given)) for name in ("linear.weight", "residual.weight")}
        tensors = weights | {"linear.bias": generator.normal(0, 0.1, made) + bias * (given == made)}
        tensors = {name: value.astype(np.float32) for name, value in tensors.items()}
        dense.append(Dense(given, made, "Tanh" if given == made else "GELU", True, tensors))
    return Pooling(tuple(MODES), include_prompt=False), dense[0], Normalize(), dense[1]


def embeddings_of(
    model: Model, paddings: Sequence[str | None] = ("right",), modules: Sequence[Any] | None = None
) -> dict[str, np.ndarray]:
    """What modules give, and all poolings without more, for each padding."""
    embed = model.embedder(modules_of() if modules is None else modules, truncate_dim=15)
    pool, plain = model.embedder((Pooling(tuple(MODES)),)), model.embedder(())
    found = {}
    for padding in paddings:
        inputs = inputs_of(model.architecture, padding)
        prompts = np.minimum(2, inputs["attention_mask"].sum(1) - 1)  # one token at least counts
        found[f"modules, {padding}"] = embed(**inputs, prompt_lengths=prompts)
        found[f"poolings, {padding}"] = pool(**inputs)
        found[f"unit mean, {padding}"] = plain(**inputs, pooling="mean", normalize=True)
    return found


def mask_not_pooled(spec: Any) -> dict[str, Any]:
    """A pooling that counts padding."""
    pool = spec.pool
    return {"pool": lambda hidden_states, attention_mask, *others: pool(hidden_states, None, *others)}


def prompt_pooled(spec: Any) -> dict[str, Any]:
    """A pooling that counts the prompt."""
    pool = spec.pool
    return {"pool": lambda states, attention_mask, prompts, modes: pool(states, attention_mask, None, modes)}


def other_mode(spec: Any) -> dict[str, Any]:
    """The mean for the weighted mean."""
    return {"MODES": spec.MODES | {"weightedmean": spec.MODES["mean"]}}


def not_normalized(spec: Any) -> dict[str, Any]:
    """Embeddings of any length."""
    return {"unit": lambda embeddings: embeddings}


EMBEDDING_MUTANTS: tuple[Callable[[Any], dict[str, Any]], ...] = (
    mask_not_pooled,
    prompt_pooled,
    other_mode,
    not_normalized,
)


def predictions_of(model: Model, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What tasks read of a model of `PREDICTIONS`, all of it in falling order: of a batch that is padded or packed."""
    tokens = {name: value for name, value in inputs.items() if name not in head_of(model.architecture).labels}
    index = inputs["segments"] if "segments" in inputs else np.where(inputs["attention_mask"], np.arange(LENGTH), -1)
    name, found = PREDICTIONS[head_of(model.architecture).task], []
    if name == "WordPredictions":
        firsts = np.where(index < 0, index.max() + 1, index).min(1)
        positions = np.stack([firsts, index.max(1)], -1).reshape(len(tokens["input_ids"]), -1)
        predict = model.predictor(name, count=2 * SIZES["vocab_size"])
        targets = np.arange(SIZES["vocab_size"]) % 3 == 0
        found = [predict(**tokens, mask_positions=positions, targets=wanted) for wanted in (None, targets)]
        found = [{part: value.reshape(BATCH, 2, -1) for part, value in each.items()} for each in found]
    elif name == "LabelPredictions":
        found = [model.predictor(name, every_label=every)(**tokens) for every in (True, False)]
    else:
        predict = model.predictor(name, count=LENGTH * LENGTH, width=4)
        context = (tokens["token_type_ids"] > 0) & (tokens.get("attention_mask", 1) != 0)
        found = [predict(**tokens, context_mask=context, max_lengths=np.arange(BATCH) + 1)]
    return {f"{part} {i}": value for i, each in enumerate(found) for part, value in each.items()}


def prediction_differences(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], tolerance: float
) -> dict[str, float]:
    """max |Δ| of each, and how many indices are others; those of scores that are nearly equal may be in any order."""
    assert found.keys() == expected.keys()
    worst = {}
    for name, value in expected.items():
        assert found[name].shape == value.shape, f"{name} is {found[name].shape}, expected {value.shape}"
        if not name.startswith("indices"):
            worst[name] = float(np.abs(found[name] - value).max())
            continue
        scores = expected[name.replace("indices", "scores")]
        apart = np.ones(scores.shape, bool)
        if name != "indices 1" or scores.ndim == 3:  # in falling order
            gaps = -np.diff(scores, axis=-1)
            near = (gaps > 0) & (gaps <= 2 * tolerance)  # zeros are equal on all backends
            apart[..., 1:] &= ~near
            apart[..., :-1] &= ~near
        assert apart.mean() > 0.5
        worst[name] = float(((found[name] != value) & apart).sum())
    return worst


def context_ignored(spec: Any) -> dict[str, Any]:
    """Spans of all tokens."""
    scores = spec.span_scores
    return {"span_scores": lambda start, end, context, *others: scores(start, end, context + 1, *others)}


def lengths_ignored(spec: Any) -> dict[str, Any]:
    """Spans of any length."""
    scores = spec.span_scores
    return {"span_scores": lambda start, end, context, lengths, width: scores(start, end, context, lengths + 9, width)}


def ends_for_starts(spec: Any) -> dict[str, Any]:
    """Spans that begin where others end."""
    scores = spec.span_scores
    return {"span_scores": lambda start, end, *others: scores(end, start, *others)}


PREDICTIONS = {
    "fill-mask": "WordPredictions",
    "token-classification": "LabelPredictions",
    "question-answering": "SpanPredictions",
}
# One of each: what is read of a head is the same in all architectures.
PREDICTED = [next(name for name in architectures() if head_of(name).task == task) for task in PREDICTIONS]
SPAN_MUTANTS: tuple[Callable[[Any], dict[str, Any]], ...] = (context_ignored, lengths_ignored, ends_for_starts)


def wrong_offset(nn: Any) -> dict[str, Any]:
    """A packed attention that reads the keys and values of each row one token too late."""
    attention = nn.packed_attention

    def shifted(query: Any, key: Any, value: Any, *others: Any) -> Any:
        later = (nn.concat([states[:, :, 1:], states[:, :, :1]], 2) for states in (key, value))
        return attention(query, *later, *others)

    return {"packed_attention": shifted}


def segments_dropped(nn: Any) -> dict[str, Any]:
    """A packed attention in which all tokens see all others."""
    attention = nn.attention
    return {
        "packed_attention": lambda query, key, value, segments, *others: attention(query, key, value, None, *others)
    }


PACKED_MUTANTS: tuple[Callable[[Any], dict[str, Any]], ...] = (wrong_offset, segments_dropped)


MUTANTS: tuple[Callable[[Any], dict[str, Any]], ...] = (other_gelu, mask_dropped, other_epsilon, scale_forgotten)


# --- the suite --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A model under test."""

    backend: Backend
    model: Model

    @property
    def architecture(self) -> str:
        """The hub's name of its class."""
        return self.model.architecture


class BackendSuite:
    """The tests that a backend passes.

    Every head of every architecture that bertx knows runs on it, with weights drawn at 0.1, padded on the right, on
    the left and not at all, and is compared with the float64 oracle: outputs, loss, hidden states and attentions. What
    follows is tested too: its `nn` fulfils the contract, tensors come back bit by bit, a saved model loads, a causal
    model continues a past, gradients are right, and mistakes in its `nn` are found.

        import bertx.testing

        class TestMine(bertx.testing.BackendSuite):
            backend = "mine"

    Attributes:
        backend: the name that it is registered by, or a Backend.
        dtype: what it runs in.
        tolerance: the largest |Δ| to the oracle. The noise of float32 on these models is 1.6e-6 at most.
        gradient_tolerance: the same of a derivative, as a part of the largest.
    """

    backend: ClassVar[str | Backend]
    dtype: ClassVar[str] = "float32"
    tolerance: ClassVar[float] = 4e-6
    gradient_tolerance: ClassVar[float] = 2e-6

    def gradients(self, model: Model, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Schema name → gradient of the mean loss, in schema layout; None: the backend computes none.

        A tied parameter may come under any of its names. To be overridden.
        """
        return None

    @pytest.fixture(scope="class", params=architectures())
    @classmethod
    def case(cls, request: pytest.FixtureRequest) -> Iterator[Case]:
        """A model of each class that the registry knows, shared by the tests of the class."""
        backend = cls._backend()
        yield Case(backend, build(backend, request.param, cls.dtype))

    @classmethod
    def _backend(cls) -> Backend:
        return get_backend(cls.backend)

    @classmethod
    def _nn(cls) -> Any:
        backend = cls._backend()
        backend.model_class(architectures()[0])  # imports it
        return sys.modules[f"{backend.package}.nn"]

    def test_nn_fulfils_the_contract(self) -> None:
        """One error names all that is missing."""
        problems = contract_problems(self._nn())
        assert not problems, f"{self._nn().__name__}: " + "; ".join(problems)

    def test_the_contract_is_checked(self) -> None:
        """A module that lacks everything, or takes other arguments, is found out."""
        nn = self._nn()

        class Lacking:
            linear = staticmethod(lambda dense: dense)

            def __getattr__(self, name: str) -> Any:
                if name == "attention":
                    raise AttributeError(name)
                return getattr(nn, name)

        problems = contract_problems(Lacking())
        assert len(problems) == 2 and problems[0] == "attention is missing" and problems[1].startswith("linear(dense)")

    def test_outputs_layers_attentions_and_loss_are_the_oracles(self, case: Case) -> None:
        """On batches padded on the right, on the left and not at all."""
        for padding in PADDINGS:
            found = case.model.forward(**inputs_of(case.architecture, padding), **_FLAGS)
            worst = differences(found, expected_of(case.architecture, padding))
            assert all(value <= self.tolerance for value in worst.values()), (padding, worst)

    @pytest.mark.parametrize("case", BASES, indirect=True)
    def test_without_attentions_it_gives_the_same(self, case: Case) -> None:
        """A backend may then take a faster path."""
        for padding in PADDINGS:
            expected = expected_of(case.architecture, padding)
            found = case.model.forward(**inputs_of(case.architecture, padding))
            worst = differences(found, {name: value for name, value in expected.items() if name not in _LAYERS})
            assert all(value <= self.tolerance for value in worst.values()), (padding, worst)
        ids = inputs_of(case.architecture, None)["input_ids"]
        worst = differences(case.model.forward(input_ids=ids), oracle(case.architecture).forward(input_ids=ids))
        assert all(value <= self.tolerance for value in worst.values()), ("ids alone", worst)

    def test_packed_rows_give_what_padded_rows_give(self, case: Case) -> None:
        """Of the tokens and the texts of a batch, with all layers and without; a causal model refuses them."""
        if model_of(case.architecture).parts:
            with pytest.raises(TypeError, match="it was given segments"):
                case.model.forward(**inputs_of(case.architecture, None), segments=np.zeros((1, 1), np.int64))
            return
        padded, packed = packed_of(case.architecture)
        if case.model.config.is_decoder:
            with pytest.raises(ValueError, match="a causal model: give padded rows"):
                case.model.forward(**packed)
            return
        expected = as_packed(oracle(case.architecture).forward(**padded, output_hidden_states=True), packed["segments"])
        for flags in ({"output_hidden_states": True}, {}):
            found = case.model.forward(**packed, **flags)
            worst = differences(
                found, {name: value for name, value in expected.items() if flags or name not in _LAYERS}
            )
            assert all(value <= self.tolerance for value in worst.values()), (flags, worst)

    @pytest.mark.parametrize("case", BASES[:1], indirect=True)
    def test_sentence_embeddings_of_packed_rows(self, case: Case) -> None:
        """Each row is pooled by itself."""
        padded, packed = packed_of(case.architecture)
        prompts = np.minimum(2, padded["attention_mask"].sum(1) - 1)
        expected = oracle(case.architecture).embedder(modules_of(), truncate_dim=15)(**padded, prompt_lengths=prompts)
        found = case.model.embedder(modules_of(), truncate_dim=15)(**packed, prompt_lengths=prompts)
        assert np.abs(found - expected).max() <= self.tolerance

    @pytest.mark.parametrize("model_type", sorted(name for name in MODELS if not MODELS[name].parts))
    def test_gradients_of_packed_rows(self, model_type: str) -> None:
        """They are those of padded rows."""
        architecture = next(name for name in architectures(model_type) if head_of(name).labels)
        model = build(self._backend(), architecture, self.dtype)
        padded, packed = packed_of(architecture)
        expected = self.gradients(model, padded)
        if expected is None:
            pytest.skip(f"{self._backend().name} computes no gradients")
        found = self.gradients(model, packed)
        assert found is not None
        largest = max(np.abs(gradient).max() for gradient in expected.values())
        worst = {name: float(np.abs(found[name] - value).max() / largest) for name, value in expected.items()}
        assert all(value <= self.gradient_tolerance for value in worst.values()), worst

    @pytest.mark.parametrize("mutate", PACKED_MUTANTS, ids=lambda mutate: mutate.__name__)
    def test_a_wrong_packed_attention_is_found(
        self, mutate: Callable[[Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A mistake in it puts an output outside of the tolerance."""
        architecture = BASES[0]
        padded, packed = packed_of(architecture)
        expected = as_packed(oracle(architecture).forward(**padded), packed["segments"])
        nn = self._nn()
        for name, value in mutate(nn).items():
            monkeypatch.setattr(nn, name, value)
        config = config_of(architecture, initializer_range=0.7 + PACKED_MUTANTS.index(mutate))
        found = build(self._backend(), architecture, self.dtype, config).forward(**packed)
        assert max(differences(found, expected).values()) > self.tolerance

    @pytest.mark.parametrize("case", BASES[:1], indirect=True)
    def test_sentence_embeddings_are_the_oracles(self, case: Case) -> None:
        """Poolings, Dense modules and normalisation, of rows padded on the right, on the left and not at all."""
        expected = embeddings_of(oracle(case.architecture), PADDINGS)
        worst = differences(embeddings_of(case.model, PADDINGS), expected)
        assert all(value <= self.tolerance for value in worst.values()), worst

    @pytest.mark.parametrize("case", BASES[:1], indirect=True)
    def test_another_bias_of_a_dense_is_found(self, case: Case) -> None:
        """The parameters of the modules reach the backend."""
        found = embeddings_of(case.model, modules=modules_of(bias=1e-3))
        assert max(differences(found, embeddings_of(oracle(case.architecture))).values()) > self.tolerance

    @pytest.mark.parametrize("mutate", EMBEDDING_MUTANTS, ids=lambda mutate: mutate.__name__)
    def test_a_wrong_embedding_is_found(
        self, mutate: Callable[[Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A mistake in what is computed of token vectors puts an embedding outside of the tolerance."""
        architecture, backend = BASES[0], self._backend()
        expected = embeddings_of(oracle(architecture))
        spec = sys.modules[backend.spec_class("sentence_embedding", "SentenceEmbedding").__module__]
        for name, value in mutate(spec).items():
            monkeypatch.setattr(spec, name, value)
        config = config_of(architecture, initializer_range=0.6 + EMBEDDING_MUTANTS.index(mutate))
        found = embeddings_of(build(backend, architecture, self.dtype, config))
        assert max(differences(found, expected).values()) > self.tolerance

    @pytest.mark.parametrize("case", PREDICTED, indirect=True)
    def test_what_tasks_read_is_the_oracles(self, case: Case) -> None:
        """The likeliest words, labels and spans, of padded rows and of packed ones."""
        for padding in PADDINGS:
            inputs = inputs_of(case.architecture, padding)
            expected = predictions_of(oracle(case.architecture), inputs)
            worst = prediction_differences(predictions_of(case.model, inputs), expected, self.tolerance)
            assert all(value <= self.tolerance for value in worst.values()), (padding, worst)
        padded, packed = packed_of(case.architecture)
        expected = as_packed(predictions_of(oracle(case.architecture), padded), packed["segments"])
        worst = prediction_differences(predictions_of(case.model, packed), expected, self.tolerance)
        assert all(value <= self.tolerance for value in worst.values()), ("packed", worst)

    @pytest.mark.parametrize("mutate", SPAN_MUTANTS, ids=lambda mutate: mutate.__name__)
    def test_wrong_spans_are_found(
        self, mutate: Callable[[Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A mistake in the scores of spans puts one outside of the tolerance."""
        architecture = PREDICTED[-1]
        backend, inputs = self._backend(), inputs_of(architecture, "right")
        expected = predictions_of(oracle(architecture), inputs)
        spec = sys.modules[backend.spec_class("predictions", "SpanPredictions").__module__]
        for name, value in mutate(spec).items():
            monkeypatch.setattr(spec, name, value)
        config = config_of(architecture, initializer_range=0.8 + SPAN_MUTANTS.index(mutate))
        found = predictions_of(build(backend, architecture, self.dtype, config), inputs)
        assert max(prediction_differences(found, expected, self.tolerance).values()) > self.tolerance

    @pytest.mark.parametrize("count", [1, 5, 16, 40])
    def test_of_equal_numbers_the_first_come_first(self, count: int) -> None:
        """The largest of rows in which most numbers come several times, negative ones too."""
        rows = np.random.default_rng(6).integers(-4, 4, (3, 2, 33)).astype(np.float32) / 8
        indices = np.argsort(-rows, axis=-1, kind="stable")[..., :count]
        found = self._nn().top_k(self._backend().tensor(rows), count)
        assert (np.asarray(found[1]) == indices).all()
        assert (np.asarray(found[0]) == np.take_along_axis(rows, indices, -1)).all()

    @pytest.mark.parametrize("case", CAUSAL, indirect=True)
    @pytest.mark.parametrize("padding", [None, "left"])
    def test_a_past_is_continued(self, case: Case, padding: str | None) -> None:
        """In two pieces a causal model gives what it gives at once; with padding, at positions that are given."""
        labels, pad = head_of(case.architecture).labels, case.model.config.pad_token_id or 0
        inputs = inputs_of(case.architecture, padding)
        inputs = {name: value for name, value in inputs.items() if name not in labels}
        ids = inputs["input_ids"]
        if padding is None:
            inputs["input_ids"] = np.where(ids == pad, pad + 1, ids)
        else:
            inputs["position_ids"] = np.random.default_rng(4).integers(0, SIZES["max_position_embeddings"], ids.shape)
        expected = oracle(case.architecture).forward(**inputs)
        start = {name: value[:, :5] for name, value in inputs.items()}
        rest = {name: value[:, 5:] for name, value in inputs.items()} | {"attention_mask": inputs["attention_mask"]}
        first = case.model.forward(**start, use_cache=True)
        assert list(first) == [*expected, "past_key_values"]
        assert all(type(part) is np.ndarray for pair in first["past_key_values"] for part in pair)
        second = case.model.forward(**rest, past_key_values=first["past_key_values"])
        assert list(second) == list(expected)
        # What a position that sees nothing gives depends on how many keys there are.
        sees = (np.cumsum(inputs["attention_mask"], 1) > 0)[..., None]
        joined = {name: np.concatenate([first[name], second[name]], 1) * sees for name in expected}
        worst = differences(joined, {name: value * sees for name, value in expected.items()})
        assert all(value <= self.tolerance for value in worst.values()), worst

    @pytest.mark.parametrize("case", CAUSAL, indirect=True)
    def test_a_decoder_attends_to_an_encoder(self, case: Case) -> None:
        """Cross-attention, with all layers and without, at once and in two pieces, the encoder's states given once."""
        model = build(
            case.backend, case.architecture, self.dtype, config_of(case.architecture, add_cross_attention=True)
        )
        for padding in PADDINGS:
            inputs = inputs_of(case.architecture, padding) | encoder_of(padding)
            expected = decoder_oracle(case.architecture).forward(**inputs, **_FLAGS)
            assert "cross_attentions" in expected
            worst = differences(model.forward(**inputs, **_FLAGS), expected)
            assert all(value <= self.tolerance for value in worst.values()), (padding, worst)
            plain = {name: value for name, value in expected.items() if name not in _LAYERS}
            worst = differences(model.forward(**inputs), plain)
            assert all(value <= self.tolerance for value in worst.values()), (padding, worst)
        pad = case.model.config.pad_token_id or 0
        ids = inputs_of(case.architecture, None)["input_ids"]
        ids, encoder = np.where(ids == pad, pad + 1, ids), encoder_of("left")
        expected = decoder_oracle(case.architecture).forward(input_ids=ids, **encoder)["logits"]
        first = model.forward(input_ids=ids[:, :5], **encoder, use_cache=True)
        assert {len(layer) for layer in first["past_key_values"]} == {4}
        mask = {"encoder_attention_mask": encoder["encoder_attention_mask"]}
        second = model.forward(input_ids=ids[:, 5:], **mask, past_key_values=first["past_key_values"])
        found = np.concatenate([first["logits"], second["logits"]], 1)
        assert np.abs(found - expected).max() <= self.tolerance

    def test_an_encoder_that_is_not_masked_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistake in the mask of cross-attention puts an output outside of the tolerance."""
        architecture = CAUSAL[0]
        inputs = inputs_of(architecture, None) | encoder_of("right")
        del inputs["attention_mask"]
        expected = decoder_oracle(architecture).forward(**inputs)
        nn = self._nn()
        for name, value in encoder_mask_dropped(nn).items():
            monkeypatch.setattr(nn, name, value)
        config = config_of(architecture, add_cross_attention=True, initializer_range=0.9)
        found = build(self._backend(), architecture, self.dtype, config).forward(**inputs)
        assert max(differences(found, expected).values()) > self.tolerance

    @pytest.mark.parametrize("case", CAUSAL, indirect=True)
    def test_a_decoder_gives_what_each_row_gives_alone(self, case: Case) -> None:
        """Rows of different lengths, which come again and leave on the way, to the last position.

        Skipped where the backend has no decoder.
        """
        try:
            decoder = case.backend.decoder(case.model.module)
        except ValueError as error:
            pytest.skip(str(error))
        config, generator = case.model.config, np.random.default_rng(5)
        first, last = config.first_position, config.max_sequence_length
        rows = [generator.integers(0, SIZES["vocab_size"], length) for length in (5, 2, 7, 1)]
        lengths = np.array([len(row) for row in rows])
        input_ids = np.zeros((len(rows), lengths.max()), np.int64)
        for padded, row in zip(input_ids, rows, strict=True):
            padded[-len(row) :] = row
        selected = {2: [2, 0, 0], 4: [1, 2], 10: [1]}
        found, cache = decoder.prefill(input_ids, lengths, False)
        for step in range(1, last):
            assert type(found) is np.ndarray
            for row, logits in zip(rows, found, strict=True):
                alone = {"input_ids": row[None], "position_ids": first + np.arange(len(row))[None]}
                expected = oracle(case.architecture).forward(**alone)["logits"][0, -1]
                assert np.abs(logits - expected).max() <= self.tolerance, (step, len(row))
            if max(map(len, rows)) == last:
                break
            if step in selected:
                rows, cache = [rows[i] for i in selected[step]], cache.select(selected[step])
            tokens = generator.integers(0, SIZES["vocab_size"], len(rows))
            rows = [np.append(row, token) for row, token in zip(rows, tokens, strict=True)]
            found = decoder.step(tokens, cache, False)
        assert step > 20 and len(rows) == 1
        likeliest, _ = decoder.prefill(input_ids, lengths, True)
        assert (likeliest == decoder.prefill(input_ids, lengths, False)[0].argmax(-1)).all()

    def test_tensors_come_back_bit_by_bit(self, case: Case) -> None:
        """By the schema's names, in its layout."""
        _assert_same_bits(case.model, values_of(case.architecture))

    def test_a_saved_model_loads(self, case: Case, tmp_path: Any) -> None:
        """What is saved is the hub's layout; it loads on this backend, bit by bit."""
        case.model.save(tmp_path / "saved")
        loaded = load(tmp_path / "saved", backend=case.backend, dtype=self.dtype)
        assert loaded.architecture == case.architecture and loaded.backend == case.backend.name
        _assert_same_bits(loaded, values_of(case.architecture))

    @pytest.mark.parametrize("model_type", sorted(MODELS))
    def test_gradients_are_the_oracles(self, model_type: str) -> None:
        """Each parameter's, in one random direction, against the difference quotient of the oracle's loss."""
        architecture = next(name for name in architectures(model_type) if head_of(name).labels)
        inputs = inputs_of(architecture, "right")
        found = self.gradients(build(self._backend(), architecture, self.dtype), inputs)
        if found is None:
            pytest.skip(f"{self._backend().name} computes no gradients")
        expected, mine = {}, {}
        generator = np.random.default_rng(3)
        for row in schema(architecture, config_of(architecture)):
            if row.tied_to is not None:
                continue
            direction = generator.normal(size=row.shape)
            direction /= np.linalg.norm(direction)
            expected[row.name] = _derivative(architecture, inputs, row.name, direction)
            # A pooler whose output nothing reads may have none.
            gradient = found.get(row.name, np.zeros(row.shape))
            mine[row.name] = float((gradient.astype(np.float64) * direction).sum())
        largest = max(np.abs(gradient).max() for gradient in found.values())
        worst = {name: abs(mine[name] - expected[name]) / largest for name in expected}
        assert all(value <= self.gradient_tolerance for value in worst.values()), worst

    @pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
    def test_a_mutant_is_found(self, mutate: Callable[[Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistake in `nn` puts an output outside of the tolerance: if it does not, the tests above show nothing."""
        architecture = BASES[0]
        inputs, expected = inputs_of(architecture, "right"), expected_of(architecture, "right")  # before the mutation
        nn = self._nn()
        for name, value in mutate(nn).items():
            monkeypatch.setattr(nn, name, value)
        # Another config than that of the right model, so that code compiled for that is not run.
        config = config_of(architecture, initializer_range=0.5 + MUTANTS.index(mutate))
        model = build(self._backend(), architecture, self.dtype, config)
        found = model.forward(**inputs, **_FLAGS)
        assert max(differences(found, expected).values()) > self.tolerance


_LAYERS = ("hidden_states", "attentions", "cross_attentions")


def _assert_same_bits(model: Model, expected: Mapping[str, np.ndarray]) -> None:
    found = dict(model.tensors())
    tied = {row.name for row in schema(model.architecture, model.config) if row.tied_to is not None}
    assert expected.keys() - tied <= found.keys() <= expected.keys()
    for name, value in found.items():
        same = value.dtype == expected[name].dtype and value.shape == expected[name].shape
        assert same and value.tobytes() == expected[name].tobytes(), name


def _derivative(architecture: str, inputs: Mapping[str, Any], name: str, direction: np.ndarray) -> float:
    """Of the oracle's loss by one parameter in a direction, from both sides."""
    step, losses = 1e-5, []
    parameter = dict(contract.parameters(oracle(architecture).module))[name]
    value = parameter.value
    try:
        for sign in (1, -1):
            parameter.value = value + sign * step * direction
            losses.append(float(oracle(architecture).forward(**inputs)["loss"]))
    finally:
        parameter.value = value
    return (losses[0] - losses[1]) / (2 * step)
