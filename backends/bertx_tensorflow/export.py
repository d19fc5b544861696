"""Export of TensorFlow models: SavedModel and LiteRT."""

from __future__ import annotations

import tempfile
import warnings

import numpy as np
import tensorflow as tf

from bertx.backend import Exporter

from .tokenizer import TFBertTokenizer


def _save(module, path, inputs, outputs, dtype, tokenizer=None):
    """Writes a SavedModel with one function, traced once for all shapes; with a tokenizer also of texts and pairs."""
    signature = [tf.TensorSpec([None] * len(axes), dtype, name) for name, axes in inputs.items()]

    def run(*tensors):
        found = module(**dict(zip(inputs, tensors, strict=True)), return_dict=True)
        return {name: found[name] for name in outputs}

    holder = tf.Module()
    # The variables alone: with the model itself the converter to LiteRT would not write their values.
    holder.weights = [variable.value for variable in module.variables]  # pyright: ignore[reportAttributeAccessIssue]
    traced = tf.function(run, input_signature=signature)
    holder.run = traced  # pyright: ignore[reportAttributeAccessIssue]
    signatures = {"serving_default": traced}
    if tokenizer is not None:

        def run_on_texts(*texts):
            tokens = tokenizer(*texts)
            return run(*(tokens[name] for name in inputs))

        strings = [tf.TensorSpec([None], tf.string, name) for name in ("text", "text_pair")]
        signatures["texts"] = tf.function(run_on_texts, input_signature=strings[:1])
        signatures["pairs"] = tf.function(run_on_texts, input_signature=strings)
        holder.tokenizer = tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    tf.saved_model.save(holder, str(path), signatures=signatures)


class SavedModelExporter(Exporter):
    """A SavedModel, whose signature "serving_default" takes int64."""

    dtypes = {name: name for name in ("float32", "bfloat16", "float16")}

    def export(self, module, path, inputs, outputs, dtype):
        """Batch and length are open."""
        _save(module, path, inputs, outputs, tf.int64)

    def export_on_texts(self, module, path, inputs, outputs, dtype, tokenizer, max_length):
        """With the signatures "texts" and "pairs", of strings."""
        layer = TFBertTokenizer.from_pretrained(tokenizer, max_length=max_length)
        _save(module, path, inputs, outputs, tf.int64, layer)

    def open_on_texts(self, path):
        """By tf.saved_model.load."""
        loaded = tf.saved_model.load(str(path))

        def run(*texts):
            names = ("text", "text_pair")[: len(texts)]
            signature = loaded.signatures["pairs" if len(texts) == 2 else "texts"]
            found = signature(**{name: tf.constant(list(part)) for name, part in zip(names, texts, strict=True)})
            return {name: value.numpy() for name, value in found.items()}

        return run

    def open(self, path):
        """By tf.saved_model.load."""
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]

        def run(batch, _keep=loaded):
            found = signature(**{name: tf.constant(value, tf.int64) for name, value in batch.items()})
            return {name: value.numpy() for name, value in found.items()}

        return run


class LiteRtExporter(Exporter):
    """A flat buffer of LiteRT with its builtin operators."""

    dtypes = dict.fromkeys(("float32", "float16", "int8"), "float32")

    def export(self, module, path, inputs, outputs, dtype):
        """Batch and length are open: the runtime resizes its inputs.

        "int8" is LiteRT's dynamic range quantization of weights, "float16" stores them so.
        """
        with tempfile.TemporaryDirectory(dir=path.parent) as saved:
            _save(module, saved, inputs, outputs, tf.int32)
            converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=["serving_default"])
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            if dtype != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if dtype == "float16":
                converter.target_spec.supported_types = [tf.float16]
            path.write_bytes(converter.convert())

    def open(self, path):
        """By tf.lite.Interpreter."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's: LiteRT has a package of its own now
            runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()

        def run(batch):
            return runner(**{name: np.asarray(value, np.int32) for name, value in batch.items()})

        return run


EXPORTERS = {"saved-model": SavedModelExporter, "tflite": LiteRtExporter}
