"""Every verb from arguments, .txt, .jsonl, .csv and stdin: the Python task's results, with the right line numbers."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from cli_support import (
    BACKEND,
    SINGLE,
    TEXTS,
    VERBS,
    assert_same,
    command,
    environment,
    run,
    run_process,
    write_csv,
    write_jsonl,
    write_texts,
)

pytest_plugins = "cli_support"


def assert_rows(done, verb, model, lines):
    """stdout has a row for each record: its line, its fields, and what the Python task says of it."""
    assert done.code == 0, done
    assert done.err == ""
    verb = VERBS[verb]
    expected = [
        {"line": line, "row": row, **record, **{name: result[name] for name in verb.results}}
        for row, (line, record, result) in enumerate(
            zip(lines, verb.records, verb.rows(model, verb.inputs), strict=True)
        )
    ]
    assert_same(done.rows, expected)


@pytest.mark.parametrize("verb", SINGLE)
def test_arguments_are_a_record_each(checkpoint, model, verb):
    texts = [record["text"] for record in VERBS[verb].records]
    assert_rows(run(verb, checkpoint(verb), *texts, *BACKEND), verb, model(verb), range(1, len(texts) + 1))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in SINGLE])
def test_arguments_are_the_fields_of_one_record_where_there_are_several(checkpoint, model, verb):
    for record in VERBS[verb].records:
        texts = [text for value in record.values() for text in (value if isinstance(value, list) else [value])]
        done = run(verb, checkpoint(verb), *texts, *BACKEND)
        result = VERBS[verb].rows(model(verb), [record])[0]
        assert done.code == 0, done
        assert_same(
            done.rows, [{"line": 1, "row": 0, **record, **{name: result[name] for name in VERBS[verb].results}}]
        )


@pytest.mark.parametrize("verb", SINGLE)
def test_a_text_file_and_stdin_have_a_text_a_line(checkpoint, model, verb, tmp_path):
    texts = [record["text"] for record in VERBS[verb].records]
    file = write_texts(tmp_path / "texts.txt", texts)
    lines = range(1, len(texts) + 1)
    assert_rows(run(verb, checkpoint(verb), "-i", file, *BACKEND), verb, model(verb), lines)
    assert_rows(run(verb, checkpoint(verb), *BACKEND, stdin=file.read_bytes()), verb, model(verb), lines)


@pytest.mark.parametrize("verb", VERBS)
def test_jsonl_from_a_file_and_from_stdin(checkpoint, model, verb, tmp_path):
    records = VERBS[verb].records
    file = write_jsonl(tmp_path / "records.jsonl", [{"id": 7, **record} for record in records])
    lines = range(1, len(records) + 1)
    assert_rows(run(verb, checkpoint(verb), "-i", file, *BACKEND), verb, model(verb), lines)
    # A verb of one field reads stdin as text unless a column is named.
    column = ("--column", "text") if verb in SINGLE else ()
    assert_rows(run(verb, checkpoint(verb), *column, *BACKEND, stdin=file.read_bytes()), verb, model(verb), lines)


@pytest.mark.parametrize("verb", VERBS)
def test_csv(checkpoint, model, verb, tmp_path):
    records = VERBS[verb].records
    rows = [["7", *record.values(), ""] for record in records]
    file = write_csv(tmp_path / "records.CSV", ["id", *VERBS[verb].fields, "note"], rows)
    done = run(verb, checkpoint(verb), "-i", file, *BACKEND)
    assert_rows(done, verb, model(verb), range(2, len(records) + 2))


def test_columns_by_another_name(checkpoint, model, tmp_path):
    expected = model("embed")(TEXTS)
    table = write_csv(tmp_path / "a.csv", ["text", "my column"], [["no", text] for text in TEXTS])
    lines = write_jsonl(tmp_path / "a.jsonl", [{"text": "no", "my column": text} for text in TEXTS])
    for file in (table, lines):
        for column in ("my column", "text=my column"):
            done = run("embed", checkpoint("embed"), "-i", file, "--column", column, *BACKEND)
            assert done.code == 0, done
            np.testing.assert_array_equal(done.vectors, expected)
    pairs = write_csv(tmp_path / "b.csv", ["a=b", "c"], [["the dog", "it runs"]])
    done = run("next-sentence", checkpoint("next-sentence"), "-i", pairs, "-c", "a=b", "-c", "text_pair=c", *BACKEND)
    assert_same(done.rows[0]["score"], model("next-sentence")(("the dog", "it runs"))["score"])


def test_classify_takes_texts_and_pairs_mixed(checkpoint, model, tmp_path):
    records = [
        {"text": "the dog", "text_pair": "it runs"},
        {"text": "the dog"},
        {"text": "the dog", "text_pair": None},
        {"text": "the dog", "text_pair": ""},
    ]
    file = write_jsonl(tmp_path / "pairs.jsonl", records)
    done = run("classify", checkpoint("classify"), "-i", file, *BACKEND)
    said = [model("classify")(pair) for pair in (("the dog", "it runs"), "the dog", "the dog", ("the dog", ""))]
    assert done.code == 0, done
    assert_same([{name: row[name] for name in ("label", "score")} for row in done.rows], said)
    assert len({row["score"] for row in said}) == 3
    table = write_csv(tmp_path / "pairs.csv", ["text", "text_pair", "second"], [["the dog", "it runs", "a cat"]])
    for column, pair in (((), "it runs"), (("-c", "text_pair=second"), "a cat")):
        done = run("classify", checkpoint("classify"), "-i", table, *column, *BACKEND)
        assert done.rows[0]["text_pair"] == pair
        assert_same(done.rows[0]["score"], model("classify")(("the dog", pair))["score"])


def test_choices_are_a_list_or_a_column_each(checkpoint, model, tmp_path):
    question = {"question": "who walks?", "choices": ["the dog", "a cat", "it"]}
    expected = model("choose")(question)
    rows = [["who walks?", "the dog", "a cat", "it"], ["who walks?", "the dog", "a cat", ""], ["who?", "one", "", ""]]
    table = write_csv(tmp_path / "choices.csv", ["question", "a", "b", "c"], rows)
    lines = [{"question": "who walks?", "a": "the dog", "b": "a cat", "c": "it"}]
    lines += [{"question": "who walks?", "a": "the dog", "b": "a cat", "c": None}]
    lines += [{"question": "who?", "a": "one", "b": None, "c": ""}]
    for file in (table, write_jsonl(tmp_path / "choices.jsonl", lines)):
        done = run("choose", checkpoint("choose"), "-i", file, "-c", "choices=a,b,c", *BACKEND)
        assert done.code == 1
        full, two, one = done.rows
        assert_same({name: full[name] for name in expected}, expected)
        assert two["choices"] == ["the dog", "a cat"]
        assert_same(two["scores"], model("choose")(question | {"choices": ["the dog", "a cat"]})["scores"])
        assert one["error"] == "has 1 choices: give at least two"


def test_options_reach_the_task(checkpoint, model, tmp_path):
    def rows(verb, *arguments):
        done = run(verb, checkpoint(verb), *arguments, *BACKEND)
        assert done.code == 0, done
        return done.rows[0]

    embed, text = model("embed"), "the happy dog walks"
    for options, python in (
        (("--pooling", "max", "--no-normalize"), {"pooling": "max", "normalize": False}),
        (("--pooling", "cls", "--normalize"), {"pooling": "cls", "normalize": True}),
        (("--pooling", "none"), {"pooling": "none"}),
    ):
        found = np.array(rows("embed", text, *options)["embedding"], np.float32)
        np.testing.assert_array_equal(found, embed(text, **python))
    words = rows("fill-mask", "a [MASK]", "-k", "2", "--target", "dog", "--target", "cat", "--target", "it")["words"]
    assert_same(words, model("fill-mask")("a [MASK]", top_k=2, targets=["dog", "cat", "it"]))
    labels = rows("classify", text, "--top-k", "3", "--function", "sigmoid")["labels"]
    assert_same(labels, model("classify")(text, top_k=3, function_to_apply="sigmoid"))
    for aggregation in ("none", "first", "average", "max"):
        entities = rows("tag", "the dog " * 60, "--aggregation", aggregation, "--stride", "3")["entities"]
        assert_same(entities, model("tag")("the dog " * 60, aggregation=aggregation, stride=3))
    question = {"question": "who?", "context": "The happy dog walks in the city."}
    asked = rows("answer", *question.values(), "-k", "4", "--impossible", "--max-answer-length", "2")["answers"]
    options = {"top_k": 4, "handle_impossible_answer": True, "max_answer_length": 2}
    assert_same(asked, model("answer")(question, **options))
    drawn = ("--sample", "--temperature", "1.5", "--top-k", "20", "--top-p", "0.9", "--seed", "3")
    options = {"do_sample": True, "temperature": 1.5, "top_k": 20, "top_p": 0.9, "seed": 3, "max_new_tokens": 4}
    found = rows("generate", text, "--max-new-tokens", "4", *drawn)
    assert_same({name: found[name] for name in ("generated_text", "tokens")}, model("generate")(text, **options))


def test_a_batch_budget_changes_the_batches_and_not_the_vectors(checkpoint, model, monkeypatch):
    from bertx.model import Model

    shapes = []
    real = Model.embedder

    def embedder(self, *modules):
        embed = real(self, *modules)
        return lambda **given: shapes.append(given["input_ids"].shape) or embed(**given)

    monkeypatch.setattr(Model, "embedder", embedder)
    done = run("embed", checkpoint("embed"), *TEXTS, "--batch-tokens", "1", *BACKEND)
    assert [rows for rows, _ in shapes] == [1] * len(TEXTS)
    np.testing.assert_allclose(done.vectors, model("embed")(TEXTS), atol=1e-6)


# --- line numbers ---------------------------------------------------------------------------------


def numbered(done, results=("embedding",)):
    assert done.code == 0, done
    return [(row["line"], row["text"]) for row in done.rows if set(results) <= set(row)]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "unended"])
def test_line_ends_and_byte_order_marks(checkpoint, tmp_path, bom, end, last):
    folder = checkpoint("embed")
    cases = {
        # A blank line of text is an empty text; one of JSON or CSV is nothing.
        "a.txt": ([b"one", b"", b"  two ", b"\xe2\x80\xa8\x0cthree"], [(1, "one"), (2, ""), (3, "  two ")]),
        "a.jsonl": ([b'{"text": "one"}', b"", b"  ", b'"two"'], [(1, "one"), (4, "two")]),
        "a.csv": ([b"text,n", b"one,1", b"", b"two,2", b'"three",3'], [(2, "one"), (4, "two"), (5, "three")]),
    }
    cases["a.txt"][1].append((4, "\u2028\x0cthree"))
    for name, (lines, expected) in cases.items():
        file = tmp_path / name
        file.write_bytes(bom + end.join(lines) + (end if last else b""))
        assert numbered(run("embed", folder, "-i", file, *BACKEND)) == expected, name
        if name != "a.csv":
            column = ("-c", "text") if name == "a.jsonl" else ()
            done = run("embed", folder, *column, *BACKEND, stdin=file.read_bytes())
            assert numbered(done) == expected, f"{name} from stdin"


def test_a_cell_of_several_lines_counts_them_and_keeps_its_line_ends(checkpoint, tmp_path):
    file = tmp_path / "cells.csv"
    file.write_bytes(b'text,n\r\n"one\r\ntwo\nthree",1\r\n\r\n"say ""hi"", you",2\r\nlast,"\n\n"\r\nend,3\r\n')
    expected = [(2, "one\r\ntwo\nthree"), (6, 'say "hi", you'), (7, "last"), (10, "end")]
    assert numbered(run("embed", checkpoint("embed"), "-i", file, *BACKEND)) == expected


def test_an_empty_cell_of_a_table_with_one_column_is_an_empty_text(checkpoint, tmp_path):
    file = tmp_path / "one.csv"
    file.write_bytes(b'text\none\n""\n\ntwo\n')
    assert numbered(run("embed", checkpoint("embed"), "-i", file, *BACKEND)) == [(2, "one"), (3, ""), (5, "two")]


def test_a_long_cell_and_a_long_line(checkpoint, model, tmp_path):
    text = "the dog " * 50_000  # longer than the csv library's own limit
    expected = model("embed")(text)
    for file in (
        write_csv(tmp_path / "a.csv", ["text"], [[text], ["a cat"]]),
        write_jsonl(tmp_path / "a.jsonl", [{"text": text}, "a cat"]),
        write_texts(tmp_path / "a.txt", [text, "a cat"]),
    ):
        done = run("embed", checkpoint("embed"), "-i", file, *BACKEND)
        assert done.code == 0, done.err
        assert done.rows[0]["text"] == text
        np.testing.assert_allclose(done.rows[0]["embedding"], expected, atol=1e-6)


@pytest.mark.parametrize("verb", VERBS)
def test_no_records_give_no_rows(checkpoint, verb, tmp_path):
    empty = write_csv(tmp_path / "none.csv", list(VERBS[verb].fields), [])
    for source in (("-i", empty), ("-i", write_jsonl(tmp_path / "none.jsonl", [])), ()):
        done = run(verb, checkpoint(verb), *source, *BACKEND)
        assert (done.code, done.out, done.err) == (0, "", "")


def test_several_chunks_are_numbered_through(checkpoint, model, small_window, tmp_path):
    texts = [f"the dog {i}" for i in range(20)]
    file = write_texts(tmp_path / "texts.txt", texts)
    done = run("embed", checkpoint("embed"), "-i", file, *BACKEND)
    assert numbered(done) == list(enumerate(texts, 1))
    np.testing.assert_array_equal(done.vectors, list(model("embed")(iter(texts))))


def test_a_process_of_its_own_reads_arguments_as_bytes(checkpoint):
    done = run_process("embed", checkpoint("embed"), *BACKEND, "ünïcode", "--", "-x")
    assert [row["text"] for row in done.rows] == ["ünïcode", "-x"]
    given = [*command("embed", checkpoint("embed"), *BACKEND), b"the \xff dog", "a cat"]
    done = subprocess.run(given, capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 1
    bad, good = map(json.loads, done.stdout.splitlines())
    assert bad == {"line": 1, "row": 0, "error": "has bytes that are not UTF-8 in 'text'"}
    assert good["text"] == "a cat"


def test_a_column_of_a_text_file_is_wrong_usage(checkpoint, tmp_path):
    file = write_texts(tmp_path / "texts.txt", ["one"])
    for given in (("-i", file), ("a text",)):
        done = run("embed", checkpoint("embed"), *given, "--column", "body", *BACKEND)
        assert done.code == 2
        assert "--column is of a file with columns" in done.told


def test_two_columns_of_one_name_are_told(checkpoint, tmp_path):
    file = write_csv(tmp_path / "twice.csv", ["text", "text"], [["one", "two"]])
    done = run("embed", checkpoint("embed"), "-i", file, *BACKEND)
    assert done.code == 2
    assert "two columns are called" in done.told


def test_two_columns_of_one_name_that_are_not_read_do_not_matter(checkpoint, tmp_path):
    file = write_csv(tmp_path / "twice.csv", ["text", "", ""], [["one", "", ""]])
    assert run("embed", checkpoint("embed"), "-i", file, *BACKEND).code == 0
