"""Gradient checkpointing: a layer's activations are computed again in the backward pass rather than kept."""

from __future__ import annotations

import keras
import tensorflow as tf


def checkpointed(layer):
    """`tf.recompute_grad` of a layer, with the dropout masks and the mode that the first pass had.

    The backward pass runs outside of the model's call: the layer would no longer know that it trains, and each dropout
    would draw its next mask.
    """

    def run(states, **options):
        training = _mode(states)
        generators = [g for part in layer._flatten_layers() for g in part._seed_generators]
        seeds = [(generator.state, generator.next()) for generator in generators] if training else []
        leaves = tf.nest.flatten(options)

        def forward(states, *tensors):
            given = iter(tensors)
            values = [next(given) if tf.is_tensor(leaf) else leaf for leaf in leaves]
            with keras.StatelessScope(seeds):
                return layer(states, training=training, **tf.nest.pack_sequence_as(options, values))

        # As arguments: what a function holds otherwise gets no gradient.
        return tf.recompute_grad(forward)(states, *filter(tf.is_tensor, leaves))

    return run


class _Mode(keras.layers.Layer):
    """Gives the `training` that holds where it is called."""

    def call(self, states, training=None):
        """`training`, whatever the states."""
        return training


_mode = _Mode(autocast=False, name="mode")
