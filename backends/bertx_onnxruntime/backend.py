"""The ONNX Runtime backend: model.onnx of `bertx.export`, of Optimum and of sentence-transformers."""

from __future__ import annotations

import onnxruntime

from bertx.exporting.runtime import Runtime

# The devices by bertx's names → what runs there.
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeBackend(Runtime):
    """See `bertx.exporting.runtime.Runtime`."""

    name = "onnxruntime"
    files = ("model.onnx", "onnx/model.onnx")

    def open(self, path, device):
        """An InferenceSession, which runs on the processor what the device cannot."""
        names = [_PROVIDERS[device or "cpu"], _PROVIDERS["cpu"]]
        return onnxruntime.InferenceSession(path, providers=list(dict.fromkeys(names)))

    def inputs(self, module):
        """Those of the graph."""
        return [one.name for one in module.get_inputs()]

    def results(self, module):
        """Those of the graph."""
        return [one.name for one in module.get_outputs()]

    def run(self, module, inputs):
        """Runs the graph."""
        return module.run(None, inputs)

    def devices(self):
        """cpu, and cuda where this build of ONNX Runtime has it."""
        has = onnxruntime.get_available_providers()
        return [name for name, provider in _PROVIDERS.items() if provider in has]

    def device(self, module):
        """That of the first provider."""
        first = module.get_providers()[0]
        return next((name for name, provider in _PROVIDERS.items() if provider == first), "cpu")
