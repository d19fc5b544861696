"""Generation on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from bertx.generation.slots import SlotDecoder, is_all

from .layers.cache import Slots, left_padded  # pyright: ignore[reportMissingImports]  # in bertx.models


class TensorFlowDecoder(SlotDecoder):
    """See `bertx.generation.slots.SlotDecoder`; buffers are variables, which a graph traced once writes into."""

    def states(self, module, input_ids, mask):
        """One graph for texts of all sizes."""
        graphs = module.__dict__.setdefault("_bertx_graphs", {})
        if "encode" not in graphs:
            tokens = tf.TensorSpec((None, None), tf.int32)
            graphs["encode"] = tf.function(module.states, input_signature=[tokens, tokens])
        return graphs["encode"](tf.constant(input_ids, tf.int32), tf.constant(mask, tf.int32))

    def read(self, input_ids, starts, layers, before, greedy, encoded):
        """One graph for prompts and one for steps, whatever their sizes."""
        inputs = [tf.constant(array, tf.int32) for array in (input_ids, starts, before)]
        encoder = () if encoded is None else (encoded.states, tf.constant(encoded.mask, tf.int32))
        found, past = self._graph(layers, greedy, encoder)(*inputs, layers, encoder)
        return found.numpy(), layers or past

    def move(self, layers, rows, texts, start, length, capacity):
        """A new variable in the place of each that changes."""

        def moved(buffer):
            kept = buffer[:, :, start : start + length]
            kept = kept if rows is None else tf.gather(kept, rows)
            kept = tf.pad(kept, ((0, 0), (0, 0), (0, capacity - length), (0, 0)))
            return tf.Variable(kept, trainable=False, shape=(None, kept.shape[1], None, kept.shape[3]))

        def selected(buffer):
            stays = is_all(texts, int(tf.shape(buffer)[0]))
            if stays and isinstance(buffer, tf.Variable):
                return buffer
            kept = tf.convert_to_tensor(buffer) if stays else tf.gather(buffer, texts)
            return tf.Variable(kept, trainable=False, shape=(None, kept.shape[1], None, kept.shape[3]))

        with tf.device(layers[0][0].device):
            return tuple((moved(key), moved(value), *map(selected, cross)) for key, value, *cross in layers)

    def _graph(self, layers, greedy, encoder):
        graphs = self.module.__dict__.setdefault("_bertx_graphs", {})
        key = "decode", bool(layers), greedy, bool(encoder)
        if key not in graphs:
            module, first_position = self.module, self.module.config.first_position

            @tf.function
            def read(input_ids, starts, before, layers, encoder):
                past = tuple(Slots(*layer, length=before) for layer in layers)
                outputs = module(**left_padded(input_ids, starts, first_position, past, *encoder))
                logits = outputs.logits[:, 0]
                found = tf.argmax(logits, -1) if greedy else tf.cast(logits, tf.float32)
                return found, () if layers else outputs.past_key_values

            # Traced for all sizes here: an `input_signature` takes no variables.
            tokens = tf.TensorSpec((None, 1 if layers else None), tf.int32)
            of_encoder = ()
            if encoder:
                states = encoder[0]
                states = states if states is None else tf.TensorSpec((None, None, states.shape[-1]), states.dtype)
                of_encoder = states, tf.TensorSpec((None, None), tf.int32)
            numbers = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32)
            read.get_concrete_function(tokens, *numbers, layers, of_encoder)
            graphs[key] = read
        return graphs[key]
