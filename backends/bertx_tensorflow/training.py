"""How Keras trains and evaluates a model: where the labels are, the model's own loss, a metric for each output."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from bertx.inputs import labels_of
from bertx.models.heads import NextSentencePrediction
from bertx.models.layers.losses import IGNORE_INDEX

# The names of TFBert for what is called `labels` here.
_ALIASES = NextSentencePrediction.label_aliases


@dataclass(frozen=True)
class _Batch:
    """The batch of a training step, of which the model's own loss is the mean over all replicas.

    weights: label name → the weights of its rows, [B], or of its losses.
    """

    weights: Mapping[str | None, tf.Tensor] = field(default_factory=dict)
    replicas: int = 1


_batch: ContextVar[_Batch | None] = ContextVar("batch", default=None)
_counts_ignored_labels: ContextVar[bool] = ContextVar("counts_ignored_labels", default=False)


def counting_ignored_labels(loss_function):
    """A loss whose mean counts the labels that are ignored, with a loss of 0: see Conventions."""

    def counting(self, logits, labels):
        token = _counts_ignored_labels.set(True)
        try:
            return loss_function(self, logits, labels)
        finally:
            _counts_ignored_labels.reset(token)

    counting.__doc__ = loss_function.__doc__  # not functools.wraps: AutoGraph would run what is wrapped instead
    return counting


def mean_loss(losses, counted=None, name="labels"):
    """As TFBert: [B] as they are, of more the mean, [1]; the mean of either is that of what is counted.

    In a step of `fit` or `evaluate` the losses are weighted with the sample weights, and what is counted is so over
    all replicas: the mean of the replicas' means is then that of the whole batch.
    """
    batch = _batch.get()
    if _counts_ignored_labels.get():
        counted = None
    if batch is not None and name in batch.weights:
        losses = losses * _weights_of(losses, batch.weights[name], name)
    size = tf.cast(tf.size(losses), losses.dtype)
    if batch is not None and batch.replicas > 1:
        size = tf.maximum(size, 1)  # a replica may have no row of the last batch
        count = _over_replicas(size if counted is None else tf.reduce_sum(counted)) / batch.replicas
        losses = losses * (size / count)
    elif counted is not None:
        losses = losses * (size / tf.reduce_sum(counted))
    return losses if losses.shape.rank == 1 else tf.reshape(tf.reduce_sum(losses) / size, (1,))


def mean_of(module, losses, inputs):
    """The mean of a model's losses over the labels that count, whatever the conventions for its task are."""
    if module.task in module.conventions.counts_ignored_labels:
        losses = tf.boolean_mask(losses, inputs["labels"] != IGNORE_INDEX)
    return tf.reduce_mean(losses)


def _over_replicas(value):
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def _weights_of(losses, weights, name):
    weights = tf.cast(weights, losses.dtype)
    rank = losses.shape.rank
    if weights.shape.rank == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    if weights.shape.rank == 1:
        return tf.reshape(weights, (-1,) + (1,) * (rank - 1))
    if not weights.shape.is_compatible_with(losses.shape):
        raise ValueError(
            f"the sample weights of {name} have the shape {weights.shape.as_list()}, expected [B], a weight for each "
            f"row, or {losses.shape.as_list()}, one for each loss"
        )
    return weights


if TYPE_CHECKING:
    from bertx.pretrained import PreTrainedModel

    class Native(PreTrainedModel, keras.Model):
        """What a model class has beside what is added here."""

        _compile_loss: Any
else:
    Native = object


class Training(Native):
    """What a model does in `compile`, `fit` and `evaluate` beyond a keras.Model.

    Labels are among the inputs, or are `y`: an array, several in the order of the head's labels, or a dict by the names
    of the labels or of the outputs that they are for. Without a loss in `compile` it is the model's own.
    """

    def compile(
        self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, **options
    ):
        """As keras.Model, names of labels taken for those of their outputs; a list of metrics is for each output."""
        super().compile(
            optimizer,
            self._by_output(loss),
            self._by_output(loss_weights),
            self._for_each_output(metrics),
            self._for_each_output(weighted_metrics),
            **options,
        )

    def compile_from_config(self, config):
        """As keras.Model, which does not for a class with a `compile` of its own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, class_weight=None, validation_data=None, **options):
        """As keras.Model.

        Raises:
            ValueError: class_weight where the labels are no classes of rows.
        """
        x, y = self._labels_apart(x, y)
        if class_weight is not None:
            self._check_class_weight(x, y)
        if isinstance(validation_data, (list, tuple)):
            validation_data = (*self._labels_apart(*(*validation_data, None)[:2]), *validation_data[2:])
        elif isinstance(validation_data, Mapping):
            validation_data = self._labels_apart(validation_data, None)
        return super().fit(x, y, *args, class_weight=class_weight, validation_data=validation_data, **options)

    def evaluate(self, x=None, y=None, *args, **options):
        """As keras.Model."""
        return super().evaluate(*self._labels_apart(x, y), *args, **options)

    def train_on_batch(self, x, y=None, *args, class_weight=None, **options):
        """As keras.Model."""
        x, y = self._labels_apart(x, y)
        if class_weight is not None:
            self._check_class_weight(x, y)
        return super().train_on_batch(x, y, *args, class_weight=class_weight, **options)

    def test_on_batch(self, x, y=None, *args, **options):
        """As keras.Model."""
        return super().test_on_batch(*self._labels_apart(x, y), *args, **options)

    def train_step(self, data):
        """One step of `fit`."""
        with self._own_loss(data) as data:
            return super().train_step(data)

    def test_step(self, data):
        """One step of `evaluate`."""
        with self._own_loss(data) as data:
            return super().test_step(data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss given to `compile`, on the outputs that `y` is for; without one the model's own.

        Raises:
            ValueError: there are no labels.
        """
        if self._compile_loss is not None:
            return super().compute_loss(x, *self._paired(y, y_pred, sample_weight), training)
        if not (isinstance(y_pred, Mapping) and "loss" in y_pred):
            if names := labels_of(self.architecture()):
                raise ValueError(
                    f"No loss to compute: {type(self).__name__} computes its own of {' and '.join(names)}: give them "
                    f"as y or among the inputs, or give a loss to compile(). The inputs were {_names_of(x)}, y was "
                    f"{_names_of(y)}"
                )
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        losses = y_pred["loss"]
        loss = tf.reduce_sum(losses) / tf.maximum(tf.cast(tf.size(losses), losses.dtype), 1)
        loss = tf.add_n([loss, *(tf.cast(tf.reduce_sum(further), loss.dtype) for further in self.losses)])
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas == 1:
            return loss
        # Keras adds up the gradients of the replicas, and reports the mean of their losses times their number.
        loss = loss / replicas
        return loss + tf.stop_gradient(_over_replicas(loss) / replicas - loss)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics given to `compile`, on the outputs that `y` is for."""
        return super().compute_metrics(x, *self._paired(y, y_pred, sample_weight))

    # --- labels -------------------------------------------------------------------------------------

    def _outputs_of_labels(self):
        """Label name → the name of the output that it is for."""
        outputs = [name for name in self.output_class.fields if name.endswith("logits")]
        return dict(zip(labels_of(self.architecture()), outputs, strict=True)) if outputs else {}

    def _by_output(self, given):
        """A dict by names of labels or outputs as one by names of outputs."""
        if not isinstance(given, Mapping):
            return given
        names = self._outputs_of_labels()
        aliases = {alias: names[name] for alias, name in _ALIASES.items() if alias not in names and name in names}
        return {(names | aliases).get(name, name): value for name, value in given.items()}

    def _for_each_output(self, metrics):
        outputs = list(self._outputs_of_labels().values())
        if not isinstance(metrics, (list, tuple)) or len(outputs) < 2 or any(map(_is_nested, metrics)):
            return self._by_output(metrics)
        copies = [[type(m).from_config(m.get_config()) if i and _is_metric(m) else m for m in metrics] for i in (0, 1)]
        return dict(zip(outputs, copies, strict=True))

    def _named(self, y):
        """Targets, or their weights, as a dict by names of labels where they are labels, else by names of outputs."""
        names = self._outputs_of_labels()
        if isinstance(y, Mapping):
            outputs = {output: name for name, output in names.items()}
            aliases = {alias: name for alias, name in _ALIASES.items() if alias not in names and name in names}
            return {(outputs | aliases).get(name, name): value for name, value in y.items()}
        values = list(y) if isinstance(y, (list, tuple)) else [y]
        return dict(zip(names, values, strict=False)) if names else {None: values[0]}

    def _labels_apart(self, x, y):
        """(x, y) with the labels that are among the inputs as y; one label is an array, no dict."""
        names = {*labels_of(self.architecture()), *_ALIASES}
        if isinstance(x, tf.data.Dataset):
            spec = x.element_spec
            if y is None and isinstance(spec, Mapping) and names & spec.keys():
                x = x.map(lambda inputs: self._labels_apart(inputs, None), tf.data.AUTOTUNE)
            return x, y
        if y is None and isinstance(x, Mapping) and (labels := {name: x[name] for name in x if name in names}):
            x, y = {name: x[name] for name in x if name not in labels}, labels
        if isinstance(y, Mapping) and len(y) == 1 and len(labels_of(self.architecture())) == 1:
            ((name, value),) = y.items()
            y = value if name in {*names, *self._outputs_of_labels().values()} else y
        return x, y

    def _check_class_weight(self, x, y):
        """Raises ValueError where Keras would weigh by something else than the class of a row, or by nothing."""
        data = x.element_spec if isinstance(x, tf.data.Dataset) else x[0] if _is_sequence(x) else (x, y)
        _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if y is None:
            raise ValueError(
                f"class_weight needs the labels as targets: y, or the second of what a dataset gives, which gives "
                f"{_names_of(data)}"
            )
        if isinstance(y, (Mapping, list, tuple)):
            return  # Keras refuses these
        shape, floating = tuple(y.shape), tf.as_dtype(y.dtype).is_floating
        one_hot = floating and self._compile_loss is not None
        if len(shape) > 1 and shape[-1] != 1 and not one_hot:
            raise ValueError(
                f"class_weight weighs rows by their class, and the labels are {list(shape)}: give sample_weight, of "
                "the rows [B] or of all labels"
            )

    def _paired(self, y, y_pred, sample_weight):
        """Targets, the outputs that they are for, and their weights, each a dict by the names of outputs."""
        if not isinstance(y_pred, Mapping) or y is None:
            return y, y_pred, sample_weight
        y = self._by_output(self._named(y))
        if None in y:  # an array for a model without a head: for its first output
            y = {next(iter(y_pred)): y[None]}
        if unknown := sorted(y.keys() - y_pred.keys()):
            raise ValueError(
                f"{type(self).__name__} has no output for the targets {', '.join(unknown)}: its outputs are "
                f"{', '.join(y_pred)}"
            )
        if isinstance(sample_weight, (Mapping, list, tuple)):
            sample_weight = self._by_output(self._named(sample_weight))
        return y, {name: y_pred[name] for name in y}, sample_weight

    @contextlib.contextmanager
    def _own_loss(self, data):
        """The data of a step, the labels where they are needed: among the inputs for the own loss, else as y."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        x, y = self._labels_apart(x, y)
        token = None
        if self._compile_loss is None and y is not None and labels_of(self.architecture()):
            if not isinstance(x, Mapping):
                values = x if isinstance(x, (list, tuple)) else [x]
                x = dict(zip(("input_ids", "attention_mask", "token_type_ids", "position_ids"), values, strict=False))
            labels: Any = self._named(y)
            x = {**x, **labels}
            of_each: Any = {} if weights is None else dict.fromkeys(labels, weights)
            if isinstance(weights, (Mapping, list, tuple)):
                of_each = self._named(weights)
            token = _batch.set(_Batch(of_each, tf.distribute.get_strategy().num_replicas_in_sync))
        try:
            yield keras.utils.pack_x_y_sample_weight(x, y, weights)
        finally:
            if token is not None:
                _batch.reset(token)


def _is_nested(metric):
    return isinstance(metric, (list, tuple, Mapping))


def _is_metric(metric):
    return isinstance(metric, keras.metrics.Metric)


def _is_sequence(x):
    return isinstance(x, keras.utils.PyDataset)


def _names_of(given):
    """What was given, for an error."""
    return (
        ", ".join(map(str, given)) if isinstance(given, Mapping) else "None" if given is None else type(given).__name__
    )
