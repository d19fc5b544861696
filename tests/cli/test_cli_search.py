"""`bertx search`: the vectors of `bertx embed` that are nearest to a query, in each form that it writes."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_support import BACKEND, run, some_texts, write_jsonl

from bertx.cli import search

pytest_plugins = "cli_support"

QUERIES = ["the happy dog", "who walks in the city?"]


def wrong(*arguments, says):
    done = run(*arguments, *BACKEND)
    assert done.code == 2, done
    assert says in done.told


@pytest.fixture
def embedded(checkpoint, tmp_path):
    """(form, *options): a file of the vectors of 60 texts, of which one cannot be used."""

    def get(form, *options, shard="1/1", name="vectors", code=1):
        rows = [{"text": text, "id": f"n{i}"} for i, text in enumerate(some_texts(60))]
        rows[7]["text"] = 5
        out = tmp_path / f"{name}.{form}"
        given = ("--input", write_jsonl(tmp_path / "texts.jsonl", rows), "--shard", shard)
        done = run("embed", checkpoint("embed"), *given, *options, "-o", out, "--overwrite", *BACKEND)
        assert done.code == code, done
        return out

    return get


def nearest(model, texts):
    """Each query's rows, best first, with their cosines."""
    a, b = (np.asarray(model(given), np.float64) for given in (QUERIES, texts))
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    cosines[:, 7] = -2
    return np.argsort(-cosines, axis=1, kind="stable"), cosines


@pytest.mark.parametrize("form", ["npy", "parquet", "jsonl"])
@pytest.mark.parametrize("block", [8192, 9])
def test_the_nearest_of_all_vectors_come_first(form, block, embedded, checkpoint, model, monkeypatch):
    monkeypatch.setattr(search, "_ROWS", block)
    keep = () if form == "npy" else ("--keep", "id")
    done = run("search", checkpoint("embed"), embedded(form, *keep), *QUERIES, "-k", "12", *BACKEND)
    assert done.code == 0, done
    order, cosines = nearest(model("embed"), some_texts(60))
    assert [row["query"] for row in done.rows] == [query for query in QUERIES for _ in range(12)]
    assert [row["rank"] for row in done.rows] == [*range(1, 13)] * 2
    assert [row["row"] for row in done.rows] == order[:, :12].ravel().tolist()
    found = np.array([row["score"] for row in done.rows]).reshape(2, 12)
    np.testing.assert_allclose(found, np.take_along_axis(cosines, order[:, :12], 1), atol=1e-6)
    if form != "npy":
        assert [row["id"] for row in done.rows] == [f"n{row['row']}" for row in done.rows]
        assert all("embedding" not in row and "error" not in row for row in done.rows)


def test_a_row_that_failed_is_near_to_nothing(embedded, checkpoint):
    for form in ("npy", "parquet", "jsonl"):
        done = run("search", checkpoint("embed"), embedded(form), QUERIES[0], "-k", "1000", *BACKEND)
        assert sorted(row["row"] for row in done.rows) == [i for i in range(60) if i != 7]


def test_half_precision_and_a_table(embedded, checkpoint, model, tmp_path):
    out = tmp_path / "hits.csv"
    given = ("search", checkpoint("embed"), embedded("npy", "--vectors", "float16"), QUERIES[0], "-k", "3")
    assert run(*given, "-o", out, *BACKEND).code == 0
    lines = out.read_text().splitlines()
    assert lines[0] == "query,rank,score,row"
    assert len(lines) == 4
    wrong(*given, "-o", out, says="is there already")


@pytest.mark.parametrize("form", ["npy", "parquet", "jsonl"])
def test_int8_vectors_are_searched_as_they_are(form, embedded, checkpoint):
    exact = run("search", checkpoint("embed"), embedded(form), QUERIES[0], "-k", "60", *BACKEND)
    found = run("search", checkpoint("embed"), embedded(form, "--vectors", "int8"), QUERIES[0], "-k", "60", *BACKEND)
    assert found.code == 0, found
    scores = {row["row"]: row["score"] for row in exact.rows}
    assert sorted(row["row"] for row in found.rows) == sorted(scores)  # all but the line that failed
    assert all(abs(row["score"] - scores[row["row"]]) < 0.01 for row in found.rows)
    assert not any("embedding_scale" in row for row in found.rows)


def test_a_row_of_a_shard_has_its_number_in_the_input(embedded, checkpoint):
    file = embedded("jsonl", shard="2/3")  # rows 1, 4, 7, …
    done = run("search", checkpoint("embed"), file, QUERIES[0], "-k", "30", *BACKEND)
    assert sorted(row["row"] for row in done.rows) == [i for i in range(1, 60, 3) if i != 7]


@pytest.mark.parametrize("form", ["npy", "parquet", "jsonl"])
def test_the_parts_of_shards_are_searched_together(form, embedded, checkpoint, tmp_path):
    keep = () if form == "npy" else ("--keep", "id")
    whole = run("search", checkpoint("embed"), embedded(form, *keep), *QUERIES, "-k", "9", *BACKEND).rows
    parts = [embedded(form, *keep, shard=f"{i}/3", name=f"part{i}", code=int(i == 2)) for i in (1, 2, 3)]
    pattern = tmp_path / f"part*.{form}"
    found = run("search", checkpoint("embed"), pattern, *QUERIES, "-k", "9", *BACKEND)
    assert found.code == 0, found
    for row in whole:
        row["file"] = str(parts[row["row"] % 3])
        row["row"] //= 3 if form == "npy" else 1  # a .npy file has no numbers of rows but its own
    assert [set(row) for row in found.rows] == [set(row) for row in whole]
    assert [(row["query"], row["file"], row["row"]) for row in found.rows] == [
        (row["query"], row["file"], row["row"]) for row in whole
    ]
    wrong("search", checkpoint("embed"), *parts, "dog", says="part2")
    wrong("search", checkpoint("embed"), tmp_path / "no*.npy", "dog", says="no file matches")
    pq.write_table(pa.table({"embedding": [[1.0] * 48]}), tmp_path / "part4.parquet")
    if form != "npy":
        wrong("search", checkpoint("embed"), tmp_path / "part*", "dog", says="only one of them has 'id'")


def test_equal_scores_keep_the_order_of_the_file():
    vectors = np.tile(np.eye(4, dtype=np.float32)[:2], (5, 1))
    blocks = iter([(vectors[:3], None), (vectors[3:], None)])
    found = search.nearest(np.eye(4, dtype=np.float32)[:1], blocks, 7, "file")
    assert [row["row"] for row in found[0]] == [0, 2, 4, 6, 8, 1, 3]


def test_what_is_no_file_of_this_model_is_refused(embedded, checkpoint, tmp_path):
    folder = checkpoint("embed")
    np.save(tmp_path / "short.npy", np.ones((3, 5), np.float32))
    wrong("search", folder, tmp_path / "short.npy", "dog", says="has vectors of 5 numbers, and this model makes 48")
    np.save(tmp_path / "ids.npy", np.arange(6).reshape(2, 3))
    wrong("search", folder, tmp_path / "ids.npy", "dog", says="int64 [2, 3], expected vectors [rows, numbers]")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    wrong("search", folder, tmp_path / "objects.npy", "dog", says="is not a .npy file of numbers")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "other.parquet")
    wrong("search", folder, tmp_path / "other.parquet", "dog", says="no column 'embedding', only id")
    (tmp_path / "texts.txt").write_text("dog")
    wrong("search", folder, tmp_path / "texts.txt", "dog", says="ends in none of .npy, .parquet, .jsonl")
    (tmp_path / "broken.jsonl").write_text(json.dumps({"embedding": [1.0] * 48}) + "\n{")
    wrong("search", folder, tmp_path / "broken.jsonl", "dog", says="line 2 is not JSON")
    file = embedded("parquet")
    wrong("search", folder, file, "dog", "-o", file, "--overwrite", says="is what the job reads")
