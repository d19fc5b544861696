"""What Keras expects of a model beyond its `call` and its training: dicts and lists as inputs, its config, export."""

from __future__ import annotations

import os
from collections.abc import Mapping

import keras
import tensorflow as tf

from bertx.compat.transformers4 import TENSORFLOW
from bertx.registry import config_from

from .training import Training, counting_ignored_labels

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_ORDER = (*_INPUTS, "position_ids")
_LISTS = (*_ORDER, "labels", "next_sentence_label", "start_positions", "end_positions", "mask_positions")


class KerasModel(Training):
    """What every model class of TensorFlow does in its own way, of what a keras.Model does."""

    conventions = TENSORFLOW

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("bertx")(cls)
        if getattr(cls, "task", None) in cls.conventions.counts_ignored_labels:
            cls.loss_function = counting_ignored_labels(cls.loss_function)

    def __call__(self, *args, **kwargs):
        """Inputs one by one, or first a dict of them, as `fit` and tf.data give them, or a list.

        In a list inputs are in the order of `call`; a keras.Input that has the name of one is that, as in TFBert.
        """
        if args and isinstance(args[0], Mapping):
            return super().__call__(*args[1:], **_lists_as_tensors(args[0]), **_lists_as_tensors(kwargs))
        kwargs = _lists_as_tensors(kwargs)
        if args and isinstance(args[0], list) and all(isinstance(x, (list, int)) for x in args[0]):
            args = (tf.convert_to_tensor(args[0]), *args[1:])
        if args and isinstance(args[0], (list, tuple)) and all(x is None or hasattr(x, "shape") for x in args[0]):
            args = (*args[0], *args[1:])
            names = [x.name if isinstance(x, keras.KerasTensor) and x.name in _ORDER else None for x in args]
            if any(names):
                given = {name or _ORDER[i]: x for i, (x, name) in enumerate(zip(args, names, strict=True))}
                if len(given) < len(args):
                    raise ValueError(
                        f"the inputs of the list are named {', '.join(x.name for x in args)}, which is the same input "
                        "twice where those without a name of call() go by their order: name all or none"
                    )
                return super().__call__(**given, **kwargs)
        return super().__call__(*args, **kwargs)

    def returned(self, output, return_dict):
        """As other backends; the loss [1] where the conventions say a mean."""
        if self.task in self.conventions.mean_losses and output.get("loss") is not None:
            output["loss"] = tf.reshape(tf.reduce_mean(output["loss"]), (1,))
        return super().returned(output, return_dict)

    def get_config(self):
        """The keys of config.json, and whether a BertModel has a pooler."""
        options = {"add_pooling_layer": vars(self)["pooler"] is not None} if hasattr(self, "pooler") else {}
        return {"config": self.config.to_dict(), **options}

    @classmethod
    def from_config(cls, config):
        """A model with initial values from a BertConfig, the keys of a config.json, or what `get_config` gave."""
        if isinstance(config, Mapping) and isinstance(config.get("config"), Mapping):
            config, options = config["config"], {key: config[key] for key in config if key != "config"}
            return cls(config_from(config), **options)
        return super().from_config(config)

    def build_from_config(self, config):
        """Nothing: the variables are there from the beginning."""

    def export(self, filepath, format="tf_saved_model", input_signature=None, verbose=None, **options):  # noqa: A002
        """Writes a SavedModel with input_ids, attention_mask and token_type_ids, of any batch and length.

        Its signatures are `serving_default`, which takes int32, and `int64_serving`, as TFBert's; `serve` takes both.
        As there, a tuple of tensors is one tensor, stacked: hidden_states [1 + layers, B, T, H], past_key_values
        [layers, 2, B, N, T, D].
        """
        if input_signature is None:
            input_signature = [self._signature(tf.int32)]
            if format == "tf_saved_model" and not options:
                return self._export_saved_model(filepath)
        return super().export(filepath, format=format, verbose=verbose, input_signature=input_signature, **options)

    def _signature(self, dtype):
        axes = 3 if self.scores == "choices" else 2
        return {name: tf.TensorSpec([None] * axes, dtype, name) for name in _INPUTS}

    def _export_saved_model(self, filepath):
        @tf.function
        def serve(inputs):
            return {name: _stacked(value) for name, value in self(inputs, training=False, return_dict=True).items()}

        int32, int64 = (serve.get_concrete_function(self._signature(dtype)) for dtype in (tf.int32, tf.int64))
        holder = tf.Module()
        holder.weights = [variable.value for variable in self.variables]  # pyright: ignore[reportAttributeAccessIssue]
        holder.serve = serve  # pyright: ignore[reportAttributeAccessIssue]
        signatures = {"serving_default": int32, "serve": int32, "int64_serving": int64}
        tf.saved_model.save(holder, os.fspath(filepath), signatures)


def _lists_as_tensors(inputs):
    """Lists of numbers, which Keras takes apart, as tensors."""
    return {
        name: tf.convert_to_tensor(value) if isinstance(value, list) and name in _LISTS else value
        for name, value in inputs.items()
    }


def _stacked(value):
    return tf.stack([_stacked(part) for part in value]) if isinstance(value, (list, tuple)) else value
