"""Training in TensorFlow: an update is one graph over the model's variables and those of the moments."""

from __future__ import annotations

import keras
import tensorflow as tf

from bertx.parameters import named_parameters
from bertx.training.trainer import CLIP_EPSILON, MOMENTS, Trainer, draw_of

from .training import mean_of


class TensorFlowTrainer(Trainer):
    """See `bertx.training.trainer.Trainer`; layers that are not trainable stay as they are.

    Of plain variables: Keras' AdamW adds epsilon before the bias correction, and counts batches where gradients are
    accumulated.
    """

    dtypes = {"float32": "float32", "mixed_bfloat16": "mixed_bfloat16"}

    def __init__(self, module, recipe, updates):
        super().__init__(module, recipe, updates)
        self._variables, self._kinds = {}, {}
        for name, block, attribute, kind in named_parameters(module, keras.layers.Layer, ()):
            variable = getattr(block, attribute)
            known = any(variable.value is other for other in self._variables.values())
            if not known and variable.trainable and block.trainable:
                self._variables[name], self._kinds[name] = variable.value, kind
        self._moments = {moment: self._zeros() for moment in MOMENTS}
        self._gradients = self._zeros() if recipe.gradient_accumulation_steps > 1 else {}
        layers = module._flatten_layers(include_self=False)
        dropouts = [layer for layer in layers if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]
        self._draws = [layer.seed_generator.state.value for layer in dropouts]
        self._draw_dtype = self._draws[0].dtype if self._draws else tf.int64
        self._graphs = {}

    def trained(self):
        """Those of layers that are trainable."""
        return list(self._variables)

    def _step(self, batches, update):
        numbers = tf.constant([update.learning_rate, *update.bias_corrections], tf.float32)
        given = [
            (
                {name: tf.convert_to_tensor(value, _dtype(value)) for name, value in batch.items()},
                tf.constant(share, tf.float32),
                tf.constant([draw_of(self.recipe.seed, update.number, i), 0], self._draw_dtype),
            )
            for i, (batch, share) in enumerate(batches)
        ]
        if len(given) == 1:
            loss, norm = self._graph(self._updated, numbers, *given[0])
            return float(loss), float(norm)
        for gradient in self._gradients.values():
            gradient.assign(tf.zeros_like(gradient))
        loss = sum(float(self._graph(self._added, *each)) for each in given)
        return loss, float(self._graph(self._applied, numbers))

    # --- graphs -----------------------------------------------------------------------------------

    def _graph(self, function, *arguments):
        """A call of a function as a graph, traced once for tensors of any sizes.

        Which sizes a graph is traced for must not follow from the batches before: with a size that is known TensorFlow
        simplifies other products and sums, whose rounding a resumed run would then not repeat.
        """
        signature = tf.nest.map_structure(lambda x: tf.TensorSpec([None] * x.shape.rank, x.dtype), arguments)
        key = str((function.__name__, signature))
        if key not in self._graphs:
            self._graphs[key] = tf.function(function, input_signature=signature)
        return self._graphs[key](*arguments)

    def _loss_and_gradients(self, batch, share, seed):
        for i, state in enumerate(self._draws):
            state.assign(seed + tf.constant([0, i << 16], state.dtype))
        variables = list(self._variables.values())
        with tf.GradientTape() as tape:
            output = self.module(**batch, training=True, return_dict=True)
            loss = mean_of(self.module, output["loss"], batch) * share
        found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, dict(zip(self._variables, map(tf.convert_to_tensor, found), strict=True))

    def _added(self, batch, share, seed):
        loss, gradients = self._loss_and_gradients(batch, share, seed)
        for name, gradient in gradients.items():
            self._gradients[name].assign_add(gradient)
        return loss

    def _applied(self, numbers):
        return self._adamw({name: tf.convert_to_tensor(value) for name, value in self._gradients.items()}, numbers)

    def _updated(self, numbers, batch, share, seed):
        loss, gradients = self._loss_and_gradients(batch, share, seed)
        return loss, self._adamw(gradients, numbers)

    def _adamw(self, gradients, numbers):
        recipe, (beta1, beta2) = self.recipe, self.recipe.betas
        norm = tf.linalg.global_norm(list(gradients.values()))
        factor = tf.constant(1.0)
        if recipe.max_grad_norm is not None:
            factor = tf.minimum(1.0, recipe.max_grad_norm / (norm + CLIP_EPSILON))
        for name, gradient in gradients.items():
            gradient = gradient * factor
            variable, (first, second) = self._variables[name], (self._moments[moment][name] for moment in MOMENTS)
            first.assign(beta1 * first + (1 - beta1) * gradient)
            second.assign(beta2 * second + (1 - beta2) * tf.square(gradient))
            rate = numbers[0] * self.groups[name].scale
            root = tf.sqrt(second) / tf.sqrt(numbers[2]) + recipe.epsilon
            decayed = variable * (1 - rate * self.groups[name].weight_decay)
            variable.assign(decayed - rate / numbers[1] * (first / root))
        return norm

    # --- the state --------------------------------------------------------------------------------

    def _zeros(self):
        zeros = {}
        for name, variable in self._variables.items():
            with tf.device(variable.device):
                zeros[name] = tf.Variable(tf.zeros_like(variable), trainable=False)
        return zeros

    def _dump(self):
        return {
            f"{moment}.{name}": variable.numpy().T if self._kinds[name] == "kernel" else variable.numpy()
            for moment in MOMENTS
            for name, variable in self._moments[moment].items()
        }

    def _restore(self, step, moments):
        for moment in MOMENTS:
            for name, variable in self._moments[moment].items():
                array = moments[f"{moment}.{name}"]
                variable.assign(tf.cast(array.T if self._kinds[name] == "kernel" else array, variable.dtype))


def _dtype(value):
    return tf.float32 if value.dtype.kind == "f" else tf.bool if value.dtype.kind == "b" else tf.int32
