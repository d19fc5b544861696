"""What a run leaves beside the model: its card, its curves, TensorBoard's event files."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
import struct
import sys

import pytest
from reviews import ROWS, write_encoder

import bertx
from bertx_torch import nn
from bertx_torch.layers import activations

OPTIONS = {
    "task": "text-classification",
    "backend": "torch",
    "learning_rate": 1e-3,
    "batch_size": 8,
    "steps": 6,
    "save_steps": 3,
    "metric": "accuracy",
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "private" / "reviews.csv"
    path.parent.mkdir()
    path.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS))
    return path


def test_the_card_says_data_recipe_figures_and_versions_and_no_text(encoder, reviews, tmp_path):
    out = tmp_path / "my-classifier"
    bertx.train(encoder, reviews, out=out, evaluation=ROWS[:16], **OPTIONS)
    card = (out / "README.md").read_text()
    for part in (
        "# my-classifier",
        "A BertForSequenceClassification for text-classification, trained from `" + encoder.name + "`",
        "model = bertx.load('my-classifier')",
        "| training | reviews.csv | 80 |",
        "| evaluation | rows in memory | 16 |",
        "6 updates of AdamW.",
        "| learning_rate | 0.001 |",
        "| update | loss | accuracy | f1 |",
        "where accuracy was best",
        "![The curves of the losses and of the evaluations](curves.png)",
        "Of 6 outputs, hidden states and attention among them, all are within their tolerance.",
        "`bertx parity my-classifier --backend torch`",
        f"| torch | {importlib.metadata.version('torch')} |",
        "| numpy |",
    ):
        assert part in card, part
    assert "private" not in card and str(tmp_path) not in card
    assert not any(row["text"] in card for row in ROWS)
    assert card.startswith('---\nlibrary_name: "bertx"\npipeline_tag: "text-classification"\n')
    bertx.train(encoder, reviews, out=out, evaluation=ROWS[:16], resume=True, **OPTIONS)
    assert (out / "README.md").read_text() == card


def test_the_card_has_the_parity_of_what_was_written(encoder, tmp_path, monkeypatch, caplog):
    """max |Δ| to the oracle, and a line in the log where a backend computes another model than the oracle."""
    out = tmp_path / "out"
    bertx.train(encoder, ROWS, out=out, **{**OPTIONS, "metric": None})
    (row,) = re.findall(r"^\| logits \| (\S+) \| (\S+) \|$", (out / "README.md").read_text(), re.MULTILINE)
    difference, tolerance = map(float, row)
    assert 0 < difference <= tolerance < 1e-4
    assert "oracle" not in caplog.text
    monkeypatch.setitem(activations.ACTIVATIONS, "gelu", nn.gelu_tanh)
    bertx.train(encoder, ROWS, out=tmp_path / "other", **{**OPTIONS, "metric": None})
    assert "other differs more from the float64 oracle than rounding explains:\n" in caplog.text
    assert re.search(r"Of 6 outputs, .* [1-6] are outside their tol", (tmp_path / "other" / "README.md").read_text())


def test_the_curves_are_a_picture(encoder, tmp_path):
    bertx.train(encoder, ROWS, out=tmp_path / "out", evaluation=ROWS[:16], **OPTIONS)
    content = (tmp_path / "out" / "curves.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert width == 1320 and height == 480  # losses, and the metrics beside them
    bertx.train(encoder, ROWS, out=tmp_path / "alone", **{**OPTIONS, "metric": None})
    assert struct.unpack(">II", (tmp_path / "alone" / "curves.png").read_bytes()[16:24]) == (660, 480)


def test_without_matplotlib_a_line_says_so(encoder, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with caplog.at_level(logging.WARNING, "bertx"):
        bertx.train(encoder, ROWS, out=tmp_path / "out", evaluation=ROWS[:16], **OPTIONS)
    said = [record.getMessage() for record in caplog.records if "matplotlib" in record.getMessage()]
    assert said == ["no curves.png was drawn: it needs matplotlib: pip install 'bertx[train]'"]
    assert not (tmp_path / "out" / "curves.png").exists()
    assert "curves.png" not in (tmp_path / "out" / "README.md").read_text()


class Crash(Exception):  # noqa: N818
    pass


def test_event_files_have_the_numbers_of_metrics_jsonl(encoder, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorflow.compat.v1.train import summary_iterator

    def crash(done):
        if done.step == 5:
            raise Crash

    options = OPTIONS | {"out": tmp_path / "out", "evaluation": ROWS[:16]}
    with pytest.raises(Crash):
        bertx.train(encoder, ROWS, on_step=crash, **options)
    bertx.train(encoder, ROWS, resume=True, **options)
    found, purged = {}, []
    paths = sorted((tmp_path / "out" / "tensorboard").iterdir())  # the order in which TensorBoard reads them
    assert len(paths) == 2
    for path in paths:
        for event in summary_iterator(str(path)):
            if event.HasField("session_log"):
                purged.append(event.step)
                found = {key: value for key, value in found.items() if key[1] < event.step}
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    assert purged == [4]
    for line in map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()):
        for name, value in line.items():
            tag = f"evaluation/{name[5:]}" if name.startswith("eval_") else f"training/{name}"
            if name != "step":
                assert found.pop((tag, line["step"])) == pytest.approx(value, rel=1e-6)
    assert not found


def test_without_tensorboardx_nothing_is_missed(encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    bertx.train(encoder, ROWS, out=tmp_path / "out", **{**OPTIONS, "metric": None})
    assert not (tmp_path / "out" / "tensorboard").exists()
