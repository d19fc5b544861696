"""A line that cannot be used: told with its number, a row with "error", exit code 1, and the others as without it."""

from __future__ import annotations

import json

import pytest
from cli_support import (
    BACKEND,
    LONGEST,
    TEXTS,
    assert_same,
    run,
    some_texts,
    write_checkpoint,
    write_csv,
    write_jsonl,
    write_texts,
)

pytest_plugins = "cli_support"


def assert_only_these_fail(verb, folder, file, expected, clean, *options):
    """`expected`: line → how its error begins; `clean` is the file without those lines."""
    done = run(verb, folder, "-i", file, *options, *BACKEND)
    assert done.code == 1, done
    failed = {row["line"]: row["error"] for row in done.rows if "error" in row}
    assert list(failed) == list(expected)
    for line, message in expected.items():
        assert failed[line].startswith(message), failed[line]
        assert f"bertx: line {line} {message}" in done.told
    assert f"{len(failed)} of {len(done.rows)} lines failed; the others are done" in done.told
    good = [row for row in done.rows if "error" not in row]
    without = run(verb, folder, "-i", clean, *options, *BACKEND)
    assert without.code == 0, without
    assert len(good) == len(without.rows) > 0
    for found, other in zip(good, without.rows, strict=True):
        assert_vectors_close(found | {"line": 0, "row": 0}, other | {"line": 0, "row": 0})
    return done


def assert_vectors_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_same(found[name], value)


def test_bytes_that_are_not_utf8_in_a_text_file(checkpoint, tmp_path):
    lines = [b"the dog", b"the \xff dog", b"a cat", b"\xc3", b"it \xed\xa0\x80", b"who"]
    file, clean = tmp_path / "a.txt", tmp_path / "clean.txt"
    file.write_bytes(b"\n".join(lines))
    clean.write_bytes(b"\n".join([lines[0], lines[2], lines[5]]))
    expected = {
        2: "is not UTF-8: byte 0xff at 4",
        4: "is not UTF-8: byte 0xc3 at 0",
        5: "is not UTF-8: byte 0xed at 3",
    }
    assert_only_these_fail("embed", checkpoint("embed"), file, expected, clean)
    done = run("embed", checkpoint("embed"), *BACKEND, stdin=file.read_bytes())
    assert [row["line"] for row in done.rows if "error" in row] == [2, 4, 5]


BAD_JSON = {
    b'{"text": "the \xff dog"}': "is not UTF-8: byte 0xff at 14",
    b'{"text": "the dog"': "is not JSON: ",
    b"the dog": "is not JSON: ",
    b'{"text": "a"} {"text": "b"}': "is not JSON: Extra data",
    b"[" * 100_000: "is not JSON: ",
    b'["the dog"]': "is an array, expected a JSON object",
    b"7": "is a number, expected a JSON object",
    b"null": "is null, expected a JSON object",
    b'{"text": 7}': "has 7 in 'text', expected a string",
    b'{"text": NaN}': "has nan in 'text', expected a string",
    b'{"text": null}': "has None in 'text', expected a string",
    b'{"text": ["the dog"]}': "has ['the dog'] in 'text', expected a string",
    b'{"text": "a \\ud800 b"}': "has a lone surrogate, which is no text, in 'text'",
    b'{"text": "\\udc41\\ud83d"}': "has a lone surrogate, which is no text, in 'text'",
    b'{"txt": "the dog", "id": 1}': "has no 'text'; it has txt, id",
    b"{}": "has no 'text'; it has nothing",
    b'{"text": %s}' % (b"9" * 5000): "is not JSON: ",
}


def test_lines_of_jsonl(checkpoint, tmp_path):
    good = [json.dumps({"text": text}).encode() for text in some_texts(len(BAD_JSON) + 1)]
    lines = [line for pair in zip(good, BAD_JSON, strict=False) for line in pair] + good[-1:]
    expected = dict(zip(range(2, 2 * len(BAD_JSON) + 1, 2), BAD_JSON.values(), strict=True))
    file, clean = write_jsonl(tmp_path / "a.jsonl", lines), write_jsonl(tmp_path / "clean.jsonl", good)
    assert_only_these_fail("embed", checkpoint("embed"), file, expected, clean)


def test_a_pair_of_surrogates_in_json_is_a_text(checkpoint):
    done = run("embed", checkpoint("embed"), "-c", "text", *BACKEND, stdin=b'{"text": "\\ud83d\\ude00"}')
    assert done.code == 0
    assert done.rows[0]["text"] == "😀"


def test_rows_of_csv(checkpoint, tmp_path):
    rows = [
        ["the dog", "1"],
        b"short",
        ["a cat", "2"],
        b"one,two,three",
        b"the \xff dog,3",
        b'who,"\xff"',  # in a column that is not read
        b'a "quoted" dog,4',
        b'"a dog" barks,5',
        ["where", "6"],
        b'"never ended,7',
    ]
    good = [rows[i] for i in (0, 2, 5, 6, 8)]
    expected = {
        3: "has 1 columns, the header 2",
        5: "has 3 columns, the header 2",
        6: "has bytes that are not UTF-8 in 'text'",
        9: "is not CSV: ',' expected after '\"'",
        11: "is not CSV: unexpected end of data",
    }
    file, clean = (write_csv(tmp_path / f"{i}.csv", ["text", "n"], r) for i, r in enumerate((rows, good)))
    assert_only_these_fail("embed", checkpoint("embed"), file, expected, clean)


def test_fields_of_pairs_questions_and_choices(checkpoint, tmp_path):
    good = {"question": "who walks?", "context": "the dog walks"}
    lines = [
        good,
        {"question": "", "context": "the dog"},
        {"question": "who?", "context": "  "},
        {"question": "who?"},
        {"question": "who?", "context": 7},
        {"question": "who " * 60, "context": "the dog"},
        good | {"question": "what?"},
    ]
    expected = {
        2: "has an empty question",
        3: "has an empty context",
        4: "has no 'context'; it has question",
        5: "has 7 in 'context', expected a string",
        6: "has a question that leaves -",
    }
    file, clean = write_jsonl(tmp_path / "q.jsonl", lines), write_jsonl(tmp_path / "c.jsonl", [lines[0], lines[-1]])
    assert_only_these_fail("answer", checkpoint("answer"), file, expected, clean)

    good = {"question": "who?", "choices": ["dog", "cat"]}
    lines = [
        good,
        {"question": "who?", "choices": ["dog"]},
        {"question": "who?", "choices": []},
        {"question": "who?", "choices": "dog"},
        {"question": "who?", "choices": ["dog", 7]},
        {"question": "who?", "choices": ["dog", "\ud800"]},
        {"question": "who?", "choices": None},
    ]
    expected = {
        2: "has 1 choices: give at least two",
        3: "has 0 choices: give at least two",
        4: "has 'dog' in 'choices', expected a list of strings",
        5: "has ['dog', 7] in 'choices', expected a list of strings",
        6: "has a lone surrogate, which is no text, in 'choices'",
        7: "has None in 'choices', expected a list of strings",
    }
    raw = [json.dumps(line).encode() for line in lines]
    file, clean = write_jsonl(tmp_path / "m.jsonl", raw), write_jsonl(tmp_path / "n.jsonl", [good])
    assert_only_these_fail("choose", checkpoint("choose"), file, expected, clean)
    rows = [["who?", '["dog", "cat"]'], ["who?", "dog, cat"], ["who?", "[1, 2]"], ["who?", ""]]
    expected = dict.fromkeys((3, 5), "has None in 'choices', expected a list of strings")
    expected |= {4: "has [1, 2] in 'choices', expected a list of strings"}
    file = write_csv(tmp_path / "m.csv", ["question", "choices"], rows)
    assert_only_these_fail("choose", checkpoint("choose"), file, dict(sorted(expected.items())), clean)

    lines = [{"text": "a", "text_pair": "b"}, {"text": "a"}, {"text": "a", "text_pair": None}]
    expected = {2: "has no 'text_pair'; it has text", 3: "has None in 'text_pair', expected a string"}
    file, clean = write_jsonl(tmp_path / "p.jsonl", lines), write_jsonl(tmp_path / "o.jsonl", lines[:1])
    assert_only_these_fail("next-sentence", checkpoint("next-sentence"), file, expected, clean)
    lines = [{"text": "a", "text_pair": "b"}, {"text": "a", "text_pair": 3}, {"text": "a"}]
    file, clean = write_jsonl(tmp_path / "p.jsonl", lines), write_jsonl(tmp_path / "o.jsonl", [lines[0], lines[2]])
    expected = {2: "has 3 in 'text_pair', expected a string"}
    assert_only_these_fail("classify", checkpoint("classify"), file, expected, clean)


def test_texts_without_a_mask(checkpoint, tmp_path):
    texts = ["the [MASK]", "the dog", "", "a [MASK] [MASK]", "   ", "the dog " * 40 + "[MASK]", "[MASK]"]
    file, clean = (
        write_texts(tmp_path / f"{i}.txt", t) for i, t in enumerate((texts, [t for t in texts if "K]" in t[:15]]))
    )
    expected = dict.fromkeys((2, 3, 5, 6), f"has no [MASK] in its first {LONGEST} tokens: '")
    assert_only_these_fail("fill-mask", checkpoint("fill-mask"), file, expected, clean)


def test_a_prompt_that_leaves_no_position_free(checkpoint, tmp_path):
    texts = ["the dog", "dog " * (LONGEST - 1), "", "dog " * (LONGEST - 2), "dog " * 600]
    file = write_texts(tmp_path / "a.txt", texts)
    clean = write_texts(tmp_path / "b.txt", [texts[i] for i in (0, 2, 3)])
    expected = {2: f"has {LONGEST} tokens, the model {LONGEST} positions", 5: f"has 601 tokens, the model {LONGEST} p"}
    done = assert_only_these_fail("generate", checkpoint("generate"), file, expected, clean)
    assert len(done.rows[3]["tokens"]) == 1


@pytest.mark.parametrize("verb", ["embed", "classify", "tag"])
def test_empty_and_too_long_texts_do_what_the_python_task_does(checkpoint, model, verb):
    texts = ["", "   ", "\t", "the dog " * 300, "dog" * 300]
    done = run(verb, checkpoint(verb), *texts, *BACKEND)
    assert (done.code, done.err) == (0, "")
    options = {"aggregation": "simple"} if verb == "tag" else {}
    for row, result in zip(done.rows, model(verb)(texts, **options), strict=True):
        values = [value for name, value in row.items() if name not in ("line", "row", "text")]
        assert_same(values, list(result.values()) if isinstance(result, dict) else [result])


def test_more_than_twenty_failures_are_counted(checkpoint, small_window, tmp_path):
    texts = ["[MASK]" if i % 2 else "nothing" for i in range(50)]
    file = write_texts(tmp_path / "a.txt", texts)
    done = run("fill-mask", checkpoint("fill-mask"), "-i", file, *BACKEND)
    assert done.code == 1
    told = done.err.splitlines()
    assert [line.split(" has ")[0] for line in told[:20]] == [f"bertx: line {i}" for i in range(1, 40, 2)]
    assert told[20:] == [
        "bertx: more lines failed: they are counted at the end",
        "bertx: 25 of 50 lines failed; the others are done",
    ]
    assert [row["line"] for row in done.rows if "error" in row] == list(range(1, 50, 2))
    twenty = write_texts(tmp_path / "b.txt", texts[:40])
    told = run("fill-mask", checkpoint("fill-mask"), "-i", twenty, *BACKEND).err.splitlines()
    assert len(told) == 21
    assert told[20] == "bertx: 20 of 40 lines failed; the others are done"


def test_every_line_fails(checkpoint, small_window, tmp_path):
    file = write_texts(tmp_path / "a.txt", ["nothing"] * 20)
    done = run("fill-mask", checkpoint("fill-mask"), "-i", file, *BACKEND)
    assert done.code == 1
    assert all("error" in row for row in done.rows)
    assert len(done.rows) == 20
    assert "20 of 20 lines failed" in done.err


def test_arguments_fail_one_by_one_too(checkpoint):
    done = run("fill-mask", checkpoint("fill-mask"), "the [MASK]", "nothing", *BACKEND)
    assert done.code == 1
    assert "words" in done.rows[0]
    assert done.rows[1] == {"line": 2, "row": 1, "text": "nothing", "error": done.rows[1]["error"]}
    assert "bertx: line 2 has no [MASK]" in done.err


def test_a_failed_row_keeps_its_fields(checkpoint, tmp_path):
    line = {"question": "who?", "context": ""}
    file = write_jsonl(tmp_path / "a.jsonl", [line])
    assert run("answer", checkpoint("answer"), "-i", file, *BACKEND).rows == [
        {"line": 1, "row": 0, **line, "error": "has an empty context"}
    ]


# --- known bugs -----------------------------------------------------------------------------------


def test_a_lone_surrogate_in_a_key(checkpoint, tmp_path):
    lines = [b'{"text": "a"}', b'{"\\ud800": "b"}', b'{"text": "c"}']
    clean = write_jsonl(tmp_path / "clean.jsonl", [lines[0], lines[2]])
    file = write_jsonl(tmp_path / "a.jsonl", lines)
    assert_only_these_fail("embed", checkpoint("embed"), file, {2: "has no 'text'; it has"}, clean)


def test_an_escaped_low_surrogate_is_called_what_it_is(checkpoint):
    done = run("embed", checkpoint("embed"), "-c", "text", *BACKEND, stdin=b'{"text": "a \\udc80"}')
    assert "lone surrogate" in done.rows[0]["error"]


@pytest.mark.parametrize("context", ["\u200b", "\x00", "\ufffd", "\u0301"])
def test_a_context_of_characters_that_the_tokenizer_drops_has_the_empty_answer(checkpoint, tmp_path, context):
    good = {"question": "who?", "context": "the dog"}
    file = write_jsonl(tmp_path / "a.jsonl", [good, {"question": "who?", "context": context}, good])
    done = run("answer", checkpoint("answer"), "-i", file, *BACKEND)
    assert (done.code, done.err) == (0, "")
    first, empty, last = done.rows
    assert first["answer"] == last["answer"] != ""
    assert (empty["answer"], empty["start"], empty["end"]) == ("", 0, 0)
    assert 0 < empty["score"] <= 1


@pytest.mark.parametrize("last", ['"d",4', "d,4"])
def test_an_open_quote_in_the_middle_of_a_table_loses_no_line_unsaid(checkpoint, tmp_path, last):
    file = tmp_path / "a.csv"
    file.write_text(f'text,n\na,1\n"open,2\nc,3\n{last}\n')
    done = run("embed", checkpoint("embed"), "-i", file, *BACKEND)
    assert done.code == 1
    lines = {row["line"] for row in done.rows if "error" not in row}
    error = next(row["error"] for row in done.rows if "error" in row)
    assert lines >= {2, 4, 5} or "5" in error


@pytest.mark.parametrize("content", [b'"text,label\na,b\n', b"text\ra\r"], ids=["open quote", "old Mac"])
def test_a_header_that_is_no_csv(checkpoint, tmp_path, content):
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    done = run("embed", checkpoint("embed"), "-i", file, *BACKEND)
    assert done.code == 2
    assert "a.csv: its header is not CSV" in done.told


def test_a_token_beyond_the_models_vocabulary(tmp_path):
    folder = write_checkpoint("BertModel", tmp_path / "extended")
    with open(folder / "vocab.txt", "a") as stream:
        stream.write("zebra\n")
    done = run("embed", folder, "the dog", "a zebra", "a cat", *BACKEND)
    assert done.code == 1
    assert ["error" in row for row in done.rows] == [False, True, False]


def test_a_vocabulary_smaller_than_the_models(tmp_path):
    folder = write_checkpoint("BertLMHeadModel", tmp_path / "padded")
    tokens = (folder / "vocab.txt").read_text().split()
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens[:70]))
    done = run("generate", folder, *TEXTS[:3], "a", "b", *BACKEND)
    assert done.code == 0
    assert all(row["generated_text"].startswith(row["text"]) for row in done.rows)


def test_what_is_told_is_not_changed(checkpoint):
    assert "'a :dog: here'" in run("fill-mask", checkpoint("fill-mask"), "a :dog: here", *BACKEND).told
