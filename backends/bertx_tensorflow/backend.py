"""The TensorFlow backend: Keras 3 on TensorFlow."""

from __future__ import annotations

import keras
import tensorflow as tf

from bertx.backend import named_parameters, without_parameters
from bertx_weights import BFLOAT16

from . import heads
from .losses import IGNORE_INDEX


class TensorFlowBackend:
    """See `bertx.backend.Backend`."""

    name = "tensorflow"
    dtypes = ("float32", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")
    compiles_each_shape = False

    def model_class(self, architecture):
        """The keras.Model."""
        return getattr(heads, architecture)

    def build(self, model_class, config, value_of, dtype, device, options):
        """One copy of the weights, in TensorFlow's variables."""
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)
        try:
            with without_parameters(), tf.device(device):
                module = model_class(config, **options)
                module.fill_parameters(lambda name, shape: _from_numpy(value_of(name, shape)))
        finally:
            keras.config.set_dtype_policy(policy)
        return module

    def forward(self, module, inputs, output_hidden_states, output_attentions):
        """Runs as a graph, traced once for the inputs that are given, whatever their shapes."""
        tensors = {
            name: tf.convert_to_tensor(value, module.compute_dtype if value.dtype.kind == "f" else "int32")
            for name, value in inputs.items()
        }
        outputs = _graph(module, tensors, output_hidden_states, output_attentions)(tensors)
        return tf.nest.map_structure(_to_numpy, outputs)

    def tensors(self, module):
        """The variables' values, kernels transposed."""
        for name, block, attribute, kind in named_parameters(module, keras.layers.Layer, ()):
            array = getattr(block, attribute).value.numpy()
            array = array.view(BFLOAT16) if array.dtype == tf.bfloat16.as_numpy_dtype else array
            yield name, array.T if kind == "kernel" else array

    def tensor(self, array):
        """The array in the framework."""
        return tf.convert_to_tensor(array)

    def devices(self):
        """cpu, and the accelerators that TensorFlow sees: gpu, gpu:0, …"""
        gpus = tf.config.list_logical_devices("GPU")
        return ["cpu", *(["gpu"] if gpus else []), *(f"gpu:{i}" for i in range(len(gpus)))]

    def device(self, module):
        """That of the first variable."""
        found = tf.DeviceSpec.from_string(module.variables[0].value.device)
        return f"gpu:{found.device_index}" if found.device_type == "GPU" else "cpu"


def _graph(module, tensors, output_hidden_states, output_attentions):
    graphs = module.__dict__.setdefault("_bertx_graphs", {})
    kinds = [(name, len(tensor.shape), tensor.dtype) for name, tensor in sorted(tensors.items())]
    key = (output_hidden_states, output_attentions, *kinds)
    if key not in graphs:
        signature = {name: tf.TensorSpec([None] * len(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
        if "inputs_embeds" in signature:
            *others, size = (embeds := tensors["inputs_embeds"]).shape
            signature["inputs_embeds"] = tf.TensorSpec([None] * len(others) + [size], embeds.dtype)
        asked = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}

        @tf.function(input_signature=[signature])
        def run(inputs):
            outputs = dict(module(**inputs, **asked, use_cache=False, return_dict=True))
            if "loss" in outputs and isinstance(module, heads.BertForNextSentencePrediction):  # counts what is ignored
                outputs["loss"] = tf.boolean_mask(outputs["loss"], inputs["labels"] != IGNORE_INDEX)
            return {name: tf.reduce_mean(value) if name == "loss" else value for name, value in outputs.items()}

        graphs[key] = run
    return graphs[key]


def _from_numpy(array):
    return array.view(tf.bfloat16.as_numpy_dtype) if array.dtype == BFLOAT16 else array


def _to_numpy(tensor):
    return tf.cast(tensor, tf.float32).numpy() if tensor.dtype == tf.bfloat16 else tensor.numpy()
