"""Data that cannot be trained on: each a clear error, and the run's last checkpoint stays as it was."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from reviews import ROWS
from task_data import CASES, rows_of, write_checkpoint, write_squad

import bertx
from bertx.data import DataError

OPTIONS = {"backend": "torch", "learning_rate": 1e-3, "batch_size": 8, "save_steps": 2, "steps": 6}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """case → (a checkpoint, rows or a file of them)."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = write_checkpoint(folder, CASES[name]), rows_of(CASES[name], folder)
        return made[name]

    return make


class Crash(Exception):  # noqa: N818
    pass


def crash_after_four(done):
    if done.step == 4:
        raise Crash


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_last_checkpoint_is_intact_after_each_error(sources, tmp_path):
    """A run that was cut off is resumed with wrong data, then with a loss that is NaN, and at last as it began."""
    folder, _ = sources("single")
    path, out = tmp_path / "reviews.csv", tmp_path / "out"
    good = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS)
    options = OPTIONS | {"task": "text-classification", "resume": True}
    path.write_text(good)
    bertx.train(folder, path, out=tmp_path / "whole", **options)
    with pytest.raises(Crash):
        bertx.train(folder, path, out=out, on_step=crash_after_four, **options)
    before = files(out / "checkpoints")
    assert {name.parts[0] for name in before} == {"2"}  # of the crash after 4 it is the last
    wrong = {
        "a wrong label": (good.replace(",good\n", ",better\n", 1), "(?s)line 42 .*'better', which the config does not"),
        "an unknown column": (good.replace("text,", "review,", 1), "no column for text.*'review', 'label'.*columns="),
        "an empty file": ("", "no rows|is empty"),
        "a header alone": ("text,label\n", "no rows"),
        "other rows": (good.replace("the soup", "the bread"), "of another run.*\n.*the rows"),
    }
    for content, match in wrong.values():
        path.write_text(content)
        with pytest.raises(ValueError, match=match):
            bertx.train(folder, path, out=out, **options)
        assert files(out / "checkpoints") == before
    path.write_text(good)
    bertx.train(folder, path, out=out, **options)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "row", "match"),
    [
        ("single", {"text": "the soup", "label": "better"}, "label 'better', which the config does not know"),
        ("several", {"text": "the soup", "label": ["good", "cheap"]}, "label 'cheap', which the config does not know"),
        ("several", {"text": "the soup", "label": "good"}, "expected a list of classes"),
        ("numbers", {"text": "the soup", "label": "many"}, "label 'many', expected a number"),
        ("tags", {"tokens": ["the", "soup"], "tags": ["O"]}, "2 words and 1 tags"),
        ("tags", {"tokens": ["the", "soup"], "tags": ["O", "B-DISH"]}, "label 'B-DISH', which the config"),
        ("choices", {"question": "the soup", "choices": ["a", "b"], "label": 2}, "label 2, expected 0 to 1"),
        ("next", {"text": "the soup", "text_pair": "the room", "label": 2}, "label 2, expected 0"),
        ("masked", {"text": "  "}, "empty text"),
        ("pretraining", {"sentences": []}, "expected a list of texts"),
        ("pairs", {"anchor": "the soup", "positive": 3}, "has 3 for its positive, expected text"),
        ("scores", {"sentence1": "the soup", "sentence2": "the room", "score": "much"}, "score 'much', expected a"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_written(sources, name, row, match, tmp_path):
    folder, rows = sources(name)
    labels = list(CASES[name].config.get("id2label", {}).values()) or None
    options = OPTIONS | {"task": CASES[name].task, "labels": labels, "out": tmp_path / "run" / "out"}
    with pytest.raises(DataError, match=f"(?s)row {len(rows)} .*{match}"):
        bertx.train(folder, [*rows, row], **options)
    with pytest.raises(DataError, match=f"(?s)row 1 .*{match}"):
        bertx.train(folder, rows, evaluation=[rows[0], row], **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if isinstance(case.rows, list)])
def test_a_column_that_is_not_there_is_named(sources, name, tmp_path):
    folder, rows = sources(name)
    column = next(iter(rows[0]))
    renamed = [{("mine" if key == column else key): value for key, value in row.items()} for row in rows]
    options = OPTIONS | {"task": CASES[name].task, "out": tmp_path / "run" / "out"}
    with pytest.raises(ValueError, match=r"no column for .*'mine'.*columns="):
        bertx.train(folder, renamed, **options)
    with pytest.raises(ValueError, match="columns names 'mine'"):
        bertx.train(folder, rows, collator={"columns": {"mine": column}}, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ending", ["jsonl", "csv", "txt", "conll", "json", "parquet"])
@pytest.mark.parametrize("task", ["text-classification", "question-answering", "fill-mask"])
def test_an_empty_file_is_told(sources, ending, task, tmp_path):
    folder, _ = sources("single")
    path = tmp_path / f"empty.{ending}"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"empty\.{ending}"):
        bertx.train(folder, path, task=task, out=tmp_path / "run" / "out", **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_squad_without_questions_is_told(sources, tmp_path):
    folder, _ = sources("squad1")
    path = write_squad(tmp_path / "squad.json", "1.1")
    values = json.loads(path.read_text())
    for article in values["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = []
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"squad\.json has no questions"):
        bertx.train(folder, path, task="question-answering", out=tmp_path / "run", **OPTIONS)


def test_a_class_that_never_occurs_is_logged_and_kept(sources, tmp_path, caplog):
    folder, rows = sources("single")
    with caplog.at_level(logging.WARNING, "bertx"):
        model = bertx.train(
            folder,
            rows,
            task="text-classification",
            labels=["bad", "good", "mixed"],
            evaluation=rows[:8],  # all of them bad
            metric="f1",
            out=tmp_path / "out",
            **OPTIONS,
        )
    assert "of 80 rows none has the label 'mixed': the model cannot learn it" in caplog.text
    assert model.config.labels == ("bad", "good", "mixed")
    assert {label["label"] for label in model("the soup", top_k=None)} == {"bad", "good", "mixed"}
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["eval_f1"]) for line in lines if "eval_f1" in line)


@pytest.mark.parametrize("name", ["tags", "squad1", "masked", "pairs"])
def test_a_loss_that_is_nan_leaves_the_last_checkpoint(sources, name, tmp_path):
    folder, rows = sources(name)
    options = OPTIONS | {"task": CASES[name].task, "out": tmp_path / "out", "save_steps": 1, "keep": 20}
    options |= {"learning_rate": 1e30, "warmup_steps": 3, "max_grad_norm": None}
    with pytest.raises(bertx.TrainingError, match=r"update \d: the loss is .*checkpoints/\d, is whole: train with a"):
        bertx.train(folder, rows, **options)
    first = bertx.load(tmp_path / "out" / "checkpoints" / "1")
    assert all(np.isfinite(value).all() for _, value in first.tensors())
    assert not (tmp_path / "out" / "model.safetensors").exists()
