"""The TensorFlow backend: Keras 3 on TensorFlow."""

from __future__ import annotations

import threading
import weakref

import keras
import tensorflow as tf
from tensorflow.python.eager import context

from bertx.backend import Backend
from bertx.parameters import named_parameters, skip_init
from bertx_weights import BFLOAT16

from .decode import TensorFlowDecoder
from .training import mean_of
from .variables import value_of

_gone = threading.Event()  # a model of this backend was collected


class TensorFlowBackend(Backend):
    """See `bertx.backend.Backend`."""

    name = "tensorflow"
    package = __package__
    dtypes = ("float32", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")

    def build(self, model_class, config, value_of, dtype, device, options):
        """One copy of the weights, in TensorFlow's variables."""
        if _gone.is_set():
            _gone.clear()
            # TensorFlow keeps what it compiled for functions that are gone; as keras.backend.clear_session() does.
            context.context().clear_kernel_cache()  # pyright: ignore[reportOptionalMemberAccess]
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)
        try:
            with skip_init(), tf.device(device):
                module = model_class(config, **options)
                module.fill_parameters(lambda name, shape: _from_numpy(value_of(name, shape)))
        finally:
            keras.config.set_dtype_policy(policy)
        weakref.finalize(module, _gone.set).atexit = False
        return module

    def forward(self, module, inputs, flags):
        """Runs as a graph, traced once for the inputs that are given, whatever their shapes."""

        def tensor_of(value):
            return tf.convert_to_tensor(value, module.compute_dtype if value.dtype.kind == "f" else "int32")

        tensors = tf.nest.map_structure(tensor_of, inputs)
        return tf.nest.map_structure(_to_numpy, _graph(module, tensors, flags)(tensors))

    def decoder(self, module):
        """Keys and values in buffers."""
        return TensorFlowDecoder(module)

    def tensors(self, module):
        """The variables' values, kernels transposed; see `value_of` for LoRA and quantized layers."""
        for name, block, attribute, kind in named_parameters(module, keras.layers.Layer, ()):
            array = value_of(block, attribute).numpy()
            array = array.view(BFLOAT16) if array.dtype == tf.bfloat16.as_numpy_dtype else array
            yield name, array.T if kind == "kernel" else array

    def tensor(self, array):
        """The array in the framework."""
        return tf.convert_to_tensor(array)

    def devices(self):
        """cpu, and the accelerators that TensorFlow sees: gpu, gpu:0, …"""
        gpus = tf.config.list_logical_devices("GPU")
        return ["cpu", *(["gpu"] if gpus else []), *(f"gpu:{i}" for i in range(len(gpus)))]

    def exporter(self, form):
        """See `export`."""
        from .export import EXPORTERS

        return EXPORTERS[form]() if form in EXPORTERS else super().exporter(form)

    def trainer(self):
        """See `train`."""
        from .train import TensorFlowTrainer

        return TensorFlowTrainer

    def device(self, module):
        """That of the first block with variables: to list those of all blocks takes longer."""
        block = next(named_parameters(module, keras.layers.Layer, ()))[1]
        found = tf.DeviceSpec.from_string(block.variables[0].value.device)
        return f"gpu:{found.device_index}" if found.device_type == "GPU" else "cpu"


def _graph(module, tensors, flags):
    graphs = module.__dict__.setdefault("_bertx_graphs", {})
    signature = tf.nest.map_structure(_of_any_length, tensors)
    key = str((flags, signature, getattr(module, "label_smoothing", 0.0)))
    if key not in graphs:

        @tf.function(input_signature=[signature])
        def run(inputs):
            outputs = dict(module(**inputs, **flags, return_dict=True))
            if "loss" in outputs:
                outputs["loss"] = mean_of(module, outputs["loss"], inputs)
            return outputs

        graphs[key] = run
    return graphs[key]


def _of_any_length(tensor):
    known = tensor.dtype.is_floating and tensor.shape.rank > 2  # the last size of states, and of keys and values
    return tf.TensorSpec([None] * (tensor.shape.rank - 1) + [tensor.shape[-1] if known else None], tensor.dtype)


def _from_numpy(array):
    return array.view(tf.bfloat16.as_numpy_dtype) if array.dtype == BFLOAT16 else array


def _to_numpy(tensor):
    return tf.cast(tensor, tf.float32).numpy() if tensor.dtype == tf.bfloat16 else tensor.numpy()
