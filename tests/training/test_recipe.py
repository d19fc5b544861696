"""The recipe: what cannot be is refused, all at once, and what it means for an update and a parameter."""

from __future__ import annotations

import json

import numpy as np
import pytest
import transformers

from bertx.configs.bert import BertConfig
from bertx.registry import schema
from bertx.testing import SIZES
from bertx.training.recipe import Recipe
from support import peer


def test_all_that_cannot_be_is_in_one_error():
    wrong = {
        "learning_rate": -1,
        "betas": (0.9, 1.0),
        "epsilon": 0.0,
        "weight_decay": "much",
        "warmup_steps": 0.1,
        "schedule": "polynomial",
        "max_grad_norm": 0.0,
        "gradient_accumulation_steps": 0,
        "label_smoothing": 1.0,
        "layer_decay": 0.0,
        "steps": True,
        "batch_size": 2.5,
        "seed": -1,
        "dtype": "float16",
    }
    with pytest.raises(ValueError) as error:
        Recipe(**wrong)
    for name, value in wrong.items():
        assert f"{name} is {value!r}, expected " in str(error.value)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="learning_rate is"):
            Recipe(learning_rate=value)


@pytest.mark.parametrize("twice", [{"epochs": 1, "steps": 5}, {"warmup_ratio": 0.1, "warmup_steps": 5}])
def test_what_is_said_in_two_ways_is_refused(twice):
    with pytest.raises(ValueError, match="{} and {} are both given".format(*twice)):
        Recipe(**twice)


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(ValueError, match="no 'lr', 'warmup'; it has learning_rate, betas"):
        Recipe.of({"lr": 1e-3, "warmup": 1, "seed": 3})


def test_a_recipe_comes_back_from_json():
    recipe = Recipe(betas=(0.8, 0.9), steps=7, max_grad_norm=None)
    assert Recipe.of(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("warmup", [{}, {"warmup_steps": 7}, {"warmup_ratio": 0.11}])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_learning_rate_is_that_of_transformers(schedule, warmup):
    import torch

    recipe = Recipe(learning_rate=3e-4, schedule=schedule, **warmup)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    steps = transformers.TrainingArguments("unused", warmup_steps=warmup.get("warmup_ratio", recipe.warmup_steps))
    steps = steps.get_warmup_steps(60)
    options = {"num_training_steps": 60} if schedule != "constant" else {}
    peers = transformers.get_scheduler(name, optimizer, num_warmup_steps=steps, **options)
    for update in range(60):
        assert recipe.learning_rate_of(update, 60) == pytest.approx(peers.get_last_lr()[0], rel=1e-12, abs=1e-18)
        optimizer.step()
        peers.step()


def test_matrices_decay_and_biases_and_norms_do_not():
    config = BertConfig(**SIZES)
    rows = schema("BertForMaskedLM", config)
    groups = Recipe(weight_decay=0.3).groups(rows, {"bert.": config.num_hidden_layers})
    arguments = transformers.TrainingArguments("unused", use_cpu=True)
    model = peer("BertForMaskedLM")
    names = transformers.Trainer(model, arguments).get_decay_parameter_names(model)
    decayed = {name for name, group in groups.items() if group.weight_decay}
    assert decayed == set(names) | {"cls.predictions.decoder.weight"}  # the tied one
    assert {group.weight_decay for group in groups.values()} == {0.0, 0.3}


def test_each_layer_learns_slower_than_the_one_above():
    rows = schema("BertForSequenceClassification", BertConfig(**SIZES))
    groups = Recipe(layer_decay=0.5).groups(rows, {"bert.": 3})
    assert groups["classifier.weight"].scale == groups["bert.pooler.dense.weight"].scale == 1
    layers = [groups[f"bert.encoder.layer.{i}.output.dense.bias"].scale for i in range(3)]
    assert layers == [0.125, 0.25, 0.5] and groups["bert.embeddings.LayerNorm.weight"].scale == 0.0625
    base = Recipe(layer_decay=0.5).groups(schema("BertModel", BertConfig(**SIZES)), {"": 3})
    assert (
        base["encoder.layer.0.output.dense.bias"].scale == 0.125 and base["embeddings.LayerNorm.bias"].scale == 0.0625
    )


def test_updates_and_batches_of_a_run():
    assert Recipe(epochs=2, gradient_accumulation_steps=4).updates(7) == 4  # of 14 batches
    assert Recipe(epochs=0.5).updates(7) == 4 and Recipe().updates(7) == 21
    assert Recipe(steps=5, gradient_accumulation_steps=4).batches(7) == 20
    assert np.isclose(Recipe(betas=(0.9, 0.999)).bias_corrections(0), (0.1, 0.001)).all()
