"""Training in TensorFlow: an update is one graph over the model's variables and those of the moments.

On several devices it is run as a replica on each, by a strategy of tf.distribute; the gradients are summed over them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from typing import Any

import keras
import tensorflow as tf

from bertx.parameters import named_parameters
from bertx.training.trainer import CLIP_EPSILON, MOMENTS, Trainer, draw_of
from bertx.training.world import World

from .training import mean_of


class TensorFlowWorld(World):
    """The replicas of a strategy of tf.distribute."""

    def __init__(self, strategy, rank, processes):
        super().__init__(None, rank, processes, strategy.num_replicas_in_sync)
        self.strategy = strategy
        self._total = tf.function(lambda value: strategy.run(_summed, (value,)))

    def total(self, number):
        """By an all-reduce: the first replica of each process has its number, the others 0."""
        if self.processes == 1:
            return number
        first = min(self.replicas())
        value = self.each(lambda replica: tf.constant(number if replica == first else 0.0, tf.float64))
        return float(self.strategy.experimental_local_results(self._total(value))[0])

    def replicas(self):
        """The numbers of the replicas of this process."""
        found = []
        self.each(lambda replica: found.append(replica) or tf.constant(0))
        return found

    def each(self, value_of):
        """A value for each replica of this process, by its number among all."""
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: value_of(context.replica_id_in_sync_group)
        )


class TensorFlowTrainer(Trainer):
    """See `bertx.training.trainer.Trainer`; layers that are not trainable stay as they are.

    Of plain variables: Keras' AdamW adds epsilon before the bias correction, and counts batches where gradients are
    accumulated.
    """

    dtypes = {"float32": "float32", "mixed_bfloat16": "mixed_bfloat16"}

    @classmethod
    def rank(cls):
        """That of TF_CONFIG."""
        return _of_tf_config()[0]

    @classmethod
    @contextlib.contextmanager
    def join(cls, device=None, is_sharded=False):
        """The workers of TF_CONFIG, by a MultiWorkerMirroredStrategy; else all devices, where none is named."""
        rank, workers = _of_tf_config()
        if workers > 1 and device is not None:
            raise ValueError(
                f"device is {device!r}, and TF_CONFIG has {workers} workers, which train on all their devices: "
                "leave it out"
            )
        if workers == 1 and (device is not None or len(_devices()) == 1):
            with super().join(device, is_sharded) as world:
                yield world
            return
        if is_sharded:
            raise ValueError("shard is not for tensorflow, whose strategies copy the parameters: use torch or jax")
        strategy = _strategy(workers > 1)
        with strategy.scope():
            yield TensorFlowWorld(strategy, rank, workers)

    def __init__(self, module, recipe, updates, world=None):
        super().__init__(module, recipe, updates, world)
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
        self._strategy = getattr(self.world, "strategy", None)

    def trained(self):
        """Those of layers that are trainable."""
        return list(self._variables)

    def _step(self, batches, update):
        numbers = tf.constant([update.learning_rate, *update.bias_corrections], tf.float32)
        given = [self._given(i, batch, share, update.number) for i, (batch, share) in enumerate(batches)]
        if len(given) == 1:
            loss, norm = map(self._number, self._graph(self._updated, numbers, *given[0]))
            return loss, norm
        for gradient in self._gradients.values():
            gradient.assign(tf.zeros_like(gradient))
        loss = sum(self._number(self._graph(self._added, *each)) for each in given)
        return loss, self._number(self._graph(self._applied, numbers))

    def _given(self, i, batch, share, update):
        """The tensors of a batch, its share, and the seed of what is drawn for it; for each replica its own."""
        if self._strategy is None:
            return _tensors(batch), tf.constant(share, tf.float32), self._seed(update, i)
        world: Any = self.world
        parts = {index: self.part_of(batch, share, index, world.devices) for index in world.replicas()}
        tensors = {name: world.each(lambda index, name=name: _tensor(parts[index][0][name])) for name in batch}
        shares = world.each(lambda index: tf.constant(parts[index][1], tf.float32))
        return tensors, shares, world.each(lambda index: self._seed(update, i, index))

    def _seed(self, update, i, stream=0):
        return tf.constant([draw_of(self.recipe.seed, update, i, stream), 0], self._draw_dtype)

    # --- replicas ---------------------------------------------------------------------------------

    def _on_replicas(self, function, *arguments):
        return self._strategy.run(function, arguments)  # pyright: ignore[reportOptionalMemberAccess]

    def _number(self, value):
        """A number that every replica has."""
        return float(value if self._strategy is None else self._strategy.experimental_local_results(value)[0])

    def _sum(self, values):
        """The sum over the replicas."""
        return values if self._strategy is None else _summed(values)

    # --- graphs -----------------------------------------------------------------------------------

    def _graph(self, function, *arguments):
        """A call of a function as a graph, traced once for tensors of any sizes.

        Which sizes a graph is traced for must not follow from the batches before: with a size that is known TensorFlow
        simplifies other products and sums, whose rounding a resumed run would then not repeat.
        """
        if self._strategy is not None:  # values of replicas have no shape
            run = functools.partial(self._on_replicas, function)
            graph = self._graphs.setdefault(function.__name__, tf.function(run, reduce_retracing=True))
            return graph(*arguments)
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
            loss = self._loss_of(self.module, functools.partial(self.module, training=True), batch) * share
        found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, dict(zip(self._variables, map(tf.convert_to_tensor, found), strict=True))

    def _mean_loss(self, loss, batch):
        return mean_of(self.module, loss, batch)

    def _added(self, batch, share, seed):
        loss, gradients = self._loss_and_gradients(batch, share, seed)
        for name, gradient in gradients.items():
            self._gradients[name].assign_add(gradient)
        return self._sum(loss)

    def _applied(self, numbers):
        return self._adamw({name: tf.convert_to_tensor(value) for name, value in self._gradients.items()}, numbers)

    def _updated(self, numbers, batch, share, seed):
        loss, gradients = self._loss_and_gradients(batch, share, seed)
        return self._sum(loss), self._adamw(gradients, numbers)

    def _adamw(self, gradients, numbers):
        gradients = dict(zip(gradients, self._sum(list(gradients.values())), strict=True))
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


def _tensors(batch):
    return {name: _tensor(value) for name, value in batch.items()}


def _tensor(value):
    dtype = tf.float32 if value.dtype.kind == "f" else tf.bool if value.dtype.kind == "b" else tf.int32
    return tf.convert_to_tensor(value, dtype)


def _summed(values):
    values = tf.nest.map_structure(tf.identity, values)  # on the replica's device: an argument of a graph is on none
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _of_tf_config():
    """(The number of this process, how many there are), by TF_CONFIG."""
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        cluster, task = config.get("cluster", {}), config.get("task", {})
        chiefs, workers = (len(cluster.get(kind, ())) for kind in ("chief", "worker"))
        if chiefs + workers < 2:
            return 0, 1
        return {"chief": 0, "worker": chiefs}[task["type"]] + int(task["index"]), chiefs + workers
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"TF_CONFIG is {os.environ['TF_CONFIG']!r:.200}, expected JSON with the cluster's workers and the task of "
            "this process, chief or worker, as tf.distribute.MultiWorkerMirroredStrategy reads it"
        ) from error


def _devices():
    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")


@functools.cache  # a second one in a process would have the keys of the first
def _strategy(is_of_workers):
    if is_of_workers:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy([device.name for device in _devices()])
