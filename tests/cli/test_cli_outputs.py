"""The four forms of --out hold the same values as JSON lines on stdout, each in its own types."""

from __future__ import annotations

import csv
import json
import os
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_support import (
    BACKEND,
    TEXTS,
    VERBS,
    assert_same,
    run,
    some_texts,
    write_checkpoint,
    write_jsonl,
    write_texts,
)

pytest_plugins = "cli_support"

# The types of parquet; in CSV what has parts is JSON.
TYPES = {
    "line": pa.int64(),
    "row": pa.int64(),
    "embedding": pa.list_(pa.float32(), 48),
    "score": pa.float64(),
    "start": pa.int64(),
    "end": pa.int64(),
    "choice": pa.int64(),
    "is_next": pa.bool_(),
}
PARTS = ("embedding", "words", "entities", "choices", "scores", "tokens")


@pytest.fixture
def job(checkpoint, tmp_path):
    """(verb) → the arguments of a job whose second record cannot be used."""

    def get(verb):
        records = VERBS[verb].records
        file = write_jsonl(tmp_path / f"{verb}.jsonl", [records[0], {"nothing": 1}, *records[1:]])
        return [verb, checkpoint(verb), "-i", file, *BACKEND]

    return get


def from_csv(path):
    """The rows of a CSV file by the kinds of their columns, empty cells left out but for texts."""
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, strict=True))
    flags = {"True": True, "False": False}
    read = {"line": int, "row": int, "start": int, "end": int, "choice": int, "score": float, "is_next": flags.get}
    read |= dict.fromkeys(PARTS, json.loads)
    return [{name: read.get(name, str)(cell) for name, cell in row.items() if cell or name == "text"} for row in rows]


def from_parquet(path):
    """The rows of a parquet file, nulls left out."""
    rows = pq.read_table(path).to_pylist()
    read = dict.fromkeys(set(PARTS) - {"embedding"}, json.loads)
    return [{name: read.get(name, lambda x: x)(cell) for name, cell in row.items() if cell is not None} for row in rows]


@pytest.mark.parametrize("verb", VERBS)
def test_every_form_holds_what_stdout_does(job, verb, tmp_path):
    piped = run(*job(verb))
    assert piped.code == 1
    assert len(piped.rows) == len(VERBS[verb].records) + 1
    missing = ", ".join(f"{name!r}" for name in VERBS[verb].fields[:1])
    assert piped.rows[1] == {"line": 2, "row": 1, "error": f"has no {missing}; it has nothing"}
    for suffix in (".jsonl", ".csv", ".parquet"):
        done = run(*job(verb), "--out", tmp_path / f"out{suffix}")
        assert (done.code, done.out, done.err) == (1, "", piped.err)
    assert (tmp_path / "out.jsonl").read_text() == piped.out
    columns = ["line", "row", *VERBS[verb].fields, *VERBS[verb].results, "error"]
    optional = ["text_pair"] if verb == "classify" else []
    table = pq.read_table(tmp_path / "out.parquet")
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as stream:
        header = next(csv.reader(stream))
    assert header == table.column_names == columns[:3] + optional + columns[3:]
    assert {name: table.schema.field(name).type for name in header} == {
        name: TYPES.get(name, pa.string()) for name in header
    }
    assert from_parquet(tmp_path / "out.parquet") == [_float32(row) for row in piped.rows]
    texts = VERBS[verb].fields + VERBS[verb].results
    for found, expected in zip(from_csv(tmp_path / "out.csv"), piped.rows, strict=True):
        # CSV has no null: an empty cell is an empty text or none.
        filled = {name: found.get(name, "") for name in expected if name in texts or name in found}
        assert filled == expected


def _float32(row):
    if "embedding" not in row:
        return row
    return row | {"embedding": np.array(row["embedding"], np.float32).tolist()}


def test_vectors_are_exactly_the_models_in_every_form(checkpoint, model, tmp_path):
    file = write_jsonl(tmp_path / "texts.jsonl", [TEXTS[0], 7, *TEXTS[1:]])
    expected = model("embed")(TEXTS)
    assert expected.dtype == np.float32
    for suffix in (".npy", ".jsonl", ".csv", ".parquet"):
        done = run("embed", checkpoint("embed"), "-i", file, "-o", tmp_path / f"out{suffix}", *BACKEND)
        assert done.code == 1, done
    array = np.load(tmp_path / "out.npy")
    assert (array.dtype, array.shape) == (np.float32, (len(TEXTS) + 1, 48))
    assert array.flags.c_contiguous
    assert np.isnan(array[1]).all()  # the place of the line that failed
    np.testing.assert_array_equal(np.delete(array, 1, 0), expected)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    read = {"jsonl": rows, "csv": from_csv(tmp_path / "out.csv"), "parquet": from_parquet(tmp_path / "out.parquet")}
    for form, found in read.items():
        assert [row["line"] for row in found] == list(range(1, len(TEXTS) + 2)), form
        vectors = np.array([row["embedding"] for row in found if "embedding" in row], np.float32)
        np.testing.assert_array_equal(vectors, expected, err_msg=form)


def test_vectors_of_tokens_in_the_forms_that_can_hold_them(checkpoint, model, tmp_path):
    arguments = ["embed", checkpoint("embed"), *TEXTS, "--pooling", "none", *BACKEND]
    expected = model("embed")(TEXTS, pooling="none")
    for suffix in (".jsonl", ".csv", ".parquet"):
        assert run(*arguments, "-o", tmp_path / f"out{suffix}").code == 0
    vectors = pa.list_(pa.list_(pa.float32()))
    assert pq.read_schema(tmp_path / "out.parquet").field("embedding").type == vectors
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for found in (rows, from_csv(tmp_path / "out.csv"), from_parquet(tmp_path / "out.parquet")):
        for row, matrix in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.array(row["embedding"], np.float32), matrix)
    done = run(*arguments, "-o", tmp_path / "out.npy")
    assert done.code == 2
    assert "a .npy file holds one vector of each text: take .jsonl, .csv or .parquet" in done.told
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "out.jsonl", "out.parquet"]


def test_npy_is_refused_for_what_is_no_vector(checkpoint, tmp_path):
    done = run("classify", checkpoint("classify"), "a", "-o", tmp_path / "out.npy", *BACKEND)
    assert done.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_without_pooling_gives_token_vectors(tmp_path):
    folder = write_checkpoint("BertModel", tmp_path / "plain")
    (folder / "modules.json").unlink()
    done = run("embed", folder, "the dog", *BACKEND)
    assert np.array(done.rows[0]["embedding"]).shape == (4, 48)
    assert run("embed", folder, "the dog", "-o", tmp_path / "a.npy", *BACKEND).code == 2
    assert run("embed", folder, "the dog", "-o", tmp_path / "a.npy", "--pooling", "cls", *BACKEND).code == 0
    assert np.load(tmp_path / "a.npy").shape == (1, 48)


@pytest.mark.parametrize("verb", VERBS)
def test_no_records_give_a_file_without_rows(checkpoint, verb, tmp_path):
    file = write_jsonl(tmp_path / "none.jsonl", [])
    suffixes = [".jsonl", ".csv", ".parquet", *([".npy"] if verb == "embed" else [])]
    for suffix in suffixes:
        done = run(verb, checkpoint(verb), "-i", file, "-o", tmp_path / f"out{suffix}", *BACKEND)
        assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert from_csv(tmp_path / "out.csv") == []
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
    assert "line" in pq.read_table(tmp_path / "out.parquet").column_names
    if verb == "embed":
        assert np.load(tmp_path / "out.npy").shape == (0, 48)
    assert sorted(os.listdir(tmp_path)) == sorted(["none.jsonl", *(f"out{suffix}" for suffix in suffixes)])


def test_many_chunks_make_one_file(checkpoint, model, small_window, tmp_path):
    texts = some_texts(50)
    file = write_texts(tmp_path / "texts.txt", texts)
    for suffix in (".jsonl", ".csv", ".parquet", ".npy"):
        assert run("embed", checkpoint("embed"), "-i", file, "-o", tmp_path / f"out{suffix}", *BACKEND).code == 0
    expected = np.array(list(model("embed")(iter(texts))))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for found in (rows, from_csv(tmp_path / "out.csv"), from_parquet(tmp_path / "out.parquet")):
        assert [(row["line"], row["text"]) for row in found] == list(enumerate(texts, 1))
        np.testing.assert_array_equal(np.array([row["embedding"] for row in found], np.float32), expected)


def test_a_parquet_file_of_many_rows_has_few_groups(tmp_path):
    from bertx.cli.formats import Parquet

    form = Parquet({"line": "integer", "text": "text"}, None)
    part, target = tmp_path / "out.parquet.part", tmp_path / "out.parquet"
    with open(part, "wb") as stream:
        for first in range(0, 70_000, 1000):
            rows = [{"line": line, "text": str(line)} for line in range(first, first + 1000)]
            stream.write(form.encode(rows, first=first == 0))
    form.finish(part, target, 70_000, note=lambda whole: None)
    assert pq.read_table(target)["line"].to_pylist() == list(range(70_000))
    assert pq.ParquetFile(target).num_row_groups == 3
    assert not part.exists()


def test_the_folder_of_out_is_made_and_its_file_is_as_others_are(checkpoint, tmp_path):
    for suffix in (".jsonl", ".csv", ".parquet", ".npy"):
        target = tmp_path / "new" / "folder" / f"out{suffix}"
        assert run("embed", checkpoint("embed"), "a", "-o", target, *BACKEND).code == 0
        plain = tmp_path / "plain"
        plain.touch()
        assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode), suffix


def test_a_text_that_looks_like_markup_or_a_number_stays_as_it_is(checkpoint, tmp_path):
    texts = ["[bold]x[/bold] :dog:", "007", "=1+1", "null", "a\tb", '"', "\\n"]
    file = write_texts(tmp_path / "texts.txt", texts)
    arguments = ("classify", checkpoint("classify"), "-i", file, *BACKEND)
    assert [row["text"] for row in run(*arguments).rows] == texts
    for suffix, read in ((".csv", from_csv), (".parquet", from_parquet)):
        assert run(*arguments, "-o", tmp_path / f"out{suffix}").code == 0
        assert [row["text"] for row in read(tmp_path / f"out{suffix}")] == texts


@pytest.mark.parametrize("verb", ["classify", "choose", "next-sentence"])
def test_a_score_that_is_not_finite_is_a_failed_row(tmp_path, verb):
    from safetensors.numpy import load_file, save_file

    folder = write_checkpoint(VERBS[verb].head, tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.startswith(("classifier", "cls")):
            tensor[:] = np.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    file = write_jsonl(tmp_path / "in.jsonl", VERBS[verb].records[:1])
    done = run(verb, folder, "-i", file, *BACKEND)
    assert done.code == 1
    assert "not finite" in done.rows[0]["error"]


def test_a_vector_that_is_not_finite_is_a_failed_row(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = write_checkpoint("BertModel", tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    row = (folder / "vocab.txt").read_text().split().index("dog")
    tensors["embeddings.word_embeddings.weight"][row] = np.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for pooling in ("mean", "none"):
        done = run("embed", folder, "a cat", "the dog", "--pooling", pooling, *BACKEND)
        assert done.code == 1
        assert "error" not in done.rows[0]
        assert done.rows[1]["error"].startswith("gives a number that is not finite")
        assert "embedding" not in done.rows[1]
    assert_same(done.rows[1]["text"], "the dog")
