"""Fine-tunes a text classifier in JAX with optax: python examples/finetune_jax.py SOURCE OUT."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import recipe

from bertx import BertTokenizer
from bertx_jax import FlaxBertForSequenceClassification


def train(model: FlaxBertForSequenceClassification, tokenizer: BertTokenizer, updates: int) -> list[float]:
    """The recipe's updates; gives the loss of each batch."""
    rates = jnp.array([recipe.learning_rate(update, updates) for update in range(updates)])
    optimizer = optax.MultiSteps(
        optax.chain(
            optax.clip_by_global_norm(recipe.CLIP_NORM),
            optax.adamw(
                lambda update: rates[update],
                *recipe.BETAS,
                eps=recipe.EPSILON,
                weight_decay=recipe.WEIGHT_DECAY,
                mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
            ),
        ),
        every_k_schedule=recipe.ACCUMULATED,
    )

    @jax.jit
    def step(params, state, batch, key):
        def loss_of(params):
            return model.apply(params, batch, train=True, dropout_rng=key).loss

        loss, gradients = jax.value_and_grad(loss_of)(params)
        changes, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, changes), state, loss

    params = model.params
    state = optimizer.init(params)
    losses = []
    key = jax.random.key(0)
    for i, batch in enumerate(recipe.batches(tokenizer, updates * recipe.ACCUMULATED)):
        params, state, loss = step(params, state, batch, jax.random.fold_in(key, i))
        losses.append(loss)
    model.set_params(params)
    return losses


if __name__ == "__main__":
    asked = recipe.arguments(__doc__)
    model = FlaxBertForSequenceClassification.from_pretrained(asked.source, **recipe.settings(asked.dropout))
    tokenizer = BertTokenizer.from_pretrained(asked.source)
    recipe.save(model, tokenizer, asked.out, train(model, tokenizer, asked.updates))
