"""The values of a layer's variables, where Keras keeps them otherwise than it computes with them."""

from __future__ import annotations

import tensorflow as tf


def value_of(block, attribute):
    """What a layer computes with: of a kernel or a table with LoRA their sum, of one in int8 the numbers it stands for.

    Raises:
        ValueError: it is quantized otherwise.
    """
    mode = getattr(block, "quantization_mode", None)
    if attribute not in ("kernel", "embeddings") or mode in (None, "float8"):
        return tf.convert_to_tensor(getattr(block, attribute))
    if mode != "int8":
        path = getattr(block, f"_{attribute}").path
        raise ValueError(
            f"{path} is quantized to {mode}, which bertx does not turn into floats: save the model before quantize(), "
            "or quantize to int8"
        )
    stored, scale = tf.convert_to_tensor(getattr(block, f"_{attribute}")), getattr(block, f"{attribute}_scale")
    scale = tf.cast(scale, tf.float32)
    value = tf.cast(stored, tf.float32) / (scale if attribute == "kernel" else scale[:, None])
    if block.lora_enabled:
        lora_a, lora_b = (tf.cast(getattr(block, f"lora_{attribute}_{letter}"), tf.float32) for letter in "ab")
        value = value + block.lora_alpha / block.lora_rank * tf.matmul(lora_a, lora_b)
    return tf.cast(value, block.variable_dtype)
