"""The trainers of the backends: the same updates in each, and those of transformers' Trainer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.backend import get_backend
from bertx.training.recipe import Recipe
from bertx.training.trainer import MOMENTS, NotFiniteError
from support import HEADS, batch, labels, peer, save_peer

FRAMEWORKS = ("torch", "jax", "tensorflow")
CLASSIFIER = "BertForSequenceClassification"
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SMALL = {"num_hidden_layers": 1}
# softmax(QKᵀ) is the same whatever is added to each key: a gradient of rounding alone, which AdamW makes large.
WITHOUT_GRADIENT = "key.bias"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """(head, changes of its config) → a checkpoint."""
    made = {}

    def make(head=CLASSIFIER, **changes):
        key = head, str(changes)
        if key not in made:
            made[key] = save_peer(peer(head, **changes), tmp_path_factory.mktemp(head))
        return made[key]

    return make


def trainer_of(folder, framework, recipe, updates=50):
    backend = get_backend(framework)
    model = bertx.load(folder, backend=framework, dtype=backend.trainer().dtypes[recipe.dtype])
    return backend.trainer()(model.module, recipe, updates), model


def batches_of(head, count, rows=8, seed=0):
    """Batches whose labels follow from a token, so that there is something to learn."""
    found = [batch(head, "right", seed + i, rows) | labels(head, seed + 1000 + i, rows) for i in range(count)]
    for each in found:  # transformers' own word embeddings have no gradient at the padding token
        each["input_ids"] = np.maximum(each["input_ids"], 1)
    for each in found if head == CLASSIFIER else ():
        each["labels"] = each["input_ids"][:, 0] % 5
    return found


def train(folder, framework, recipe, batches):
    """(Losses, norms, tensors) of an update for each batch, or for each group of them."""
    step = recipe.gradient_accumulation_steps
    groups = [batches[i : i + step] for i in range(0, len(batches), step)]
    trainer, model = trainer_of(folder, framework, recipe, len(groups))
    found = [trainer.step(group, i) for i, group in enumerate(groups)]
    losses, norms = np.array(found).T
    return losses, norms, {name: value.copy() for name, value in model.tensors()}


def apart(one, other):
    """How far two runs are apart: losses, and weights, each as a part of what it may be."""
    losses = np.abs(one[0] - other[0]).max()
    weights = max(
        (np.abs(one[2][name] - value) / np.maximum(1, np.abs(value))).max()
        for name, value in other[2].items()
        if not name.endswith(WITHOUT_GRADIENT)
    )
    return np.array([losses, weights])


def reversed_rows(batches):
    return [{name: value[::-1].copy() for name, value in each.items()} for each in batches]


RECIPE = Recipe(learning_rate=1e-3, epsilon=1e-6, warmup_ratio=0.1, weight_decay=0.1, seed=3)
UPDATES = 200


@pytest.fixture(scope="module")
def long_runs(checkpoint):
    """(A run of 200 updates on each framework, what rounding alone makes of one)."""
    folder, batches = checkpoint(**NO_DROPOUT), batches_of(CLASSIFIER, UPDATES)
    runs = {framework: train(folder, framework, RECIPE, batches) for framework in FRAMEWORKS}
    # 200 updates of a number near 1, each rounded by up to half a last digit, are √200 of these apart; the same sums in
    # another order, as threads have them.
    noise = np.full(2, np.finfo(np.float32).eps / 2 * np.sqrt(UPDATES))
    noise = np.maximum(noise, apart(train(folder, "torch", RECIPE, reversed_rows(batches)), runs["torch"]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        noise = np.maximum(noise, apart(train(folder, "torch", RECIPE, batches), runs["torch"]))
    finally:
        torch.set_num_threads(threads)
    return runs, noise


@pytest.mark.slow
def test_two_hundred_updates_are_the_same_on_every_framework(long_runs):
    runs, noise = long_runs
    losses = runs["torch"][0]
    assert losses[-20:].mean() < 0.8 * losses[:20].mean()  # something was learnt
    for framework in FRAMEWORKS[1:]:
        found = apart(runs[framework], runs["torch"])
        print(f"{framework}: losses {found[0]:.1e}, weights {found[1]:.1e}; noise {noise[0]:.1e}, {noise[1]:.1e}")
        assert (found <= 3 * noise).all(), framework


class _InOrder(transformers.Trainer):
    """transformers' Trainer, the rows in their order, and the loss of each batch kept."""

    def _get_train_sampler(self, *args, **options):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def compute_loss(self, *args, **options):
        loss = super().compute_loss(*args, **options)
        self.__dict__.setdefault("kept", []).append(loss.item())
        return loss


def _peer_run(folder, out, recipe, batches, peer_class=transformers.BertForSequenceClassification):
    rows = [
        {name: torch.as_tensor(value[i]) for name, value in each.items()}
        for each in batches
        for i in range(len(each["labels"]))
    ]
    arguments = transformers.TrainingArguments(
        str(out),
        max_steps=len(batches),
        per_device_train_batch_size=len(batches[0]["labels"]),
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        adam_epsilon=recipe.epsilon,
        label_smoothing_factor=recipe.label_smoothing,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
        dataloader_pin_memory=False,
    )
    model = peer_class.from_pretrained(folder, attn_implementation="sdpa")
    trainer = _InOrder(model, arguments, train_dataset=rows)
    trainer.train()
    return np.array(trainer.kept), None, {name: p.detach().numpy() for name, p in model.named_parameters()}


@pytest.mark.slow
def test_the_updates_are_those_of_the_trainer_of_transformers(long_runs, checkpoint, tmp_path):
    runs, noise = long_runs
    found = _peer_run(checkpoint(**NO_DROPOUT), tmp_path, RECIPE, batches_of(CLASSIFIER, UPDATES))
    difference = apart(runs["torch"], found)
    print(f"transformers: losses {difference[0]:.1e}, weights {difference[1]:.1e}; noise {noise}")
    assert (difference <= 3 * noise).all()


@pytest.mark.parametrize("head", ["BertForTokenClassification", "BertForMaskedLM"])
def test_smoothed_labels_are_those_of_the_trainer_of_transformers(head, checkpoint, tmp_path):
    recipe, batches = Recipe(learning_rate=1e-3, epsilon=1e-6, label_smoothing=0.2), batches_of(head, 5)
    folder = checkpoint(head, **NO_DROPOUT, **SMALL)
    expected = _peer_run(folder, tmp_path, recipe, batches, getattr(transformers, head))
    plain = train(folder, "torch", Recipe(learning_rate=1e-3), batches)
    assert np.abs(plain[0] - expected[0]).max() > 1e-3
    for framework in FRAMEWORKS:
        found = train(folder, framework, recipe, batches)
        assert (apart(found, expected) < [5e-6, 5e-5]).all(), (framework, apart(found, expected))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("head", ["BertForTokenClassification", CLASSIFIER])
def test_the_loss_of_an_evaluation_is_that_of_the_trainer_of_transformers(head, framework, checkpoint, tmp_path):
    """With label smoothing, as its loss is; what the model computes before and after has none."""
    (each,) = batches_of(head, 1)
    folder = checkpoint(head, **SMALL)
    arguments = transformers.TrainingArguments(
        str(tmp_path), per_device_eval_batch_size=8, label_smoothing_factor=0.2, use_cpu=True, report_to=[]
    )
    model = getattr(transformers, head).from_pretrained(folder)
    rows = [{name: torch.as_tensor(value[i]) for name, value in each.items()} for i in range(8)]
    peers = [
        transformers.Trainer(model, replaced, eval_dataset=rows).evaluate()["eval_loss"]
        for replaced in (arguments, dataclasses.replace(arguments, label_smoothing_factor=0.0))
    ]
    trainer, loaded = trainer_of(folder, framework, Recipe(label_smoothing=0.2))
    before = float(bertx.Model.forward(loaded, **each)["loss"])
    found = float(np.mean(trainer.evaluate(each)["loss"]))
    after = float(bertx.Model.forward(loaded, **each)["loss"])
    assert abs(peers[0] - peers[1]) > 1e-3
    assert [found, before, after] == pytest.approx([peers[0], peers[1], peers[1]], abs=2e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_one_update_is_that_of_a_formula_in_float64(framework, checkpoint):
    """AdamW by hand, from gradients of torch in float64: clipping, decay, layers' rates, and the bias corrections."""
    folder = checkpoint(**NO_DROPOUT)
    recipe = Recipe(learning_rate=0.01, weight_decay=0.5, layer_decay=0.5, max_grad_norm=0.3, schedule="constant")
    batches = batches_of(CLASSIFIER, 3)
    oracle = bertx.load(folder, backend="torch", dtype="float64")
    values = dict(oracle.module.named_parameters())
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in values.items()}
    norms = []
    for update, each in enumerate(batches):
        oracle.module.zero_grad()
        oracle.module(**{name: torch.from_numpy(value) for name, value in each.items()}).loss.backward()
        norms.append(torch.sqrt(sum((p.grad**2).sum() for p in values.values())).item())
        with torch.no_grad():
            for name, p in values.items():
                gradient = p.grad * min(1, 0.3 / (norms[-1] + 1e-6))
                first, second = moments[name]
                first.mul_(0.9).add_(0.1 * gradient)
                second.mul_(0.999).add_(0.001 * gradient**2)
                depth = 4 if "embeddings" in name else 3 - int(name.split(".")[3]) if "layer." in name else 0
                rate = 0.01 * 0.5**depth
                p.mul_(1 - rate * (0.5 if p.ndim > 1 else 0))
                corrected = second / (1 - 0.999 ** (update + 1))
                p.sub_(rate * first / (1 - 0.9 ** (update + 1)) / (corrected.sqrt() + recipe.epsilon))
    assert min(norms) > 0.5  # they are clipped
    _, found, tensors = train(folder, framework, recipe, batches)
    np.testing.assert_allclose(found, norms, rtol=2e-5)
    for name in values.keys() - {name for name in values if name.endswith(WITHOUT_GRADIENT)}:
        value = values[name]
        # An update of a value moves by the rounding of its gradient, by at most this much.
        assert np.abs(tensors[name] - value.detach().numpy()).max() < 2e-4, name
        assert np.abs(tensors[name] - value.detach().numpy()).mean() < 1e-6, name


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("head", ["BertForTokenClassification", "BertLMHeadModel"])
def test_accumulated_batches_are_one_batch(head, framework, checkpoint):
    """Batches with different numbers of labels that count weigh so much; one without any weighs nothing."""
    folder = checkpoint(head, **NO_DROPOUT, **SMALL)
    parts = batches_of(head, 3, rows=4)
    parts[1]["labels"][:3] = -100
    parts[2]["labels"][:] = -100
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    one = train(folder, framework, Recipe(learning_rate=1e-4), [whole])
    several = train(folder, framework, Recipe(learning_rate=1e-4, gradient_accumulation_steps=3), parts)
    np.testing.assert_allclose([several[0], several[1]], [one[0], one[1]], rtol=1e-5)
    trainer = trainer_of(folder, framework, Recipe())[0]
    with pytest.raises(ValueError, match="update 4: none of the labels counts"):
        trainer.step(parts[2:], 4)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("head", [head for head in HEADS if head != "BertModel"])
def test_every_head_trains(head, framework, checkpoint):
    trainer, model = trainer_of(checkpoint(head, **SMALL), framework, Recipe(learning_rate=1e-2))
    before = {name: value.copy() for name, value in model.tensors()}
    for update, each in enumerate(batches_of(head, 2)):
        loss, norm = trainer.step([each], update)
        assert loss > 0 and norm > 0
    after = dict(model.tensors())
    assert all((after[name] != before[name]).any() for name in before if not name.endswith(WITHOUT_GRADIENT))
    outputs = trainer.evaluate(each)
    assert outputs["loss"] == pytest.approx(float(bertx.Model.forward(model, **each)["loss"]), rel=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_dropout_follows_from_the_seed_and_the_number_of_the_update(framework, checkpoint):
    folder, batches = checkpoint(**SMALL), batches_of(CLASSIFIER, 3)
    recipe = Recipe(learning_rate=1e-9, seed=5)
    torch.manual_seed(1)
    first = train(folder, framework, recipe, batches)[0]
    torch.manual_seed(2)
    assert (train(folder, framework, recipe, batches)[0] == first).all()
    assert (train(folder, framework, Recipe(learning_rate=1e-9, seed=6), batches)[0] != first).all()
    same = train(folder, framework, recipe, batches[:1] * 3)[0]
    assert len(set(np.round(same, 5))) == 3  # each update draws anew
    state = torch.get_rng_state()
    train(folder, "torch", recipe, batches[:1])
    assert (torch.get_rng_state() == state).all()


@pytest.mark.parametrize("source", FRAMEWORKS)
def test_a_state_goes_on_in_another_framework(source, checkpoint, tmp_path):
    """The update after it is what the first framework would have made; on the same one to the last bit."""
    folder, batches = checkpoint(**NO_DROPOUT, **SMALL), batches_of(CLASSIFIER, 4)
    recipe = Recipe(learning_rate=1e-3, epsilon=1e-6)
    trainer, model = trainer_of(folder, source, recipe)
    for update in range(3):
        trainer.step(batches[update : update + 1], update)
    model.save(tmp_path)
    step, moments = trainer.dump()
    moments = {name: value.copy() for name, value in moments.items()}
    expected = trainer.step(batches[3:], 3), {name: value.copy() for name, value in model.tensors()}
    for target in FRAMEWORKS:
        other, resumed = trainer_of(tmp_path, target, recipe)
        other.restore(step, moments)
        assert other.step_count == 3 and other.dump()[1].keys() == moments.keys()
        assert all((value == moments[name]).all() for name, value in other.dump()[1].items())
        found = other.step(batches[3:], 3), dict(resumed.tensors())
        if source == target:
            assert found[0] == expected[0]
            assert all((found[1][name] == value).all() for name, value in expected[1].items())
        else:
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
            assert apart((np.zeros(1), None, found[1]), (np.zeros(1), None, expected[1]))[1] < 1e-5


def test_moments_that_do_not_fit_are_refused_all_at_once(checkpoint):
    trainer, _ = trainer_of(checkpoint(), "torch", Recipe())
    _, moments = trainer.dump()
    assert {name.partition(".")[0] for name in moments} == set(MOMENTS)
    moments["exp_avg.classifier.bias"] = np.zeros(3, np.float32)
    moments["exp_avg.classifier.weight"] = moments["exp_avg.classifier.weight"].astype(np.int64)
    moments["exp_avg.more"] = moments.pop("exp_avg_sq.classifier.bias")
    with pytest.raises(ValueError) as error:
        trainer.restore(1, moments)
    for part in (
        "exp_avg.classifier.bias is float32 [3], expected a floating dtype [5]",
        "exp_avg.classifier.weight is int64",
        "exp_avg.more is not of this model",
        "exp_avg_sq.classifier.bias is missing",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_does_not_fit_is_refused(framework, checkpoint):
    trainer, model = trainer_of(checkpoint(), framework, Recipe())
    (good,) = batches_of(CLASSIFIER, 1)
    with pytest.raises(ValueError, match=r"has no labels; it has input_ids"):
        trainer.step([{name: value for name, value in good.items() if name != "labels"}], 0)
    with pytest.raises(ValueError, match=r"labels\[0\] is 9, expected 0 to 4"):
        trainer.step([good | {"labels": np.full(8, 9)}], 0)
    with pytest.raises(ValueError, match="no class numbers"):
        get_backend(framework).trainer()(
            bertx.load(checkpoint("BertForQuestionAnswering"), backend=framework).module, Recipe(label_smoothing=0.1), 1
        )
    backend = get_backend(framework)
    value = {name: np.full_like(value, np.nan) for name, value in model.tensors()}
    module = backend.build(type(trainer.module), model.config, lambda name, shape: value[name], "float32", None, {})
    with pytest.raises(NotFiniteError, match="update 7: the loss is nan"):
        backend.trainer()(module, Recipe(), 9).step([good], 7)


def test_a_backend_without_gradients_says_so():
    with pytest.raises(ValueError, match="numpy backend computes no gradients"):
        get_backend("numpy").trainer()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_mixed_bfloat16_keeps_float32_parameters_and_learns(framework, checkpoint):
    folder, batches = checkpoint(**NO_DROPOUT, **SMALL), batches_of(CLASSIFIER, 1) * 20
    exact = train(folder, framework, Recipe(learning_rate=1e-3), batches)
    mixed = train(folder, framework, Recipe(learning_rate=1e-3, dtype="mixed_bfloat16"), batches)
    assert {value.dtype for value in mixed[2].values()} == {np.dtype("float32")}
    difference = np.abs(mixed[0] - exact[0]).max()
    assert 1e-5 < difference < 0.1, difference
    assert mixed[0][-1] < 0.8 * mixed[0][0]


def test_float64_is_for_torch(checkpoint):
    batches = batches_of(CLASSIFIER, 3)
    exact = train(checkpoint(**NO_DROPOUT), "torch", Recipe(dtype="float64"), batches)
    assert {value.dtype for value in exact[2].values()} == {np.dtype("float64")}
    model = bertx.load(checkpoint(), backend="jax")
    with pytest.raises(ValueError, match="the jax backend trains in float32, mixed_bfloat16"):
        get_backend("jax").trainer()(model.module, Recipe(dtype="float64"), 1)
