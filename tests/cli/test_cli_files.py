"""Several input files and patterns as one input, and Arrow's files beside Parquet's."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from cli_support import BACKEND, run, some_texts, write_csv, write_jsonl, write_texts

pytest_plugins = "cli_support"

TEXTS = some_texts(20)


@pytest.fixture
def embed(checkpoint):
    """(*arguments): `bertx embed` of the tiny checkpoint."""
    return lambda *arguments, **streams: run("embed", checkpoint("embed"), *BACKEND, *arguments, **streams)


def write_arrow(path, table, stream=False):
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return path


@pytest.fixture
def files(tmp_path):
    """One file of each kind, with an "id" and TEXTS in their order; and how many records each has."""
    rows = [{"id": f"n{number}", "text": text} for number, text in enumerate(TEXTS)]
    table = pa.Table.from_pylist(rows)
    lines = write_jsonl(tmp_path / "a.jsonl", rows[:6])
    pq.write_table(table.slice(6, 5), tmp_path / "b.parquet")
    (tmp_path / "shards").mkdir()
    for name, part in (("0", rows[11:13]), ("1", rows[13:15])):
        write_csv(tmp_path / "shards" / f"{name}.csv", ["id", "text"], [list(row.values()) for row in part])
    feather.write_feather(table.slice(15, 3), tmp_path / "c.feather")
    arrow = write_arrow(tmp_path / "d.arrow", table.slice(18))
    return [lines, tmp_path / "b.parquet", tmp_path / "shards" / "*.csv", tmp_path / "c.feather", arrow]


def test_files_and_patterns_are_one_input_in_order(embed, files, tmp_path):
    done = embed("-i", *files, "--keep", "id")
    assert done.code == 0, done
    assert [row["row"] for row in done.rows] == list(range(20))
    assert [(row["id"], row["text"]) for row in done.rows] == [(f"n{i}", text) for i, text in enumerate(TEXTS)]
    csv = [tmp_path / "shards" / name for name in ("0.csv", "1.csv")]
    names = [(files[0], 6), (files[1], 5), (csv[0], 2), (csv[1], 2), (files[3], 3), (files[4], 2)]
    assert [row["file"] for row in done.rows] == [str(name) for name, count in names for _ in range(count)]
    lines = [*range(1, 7), *[None] * 5, 2, 3, 2, 3, *[None] * 5]
    assert [row.get("line") for row in done.rows] == lines
    alone = embed("-i", write_texts(tmp_path / "all.txt", TEXTS))
    np.testing.assert_array_equal(done.vectors, alone.vectors)
    each = embed(*[word for file in files for word in ("-i", file)], "--keep", "id")
    assert each.rows == done.rows


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_has_the_file_of_each_row(embed, files, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    assert embed("-i", *files, "--keep", "id", "-o", out).code == 0
    if suffix == ".csv":
        header, *rows = out.read_text().splitlines()
        assert header == "file,line,row,id,text,embedding,error"
        assert rows[6].startswith(f"{files[1]},,6,n6,")
        return
    table = pq.read_table(out).to_pydict()
    assert table["id"] == [f"n{i}" for i in range(20)]
    assert table["line"][5:7] == [6, None]
    assert table["file"][6] == str(files[1])


def test_an_error_names_the_file_and_its_line(embed, files, tmp_path):
    bad = write_jsonl(tmp_path / "z.jsonl", [{"id": "x", "text": "fine"}, {"id": "y", "text": 3}])
    pq.write_table(pa.table({"id": ["z", "z"], "text": ["fine", None]}), tmp_path / "z.parquet")
    done = embed("-i", *files, bad, tmp_path / "z.parquet")
    assert done.code == 1
    assert f"{bad}, line 2 has 3 in 'text', expected a string" in done.err
    assert f"{tmp_path / 'z.parquet'}, row 1 has None" in done.err
    assert [row["row"] for row in done.rows if "error" in row] == [21, 23]


def test_shards_of_several_files_are_parts_of_the_whole(embed, files):
    whole = embed("-i", *files).rows
    parts = [embed("-i", *files, "--shard", f"{number}/3").rows for number in (1, 2, 3)]
    found = sorted((row for part in parts for row in part), key=lambda row: row["row"])
    for name in ("row", "text", "file"):
        assert [row[name] for row in found] == [row[name] for row in whole]
    assert all(row["row"] % 3 == number for number, part in enumerate(parts) for row in part)


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_job_on_several_files_goes_on_to_the_same_bytes(
    embed, files, checkpoint, killed, small_window, tmp_path, chunks
):
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    assert embed("-i", *files, "-o", whole).code == 0
    arguments = ("embed", checkpoint("embed"), *BACKEND, "-i", *files, "-o", out)
    killed(chunks, *arguments)
    assert run(*arguments, "--resume").code == 0
    assert out.read_bytes() == whole.read_bytes()
    assert "nothing to do" in run(*arguments, "--resume").err
    (tmp_path / "shards" / "2.csv").write_text("id,text\nn,more\n")
    done = run(*arguments, "--resume")
    assert done.code == 2 and "of another job" in done.told


def test_a_changed_file_that_was_read_is_not_gone_on_with(embed, files, checkpoint, killed, small_window, tmp_path):
    arguments = ("embed", checkpoint("embed"), *BACKEND, "-i", *files, "-o", tmp_path / "out.npy")
    killed(1, *arguments)
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    write_jsonl(files[0], [{**rows[0], "text": "another"}, *rows[1:]])
    done = run(*arguments, "--resume")
    assert done.code == 2 and "are not those that this job began with" in done.told


def test_files_with_other_columns_are_refused_with_both_names(embed, checkpoint, tmp_path):
    one = write_csv(tmp_path / "one.csv", ["text", "id"], [["the dog", "1"]])
    other = write_csv(tmp_path / "other.csv", ["text", "number"], [["a cat", "2"]])
    lines = write_jsonl(tmp_path / "lines.jsonl", [{"text": "a cat", "id": 1}])
    for number, kind in enumerate((pa.int32(), pa.int64())):
        pq.write_table(pa.table({"text": ["x"], "id": pa.array([1], kind)}), tmp_path / f"{number}.parquet")
    for second, keep in ((other, "all"), (lines, "all")):
        done = embed("-i", one, second, "--keep", keep)
        assert done.code == 2 and done.out == ""
        assert f"{one} and {second} have not the same columns to keep: id" in done.told
    done = embed("-i", one, other, "--keep", "id")
    assert done.code == 2 and f"{other}: no column 'id' to keep" in done.told
    done = embed("-i", tmp_path / "0.parquet", tmp_path / "1.parquet", "--keep", "id")
    assert done.code == 2
    assert f"0.parquet has int32 in the column 'id', and {tmp_path / '1.parquet'} int64" in done.told
    pairs = write_csv(tmp_path / "pairs.csv", ["text", "text_pair"], [["the dog", "it runs"]])
    done = run("classify", checkpoint("classify"), *BACKEND, "-i", one, pairs)
    assert done.code == 2
    assert f"{one} and {pairs} have not the same columns: only one of them has 'text_pair'" in done.told


def test_what_is_no_file_is_refused(embed, files, tmp_path):
    one = files[0]
    for arguments, says in {
        ("-i", one, "a text"): "both texts and --input",
        ("-i", tmp_path / "no*.csv"): "no file matches",
        ("-i", one, tmp_path / "no*.csv"): "no file matches",
        ("-i", one, "-i", files[1], files[2]): "not both",
        ("-i", one, one): "is given twice",
        ("-i", tmp_path): "is a directory",
        ("-i", one, "-i", "/dev/null", "--input-format", "jsonl"): "is read alone",
        ("-i", one, files[1], "-o", one, "--overwrite"): "what the job reads",
    }.items():
        done = embed(*arguments)
        assert done.code == 2 and done.out == "", done
        assert says in done.told


@pytest.mark.parametrize("kind", ["file", "stream", "compressed"])
def test_arrow_files_and_streams(embed, tmp_path, kind):
    table = pa.table(
        {
            "n": pa.array(range(20), pa.int16()),
            "kind": pa.array(["a", "b"] * 10).dictionary_encode(),
            "text": pa.array(TEXTS, pa.large_string()),
        }
    )
    file = tmp_path / "a.arrow"
    if kind == "compressed":
        file = tmp_path / "a.feather"
        feather.write_feather(table, file, compression="zstd", chunksize=7)
    else:
        write_arrow(file, table, stream=kind == "stream")
    out = tmp_path / "out.parquet"
    assert embed("-i", file, "--keep", "all", "-o", out).code == 0
    found = pq.read_table(out)
    assert found["text"].to_pylist() == TEXTS and found["kind"].to_pylist() == ["a", "b"] * 10
    assert found.schema.field("n").type == pa.int16()
    whole = embed("-i", write_texts(tmp_path / "all.txt", TEXTS))
    np.testing.assert_array_equal(np.stack(found["embedding"].to_numpy()), whole.vectors)


def test_a_damaged_arrow_file_is_told(embed, tmp_path):
    file = write_arrow(tmp_path / "a.arrow", pa.table({"text": TEXTS}))
    for content in (b"", b"no arrow at all", file.read_bytes()[:-40]):
        file.write_bytes(content)
        done = embed("-i", file)
        assert done.code == 1, done
        assert f"{file} is no Arrow file, or damaged" in done.told
