"""Distillation: the losses of PyTorch's formulas, the same on every backend, from a teacher on any."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from reviews import ROWS, WORDS, write_encoder
from test_trainers import NO_DROPOUT, apart, batches_of
from torch.nn import functional

import bertx
import bertx.models.layers.losses as losses
from bertx.backend import get_backend
from bertx.training import run
from bertx.training.distillation import Distillation, Teacher
from bertx.training.recipe import Recipe
from support import batch, peer, save_peer

FRAMEWORKS = ("torch", "jax", "tensorflow")
ALL = {"cosine_weight": 0.7, "hidden_weight": 0.3, "hidden_layers": [[0, 0], [1, 2]], "relation_weight": 0.2}
ALL |= {"temperature": 3.0, "label_weight": 0.4, "soft_weight": 0.9}
PAIRS = [{"anchor": one["text"], "positive": other["text"]} for one, other in itertools.pairwise(ROWS[:9])]
FAST = {"learning_rate": 2e-3, "steps": 12, "batch_size": 8}
CLASSIFY = {"task": "text-classification", **FAST}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "bertx" / "teachers"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def classifier(encoder, tmp_path_factory):
    """A teacher: a classifier of reviews, without dropout."""
    still = write_encoder(tmp_path_factory.mktemp("still"), num_hidden_layers=3, **NO_DROPOUT)
    out = tmp_path_factory.mktemp("teacher") / "out"
    bertx.train(still, ROWS, out=out, backend="torch", **CLASSIFY | {"steps": 60})
    return out


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    still = write_encoder(tmp_path_factory.mktemp("still tagger"), **NO_DROPOUT)
    out = tmp_path_factory.mktemp("tagger") / "out"
    bertx.train(still, WORDS, task="token-classification", out=out, backend="torch", **FAST | {"steps": 20})
    return out


def losses_of(out):
    return [
        line["loss"] for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "loss" in line
    ]


# --- the formulas -----------------------------------------------------------------------------------


def native(framework, value):
    if framework == "numpy":
        return value
    value = value.astype(np.float32) if value.dtype.kind == "f" and framework != "torch" else value
    return get_backend(framework).tensor(value)


@pytest.mark.parametrize("framework", ("numpy", *FRAMEWORKS))
def test_the_losses_are_those_of_pytorch(framework):
    """In float64 on NumPy and PyTorch; of vectors, of what a mask counts, and at temperatures."""
    generator = np.random.default_rng(0)
    student, teacher = 3 * generator.standard_normal((2, 4, 6, 10))
    counted = generator.integers(0, 2, (4, 6))
    exact = framework in ("numpy", "torch")
    of = (lambda name: getattr(losses, name)) if framework == "numpy" else None
    of = of or (lambda name: get_backend(framework).spec_class("layers.losses", name))

    def same(name, expected, *options, mask=None):
        arrays = [native(framework, value) for value in (student, teacher)]
        found = of(name)(*arrays, *options, **({} if mask is None else {"counted": native(framework, mask)}))
        assert abs(float(found) - float(expected)) < (1e-12 if exact else 2e-5), name

    one, other = torch.from_numpy(student), torch.from_numpy(teacher)
    for rows, mask in ((torch.ones(4, 6, dtype=torch.bool), None), (torch.from_numpy(counted) == 1, counted)):
        a, b = one[rows], other[rows]
        for t in (1.0, 4.0):
            kl = functional.kl_div(
                functional.log_softmax(a / t, -1),
                functional.log_softmax(b / t, -1),
                reduction="batchmean",
                log_target=True,
            )
            same("kl_divergence", kl * t**2, t, mask=mask)
        same("cosine_distance", functional.cosine_embedding_loss(a, b, torch.ones(len(a))), mask=mask)
        same("squared_distance", functional.mse_loss(a, b), mask=mask)
    bernoulli = torch.distributions.Bernoulli
    kl = torch.distributions.kl_divergence(bernoulli(logits=other / 2), bernoulli(logits=one / 2))
    same("binary_kl_divergence", 4 * kl.mean(), 2.0)


def expected_loss(student, teacher, inputs, of_logits):
    """The loss of ALL with transformers' models in float64, `of_logits` their part of labels and predictions."""
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    flags = {"output_hidden_states": True, "output_attentions": True}
    unlabelled = {name: value for name, value in tensors.items() if name.endswith(("ids", "mask"))}
    own = student(**tensors, **flags)
    with torch.no_grad():
        other = teacher(**unlabelled, **flags)
    rows = tensors["attention_mask"] != 0
    states, expected = own.hidden_states, other.hidden_states
    ones = torch.ones(int(rows.sum()), dtype=torch.float64)
    loss = of_logits(own, other, tensors)
    loss = loss + 0.7 * functional.cosine_embedding_loss(states[-1][rows], expected[-1][rows], ones)
    for i, j in ((0, 0), (1, 2)):
        loss = loss + 0.3 / 2 * functional.mse_loss(states[i][rows], expected[j][rows])

    def relation(model, hidden):
        attention = model.bert.encoder.layer[-1].attention.self
        values = attention.value(hidden).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
        scores = values @ values.transpose(-1, -2) / values.shape[-1] ** 0.5
        return scores.masked_fill(~rows[:, None, None, :], -1e30).softmax(-1)

    pairs = (
        (own.attentions[-1], other.attentions[-1]),
        (relation(student, states[-2]), relation(teacher, expected[-2])),
    )
    for found, target in pairs:
        divergence = (torch.special.xlogy(target, target) - torch.special.xlogy(target, found.clamp_min(1e-300))).sum(
            -1
        )
        loss = loss + 0.2 * divergence.transpose(1, 2)[rows].mean()
    return loss


def softened(own, other, rows):
    """Hinton's term by torch.nn.functional.kl_div, of some rows."""
    one, two = (functional.log_softmax(logits[rows] / 3, -1) for logits in (own, other))
    return 9 * functional.kl_div(one, two, reduction="batchmean", log_target=True)


def of_classes(own, other, tensors):
    return 0.4 * own.loss + 0.9 * softened(own.logits, other.logits, tensors["labels"] != -100)


def of_positions(own, other, tensors):
    """The teacher points to no padding."""
    padding = tensors["attention_mask"] == 0
    total = 0.4 * own.loss
    for name in ("start_logits", "end_logits"):
        target = (other[name].masked_fill(padding, -1e30) / 3).softmax(-1)
        log_probability = functional.log_softmax(own[name] / 3, -1)
        divergence = (torch.special.xlogy(target, target) - target * log_probability).sum(-1).mean()
        total = total + 0.9 / 2 * 9 * divergence
    return total


CASES = {
    "BertForSequenceClassification": of_classes,
    "BertForTokenClassification": of_classes,
    "BertForMaskedLM": of_classes,
    "BertForQuestionAnswering": of_positions,
}


@pytest.mark.parametrize("head", CASES)
def test_all_losses_together_and_their_gradients_are_those_of_transformers(head, tmp_path, monkeypatch):
    """Loss and norm of the gradients in float64 on torch, in float32 elsewhere; a teacher of more layers."""
    monkeypatch.setattr(bertx.Model, "tokenizer", None)
    student, teacher = peer(head, num_hidden_layers=1, **NO_DROPOUT), peer(head, seed=5, num_hidden_layers=2)
    folders = [save_peer(model, tmp_path / name) for model, name in ((student, "student"), (teacher, "teacher"))]
    (inputs,) = batches_of(head, 1)
    loss = expected_loss(student, teacher, inputs, CASES[head])
    loss.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in student.parameters() if p.grad is not None)).item()
    settings = Distillation.of(ALL)
    model = bertx.load(folders[0], backend="torch")
    outputs = Teacher(folders[1], model.task, get_backend("numpy"), None, settings).outputs(inputs)
    for framework in FRAMEWORKS:
        model = bertx.load(folders[0], backend=framework)
        trainer = get_backend(framework).trainer()(model.module, Recipe(), 10)
        trainer.distillation = settings
        found = trainer.step([inputs | {f"teacher.{name}": value for name, value in outputs.items()}], 0)
        np.testing.assert_allclose(found, [loss.item(), norm], rtol=2e-5, err_msg=framework)


def test_several_labels_and_numbers_are_learnt_from_their_own_losses(tmp_path):
    for problem, labels, expected in (
        ("multi_label_classification", np.ones((8, 5), np.float32), "binary"),
        ("regression", np.ones((8, 5), np.float32), "square"),
    ):
        head = "BertForSequenceClassification"
        models = [peer(head, seed, num_hidden_layers=1, problem_type=problem, **NO_DROPOUT) for seed in (0, 1)]
        folder = save_peer(models[0], tmp_path / problem)
        inputs = batch(head, "right", 1, 8)
        with torch.no_grad():
            tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
            own, other = (model(**tensors).logits for model in models)
        if expected == "square":
            loss = functional.mse_loss(own, other)
        else:
            kinds = [torch.distributions.Bernoulli(logits=logits / 2) for logits in (other, own)]
            loss = 4 * torch.distributions.kl_divergence(*kinds).mean()
        for framework in FRAMEWORKS:
            model = bertx.load(folder, backend=framework)
            trainer = get_backend(framework).trainer()(model.module, Recipe(), 10)
            trainer.distillation = Distillation(label_weight=0, soft_weight=1)
            taught = inputs | {"labels": labels, "teacher.logits": other.numpy().astype(np.float32)}
            assert trainer.step([taught], 0)[0] == pytest.approx(loss.item(), rel=2e-5), (problem, framework)


# --- runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distillation", [{"temperature": 4}, ALL], ids=["predictions", "all"])
def test_the_curves_are_the_same_on_every_backend_whatever_runs_the_teacher(classifier, distillation, tmp_path):
    options = CLASSIFY | {"teacher": classifier, "layers": [0, 2], "distillation": distillation, "steps": 40}
    runs = {}
    for framework, teacher in (("torch", None), ("jax", "numpy"), ("tensorflow", "torch")):
        out = tmp_path / framework
        model = bertx.train(classifier, ROWS, out=out, backend=framework, teacher_backend=teacher, **options)
        runs[framework] = np.array(losses_of(out)), None, dict(model.tensors())
    assert runs["torch"][0][-5:].mean() < 0.7 * runs["torch"][0][:5].mean()
    for framework in FRAMEWORKS[1:]:
        found = apart(runs[framework], runs["torch"])
        print(f"{framework}: losses {found[0]:.1e}, weights {found[1]:.1e}")
        assert (found < [5e-6, 1e-4]).all(), (framework, found)


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_predictions_are_computed_once_and_kept(classifier, tagger, task, cache, tmp_path, monkeypatch):
    """Each run after the first runs no teacher; the kept logits of a row are those of its own batch."""
    teacher, rows = (classifier, ROWS) if task == "text-classification" else (tagger, WORDS)
    calls = []
    forward = bertx.Model.forward
    monkeypatch.setattr(bertx.Model, "forward", lambda self, **inputs: calls.append(1) or forward(self, **inputs))
    measure = run.parity_of_one_batch

    def uncounted(*given):
        before = len(calls)
        report = measure(*given)
        del calls[before:]
        return report

    monkeypatch.setattr(run, "parity_of_one_batch", uncounted)
    options = FAST | {"task": task, "teacher": teacher, "backend": "torch"}
    runs = []
    for i, expected in enumerate((10, 0)):
        calls.clear()
        bertx.train(teacher, rows, out=tmp_path / f"{i}", **options)
        runs.append(losses_of(tmp_path / f"{i}"))
        assert len(calls) == expected and len(list(cache.iterdir())) == 1
    assert runs[0] == runs[1]
    bertx.train(teacher, [*rows[1:], rows[0]], out=tmp_path / "other", **options)
    assert len(calls) == 10 and len(list(cache.iterdir())) == 2  # other data, though the rows are the same ones
    (path, *_) = cache.iterdir()
    monkeypatch.setattr("bertx.training.distillation._CACHED", -1)
    if task == "token-classification":  # not kept: each batch is computed where it is used
        bertx.train(teacher, rows, out=tmp_path / "without", **options)
        np.testing.assert_allclose(losses_of(tmp_path / "without"), runs[0], atol=2e-6)
        assert len(list(cache.iterdir())) == 2
    path.write_bytes(b"broken")
    for i in range(2):
        bertx.train(teacher, [*rows[1:], rows[0]], out=tmp_path / f"broken{i}", **options)


@pytest.mark.filterwarnings("ignore:.*initialised for Bert:UserWarning")
def test_masks_are_drawn_anew_and_taught_as_they_are(encoder, cache, tmp_path):
    teacher = tmp_path / "teacher"
    bertx.load(encoder, "fill-mask", backend="numpy").save(teacher)
    rows = [{"text": row["text"]} for row in ROWS]
    options = FAST | {"task": "fill-mask", "teacher": teacher, "backend": "torch"}
    bertx.train(teacher, rows, out=tmp_path / "out", distillation={"cosine_weight": 1}, **options)
    bertx.train(teacher, rows, out=tmp_path / "two", **options)
    assert len(losses_of(tmp_path / "two")) == 12 and not list(cache.glob("*"))


def test_a_student_of_its_teacher_learns_from_predictions_alone(encoder, classifier, tmp_path):
    """Its labels are all the same, and weigh nothing."""
    rows = [row | {"label": "bad"} for row in ROWS]
    options = CLASSIFY | {"labels": ["bad", "good"], "steps": 80, "backend": "torch"}
    settings = {"label_weight": 0, "soft_weight": 1}
    student = bertx.train(encoder, rows, out=tmp_path / "out", teacher=classifier, distillation=settings, **options)
    assert [row["label"] for row in student([row["text"] for row in ROWS])] == [row["label"] for row in ROWS]


def test_a_student_begins_with_layers_of_its_source(classifier, tmp_path):
    recipe = {"learning_rate": 1e-30, "steps": 1, "weight_decay": 0.0, "backend": "torch"}
    student = bertx.train(classifier, ROWS, out=tmp_path / "out", layers=[2, 0], **recipe)
    found, expected = dict(student.tensors()), dict(bertx.load(classifier).tensors())
    assert student.config.num_hidden_layers == 2 and len(found) < len(expected)
    for name, value in found.items():
        source = name.replace("layer.1.", "layer.00.").replace("layer.0.", "layer.2.").replace("layer.00.", "layer.0.")
        assert np.array_equal(value, expected[source]), name


class Crash(Exception):  # noqa: N818
    pass


def test_a_run_with_a_teacher_that_crashed_goes_on_to_the_same_bytes(encoder, classifier, tmp_path):
    """With the student's dropout; the teacher's states computed in each batch."""
    options = CLASSIFY | {"backend": "torch", "teacher": classifier, "save_steps": 3, "layers": [1]}
    options["distillation"] = ALL | {"hidden_layers": {0: 0, 1: 2}}

    def crash(done):
        if done.step == 8:
            raise Crash

    bertx.train(classifier, ROWS, out=tmp_path / "other", backend="torch", steps=1)
    bertx.train(encoder, ROWS, out=tmp_path / "whole", **options)
    with pytest.raises(Crash):
        bertx.train(encoder, ROWS, out=tmp_path / "cut", on_step=crash, **options)
    for changes, part in (
        ({"distillation": {"temperature": 4}}, "distillation: "),
        ({"teacher": tmp_path / "other"}, "the teacher's parameters: "),
        ({"teacher": None, "distillation": None}, "the teacher's parameters: "),
        ({"layers": [0]}, "layers: [1] before, [0] now"),
    ):
        with pytest.raises(ValueError) as error:
            bertx.train(encoder, ROWS, out=tmp_path / "cut", resume=True, **options | changes)
        assert part in str(error.value)
    bertx.train(encoder, ROWS, out=tmp_path / "cut", resume=True, **options)
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# --- what cannot be ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*initialised for Bert:UserWarning")
def test_what_cannot_be_is_refused_and_nothing_is_left(encoder, classifier, tagger, tmp_path):
    out = tmp_path / "folder" / "out"

    def refused(*parts, kind=ValueError, source=classifier, rows=ROWS, **changes):
        options = {"task": "text-classification", "teacher": classifier, "out": out, "backend": "torch", "steps": 1}
        with pytest.raises(kind) as error:
            bertx.train(source, rows, **options | changes)
        assert all(part in str(error.value) for part in parts), error.value
        assert not out.parent.exists()

    refused("a distillation has no 'alpha'; it has temperature, label_weight", distillation={"alpha": 1})
    refused(
        "temperature is 0",
        "cosine_weight is -1",
        "hidden_weight and hidden_layers need each other",
        distillation={"temperature": 0, "cosine_weight": -1, "hidden_weight": 1},
    )
    refused("hidden_layers is (1, 2)", distillation={"hidden_weight": 1, "hidden_layers": [1, 2]})
    refused("a layer of the student twice", distillation={"hidden_weight": 1, "hidden_layers": [[1, 1], [1, 2]]})
    refused("nothing is learnt of the teacher", distillation={"soft_weight": 0})
    refused("there is none: give teacher=", teacher=None, distillation={"temperature": 3})
    refused("there is none: give teacher=", teacher=None, teacher_backend="numpy")
    refused("cannot teach text-classification: it has no", kind=bertx.CheckpointError, teacher=encoder)
    refused("labels is ('bad', 'good'), the student's ('good', 'bad')", source=encoder, labels=["good", "bad"])
    refused(
        "layer 7 of the student, which has 3",
        "layer 9 of the teacher, which has 3",
        distillation={"hidden_weight": 1, "hidden_layers": [[7, 9]]},
    )
    small = write_encoder(tmp_path, hidden_size=24, num_attention_heads=3)
    (tmp_path / "vocab.txt").write_text((tmp_path / "vocab.txt").read_text().replace("soup", "soups"))
    refused(
        "other tokens",
        "hidden_size is 48, the student's 24",
        "num_attention_heads is 4, the student's 3",
        source=small,
        distillation={"cosine_weight": 1, "relation_weight": 1},
    )
    refused("packing has no distillation", task="fill-mask", packing=True)
    refused("feature-extraction has no distillation", task="feature-extraction", rows=PAIRS, source=encoder)
    refused("layers are of a checkpoint", config=bertx.BertConfig(num_hidden_layers=1), layers=[0])
    for layers in ([], [3], [0, 0], [-1], [0.5]):
        refused("expected some of the 3 layers", layers=layers)


def test_a_teacher_without_the_head_teaches_states(encoder, tmp_path):
    settings = {"soft_weight": 0, "relation_weight": 1}
    out = tmp_path / "out"
    bertx.train(encoder, ROWS, out=out, teacher=encoder, layers=[0], distillation=settings, backend="torch", **CLASSIFY)
    assert len(losses_of(out)) == 12
