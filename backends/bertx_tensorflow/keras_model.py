"""What Keras expects of a model beyond its `call`: dicts as inputs, losses, its config, export."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from bertx.config import BertConfig
from bertx.places import TF_BERT

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class KerasModel:
    """What every model class of TensorFlow does in its own way, of what a keras.Model does."""

    customs = TF_BERT

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("bertx")(cls)

    def __call__(self, *args, **kwargs):
        """Inputs one by one, or first a dict of them, as `fit` and tf.data give them, or a list."""
        if args and isinstance(args[0], Mapping):
            return super().__call__(*args[1:], **args[0], **kwargs)
        if args and isinstance(args[0], (list, tuple)) and all(map(tf.is_tensor, args[0])):
            return super().__call__(*args[0], *args[1:], **kwargs)
        return super().__call__(*args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss given to `compile`, on the logits; without one the model's own, of `y` or of labels in `x`."""
        if y is None and isinstance(y_pred, Mapping) and "loss" in y_pred:
            return tf.reduce_mean(y_pred["loss"])
        own = self._compile_loss is None and sample_weight is None and hasattr(self, "loss_function")
        if y is not None and own:
            return tf.reduce_mean(self.loss_function(_scored(y, y_pred), y))
        return super().compute_loss(x, y, _scored(y, y_pred), sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics given to `compile`, on the logits, of `y` or labels among the inputs."""
        y = x.get("labels") if y is None and isinstance(x, Mapping) else y
        return super().compute_metrics(x, y, _scored(y, y_pred), sample_weight)

    def get_config(self):
        """The keys of config.json, and whether a BertModel has a pooler."""
        options = {"add_pooling_layer": self.pooler is not None} if hasattr(self, "pooler") else {}
        return {"config": self.config.to_dict(), **options}

    @classmethod
    def from_config(cls, config):
        """A model with initial values from a BertConfig, the keys of a config.json, or what `get_config` gave."""
        if isinstance(config, Mapping) and isinstance(config.get("config"), Mapping):
            config, options = config["config"], {key: config[key] for key in config if key != "config"}
            return cls(BertConfig.from_dict(config), **options)
        return super().from_config(config)

    def build_from_config(self, config):
        """Nothing: the variables are there from the beginning."""

    def export(self, filepath, format="tf_saved_model", input_signature=None, **options):  # noqa: A002
        """Writes a SavedModel with input_ids, attention_mask and token_type_ids, of any batch and length."""
        if input_signature is None:
            axes = 3 if self.architecture() == "BertForMultipleChoice" else 2
            input_signature = [{name: tf.TensorSpec([None] * axes, tf.int32, name) for name in _INPUTS}]
        return super().export(filepath, format=format, input_signature=input_signature, **options)


def _scored(y, y_pred):
    """The outputs that labels are for: those of the same names, or the logits."""
    if not isinstance(y_pred, Mapping):
        return y_pred
    if isinstance(y, Mapping):
        return {name: y_pred[name] for name in y}
    return next(value for name, value in y_pred.items() if name != "loss")
