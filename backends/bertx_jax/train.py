"""Training in JAX: an update is one compiled function, which takes over the memory of what it updates."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from bertx.training.trainer import CLIP_EPSILON, MOMENTS, Trainer, draw_of

from . import nn
from .arrays import from_numpy
from .functional import input_array


class JaxTrainer(Trainer):
    """See `bertx.training.trainer.Trainer`."""

    dtypes = {"float32": "float32", "mixed_bfloat16": "float32"}

    def __init__(self, module, recipe, updates):
        super().__init__(module, recipe, updates)
        self._parameters, self._kinds = {}, {}
        for name, parameter, kind in nn.parameters(module):
            if all(parameter is not known for known in self._parameters.values()):
                self._parameters[name], self._kinds[name] = parameter, kind
        # Copies: their memory is given to the next update, and who made the module may hold its own.
        self._values = {name: jnp.copy(parameter.get_value()) for name, parameter in self._parameters.items()}
        self._moments = {moment: jax.tree.map(jnp.zeros_like, self._values) for moment in MOMENTS}
        self._add = jax.jit(self._added, donate_argnums=1)
        self._apply = jax.jit(self._applied, donate_argnums=(0, 1))
        self._update = jax.jit(self._updated, donate_argnums=(0, 1))
        self._begin = jax.jit(lambda values: jax.tree.map(jnp.zeros_like, values))

    def trained(self):
        """All parameters."""
        return list(self._parameters)

    def _step(self, batches, update):
        first, second = update.bias_corrections
        numbers = {"rate": update.learning_rate, "first": first, "second": second}
        numbers = {name: np.float32(number) for name, number in numbers.items()}
        given = [
            (
                {name: input_array(value, np.float32) for name, value in batch.items()},
                np.float32(share),
                np.uint32(draw_of(self.recipe.seed, update.number, i)),
            )
            for i, (batch, share) in enumerate(batches)
        ]
        precision = "highest" if self.recipe.dtype == "float32" else None
        with jax.default_matmul_precision(precision):
            if len(given) == 1:
                self._values, self._moments, loss, norm = self._update(self._values, self._moments, numbers, *given[0])
            else:
                gradients, loss = self._begin(self._values), np.float32(0)
                for each in given:
                    gradients, part = self._add(self._values, gradients, *each)
                    loss += part
                self._values, self._moments, norm = self._apply(self._values, self._moments, gradients, numbers)
        for name, parameter in self._parameters.items():
            parameter.set_value(self._values[name])
        return float(loss), float(norm)

    # --- compiled ---------------------------------------------------------------------------------

    def _loss(self, values, batch, share, seed):
        model = nnx.clone(self.module)
        seen = set()
        for name, parameter, _ in nn.parameters(model):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                parameter.set_value(values[name])
        if self.recipe.dtype != "float32":
            model.compute_in(jnp.bfloat16)
        model.seed(jax.random.key(seed))
        model.train()
        return model.forward(**batch, return_dict=True).loss * share

    def _added(self, values, gradients, batch, share, seed):
        loss, found = jax.value_and_grad(self._loss)(values, batch, share, seed)
        return jax.tree.map(jnp.add, gradients, found), loss

    def _updated(self, values, moments, numbers, batch, share, seed):
        loss, gradients = jax.value_and_grad(self._loss)(values, batch, share, seed)
        values, moments, norm = self._applied(values, moments, gradients, numbers)
        return values, moments, loss, norm

    def _applied(self, values, moments, gradients, numbers):
        """AdamW, with its bias corrections from without: optax has them in float32."""
        recipe, norm = self.recipe, optax.tree.norm(gradients)
        if recipe.max_grad_norm is not None:
            factor = jnp.minimum(1.0, recipe.max_grad_norm / (norm + CLIP_EPSILON))
            gradients = jax.tree.map(lambda gradient: gradient * factor, gradients)
        first = optax.tree.update_moment(gradients, moments[MOMENTS[0]], recipe.betas[0], 1)
        second = optax.tree.update_moment_per_elem_norm(gradients, moments[MOMENTS[1]], recipe.betas[1], 2)
        new = {}
        for name, value in values.items():
            rate = numbers["rate"] * self.groups[name].scale
            root = jnp.sqrt(second[name]) / jnp.sqrt(numbers["second"]) + recipe.epsilon
            decayed = value * (1 - rate * self.groups[name].weight_decay)
            new[name] = decayed - rate / numbers["first"] * (first[name] / root)
        return new, dict(zip(MOMENTS, (first, second), strict=True)), norm

    # --- the state --------------------------------------------------------------------------------

    def _dump(self):
        return {
            f"{moment}.{name}": array.T if self._kinds[name] == "kernel" else array
            for moment in MOMENTS
            for name, array in jax.device_get(self._moments[moment]).items()
        }

    def _restore(self, step, moments):
        for moment in MOMENTS:
            for name, value in self._values.items():
                array = from_numpy(moments[f"{moment}.{name}"])
                array = array.T if self._kinds[name] == "kernel" else array
                self._moments[moment][name] = jax.device_put(array.astype(value.dtype), value.sharding, may_alias=False)
