"""Fine-tunes a text classifier in TensorFlow with Keras: python examples/finetune_tensorflow.py SOURCE OUT."""

from __future__ import annotations

import keras
import recipe
import tensorflow as tf

from bertx import BertTokenizer
from bertx_tensorflow import TFBertForSequenceClassification


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The recipe's learning rate; Keras counts batches, not updates."""

    def __init__(self, updates: int):
        self.rates = tf.constant([recipe.learning_rate(update, updates) for update in range(updates)])

    def __call__(self, step):
        return tf.gather(self.rates, step // recipe.ACCUMULATED)


class AdamW(keras.optimizers.AdamW):
    """Adds epsilon after the bias correction, as torch, optax and the paper do; Keras adds it before."""

    def update_step(self, gradient, variable, learning_rate):
        after = self.epsilon
        self.epsilon = after * tf.sqrt(1 - self.beta_2 ** tf.cast(self.iterations + 1, variable.dtype))
        super().update_step(gradient, variable, learning_rate)
        self.epsilon = after


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each batch, where Keras reports the mean of an epoch."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


def train(model: TFBertForSequenceClassification, tokenizer: BertTokenizer, updates: int) -> list[float]:
    """The recipe's updates; gives the loss of each batch."""
    optimizer = AdamW(
        Schedule(updates),
        *(recipe.WEIGHT_DECAY, *recipe.BETAS, recipe.EPSILON),
        global_clipnorm=recipe.CLIP_NORM,
        gradient_accumulation_steps=recipe.ACCUMULATED,
    )
    optimizer.exclude_from_weight_decay([variable for variable in model.trainable_variables if variable.ndim == 1])
    batches = list(recipe.batches(tokenizer, updates * recipe.ACCUMULATED))
    data = tf.data.Dataset.from_tensor_slices({name: [batch[name] for batch in batches] for name in batches[0]})
    losses = Losses()
    model.compile(optimizer=optimizer)  # no loss: it is the model's own, of the labels among its inputs
    model.fit(data, epochs=1, verbose=0, callbacks=[losses])
    return losses.values


if __name__ == "__main__":
    asked = recipe.arguments(__doc__)
    keras.utils.set_random_seed(0)
    model = TFBertForSequenceClassification.from_pretrained(asked.source, **recipe.settings(asked.dropout))
    tokenizer = BertTokenizer.from_pretrained(asked.source)
    recipe.save(model, tokenizer, asked.out, train(model, tokenizer, asked.updates))
