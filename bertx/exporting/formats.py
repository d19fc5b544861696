"""The formats that a model is exported to."""

from __future__ import annotations

import difflib
from typing import NamedTuple


class ExportFormat(NamedTuple):
    """A format of an artefact.

    Attributes:
        what: its files, for people.
        backend: the one that exports it.
        file: the name of the file or folder that is written.
        extra: of bertx, which installs what writes and runs it.
        libraries: what writes and runs it beside the backend's own, as pip calls them.
        runtime: what runs it, one of these or of the backend's.
        call: Python that runs it, for the README beside it; `tokens` are arrays by the names in `names`.
        texts_call: Python that runs it on texts, where it may have the tokenizer in it.
    """

    what: str
    backend: str
    file: str
    extra: str
    libraries: tuple[str, ...]
    runtime: str
    call: str
    texts_call: str = ""


EXPORT_FORMATS = {
    "onnx": ExportFormat(
        "ONNX, opset 18",
        "torch",
        "model.onnx",
        "onnx",
        ("onnxruntime", "onnx", "onnxscript"),
        "onnxruntime",
        """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
results = session.run(None, {name: tokens[name].astype("int64") for name in names})
outputs = dict(zip([output.name for output in session.get_outputs()], results))
""",
    ),
    "openvino": ExportFormat(
        "the IR of OpenVINO, with its weights in openvino_model.bin",
        "torch",
        "openvino_model.xml",
        "openvino",
        ("openvino",),
        "openvino",
        """\
import openvino

# In float32: by itself OpenVINO takes bfloat16 where a processor has that.
options = {"INFERENCE_PRECISION_HINT": "f32"}
model = openvino.Core().compile_model("openvino_model.xml", "CPU", options)
results = model({name: tokens[name].astype("int64") for name in names})
outputs = {output.any_name: results[output] for output in model.outputs}
""",
    ),
    "pt2": ExportFormat(
        "an ExportedProgram of torch.export",
        "torch",
        "model.pt2",
        "torch",
        (),
        "torch",
        """\
import torch

program = torch.export.load("model.pt2").module()
with torch.no_grad():
    outputs = program(**{name: torch.from_numpy(tokens[name]).long() for name in names})
""",
    ),
    "aot-inductor": ExportFormat(
        "a package of AOTInductor, machine code for processors like the one that wrote it",
        "torch",
        "model.pt2",
        "torch",
        (),
        "torch",
        """\
import torch
from torch._inductor import aoti_load_package

program = aoti_load_package("model.pt2")
with torch.no_grad():
    outputs = program(**{name: torch.from_numpy(tokens[name]).long() for name in names})
""",
    ),
    "stablehlo": ExportFormat(
        "StableHLO of jax.export, its batch and length symbolic",
        "jax",
        "model.stablehlo",
        "stablehlo",
        ("flatbuffers",),
        "jax",
        """\
from pathlib import Path

import jax.export

program = jax.export.deserialize(bytearray(Path("model.stablehlo").read_bytes()))
outputs = program.call(**{name: tokens[name].astype("int32") for name in names})
""",
    ),
    "saved-model": ExportFormat(
        "a SavedModel of TensorFlow",
        "tensorflow",
        "saved_model",
        "tensorflow",
        (),
        "tensorflow",
        """\
import tensorflow as tf

model = tf.saved_model.load("saved_model")
outputs = model.signatures["serving_default"](**{name: tf.constant(tokens[name], tf.int64) for name in names})
""",
        """\
import tensorflow as tf
import tensorflow_text  # its operators, without which the file does not load

model = tf.saved_model.load("saved_model")
outputs = model.signatures["texts"](text=tf.constant(["A text.", "Another."]))
pairs = model.signatures["pairs"](text=tf.constant(["A text."]), text_pair=tf.constant(["Its second part."]))
""",
    ),
    "tflite": ExportFormat(
        "LiteRT, builtin operators only",
        "tensorflow",
        "model.tflite",
        "tensorflow",
        (),
        "tensorflow",
        """\
import tensorflow as tf

run = tf.lite.Interpreter("model.tflite").get_signature_runner()
outputs = run(**{name: tokens[name].astype("int32") for name in names})
""",
    ),
}

# What other tools call a format.
_ALIASES = {"savedmodel": "saved-model", "saved_model": "saved-model", "litert": "tflite", "lite": "tflite"}
_ALIASES |= {"aoti": "aot-inductor", "aotinductor": "aot-inductor", "inductor": "aot-inductor"}
_ALIASES |= {"ov": "openvino", "openvino-ir": "openvino", "ir": "openvino"}
_ALIASES |= {"torch-export": "pt2", "torchscript": "pt2", "hlo": "stablehlo"}


def check_format(name: str) -> ExportFormat:
    """The format of that name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name in EXPORT_FORMATS:
        return EXPORT_FORMATS[name]
    lower = str(name).lower()
    close = [_ALIASES[lower]] if lower in _ALIASES else difflib.get_close_matches(lower, EXPORT_FORMATS, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"format is {name!r}, expected one of {', '.join(EXPORT_FORMATS)}{meant}")
