"""Generation on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from bertx.generation.slots import SlotDecoder

from .layers.cache import Slots, left_padded  # pyright: ignore[reportMissingImports]  # in bertx.models


class TensorFlowDecoder(SlotDecoder):
    """See `bertx.generation.slots.SlotDecoder`; buffers are variables, which a graph traced once writes into."""

    def read(self, input_ids, starts, layers, before, greedy):
        """One graph for prompts and one for steps, whatever their sizes."""
        inputs = [tf.constant(array, tf.int32) for array in (input_ids, starts, before)]
        found, past = self._graph(layers, greedy)(*inputs, layers)
        return found.numpy(), layers or past

    def move(self, layers, rows, start, length, capacity):
        """A new variable in the place of each."""

        def moved(buffer):
            kept = buffer[:, :, start : start + length]
            kept = kept if rows is None else tf.gather(kept, rows)
            kept = tf.pad(kept, ((0, 0), (0, 0), (0, capacity - length), (0, 0)))
            return tf.Variable(kept, trainable=False, shape=(None, kept.shape[1], None, kept.shape[3]))

        with tf.device(layers[0][0].device):
            return tuple((moved(key), moved(value)) for key, value in layers)

    def _graph(self, layers, greedy):
        graphs = self.module.__dict__.setdefault("_bertx_graphs", {})
        key = "decode", bool(layers), greedy
        if key not in graphs:
            module, first_position = self.module, self.module.config.first_position

            @tf.function
            def read(input_ids, starts, before, layers):
                past = tuple(Slots(*layer, length=before) for layer in layers)
                outputs = module(**left_padded(input_ids, starts, first_position, past))
                logits = outputs.logits[:, 0]
                found = tf.argmax(logits, -1) if greedy else tf.cast(logits, tf.float32)
                return found, () if layers else outputs.past_key_values

            # Traced for all sizes here: an `input_signature` takes no variables.
            tokens = tf.TensorSpec((None, 1 if layers else None), tf.int32)
            read.get_concrete_function(tokens, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32), layers)
            graphs[key] = read
        return graphs[key]
