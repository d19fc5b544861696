"""bertx.export: a checkpoint becomes a file that runs without bertx, and is compared with the oracle in its runtime."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import CheckpointError, MissingExtraError, write_atomically

from ..backend import backend_versions, get_backend, meant_dtype
from ..checkpoints.load import load
from ..checkpoints.replacing import new_folder
from ..model import Model
from ..parity_report import (
    TEXTS,
    ParityReport,
    ParityRow,
    batches_of,
    embedding_settings,
    judged_by,
)
from ..registry import head_of, is_base, model_of
from ..tasks.files import copy_task_files
from ..tasks.options import max_tokens, positions
from ..tasks.sentence_transformers import lowercased
from ..tokenizers.bert import BertTokenizer
from ..tokenizers.files import copy_tokenizer
from .formats import EXPORT_FORMATS, ExportFormat, check_format
from .readme import readme
from .runtime import EMBEDDING

REPORT = "parity.json"


def export(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    format: str = "onnx",  # noqa: A002
    *,
    task: str | None = None,
    dtype: str = "float32",
    texts: Sequence[str] | None = None,
    tokenizer_in_graph: bool = False,
    revision: str | None = None,
) -> ParityReport:
    """Writes a checkpoint as an artefact that runs without bertx, and compares that with the float64 oracle.

    The artefact takes `input_ids`, `attention_mask` and, where the model has several token types, `token_type_ids`,
    [B, T] of any batch and length ([B, C, T] for multiple choice), and gives the outputs of the head by the hub's
    names; that of a sentence-transformers folder gives `sentence_embedding` [B, D], pooled and normalised. Beside it
    are config.json, the tokenizer's files, a README.md with a call, and the report as parity.json.

    Args:
        source: as in `bertx.load`.
        target: a folder that is not there yet; it appears when it is whole.
        format: "onnx", "openvino", "pt2" (torch.export), "aot-inductor" (the same, compiled), "stablehlo" (jax.export),
            "saved-model" or "tflite". Each is exported from the framework that it is nearest to.
        task: as in `bertx.load`.
        dtype: "float32"; "float16" of all formats; "bfloat16" of pt2, aot-inductor, stablehlo and saved-model;
            "int8" of onnx, openvino and tflite, which keeps the weights of Linear layers as whole numbers. Of others
            than float32 the report says what they cost, as `bertx.parity` does.
        texts: what the comparison runs; None takes a few of bertx's own.
        tokenizer_in_graph: whether a saved-model also takes texts, by `bertx_tensorflow.TFBertTokenizer`: it has the
            signatures "texts" and "pairs", whose outputs are compared too.
        revision: the branch, tag or commit on the hub.

    Returns:
        Each output of the artefact, run by the format's own runtime, beside the oracle's. The folder is written
        whether it passed or not.

    Raises:
        CheckpointError: the source does not load, or has not all tensors of the head.
        FileExistsError: the target is there.
        MissingExtraError: what writes or runs the format is not installed.
        ValueError: an unknown format or task, a dtype that the format has not, a model that no artefact holds, or a
            tokenizer that no graph holds.

    Example:
        >>> bertx.export("all-MiniLM-L6-v2", "minilm-onnx").passed
        True
    """
    form, target = check_format(format), Path(target)
    exporter = get_backend(form.backend).exporter(format)
    if dtype not in exporter.dtypes:
        raise ValueError(
            f"the format {format} has {', '.join(exporter.dtypes)}; asked for dtype {dtype!r}"
            f"{meant_dtype(dtype, exporter.dtypes)}"
        )
    if tokenizer_in_graph and not form.texts_call:
        known = ", ".join(name for name, one in EXPORT_FORMATS.items() if one.texts_call)
        raise ValueError(
            f"the format {format} has no tokenizer in its file: leave tokenizer_in_graph out, or take {known}"
        )
    _check_installed(format, form)
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{target} is there already, and is not overwritten: remove it, or give another target")
    with new_folder(target, overwrite=False) as folder:
        model = load(source, task, form.backend, dtype=exporter.dtypes[dtype], device="cpu", revision=revision)
        _check_exportable(model)
        settings = embedding_settings(model)
        module = model.embedding_head(settings.modules, settings.truncate_dim) if settings.modules else model.module
        inputs, outputs = inputs_of(model), outputs_of(model)
        path, reader = folder / form.file, _graph_tokenizer(model) if tokenizer_in_graph else None
        if reader is None:
            exporter.export(module, path, inputs, outputs, dtype)
        else:
            exporter.export_on_texts(module, path, inputs, outputs, dtype, *reader)
        oracle = load(source, task, "numpy", dtype="float64", revision=revision)
        batches = _batches(oracle, inputs, texts)
        run = exporter.open(path)
        rows = _compared(oracle, format, outputs, dtype, batches, [run(batch) for batch in batches])
        if reader is not None:
            columns, batches = _batches_of_texts(*reader, inputs, texts)
            run = exporter.open_on_texts(path)
            of_texts = _compared(oracle, format, outputs, dtype, batches, [run(*column) for column in columns])
            rows += tuple(replace(row, output=f"from texts: {row.output}") for row in of_texts)
        report = ParityReport(os.fspath(source), oracle.architecture, rows, {format: _versions(form)}, dtype)
        config = model.config.replace(architectures=(model.architecture,), dtype=exporter.dtypes[dtype])
        write_atomically(folder / "config.json", config.to_json_string().encode())
        if model.folder is not None:
            copy_tokenizer(model.folder, folder, keras=False)
            copy_task_files(model.folder, folder)
        report.to_json(folder / REPORT)
        text = readme(model, form, format, inputs, outputs, report, tokenizer_in_graph)
        write_atomically(folder / "README.md", text.encode())
    return report


def inputs_of(model: Model) -> dict[str, tuple[str, ...]]:
    """The inputs of an artefact of a model, and the names of their axes."""
    axes = (
        ("batch", "choices", "sequence") if head_of(model.architecture).scores == "choices" else ("batch", "sequence")
    )
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if model.config.type_vocab_size > 1 else [])]
    return dict.fromkeys(names, axes)


def outputs_of(model: Model) -> tuple[str, ...]:
    """The outputs of an artefact of a model."""
    if embedding_settings(model).modules:
        return (EMBEDDING,)
    if is_base(model.architecture):
        return ("last_hidden_state", *(["pooler_output"] if model.module.pooler is not None else []))
    return tuple(head_of(model.architecture).logit_names)


def _graph_tokenizer(model: Model) -> tuple[BertTokenizer, int]:
    """What an artefact of a model reads texts with: the tokenizer, and its longest row.

    Raises:
        ValueError: no graph does what the task does with a text.
    """
    head, settings = head_of(model.architecture), embedding_settings(model)
    if head.scores == "choices":
        problem = f"a {model.architecture} reads a question and several choices"
    elif settings.default_prompt:
        problem = f"the checkpoint puts {settings.default_prompt!r:.60} before each text"
    elif not isinstance(model.tokenizer, BertTokenizer):
        problem = f"its tokenizer is a {type(model.tokenizer).__name__}, no BertTokenizer"
    else:
        tokenizer = lowercased(model.tokenizer, model.folder) if settings.lower_case else model.tokenizer
        longest = min(settings.max_length or max_tokens(model), positions(model))
        return tokenizer, longest
    raise ValueError(f"{problem}, which the tokenizer in the graph does not do: leave tokenizer_in_graph out")


def _check_installed(name: str, form: ExportFormat) -> None:
    missing = [library for library in form.libraries if importlib.util.find_spec(library) is None]
    if missing:
        raise MissingExtraError(
            f"the format {name} needs {' and '.join(missing)}, not installed here: pip install 'bertx[{form.extra}]'"
        )


def _versions(form: ExportFormat) -> dict[str, str]:
    return backend_versions(form.backend) | {library: version(library) for library in form.libraries}


def _check_exportable(model: Model) -> None:
    """Raises ValueError for a model that no artefact holds, CheckpointError for one that is not trained."""
    if model_of(model.architecture).parts:
        raise ValueError(
            f"{model.architecture} writes token after token, of what it has written: an artefact is one pass; run it "
            "with bertx, or export its encoder from a folder of its own"
        )
    if model.config.add_cross_attention:
        raise ValueError(
            f"{model.architecture} attends to the states of an encoder (add_cross_attention in config.json), which no "
            "artefact takes: run it with bertx"
        )
    if model.load_report is not None and model.load_report.initialised:
        raise CheckpointError(
            f"{model.load_report.source} has no {', '.join(model.load_report.initialised)}, and the artefact would "
            f"have random ones: train a {model.architecture} first, or leave task= out"
        )


def _compared(
    oracle: Model,
    name: str,
    outputs: Sequence[str],
    dtype: str,
    batches: list[dict],
    given: Sequence[Mapping[str, np.ndarray]],
) -> tuple[ParityRow, ...]:
    """What an artefact gave of batches, beside what the oracle gives."""
    expected = _outputs(oracle, batches, outputs)
    made = {output: [np.asarray(of[output]).astype(np.float64) for of in given] for output in outputs}
    measure, tolerances = judged_by(
        dtype, batches, expected, lambda: _outputs(oracle.to("numpy", dtype="float32"), batches, outputs)
    )
    return tuple(
        ParityRow(name, output, value, tolerances[output]) for output, value in measure(made, expected).items()
    )


def _batches(oracle: Model, inputs: Mapping[str, Sequence[str]], texts: Sequence[str] | None) -> list[dict]:
    """Those of `bertx.parity`; of the last, which has no padding, also three times the rows, and half the length."""
    batches = [
        {name: batch[name] for name in inputs} for batch in batches_of(oracle, list(TEXTS if texts is None else texts))
    ]
    last = batches[-1]
    batches.append({name: np.concatenate([value] * 3) for name, value in last.items()})
    batches.append({name: value[..., : max(1, value.shape[-1] // 2)] for name, value in last.items()})
    return batches


def _batches_of_texts(
    tokenizer: BertTokenizer, max_length: int, inputs: Mapping[str, Sequence[str]], texts: Sequence[str] | None
) -> tuple[list[tuple[list[str], ...]], list[dict]]:
    """Texts and pairs of them, as an artefact takes them, and as the oracle does."""
    first = list(TEXTS if texts is None else texts)
    columns = [(first,), (first, [*first[1:], first[0]])]
    options: Any = {"padding": True, "truncation": True, "max_length": max_length, "return_tensors": "np"}
    options |= {"return_token_type_ids": True, "return_attention_mask": True}
    tokens = [tokenizer(*column, **options) for column in columns]
    return columns, [{name: batch[name] for name in inputs} for batch in tokens]


def _outputs(model: Model, batches: list[dict], names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    settings = embedding_settings(model)
    if settings.modules:
        embed = model.embedder(settings.modules, settings.truncate_dim)
        return {EMBEDDING: [embed(**batch) for batch in batches]}
    found = [model.forward(**batch) for batch in batches]
    return {name: [of[name] for of in found] for name in names}
