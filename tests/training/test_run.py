"""bertx.train: rows in, a checkpoint out; a run that is cut off anywhere goes on to the same bytes."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import transformers
from reviews import ROWS, STARS, TAGS, WORDS, write_encoder

import bertx
from bertx.checkpoints.train_state import read_state
from bertx.training.run import Watch

FRAMEWORKS = ("torch", "jax", "tensorflow")
FAST = {"learning_rate": 2e-3, "steps": 12, "batch_size": 8, "warmup_ratio": 0.1}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Without dropout."""
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return write_encoder(tmp_path_factory.mktemp("still"), **rates)


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


# --- tasks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_classifier_is_trained_and_loads_anywhere(encoder, framework, tmp_path):
    reported = []
    model = bertx.train(
        encoder,
        ROWS,
        task="text-classification",
        out=tmp_path / "out",
        backend=framework,
        evaluation=ROWS[::7],
        on_step=reported.append,
        **FAST | {"steps": 60},
    )
    assert [done.step for done in reported] == list(range(1, 61))
    found = lines(tmp_path / "out")
    losses = [line["loss"] for line in found if "loss" in line]
    assert len(losses) == 60 and np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert found[-1]["eval_accuracy"] > 0.9 and found[-1]["eval_loss"] < 0.5
    again = bertx.load(tmp_path / "out", backend="numpy")
    assert again.config.labels == ("bad", "good") and again.config.problem_type == "single_label_classification"
    assert again("the soup was a delight")["label"] == "good" and model("the room broke at once")["label"] == "bad"
    assert sorted(path.name for path in (tmp_path / "out" / "checkpoints").iterdir()) == ["50", "60"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_model_that_is_returned_drops_nothing_out(encoder, framework, tmp_path):
    options = FAST | {"task": "text-classification", "backend": framework, "steps": 1}
    model = bertx.train(encoder, ROWS, out=tmp_path / "out", **options)  # without an evaluation
    expected = bertx.load(tmp_path / "out", backend="numpy")("the soup", top_k=None)
    assert {label["label"]: label["score"] for label in model("the soup", top_k=None)} == pytest.approx(
        {label["label"]: label["score"] for label in expected}, abs=1e-5
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_several_labels_and_numbers(encoder, framework, tmp_path):
    options = FAST | {"task": "text-classification", "backend": framework, "steps": 80, "learning_rate": 4e-3}
    several = bertx.train(encoder, TAGS, out=tmp_path / "several", **options)
    assert several.config.problem_type == "multi_label_classification"
    scores = {label["label"]: label["score"] for label in several("the soup made me smile", top_k=None)}
    assert scores.keys() == {"bad", "food", "good"} and scores["good"] > 2 * scores["bad"]
    numbers = bertx.train(encoder, STARS, out=tmp_path / "numbers", evaluation=STARS[:8], **options)
    assert numbers.config.problem_type == "regression" and numbers.config.num_labels == 1
    found = numbers(["the film made me smile", "my phone broke at once"], function_to_apply="none")
    assert found[0]["score"] > found[1]["score"] + 1
    assert lines(tmp_path / "numbers")[-1].keys() == {"step", "eval_loss", "eval_spearman", "eval_pearson", "eval_mse"}


def test_words_are_tagged(encoder, tmp_path):
    model = bertx.train(encoder, WORDS, task="ner", out=tmp_path / "out", backend="torch", **FAST | {"steps": 40})
    assert model.config.labels == ("B-THING", "O")
    assert [entity["word"] for entity in model("the hotel was warm")] == ["hotel"]


def test_masked_words_are_learnt(encoder, tmp_path):
    rows = [{"text": row["text"]} for row in ROWS]
    bertx.train(encoder, rows, task="fill-mask", out=tmp_path / "out", backend="torch", **FAST | {"steps": 100})
    losses = [line["loss"] for line in lines(tmp_path / "out")]
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:10])


def test_a_classifier_that_is_trained_on_keeps_its_labels_and_weights(encoder, tmp_path):
    options = {"backend": "torch", **FAST}
    bertx.train(encoder, ROWS, task="text-classification", out=tmp_path / "one", **options)
    again = bertx.train(
        tmp_path / "one", ROWS[:40], out=tmp_path / "two", **options | {"learning_rate": 1e-9, "steps": 1}
    )
    assert again.config.labels == ("bad", "good")  # of which these rows have one
    before, after = (dict(bertx.load(tmp_path / name).tensors()) for name in ("one", "two"))
    assert np.abs(before["classifier.weight"] - after["classifier.weight"]).max() < 1e-6
    other = [row | {"label": f"new {row['label']} {len(row['text']) % 2}"} for row in ROWS]
    third = bertx.train(tmp_path / "one", other, out=tmp_path / "three", **options | {"steps": 1})
    assert third.config.num_labels == 4


def test_the_seed_is_that_of_a_new_head_too(encoder, tmp_path):
    """With a learning rate of almost nothing, what is written is what it began with."""
    recipe = {"learning_rate": 1e-30, "steps": 1, "weight_decay": 0.0}
    heads = [
        dict(
            bertx.train(
                encoder, ROWS, task="text-classification", out=tmp_path / f"{i}", backend="torch", seed=seed, **recipe
            ).tensors()
        )["classifier.weight"]
        for i, seed in enumerate((0, 0, 1))
    ]
    assert np.array_equal(heads[0], heads[1])
    assert np.abs(heads[0] - heads[2]).max() > 1e-3


def test_what_cannot_be_is_refused_and_nothing_is_left(encoder, tmp_path):
    out = tmp_path / "folder" / "out"
    good = {"task": "text-classification", "out": out, "backend": "torch", "steps": 1}

    def refused(match, rows=ROWS, kind=ValueError, **changes):
        with pytest.raises(kind, match=match):
            bertx.train(encoder, rows, **good | changes)
        assert not out.parent.exists()

    refused("a recipe has no 'lr'", lr=1)
    refused("learning_rate is 0", learning_rate=0)
    refused("numpy backend computes no gradients", backend="numpy")
    refused("metric is 'recall'; those of .* are loss, accuracy, f1", evaluation=ROWS, metric="recall")
    refused(r"(?s)no rows for it.*keep is 0.*", metric="loss", keep=0)
    refused("no rows", rows=[])
    refused("expected a list of dicts", rows=3, kind=TypeError)
    refused("'text'", rows=[{"review": "good", "label": "a"}])
    refused("row 80", rows=[*ROWS, {"text": 3, "label": "good"}])
    refused("'better'", labels=["bad", "good"], rows=[*ROWS, {"text": "x", "label": "better"}])
    refused("has no loss to train it with", task=None)
    refused("labels and problem_type are of classifiers", task="fill-mask", labels=["a"])
    refused("problem_type is of text-classification", task="ner", rows=WORDS, problem_type="regression")
    refused("give recipe= or its fields", recipe=bertx.Recipe(steps=1))
    refused("trains in float32, mixed_bfloat16", backend="jax", dtype="float64")


def test_an_out_that_is_there_is_left(encoder, tmp_path):
    options = {"task": "text-classification", "backend": "torch", "steps": 1}
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="no run that could be resumed"):
            bertx.train(encoder, ROWS, out=tmp_path / "taken", resume=resume, **options)
    with pytest.raises(FileExistsError):
        bertx.train(encoder, ROWS, out=encoder, **options)
    bertx.train(encoder, ROWS, out=tmp_path / "out", **options)
    with pytest.raises(FileExistsError, match="resume=True"):
        bertx.train(encoder, ROWS, out=tmp_path / "out", **options)
    before = weights(tmp_path / "out")
    bertx.train(encoder, ROWS, out=tmp_path / "out", resume=True, **options)  # it is at its end
    assert weights(tmp_path / "out") == before


# --- the best checkpoint ----------------------------------------------------------------------------


def test_the_best_checkpoint_is_kept_and_is_what_is_written(encoder, tmp_path):
    """What it is evaluated on is labelled the wrong way round: the more is learnt, the worse it is."""
    out = tmp_path / "out"
    wrong = [row | {"label": {"good": "bad", "bad": "good"}[row["label"]]} for row in ROWS]
    options = FAST | {"steps": 16, "save_steps": 2, "evaluation": wrong, "metric": "loss", "backend": "torch"}
    bertx.train(encoder, ROWS, task="text-classification", out=out, **options)
    evaluated = {line["step"]: line["eval_loss"] for line in lines(out) if "eval_loss" in line}
    best = min(evaluated, key=evaluated.get)
    assert best < 13 and len(evaluated) == 8
    kept = sorted(int(path.name) for path in (out / "checkpoints").iterdir())
    assert kept == [best, 14, 16]
    assert read_state(out / "checkpoints" / "16").best.step == best
    assert weights(out) == weights(out / "checkpoints" / str(best))


# --- early stopping ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 0.6, 0.6, 0.55, 0.7, 0.7, 0.7, 0.8],
        [0.5, 0.4, 0.3],
        [0.9, 0.8, 0.91, 0.8, 0.8],
        [float("nan"), 0.2, 0.1, 0.1],
        [float("nan"), float("nan"), 0.2],
        [0.3, float("nan"), 0.4, 0.4, float("nan")],
    ],
)
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_early_stopping_is_that_of_transformers(values, metric, patience, tmp_path):
    callback = transformers.EarlyStoppingCallback(patience)
    greater = metric == "accuracy"
    arguments = transformers.TrainingArguments(str(tmp_path), greater_is_better=greater, metric_for_best_model=metric)
    state, control = transformers.TrainerState(), transformers.TrainerControl()
    watch = Watch(metric, patience)
    for step, value in enumerate(values):
        watch.add(step, value)
        callback.on_evaluate(arguments, state, control, {f"eval_{metric}": value})
        if state.best_metric is None:  # as Trainer._determine_best_metric
            state.best_metric = -np.inf if greater else np.inf
        if (np.greater if greater else np.less)(value, state.best_metric):
            state.best_metric, state.best_global_step = value, step
        assert watch.is_over == control.should_training_stop
        assert watch.best is None or watch.best.step == state.best_global_step
        if watch.is_over:
            return


def test_a_run_ends_early_and_its_best_checkpoint_is_written(encoder, tmp_path):
    """What it is evaluated on is labelled the wrong way round; cut off in between it ends where it would have."""
    wrong = [row | {"label": {"good": "bad", "bad": "good"}[row["label"]]} for row in ROWS]
    options = FAST | {"steps": 40, "save_steps": 2, "evaluation": wrong, "metric": "loss", "patience": 3}
    options |= {"task": "text-classification", "backend": "torch"}
    bertx.train(encoder, ROWS, out=tmp_path / "whole", **options)
    evaluated = {line["step"]: line["eval_loss"] for line in lines(tmp_path / "whole") if "eval_loss" in line}
    best, last = min(evaluated, key=evaluated.get), max(evaluated)
    assert last == best + 6 < 40
    assert weights(tmp_path / "whole") == weights(tmp_path / "whole" / "checkpoints" / str(best))
    with pytest.raises(Crash):
        bertx.train(encoder, ROWS, out=tmp_path / "cut", on_step=crash_after(last - 1), **options)
    for _ in range(2):  # the second time it has ended already
        bertx.train(encoder, ROWS, out=tmp_path / "cut", resume=True, **options)
        assert (tmp_path / "cut" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
        assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    with pytest.raises(ValueError, match="patience is 2, and no metric is watched"):
        bertx.train(encoder, ROWS, out=tmp_path / "no", **options | {"metric": None, "patience": 2})


# --- going on ---------------------------------------------------------------------------------------


class Crash(Exception):  # noqa: N818
    pass


def crash_after(step):
    def on_step(done):
        if done.step == step:
            raise Crash

    return on_step


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_run_that_crashed_goes_on_to_the_same_bytes(encoder, framework, tmp_path):
    """With dropout; saved after each 3 updates, each of two batches, cut off after the 8th and the 10th."""
    options = FAST | {
        "task": "text-classification",
        "backend": framework,
        "gradient_accumulation_steps": 2,
        "save_steps": 3,
        "evaluation": ROWS[:9],
    }
    bertx.train(encoder, ROWS, out=tmp_path / "whole", **options)
    for step in (8, 10, 2):
        with pytest.raises(Crash):
            bertx.train(encoder, ROWS, out=tmp_path / "cut", resume=True, on_step=crash_after(step), **options)
        if step == 10:
            break
    bertx.train(encoder, ROWS, out=tmp_path / "cut", resume=True, **options)
    assert (tmp_path / "cut" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    for name in ("optimizer.safetensors", "train_state.json"):
        whole, cut = (tmp_path / run / "checkpoints" / "12" / name for run in ("whole", "cut"))
        assert whole.read_bytes() == cut.read_bytes()


# Forks, so that each run has no more to import: the parent runs no operation, which would start threads.
KILLS = """
import os, random, signal, sys
import {framework}, bertx, bertx.training.run, bertx_{framework}.train, bertx_{framework}.bert
sys.path.insert(0, {tests!r})
from reviews import ROWS
WRITES = {{"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}}

def run(out, kill_at=None):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in WRITES and arguments and str(arguments[0]).startswith(out):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    if kill_at:
        sys.addaudithook(hook)
    code = 1
    try:
        bertx.train({encoder!r}, ROWS, task="text-classification", out=out, backend="{framework}", steps=30,
                    batch_size=8, learning_rate=2e-3, save_steps=2, evaluation=ROWS[:8], metric="loss", resume=True)
        code = 0
    finally:
        os._exit(code)

assert run({whole!r}) == 0
generator, killed = random.Random(5), 0
while killed < 10:
    code = run({cut!r}, generator.randint(3, 150))
    assert code in (0, -9), code
    killed += code == -9
    if code == 0:
        raise SystemExit(f"ended after {{killed}} kills")
assert run({cut!r}) == 0
"""


@pytest.mark.parametrize(
    "framework", ["torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("jax", "tensorflow"))]
)
def test_a_run_that_is_killed_ten_times_goes_on_to_the_same_bytes(encoder, framework, tmp_path):
    """-9 before some operation on a file, at random: before the first checkpoint, in a half-written one, in between."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    paths = {"tests": Path(__file__).parent, "encoder": encoder, "whole": whole, "cut": cut}
    code = KILLS.format(framework=framework, **{name: str(path) for name, path in paths.items()})
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert weights(cut) == weights(whole)
    assert (cut / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert sorted(os.listdir(cut)) == sorted(os.listdir(whole))
    assert sorted(os.listdir(cut / "checkpoints")) == sorted(os.listdir(whole / "checkpoints"))


def test_sixty_updates_on_each_framework_are_those_of_one(still, tmp_path, caplog):
    """torch → JAX → TensorFlow without dropout: the curve of torch alone, within rounding."""
    options = {"task": "text-classification", "learning_rate": 5e-4, "steps": 180, "batch_size": 16, "save_steps": 60}
    bertx.train(still, ROWS, out=tmp_path / "whole", backend="torch", **options)
    for framework, step in zip(FRAMEWORKS, (61, 121, None), strict=True):
        options |= {"backend": framework, "resume": True, "on_step": crash_after(step)}
        if step is None:
            bertx.train(still, ROWS, out=tmp_path / "parts", **options)
        else:
            with pytest.raises(Crash):
                bertx.train(still, ROWS, out=tmp_path / "parts", **options)
    one, three = ([line["loss"] for line in lines(tmp_path / name)] for name in ("whole", "parts"))
    assert one[:60] == three[:60] and len(three) == 180
    difference = np.abs(np.subtract(one, three))
    print(f"losses {difference.max():.1e}")
    assert difference.max() < 2e-5
    assert not [record for record in caplog.records if "dropout" in record.getMessage()]


def test_another_backend_says_that_dropout_is_its_own(encoder, tmp_path, caplog):
    options = FAST | {"task": "text-classification", "out": tmp_path / "out", "save_steps": 4}
    with pytest.raises(Crash):
        bertx.train(encoder, ROWS, backend="torch", on_step=crash_after(5), **options)
    with caplog.at_level(logging.WARNING, "bertx"):
        bertx.train(encoder, ROWS, backend="jax", resume=True, **options)
    assert "update 4 and those after it are on jax, the ones before were on torch: what dropout draws" in caplog.text


def test_a_run_is_not_resumed_as_another(encoder, tmp_path):
    options = FAST | {"task": "text-classification", "out": tmp_path / "out", "backend": "torch"}
    bertx.train(encoder, ROWS, **options)
    with pytest.raises(ValueError) as error:
        bertx.train(encoder, ROWS[1:], resume=True, **options | {"learning_rate": 1e-3, "seed": 1})
    for part in ("learning_rate: 0.002 before, 0.001 now", "seed: 0 before, 1 now", "rows: 80 before, 79 now"):
        assert part in str(error.value)
    with pytest.raises(ValueError, match=r"collator: None before, \{'max_length': 8\} now"):
        bertx.train(encoder, ROWS, resume=True, collator={"max_length": 8}, **options)
    with pytest.raises(ValueError, match="the rows: "):  # as many, in another order
        bertx.train(encoder, ROWS[::-1], resume=True, **options)
    with pytest.raises(ValueError, match="of a run of text-classification; the task is now fill-mask"):
        bertx.train(encoder, ROWS, resume=True, **options | {"task": "fill-mask"})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train_state.json", b"{", "not JSON"),
        ("train_state.json", b"{}", "has the keys"),
        ("optimizer.safetensors", b"\0" * 20, "not a whole safetensors file"),
        ("optimizer.safetensors", None, "not there"),
    ],
)
def test_a_broken_state_is_told(encoder, tmp_path, name, content, says):
    options = {"task": "text-classification", "out": tmp_path / "out", "backend": "torch", "steps": 1}
    bertx.train(encoder, ROWS, **options)
    path = tmp_path / "out" / "checkpoints" / "1" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(bertx.CheckpointError, match=says):
        bertx.train(encoder, ROWS, resume=True, **options)


def test_ctrl_c_saves_and_says_how_to_go_on(encoder, tmp_path):
    options = FAST | {"task": "text-classification", "backend": "torch"}
    bertx.train(encoder, ROWS, out=tmp_path / "whole", **options)

    def interrupt(done):
        if done.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(bertx.TrainingStopped, match=r"after update 5 of 12, saved in .*checkpoints/5: .*resume=True"):
        bertx.train(encoder, ROWS, out=tmp_path / "out", on_step=interrupt, **options)
    assert signal.getsignal(signal.SIGINT) is before
    bertx.train(encoder, ROWS, out=tmp_path / "out", resume=True, **options)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_loss_that_is_not_finite_names_the_update_and_leaves_the_last_checkpoint(encoder, framework, tmp_path):
    options = {"learning_rate": 1e30, "warmup_steps": 4, "max_grad_norm": None, "steps": 12, "batch_size": 8}
    with pytest.raises(
        bertx.TrainingError, match=r"update \d: the loss is .*checkpoints/\d, is whole: train with a lower"
    ):
        bertx.train(
            encoder,
            ROWS,
            task="text-classification",
            out=tmp_path / "out",
            backend=framework,
            save_steps=1,
            keep=20,
            **options,
        )
    first = bertx.load(tmp_path / "out" / "checkpoints" / "1")
    assert all(np.isfinite(value).all() for _, value in first.tensors())
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_two_jobs_do_not_write_one_run(encoder, tmp_path):
    options = FAST | {"task": "text-classification", "out": tmp_path / "out", "backend": "torch"}

    def second(done):
        with pytest.raises(FileExistsError, match="another job"):
            bertx.train(encoder, ROWS, resume=True, **options)

    bertx.train(encoder, ROWS, on_step=second, **options | {"steps": 1})
