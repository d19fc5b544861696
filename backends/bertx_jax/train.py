"""Training in JAX: an update is one compiled function, which takes over the memory of what it updates.

On several devices, of one process or of many, that function is one program over a mesh: the rows of a batch are spread
along its axis, and the arrays are those of the whole batch, so that losses, norms and dropout are those of one device.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from bertx.training.trainer import CLIP_EPSILON, MOMENTS, Trainer, draw_of
from bertx.training.world import World

from . import nn
from .arrays import from_numpy
from .functional import input_array

_DATA = "data"  # the axis of the mesh

# The variables that say how many processes there are, of which JAX reads all but the first.
_COUNTS = ("JAX_NUM_PROCESSES", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")


class JaxWorld(World):
    """A mesh of devices, those of all processes."""

    def __init__(self, devices, is_sharded):
        super().__init__(None, jax.process_index(), jax.process_count(), len(devices), is_sharded)
        auto = (jax.sharding.AxisType.Auto,)
        self.mesh = jax.make_mesh((len(devices),), (_DATA,), devices=devices, axis_types=auto)

    def total(self, number):
        """By a gathering of all."""
        if self.processes == 1:
            return number
        bits = np.array([number], np.float64).view(np.uint32)  # JAX has no float64
        return float(np.asarray(multihost_utils.process_allgather(bits)).view(np.float64).sum())


class JaxTrainer(Trainer):
    """See `bertx.training.trainer.Trainer`."""

    dtypes = {"float32": "float32", "mixed_bfloat16": "float32"}

    @classmethod
    def rank(cls):
        """That of jax.distributed."""
        return jax.process_index()

    @classmethod
    @contextlib.contextmanager
    def join(cls, device=None, is_sharded=False):
        """Those of jax.distributed, by JAX_COORDINATOR_ADDRESS, _NUM_PROCESSES and _PROCESS_ID, Slurm or Open MPI.

        All devices make a mesh, where none is named. It stays: JAX starts jax.distributed once in a process.
        """
        if not jax.distributed.is_initialized() and _is_launched():
            own = {"num_processes": os.environ.get(_COUNTS[0]), "process_id": os.environ.get("JAX_PROCESS_ID")}
            counts: dict[str, Any] = {name: int(value) for name, value in own.items() if value}
            try:
                jax.distributed.initialize(**counts)
            except ValueError as error:
                raise ValueError(
                    f"jax.distributed does not start: {error} JAX_COORDINATOR_ADDRESS needs JAX_NUM_PROCESSES and "
                    "JAX_PROCESS_ID"
                ) from error
        many = jax.process_count() > 1
        if many and device not in (None, "cpu", "cuda"):
            raise ValueError(
                f"device is {device!r}, and {jax.process_count()} processes train together on all their devices: leave "
                "it out, or give 'cpu' or 'cuda'"
            )
        devices = jax.devices() if device is None else jax.devices(device) if many else []
        if len(devices) > 1:
            yield JaxWorld(devices, is_sharded)
            return
        with super().join(device, is_sharded) as world:
            yield world

    def __init__(self, module, recipe, updates, world=None):
        super().__init__(module, recipe, updates, world)
        self._parameters, self._kinds = {}, {}
        for name, parameter, kind in nn.parameters(module):
            if all(parameter is not known for known in self._parameters.values()):
                self._parameters[name], self._kinds[name] = parameter, kind
        self._mesh = getattr(self.world, "mesh", None)
        if self._mesh is None:
            # Copies: their memory is given to the next update, and who made the module may hold its own.
            self._values = {name: jnp.copy(parameter.get_value()) for name, parameter in self._parameters.items()}
        else:
            self._shardings = self._spread()
            self._values = {
                name: _spread(np.asarray(parameter.get_value()), self._shardings[name])
                for name, parameter in self._parameters.items()
            }
            self._whole = jax.jit(lambda values: values, out_shardings=self._on_mesh())
        self._is_filled = True
        self._begin = jax.jit(lambda values: self._placed(jax.tree.map(jnp.zeros_like, values)))
        begin = functools.partial(jax.tree.map, jnp.zeros_like) if self._mesh is None else self._begin
        self._moments = {moment: begin(self._values) for moment in MOMENTS}
        self._add = jax.jit(self._added, donate_argnums=1)
        self._apply = jax.jit(self._applied, donate_argnums=(0, 1))
        self._update = jax.jit(self._updated, donate_argnums=(0, 1))

    def trained(self):
        """All parameters."""
        return list(self._parameters)

    def _step(self, batches, update):
        first, second = update.bias_corrections
        numbers = {"rate": update.learning_rate, "first": first, "second": second}
        numbers = {name: np.float32(number) for name, number in numbers.items()}
        given = [
            (
                self._batch({name: input_array(value, np.float32) for name, value in batch.items()}),
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
        if self._mesh is None:
            for name, parameter in self._parameters.items():
                parameter.set_value(self._values[name])
        elif self._is_filled:
            self._is_filled = False
            for parameter in self._parameters.values():  # the memory of one device is not for all of them
                value = parameter.get_value()
                parameter.set_value(jax.ShapeDtypeStruct(value.shape, value.dtype))
        return float(loss), float(norm)

    # --- on a mesh --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def gathered(self):
        """As Trainer."""
        self._fill()
        yield

    def _evaluate(self, batch):
        self._fill()
        return super()._evaluate(batch)

    def _fill(self):
        """Gives the module the parameters that are on the mesh, on one device."""
        if not self._is_filled:
            for name, value in self._local(self._values).items():
                self._parameters[name].set_value(value)
            self._is_filled = True

    def _local(self, values):
        """Arrays as they are on one device of this process."""
        return (
            values if self._mesh is None else jax.tree.map(lambda value: value.addressable_data(0), self._whole(values))
        )

    def _on_mesh(self, *axes):
        return NamedSharding(self._mesh, PartitionSpec(*axes))  # pyright: ignore[reportArgumentType]

    def _spread(self):
        """Schema name → where a parameter is: on each device, or spread over all along its axis "embed"."""
        rows = {row.name: row for row in self.module.schema_rows()}
        found = {}
        for name in self._parameters:
            axes: list[str | None] = [None] * len(rows[name].shape)
            for i, (axis, size) in enumerate(zip(rows[name].axes, rows[name].shape, strict=True)):
                if self.world.is_sharded and axis == "embed" and size % self.world.devices == 0 and _DATA not in axes:
                    axes[i] = _DATA
            found[name] = self._on_mesh(*axes[:: -1 if self._kinds[name] == "kernel" else 1])
        return found

    def _batch(self, batch):
        """The rows spread over the mesh; where it does not divide them, as at the end of an epoch, all on each."""
        if self._mesh is None:
            return batch
        rows = len(next(iter(batch.values())))
        sharding = self._on_mesh(_DATA) if rows % self.world.devices == 0 else self._on_mesh()
        return {name: _spread(value, sharding) for name, value in batch.items()}

    def _placed(self, values):
        """Parameters, or what is of their shapes, where the parameters are."""
        return values if self._mesh is None else jax.lax.with_sharding_constraint(values, self._shardings)

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
        return self._loss_of(model, model.forward, batch) * share

    def _added(self, values, gradients, batch, share, seed):
        loss, found = jax.value_and_grad(self._loss)(values, batch, share, seed)
        return self._placed(jax.tree.map(jnp.add, gradients, found)), loss

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
        moments = {moment: self._placed(value) for moment, value in zip(MOMENTS, (first, second), strict=True)}
        return self._placed(new), moments, norm

    # --- the state --------------------------------------------------------------------------------

    def _dump(self):
        return {
            f"{moment}.{name}": array.T if self._kinds[name] == "kernel" else array
            for moment in MOMENTS
            for name, array in jax.device_get(self._local(self._moments[moment])).items()
        }

    def _restore(self, step, moments):
        for moment in MOMENTS:
            for name, value in self._values.items():
                array = from_numpy(moments[f"{moment}.{name}"])
                array = (array.T if self._kinds[name] == "kernel" else array).astype(value.dtype)
                self._moments[moment][name] = (
                    jax.device_put(array, value.sharding, may_alias=False)
                    if self._mesh is None
                    else _spread(array, value.sharding)
                )


def _is_launched():
    counts = [os.environ.get(name, "") for name in _COUNTS]
    return "JAX_COORDINATOR_ADDRESS" in os.environ or any(count.isdecimal() and int(count) > 1 for count in counts)


def _spread(array, sharding):
    """An array that each process has, on a mesh."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
