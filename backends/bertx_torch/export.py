"""Export of PyTorch models: ONNX, and torch.export's own programs."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from bertx.backend import Exporter, MissingExtraError

from .tensors import to_numpy

# Sizes of the example that is traced: all different, and none 1, which torch.export would take for a constant.
_EXAMPLE = {"batch": 2, "choices": 3, "sequence": 8}


class _Named(torch.nn.Module):
    """A model of whose outputs a few are given, in a dict."""

    def __init__(self, module, outputs):
        super().__init__()
        self.module, self.outputs = module, outputs

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        """Ids and masks → the outputs."""
        found = self.module(input_ids, attention_mask, token_type_ids, return_dict=True)
        return {name: found[name] for name in self.outputs}


@contextlib.contextmanager
def _quiet():
    """Without PyTorch's warnings: of its own deprecations, and of libraries that no BERT needs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _program(module, inputs, outputs):
    """The ExportedProgram of a model."""
    dims = {name: torch.export.Dim(name) for name in _EXAMPLE}
    dims["sequence"] = torch.export.Dim("sequence", max=module.config.max_sequence_length)
    example = {name: torch.ones([_EXAMPLE[axis] for axis in axes], dtype=torch.int64) for name, axes in inputs.items()}
    shapes = {name: {i: dims[axis] for i, axis in enumerate(axes)} for name, axes in inputs.items()}
    named = _Named(module, outputs).eval()
    with torch.no_grad(), _quiet():
        return torch.export.export(named, (), example, dynamic_shapes=shapes, strict=False)


class OnnxExporter(Exporter):
    """ONNX by `torch.onnx`, run by ONNX Runtime."""

    dtypes = {"float32": "float32", "float16": "float16", "int8": "float32"}
    opset = 18

    def export(self, module, path, inputs, outputs, dtype):
        """Weights lie in the file; those of 2 GB and more, which a protobuf cannot hold, beside it.

        "int8": those of Linear layers, by ONNX Runtime's dynamic quantization, of 7 bits: sums of more would not fit on
        processors without VNNI.
        """
        kind = module.config.position_embedding_type
        if kind != "absolute":
            raise ValueError(
                f"position_embedding_type is {kind!r}, which PyTorch's ONNX exporter does not take: "
                "export to another format"
            )
        if dtype == "int8":
            self._export_int8(module, path, inputs, outputs)
        else:
            self._export(module, path, inputs, outputs)

    def _export_int8(self, module, path, inputs, outputs):
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory(dir=path.parent) as folder, _quiet():
            exact = Path(folder) / "exact.onnx"
            self._export(module, exact, inputs, outputs)
            model = onnx.load(exact)
            del model.graph.value_info[:]  # the quantizer transposes weights, and infers shapes anew
            options = {"op_types_to_quantize": ["MatMul", "Gemm"], "per_channel": True, "reduce_range": True}
            quantize_dynamic(model, path, weight_type=QuantType.QInt8, **options)

    def _export(self, module, path, inputs, outputs):
        program = _program(module, inputs, outputs)
        size = sum(parameter.nbytes for parameter in module.parameters())
        with _quiet():
            torch.onnx.export(
                program,
                f=path,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=self.opset,
                external_data=size >= 2**31 - 2**20,
                dynamo=True,
                verbose=False,
            )

    def open(self, path):
        """On the processor."""
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]

        def run(batch):
            given = {name: np.asarray(value, np.int64) for name, value in batch.items()}
            return dict(zip(names, session.run(names, given), strict=True))

        return run


class OpenVinoExporter(Exporter):
    """The IR of OpenVINO, made of an ExportedProgram."""

    dtypes = dict.fromkeys(("float32", "float16", "int8"), "float32")

    def export(self, module, path, inputs, outputs, dtype):
        """NNCF's "int8" is that of Linear layers and embeddings; "float16" is how all weights are stored."""
        from bertx.exporting.openvino_library import openvino

        program = _program(module, inputs, outputs)
        with _quiet():
            model = openvino.convert_model(program)
            for output, name in zip(model.outputs, outputs, strict=True):
                output.get_tensor().set_names({name})
            if dtype == "int8":
                model = _compressed(model)
            openvino.save_model(model, path, compress_to_fp16=dtype == "float16")

    def open(self, path):
        """On the processor, in float32."""
        from bertx.exporting.openvino_library import compiled_model

        model = compiled_model(path)
        names = [output.any_name for output in model.outputs]

        def run(batch):
            found = model({name: np.asarray(value, np.int64) for name, value in batch.items()})
            return {name: found[name] for name in names}

        return run


def _compressed(model):
    """An OpenVINO model with int8 weights."""
    try:
        import nncf
    except ImportError as error:
        raise MissingExtraError("int8 of the format openvino needs nncf: pip install 'bertx[nncf]'") from error
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars
        return nncf.compress_weights(model)


class ProgramExporter(Exporter):
    """An ExportedProgram, as `torch.export.save` writes it."""

    dtypes = {name: name for name in ("float32", "bfloat16", "float16")}

    def export(self, module, path, inputs, outputs, dtype):
        """It takes its inputs by name, and gives a dict."""
        torch.export.save(_program(module, inputs, outputs), path)

    def open(self, path):
        """By torch.export.load."""
        return _of_arrays(torch.export.load(path).module())


class PackageExporter(Exporter):
    """The ExportedProgram compiled by AOTInductor, for processors like the one here."""

    dtypes = ProgramExporter.dtypes

    def export(self, module, path, inputs, outputs, dtype):
        """A minute's work of the C++ compiler."""
        from torch._inductor import aoti_compile_and_package
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler as error:
            raise MissingExtraError(
                "AOTInductor compiles C++, and finds no compiler here: install g++ or clang, or name one in the "
                "environment variable CXX"
            ) from error
        program = _program(module, inputs, outputs)
        with _quiet():
            aoti_compile_and_package(program, package_path=str(path))

    def open(self, path):
        """By torch._inductor.aoti_load_package."""
        from torch._inductor import aoti_load_package

        return _of_arrays(aoti_load_package(str(path)))


def _of_arrays(program):
    """A function of arrays of a program of tensors."""

    def run(batch):
        with torch.no_grad():
            found = program(**{name: torch.from_numpy(np.asarray(batch[name], np.int64)) for name in batch})
        return {name: to_numpy(value) for name, value in found.items()}

    return run


EXPORTERS = {
    "onnx": OnnxExporter,
    "openvino": OpenVinoExporter,
    "pt2": ProgramExporter,
    "aot-inductor": PackageExporter,
}
