"""bertx train: its options are those of bertx.train, wrong ones are refused, and a run that is stopped says so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import bertx
import bertx.training.run
from bertx.cli import _as_options, app

pytest_plugins = "cli_support"


@pytest.fixture
def data(tmp_path):
    rows = [{"text": text, "label": label} for text, label in (("the happy dog", "good"), ("the cat", "bad"))] * 8
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def called(monkeypatch):
    """The arguments of each call of bertx.train."""
    calls = []
    monkeypatch.setattr(bertx.training.run, "train", lambda *args, **options: calls.append((args, options)))
    return calls


def invoke(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "200"})


def test_options_are_those_of_the_function(called, data, tmp_path):
    (tmp_path / "recipe.json").write_text('{"learning_rate": 1e-3, "betas": [0.8, 0.9]}')
    arguments = ["ner", "bert-base", "--data", data, "--out", tmp_path / "out", "--steps", 5, "--batch-size", 4]
    arguments += ["--accumulation", 2, "-l", "1e-4", "--schedule", "cosine", "--warmup", 3, "--weight-decay", 0.1]
    arguments += ["--max-grad-norm", 2, "--label-smoothing", 0.1, "--layer-decay", 0.9, "--seed", 7, "--keep", 3]
    arguments += ["--dtype", "mixed_bfloat16", "--recipe", tmp_path / "recipe.json", "--max-length", 20]
    arguments += ["-c", "tokens=words", "--label", "O", "--label", "B-X", "--save-steps", 2, "--resume", "-b", "torch"]
    arguments += ["--evaluation", data, "--metric", "f1", "--patience", 2, "--shard"]
    arguments += ["--teacher", "large", "--teacher-backend", "numpy", "--layers", "1,3"]
    arguments += ["--distil", "temperature=4", "--distil", "hidden_layers=1:2,2:4", "--distil", "hidden_weight=1"]
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    (((source, rows), options),) = called
    assert (source, rows) == ("bert-base", data)
    assert options.pop("on_step")
    assert options == {
        "out": tmp_path / "out",
        "task": "token-classification",
        "backend": "torch",
        "device": None,
        "revision": None,
        "recipe": bertx.Recipe(
            learning_rate=1e-4,
            betas=(0.8, 0.9),
            weight_decay=0.1,
            warmup_steps=3,
            schedule="cosine",
            max_grad_norm=2.0,
            gradient_accumulation_steps=2,
            label_smoothing=0.1,
            layer_decay=0.9,
            steps=5,
            batch_size=4,
            seed=7,
            dtype="mixed_bfloat16",
        ),
        "evaluation": data,
        "metric": "f1",
        "patience": 2,
        "labels": ["O", "B-X"],
        "problem_type": None,
        "config": None,
        "collator": {"columns": {"tokens": "words"}, "max_length": 20},
        "teacher": "large",
        "teacher_backend": "numpy",
        "distillation": bertx.Distillation(temperature=4, hidden_weight=1, hidden_layers=[[1, 2], [2, 4]]),
        "layers": [1, 3],
        "save_steps": 2,
        "keep": 3,
        "resume": True,
        "shard": True,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no column for text: .*'review', 'label': name yours with --column text=NAME$"),
        (["--metric", "f1"], "there are no rows for it: give --evaluation$"),
        (["--patience", 2], "no metric is watched: give --metric$"),
        (["--teacher-backend", "numpy"], "there is none: give --teacher$"),
    ],
)
def test_errors_name_the_options_of_the_command_line(given, said, tmp_path):
    table = tmp_path / "odd.csv"
    table.write_text("review,label\nfine,good\n")
    arguments = ["text-classification", "bertx-tiny", "--data", table, "-o", tmp_path / "out", "-b", "torch"]
    result = invoke(*arguments, *given)
    assert re.search(said, _as_options(str(result.exception)))


def test_a_warm_up_below_one_is_a_share(called, data, tmp_path):
    assert invoke("fill-mask", "m", "--data", data, "-o", tmp_path / "out", "--warmup", 0.1).exit_code == 0
    assert called[0][1]["recipe"] == bertx.Recipe(warmup_ratio=0.1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--steps", "0", "--dtype", "float16"], "steps is 0, expected an integer of at least 1"),
        (["--warmup", "1.5"], "--warmup is 1.5"),
        (["--epochs", "1", "--steps", "1"], "epochs and steps are both given"),
        (["--column", "text"], "expected FIELD=NAME"),
        (["--backend", "tf"], "did you mean tensorflow"),
        (["--teacher-backend", "tf"], "did you mean tensorflow"),
        (["--teacher", "t", "--distil", "alpha=1"], "a distillation has no 'alpha'"),
        (["--teacher", "t", "--distil", "temperature"], "expected FIELD=VALUE"),
        (["--teacher", "t", "--distil", "temperature=hot"], "temperature is 'hot'"),
        (["--teacher", "t", "--distil", "hidden_layers=1-2"], "expected pairs such as 1:2,2:4"),
        (["--layers", "1,x"], "--layers is '1,x'"),
    ],
)
def test_wrong_usage_is_told(called, data, tmp_path, options, says):
    result = invoke("text-classification", "m", "--data", data, "-o", tmp_path / "out", *options)
    told = result.output + str(result.exception)
    assert not called and says in told
    assert result.exit_code == 2 or isinstance(result.exception, bertx.cli.records.WrongUsage)


def test_an_unknown_task_is_wrong_usage(called, data, tmp_path):
    result = invoke("classify", "m", "--data", data, "-o", tmp_path / "out")
    assert isinstance(result.exception, bertx.cli.records.WrongUsage) and "no task 'classify'" in str(result.exception)


def test_help_has_an_example():
    result = invoke("--help")
    assert result.exit_code == 0 and "bertx train text-classification bert-base --data reviews.jsonl" in result.output


def test_help_has_an_example_of_each_task():
    """Each is a command whose options are there."""
    from bertx.data.collators import _COLLATORS

    shown = invoke("--help").output
    examples = re.findall(r"^ *bertx (train [^\n│]+)", shown, re.MULTILINE)
    assert {example.split()[1] for example in examples} == set(_COLLATORS)
    for example in examples:
        options = re.findall(r"(?<= )--?[a-z][a-z-]*", example)
        assert all(re.search(rf"{option}\b", shown.partition("Examples:")[0]) for option in options), example


def test_a_run_that_is_stopped_says_how_to_go_on(checkpoint, data, tmp_path):
    """A process as a user starts it; SIGTERM once it has begun to train."""
    out = tmp_path / "out"
    arguments = ["train", "text-classification", str(checkpoint("classify")), "--data", str(data), "--out", str(out)]
    command = [sys.executable, "-m", "bertx", *arguments, "--steps", "100000", "-b", "torch"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 240
    while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < until, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1]
    assert process.returncode == 1, errors
    assert "saved in" in errors and "--resume" in errors and "Traceback" not in errors
    steps = os.listdir(out / "checkpoints")
    assert 1 <= len(steps) <= 2
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2 and "has a run already: give --resume" in again.stderr
    recipe = json.loads((out / "checkpoints" / steps[0] / "train_state.json").read_text())["recipe"]
    assert recipe["steps"] == 100000


def test_a_new_model_and_packing(called, data, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    arguments = ["fill-mask", "tokenizer", "--data", data, "-o", tmp_path / "out", "--packing"]
    assert invoke(*arguments, "--config", tmp_path / "config.json").exit_code == 0
    options = called[0][1]
    assert options["recipe"] == bertx.Recipe(packing=True) and options["config"] == tmp_path / "config.json"
