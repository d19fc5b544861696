"""The OpenVINO backend: openvino_model.xml of `bertx.export`, of Optimum and of sentence-transformers."""

from __future__ import annotations

from bertx.exporting.openvino_library import compiled_model, openvino
from bertx.exporting.runtime import Runtime

# The kinds of devices that take batches of any length.
_KINDS = ("CPU", "GPU")


class OpenVinoBackend(Runtime):
    """See `bertx.exporting.runtime.Runtime`."""

    name = "openvino"
    files = ("openvino_model.xml", "openvino/openvino_model.xml")

    def open(self, path, device):
        """A CompiledModel, which computes in float32."""
        return compiled_model(path, (device or "cpu").upper())

    def parts(self, path):
        """The graph, and its weights beside it."""
        return [path, path.with_suffix(".bin")]

    def inputs(self, module):
        """Those of the graph."""
        return [one.any_name for one in module.inputs]

    def results(self, module):
        """Those of the graph."""
        return [one.any_name for one in module.outputs]

    def run(self, module, inputs):
        """Runs the graph; a request of its own, since the model's is one for all threads."""
        found = module.create_infer_request().infer(inputs)
        return [found[one] for one in module.outputs]

    def devices(self):
        """cpu, and gpu or gpu.0, gpu.1, … where OpenVINO sees those of Intel."""
        return [name.lower() for name in openvino.Core().available_devices if name.split(".")[0] in _KINDS]

    def device(self, module):
        """The one that runs it."""
        return module.get_property("EXECUTION_DEVICES")[0].lower()
