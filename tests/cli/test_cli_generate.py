"""The options of `bertx generate`, and text that is printed while it is made."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_support import BACKEND, run, write_jsonl

from bertx.generation import GenerationConfig

pytest_plugins = "cli_support"

TEXTS = ["The happy dog", "a cat"]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (
            ["--num-beams", 3, "--length-penalty", 0.5, "--early-stopping", "never", "--no-repeat-ngram-size", 2],
            {"num_beams": 3, "length_penalty": 0.5, "early_stopping": "never", "no_repeat_ngram_size": 2},
        ),
        (["--num-beams", 2, "--early-stopping", "true"], {"num_beams": 2, "early_stopping": True}),
        (["--repetition-penalty", 1.5, "--min-new-tokens", 3], {"repetition_penalty": 1.5, "min_new_tokens": 3}),
        (["--stop", "s", "--stop", "e"], {"stop_strings": ["s", "e"]}),
        (
            ["--sample", "--seed", 3, "--top-k", 9, "--top-p", 0.9, "--min-p", 0.01, "--typical-p", 0.9],
            {"do_sample": True, "seed": 3, "top_k": 9, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.9},
        ),
    ],
)
def test_the_options_are_those_of_the_task(checkpoint, model, arguments, options):
    done = run("generate", checkpoint("generate"), *TEXTS, "--max-new-tokens", 8, *arguments, *BACKEND)
    assert done.code == 0, done
    expected = model("generate")(TEXTS, max_new_tokens=8, **options)
    for row, result in zip(done.rows, expected, strict=True):
        assert (row["generated_text"], row["tokens"]) == (result["generated_text"], result["tokens"])
        assert row.get("score") == pytest.approx(result.get("score"), abs=1e-6)


def test_several_continuations_of_each_text(checkpoint, model):
    done = run("generate", checkpoint("generate"), *TEXTS, "--num-beams", 3, "--num-return-sequences", 2, *BACKEND)
    expected = model("generate")(TEXTS, num_beams=3, num_return_sequences=2)
    for row, results in zip(done.rows, expected, strict=True):
        for name in ("generated_text", "tokens"):
            assert row[name] == [one[name] for one in results]
        assert row["score"] == pytest.approx([one["score"] for one in results], abs=1e-6)


@pytest.mark.parametrize("several", [{}, {"num_return_sequences": 2}])
def test_the_checkpoint_says_what_no_option_does(checkpoint, model, tmp_path, several):
    """How many results a text has too, and that they have scores: a file has the columns for it."""
    model("generate").save(tmp_path)
    (tmp_path / "vocab.txt").write_bytes((checkpoint("generate") / "vocab.txt").read_bytes())
    options = {"num_beams": 2, "max_new_tokens": 4, **several}
    GenerationConfig(**options).save_pretrained(tmp_path)
    found = [one if isinstance(one, list) else [one] for one in model("generate")(TEXTS, **options)]
    expected = [[one["tokens"] for one in of_text] for of_text in found]
    if not several:
        expected = [tokens for (tokens,) in expected]
    assert [row["tokens"] for row in run("generate", tmp_path, *TEXTS, *BACKEND).rows] == expected
    for suffix in ("csv", "parquet"):
        out = tmp_path / f"out.{suffix}"
        assert run("generate", tmp_path, *TEXTS, "--out", out, *BACKEND).code == 0
        rows = list(csv.DictReader(out.read_text().splitlines())) if suffix == "csv" else pq.read_table(out).to_pylist()
        assert [json.loads(row["tokens"]) for row in rows] == expected
        scores = [json.loads(str(row["score"])) for row in rows]
        assert np.ravel(scores) == pytest.approx([one["score"] for of_text in found for one in of_text], abs=1e-6)
    greedy = run("generate", tmp_path, *TEXTS, "--num-beams", 1, "--num-return-sequences", 1, *BACKEND)
    assert not any("score" in row for row in greedy.rows)


def test_text_is_printed_as_it_is_made(checkpoint, model, tmp_path):
    expected = [one["generated_text"] for one in model("generate")(TEXTS, max_new_tokens=8)]
    done = run("generate", checkpoint("generate"), *TEXTS, "--stream", "--max-new-tokens", 8, *BACKEND)
    assert (done.code, done.out.splitlines()) == (0, expected)
    file = write_jsonl(tmp_path / "texts.jsonl", [{"text": TEXTS[0]}, {"other": 1}, {"text": TEXTS[1]}])
    done = run("generate", checkpoint("generate"), "-i", file, "--stream", "--max-new-tokens", 8, *BACKEND)
    assert (done.code, done.out.splitlines()) == (1, expected)
    assert "line 2" in done.told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stream", "--num-beams", 2], "only one continuation can be streamed"),
        (["--stream", "--out", "texts.jsonl"], "--stream prints text as it is made"),
        (["--early-stopping", "always"], "'always' is none of true, false, never"),
        (["--num-return-sequences", 2], "greedy search has one result"),
        (["--repetition-penalty", 0], "repetition_penalty is 0.0, expected a number from 0.001"),
    ],
)
def test_what_cannot_be_asked_for(checkpoint, arguments, message):
    done = run("generate", checkpoint("generate"), *TEXTS, *arguments, *BACKEND)
    assert done.code == 2 and message in done.told, done
    assert not done.out
