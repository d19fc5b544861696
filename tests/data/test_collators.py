"""Collators against transformers' tokenizer, collators and the rules of its scripts."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import transformers

import bertx
from bertx.data import Batches, DataError, collator_of, labels_of, problem_type_of
from bertx.hub.sources import resolve
from bertx.inputs import check_inputs
from bertx.registry import architecture_of_task, head_of
from conftest import MINILM


@pytest.fixture(scope="module")
def tokenizer():
    return bertx.BertTokenizer.from_pretrained(MINILM)


@pytest.fixture(scope="module")
def peer():
    return transformers.AutoTokenizer.from_pretrained(resolve(MINILM))


def config(*labels, **changes):
    return bertx.BertConfig(id2label=dict(enumerate(labels or ("bad", "good"))), **changes)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        value = np.asarray(value)
        assert found[name].dtype.kind == value.dtype.kind
        np.testing.assert_array_equal(found[name], value, err_msg=name)


# --- text classification --------------------------------------------------------------------------

REVIEWS = [
    {"text": "The soup was a delight.", "label": "good"},
    {"text": "The room was cold, late and not worth the money.", "label": "bad"},
    {"text": "It made me smile.", "label": "good"},
]


def test_text_classification(tokenizer, peer):
    collate = collator_of("text-classification", tokenizer, config())
    expected = peer([row["text"] for row in REVIEWS], padding=True, return_tensors="np")
    assert_same(collate(REVIEWS, 0, 0), {**expected, "labels": np.array([1, 0, 1])})


def test_pairs_some_of_them_and_truncation(tokenizer, peer):
    rows = [
        {"sentence1": "word " * 40, "sentence2": "other " * 9, "label": 1},
        {"sentence1": "A short one.", "sentence2": "Another.", "label": 0},
    ]
    collate = collator_of("text-classification", tokenizer, config(), max_length=24, padding="max_length")
    expected = peer(
        [row["sentence1"] for row in rows],
        [row["sentence2"] for row in rows],
        padding="max_length",
        truncation=True,
        max_length=24,
        return_tensors="np",
    )
    found = collate(rows, 0, 0)
    assert_same(found, {**expected, "labels": np.array([1, 0])})
    assert found["input_ids"].shape == (2, 24)
    mixed = collate([rows[0], {"text": "Alone.", "label": 0}], 0, 0)
    np.testing.assert_array_equal(mixed["input_ids"][0], found["input_ids"][0])
    alone = peer("Alone.")["input_ids"]
    assert mixed["input_ids"][1].tolist() == alone + [0] * (24 - len(alone))


def test_pad_to_multiple_of(tokenizer):
    collate = collator_of("text-classification", tokenizer, config(), pad_to_multiple_of=8)
    assert collate(REVIEWS, 0, 0)["input_ids"].shape == (3, 16)


@pytest.mark.parametrize(
    ("names", "label", "number"),
    [
        (("bad", "good"), "good", 1),
        (("bad", "good"), 0, 0),
        (("bad", "good"), "1", 1),  # a number that a table has as text
        (("1", "2", "3"), 1, 0),  # where all names are integers, an integer is a name
        (("1", "2", "3"), "3", 2),
        (("False", "True"), True, 1),
    ],
)
def test_a_label_is_a_name_or_a_number(tokenizer, names, label, number):
    collate = collator_of("text-classification", tokenizer, config(*names))
    assert collate([{"text": "a", "label": label}], 0, 0)["labels"].tolist() == [number]


@pytest.mark.parametrize(
    ("names", "label"),
    [(("bad", "good"), label) for label in ("fine", 2, -1, "2", 1.0, True, ["good"])] + [(("1", "2", "3"), 0)],
)
def test_a_label_that_the_config_does_not_know_is_refused(tokenizer, names, label):
    collate = collator_of("text-classification", tokenizer, config(*names))
    with pytest.raises(DataError, match=r"row 0 has the label .*, (which the config does not know|expected one class)"):
        collate([{"text": "a", "label": label}], 0, 0)


def test_several_labels(tokenizer):
    several = config("x", "y", "z", problem_type="multi_label_classification")
    collate = collator_of("text-classification", tokenizer, several)
    rows = [{"text": "a", "label": label} for label in (["z", "x"], [], [1, "x"], '["y"]')]
    found = collate(rows, 0, 0)["labels"]
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]]
    with pytest.raises(DataError, match="expected a list of classes"):
        collate([{"text": "a", "label": "x"}], 0, 0)


def test_numbers(tokenizer):
    collate = collator_of("text-classification", tokenizer, config("score"))
    found = collate([{"text": "a", "label": label} for label in (0.5, 3, "-1.25")], 0, 0)["labels"]
    assert found.dtype == np.float32
    assert found.tolist() == [0.5, 3, -1.25]
    two = collator_of("text-classification", tokenizer, config("a", "b", problem_type="regression"))
    assert two([{"text": "a", "label": [0.5, 2]}], 0, 0)["labels"].tolist() == [[0.5, 2]]
    for label in (float("nan"), "much", [1.0, 2.0], True):
        with pytest.raises(DataError, match="expected a number: the config's problem_type is regression"):
            collate([{"text": "a", "label": label}], 0, 0)


def test_a_padding_side_of_the_tokenizer_changes_nothing(peer):
    left = bertx.BertTokenizer.from_pretrained(MINILM, padding_side="left")
    collate = collator_of("text-classification", left, config())
    assert (collate(REVIEWS, 0, 0)["input_ids"][:, 0] == peer.cls_token_id).all()


# --- what is wrong with data ----------------------------------------------------------------------


def test_all_bad_rows_are_in_one_error(tokenizer):
    rows = [*REVIEWS, {"text": 7, "label": "good"}, {"text": "a"}, {"text": "\ud800", "label": 0}]
    with pytest.raises(DataError) as error:
        Batches(rows, collator_of("text-classification", tokenizer, config()), 2, 0)
    assert str(error.value).splitlines() == [
        "3 rows cannot be used:",
        "  row 3 has 7 for its text, expected text",
        "  row 4 has no label; it has 'text'",
        "  row 5 has a lone surrogate, which is no text, in its text",
    ]


def test_a_column_that_is_not_there_is_named_with_those_that_are(tokenizer):
    rows = [{"review": "a", "stars": 1}]
    with pytest.raises(ValueError, match=r"no column for text: .*; label: .*; the data have 'review', 'stars'"):
        Batches(rows, collator_of("text-classification", tokenizer, config()), 2, 0)
    columns = {"text": "review", "label": "stars"}
    collate = collator_of("text-classification", tokenizer, config(), columns=columns)
    assert Batches(rows, collate, 2, 0).at(0)["labels"].tolist() == [1]
    with pytest.raises(ValueError, match="no column for 'review'; 'stars'"):
        Batches(REVIEWS, collate, 2, 0)
    with pytest.raises(ValueError, match="columns names 'lable'; what this task reads is 'text', 'text_pair', 'label'"):
        collator_of("text-classification", tokenizer, config(), columns={"lable": "stars"})


def test_a_class_that_never_occurs_is_logged(tokenizer, caplog):
    caplog.set_level(logging.WARNING, "bertx.data")
    Batches(REVIEWS, collator_of("text-classification", tokenizer, config("bad", "good", "fine")), 2, 0)
    assert [record.getMessage() for record in caplog.records] == [
        "of 3 rows none has the label 'fine': the model cannot learn it"
    ]


def test_unknown_tasks_and_options_are_refused(tokenizer):
    with pytest.raises(ValueError, match="there is no task 'translation'"):
        collator_of("translation", tokenizer, config())
    with pytest.raises(ValueError, match="text-generation has no collator"):
        collator_of("text-generation", tokenizer, config())
    for options, expected in (
        ({"padding": "left"}, "padding is 'left'"),
        ({"max_length": 600}, "max_length is 600, expected 1 to 512"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of is 0"),
    ):
        with pytest.raises(ValueError, match=expected):
            collator_of("text-classification", tokenizer, config(), **options)
    with pytest.raises(TypeError, match="label_all"):
        collator_of("text-classification", tokenizer, config(), label_all=True)


# --- the labels of the data -----------------------------------------------------------------------


class _Table(list):
    """What `datasets.Dataset` looks like here."""

    def __init__(self, rows, features):
        super().__init__(rows)
        self.column_names, self.features = list(rows[0]), features


def test_labels_of_the_data():
    assert labels_of(REVIEWS) == ("bad", "good")
    assert labels_of([{"label": n} for n in (10, 9, 10, 1)]) == ("1", "9", "10")
    assert labels_of([{"label": ["b", "a"]}, {"label": []}, {"label": '["c"]'}]) == ("a", "b", "c")
    assert labels_of([{"tokens": ["a", "b"], "ner_tags": ["O", "B-X"]}]) == ("B-X", "O")
    assert labels_of([{"stars": "x"}], "stars") == ("x",)
    with pytest.raises(ValueError, match=r"a label is 0.5"):
        labels_of([{"label": 0.5}])
    with pytest.raises(ValueError, match="no column for 'star'; the data have 'stars'"):
        labels_of([{"stars": "x"}], "star")


def test_a_table_of_datasets_names_its_classes_itself():
    named = type("ClassLabel", (), {"names": ["O", "B-X"]})()
    of_list = type("Sequence", (), {"feature": named})()
    assert labels_of(_Table([{"label": 1}], {"label": named})) == ("O", "B-X")
    assert labels_of(_Table([{"ner_tags": [0]}], {"ner_tags": of_list})) == ("O", "B-X")


def test_the_problem_type_of_the_data():
    assert problem_type_of(REVIEWS) == "single_label_classification"
    assert problem_type_of([{"label": ["a"]}]) == "multi_label_classification"
    assert problem_type_of([{"label": 0.5}]) == "regression"


# --- token classification -------------------------------------------------------------------------

TAGS = ("O", "B-PER", "I-PER", "B-LOC")
SENTENCES = [
    {
        "tokens": ["Schnitzelbaum", "Amadeus", "lives", "in", "Johannesburg", "."],
        "tags": ["B-PER", "I-PER", "O", 0, 3, "O"],
    },
    {"tokens": ["Hello", "\u200b", "Zurich!"], "tags": ["O", "O", "B-LOC"]},
]


def _run_ner(peer, label_all):
    """The alignment of transformers' run_ner.py, and its collator."""
    names = list(TAGS)
    inside = [
        names.index(tag.replace("B-", "I-")) if tag.replace("B-", "I-") in names else i for i, tag in enumerate(TAGS)
    ]
    features = []
    for row in SENTENCES:
        encoded = peer(row["tokens"], truncation=True, is_split_into_words=True, max_length=12)
        numbers = [tag if isinstance(tag, int) else names.index(tag) for tag in row["tags"]]
        before, labels = None, []
        for word in encoded.word_ids():
            if word is None:
                labels.append(-100)
            elif word != before:
                labels.append(numbers[word])
            else:
                labels.append(inside[numbers[word]] if label_all else -100)
            before = word
        features.append({**encoded, "labels": labels})
    return transformers.DataCollatorForTokenClassification(peer, return_tensors="np")(features)


@pytest.mark.parametrize("label_all", [False, True])
def test_token_classification_is_that_of_run_ner(tokenizer, peer, label_all):
    collate = collator_of("ner", tokenizer, config(*TAGS), label_all=label_all, max_length=12)
    found = collate(SENTENCES, 0, 0)
    assert_same(found, dict(_run_ner(peer, label_all)))
    assert ((found["labels"] == 2).sum() > 1) == label_all  # the other tokens of a B-PER are I-PER
    assert ((found["labels"] == 3).sum() > 2) == label_all  # and there is no I-LOC


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "has 2 words and 1 tags"),
        ({"tokens": ["a"], "tags": ["B-ORG"]}, "has the label 'B-ORG', which the config does not know"),
        ({"tokens": "a b", "tags": ["O"]}, "has 'a b' for its tokens, expected a list"),
        ({"tokens": [], "tags": []}, "has no words"),
        ({"tokens": ["a", 3], "tags": ["O", "O"]}, "has 3 for its tokens, expected text"),
    ],
)
def test_wrong_sentences_are_refused(tokenizer, row, expected):
    with pytest.raises(DataError, match=expected):
        collator_of("token-classification", tokenizer, config(*TAGS))([row], 0, 0)


# --- question answering ---------------------------------------------------------------------------

CONTEXT = (
    "The old library of Zürich was founded in 1629 by four young citizens. It stood in the Wasserkirche, "
    "a church on the river Limmat, and lent books to anybody who paid one guilder a year. In 1914 it moved to the "
    "Zähringerplatz, where it still is; since 1917 it has been the library of the city, the canton and the university."
)


def _question(question, answer, context=CONTEXT):
    found = {"text": [], "answer_start": []}
    if answer is not None:
        found = {"text": [answer, "other"], "answer_start": [context.index(answer), 0]}
    return {"id": question, "question": question, "context": context, "answers": found}


QUESTIONS = [
    _question("  When was it founded?", "1629"),
    _question("What was founded?", "The old library"),
    _question("Where did it stand?", "Wasserkirche"),
    _question("Where is it now?", "Zähringerplatz"),
    _question("Whose is it?", "city, the canton and the univers"),
    _question("Who burnt it?", None),
    _question("Who?", "librarian", "Nobody knows, not even the librarian; she has asked twice."),
]


def _run_qa(peer, rows, max_length, stride):
    """The windows and positions of prepare_train_features of transformers' run_qa.py."""
    encoded = peer(
        [row["question"].lstrip() for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="np",
    )
    samples, offset_mapping = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping").tolist()
    starts, ends = [], []
    for i, offsets in enumerate(offset_mapping):
        cls = encoded["input_ids"][i].tolist().index(peer.cls_token_id)
        sequences, answers = encoded.sequence_ids(i), rows[samples[i]]["answers"]
        if not answers["answer_start"]:
            starts.append(cls)
            ends.append(cls)
            continue
        start_char = answers["answer_start"][0]
        end_char = start_char + len(answers["text"][0])
        first = 0
        while sequences[first] != 1:
            first += 1
        last = len(sequences) - 1
        while sequences[last] != 1:
            last -= 1
        if not (offsets[first][0] <= start_char and offsets[last][1] >= end_char):
            starts.append(cls)
            ends.append(cls)
            continue
        while first < len(offsets) and offsets[first][0] <= start_char:
            first += 1
        starts.append(first - 1)
        while offsets[last][1] >= end_char:
            last -= 1
        ends.append(last + 1)
    return {**encoded, "start_positions": np.array(starts), "end_positions": np.array(ends)}


@pytest.mark.parametrize(("max_length", "stride"), [(40, 12), (32, 0), (384, 128)])
def test_windows_and_positions_are_those_of_run_qa(tokenizer, peer, max_length, stride):
    collate = collator_of("question-answering", tokenizer, config(), max_length=max_length, stride=stride)
    expected = _run_qa(peer, QUESTIONS, max_length, stride)
    assert_same(collate(QUESTIONS, 0, 0), expected)
    made = Batches(QUESTIONS, collate, 100, 0, shuffle=False)  # windows, each in its batch once
    assert len(made.rows) == len(expected["input_ids"]) == (len(QUESTIONS) if max_length == 384 else len(made.rows))
    assert_same(made.at(0), expected)


def test_an_answer_in_the_last_token_of_a_window_is_found(tokenizer):
    # run_qa.py's loop goes on to the padding there: "we could go after the last offset".
    row = _question("What?", "university", CONTEXT.removesuffix("."))
    found = collator_of("question-answering", tokenizer, config())([row], 0, 0)
    (start,), (end,) = found["start_positions"], found["end_positions"]
    assert tokenizer.decode(found["input_ids"][0, start : end + 1]) == "university"


def test_defaults_of_windows(tokenizer):
    collate = collator_of("question-answering", tokenizer, config())
    assert (collate.max_length, collate.stride) == (384, 128)
    collate = collator_of("question-answering", tokenizer, config(), max_length=100)
    assert (collate.max_length, collate.stride) == (100, 50)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"answers": {"text": ["a"], "answer_start": [900]}}, "has the answer 'a' at 900, and its context has"),
        ({"answers": {"text": ["a"], "answer_start": []}}, "of one length"),
        ({"answers": "a"}, "has 'a' for its answers"),
        ({"question": "word " * 30}, "has a question that leaves 7 tokens for its context, and windows share 20"),
        ({"context": 3}, "has 3 for its context"),
    ],
)
def test_wrong_questions_are_refused(tokenizer, changes, expected):
    collate = collator_of("question-answering", tokenizer, config(), max_length=40, stride=20)
    with pytest.raises(DataError, match=expected):
        collate([QUESTIONS[0] | changes], 0, 0)


def test_answers_that_read_otherwise_in_their_context_are_logged(tokenizer, caplog):
    moved = QUESTIONS[0] | {"answers": {"text": ["1629"], "answer_start": [3]}}
    Batches([QUESTIONS[0], moved], collator_of("question-answering", tokenizer, config()), 2, 0)
    assert "1 of 2 answers do not read the same in the context" in caplog.text
    assert "the first in row 1" in caplog.text


# --- choices, next sentences, embeddings ----------------------------------------------------------


def test_multiple_choice_is_that_of_run_swag(tokenizer, peer):
    rows = [
        {"question": "It rains.", "choices": ["Take a car.", "Open the umbrella.", "Sleep"], "label": 1},
        {"question": "A dog barks at a very big cat", "choices": ["a", "b", "c"], "label": "c"},
    ]
    features = []
    for row, label in zip(rows, (1, 2), strict=True):
        encoded = peer([row["question"]] * 3, row["choices"], truncation=True)
        features.append({**encoded, "label": label})
    expected = transformers.DataCollatorForMultipleChoice(peer)(features)
    collate = collator_of("multiple-choice", tokenizer, config())
    assert_same(collate(rows, 0, 0), {name: value.numpy() for name, value in expected.items()})
    wrong = [*rows, rows[0] | {"choices": ["a", "b"]}, rows[0] | {"label": 3}, rows[0] | {"choices": ["a"]}]
    with pytest.raises(
        DataError, match=r"row 3 has the label 3, expected 0 to 2(.|\n)*row 4 has \['a'\] for its choices"
    ):
        Batches(wrong, collate, 2, 0)
    with pytest.raises(DataError, match="row 2 has 2 choices, the first row 3"):
        Batches(wrong[:3], collate, 2, 0)


def test_next_sentences(tokenizer, peer):
    rows = [{"text": "A.", "text_pair": "B and C.", "label": 0}, {"text": "D", "text_pair": "E", "label": "1"}]
    collate = collator_of("next-sentence-prediction", tokenizer, config())
    expected = peer(["A.", "D"], ["B and C.", "E"], padding=True, return_tensors="np")
    assert_same(collate(rows, 0, 0), {**expected, "labels": np.array([0, 1])})
    with pytest.raises(DataError, match="has the label 2, expected 0"):
        collate([rows[0] | {"label": 2}], 0, 0)
    with pytest.raises(DataError, match="has no text_pair"):
        collate([{"text": "A.", "label": 0}], 0, 0)


def test_embeddings(tokenizer, peer):
    collate = collator_of("feature-extraction", tokenizer, config())
    rows = [
        {"anchor": "a b c", "positive": "d", "negative": "e f"},
        {"anchor": "g", "positive": "h i", "negative": "j"},
    ]
    found = collate(rows, 0, 0)
    expected = peer(["a b c", "d", "e f", "g", "h i", "j"], padding=True, return_tensors="np")
    assert_same(found, {name: value.reshape(2, 3, -1) for name, value in expected.items()})
    scored = [{"sentence1": "a", "sentence2": "b", "score": 0.5}, {"sentence1": "c", "sentence2": "d", "score": "1"}]
    found = collate(scored, 0, 0)
    assert found["input_ids"].shape == (2, 2, 3)
    assert found["labels"].tolist() == [0.5, 1]
    with pytest.raises(DataError, match="row 1 has anchor, positive, score, the first row anchor, positive, negative"):
        Batches([rows[0], scored[0]], collate, 2, 0)


# --- other families -------------------------------------------------------------------------------


def test_a_tokenizer_without_token_types():
    vocabulary = {token: i for i, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "Ġ", "Ġa"))}
    rows = [{"tokens": ["a", "a"], "tags": ["O", "B-X"]}]
    config = bertx.RobertaConfig(vocab_size=len(vocabulary), id2label={0: "O", 1: "B-X"})
    tokenizer = bertx.RobertaTokenizer(vocabulary, [("Ġ", "a")], add_prefix_space=True)
    found = collator_of("token-classification", tokenizer, config)(rows, 0, 0)
    assert_same(found, {"input_ids": [[0, 7, 7, 2]], "attention_mask": [[1] * 4], "labels": [[-100, 0, 1, -100]]})
    without = bertx.RobertaTokenizer(vocabulary, [("Ġ", "a")])
    question = {"question": "  a", "context": "a a", "answers": {"text": ["a"], "answer_start": [0]}}
    asked = collator_of("question-answering", without, config)([question], 0, 0)
    assert asked["input_ids"].tolist() == [[0, 5, 2, 2, 5, 7, 2]]  # the spaces before a question are no tokens
    assert (asked["start_positions"], asked["end_positions"]) == ([4], [4])
    with pytest.raises(ValueError, match="add_prefix_space"):
        collator_of("token-classification", without, config)


# --- what the heads take --------------------------------------------------------------------------

ROWS_OF = {
    "text-classification": REVIEWS,
    "token-classification": [{"tokens": ["a", "b"], "tags": ["good", "bad"]}] * 3,
    "question-answering": QUESTIONS,
    "multiple-choice": [{"question": "a", "choices": ["b", "c d"], "label": 1}] * 3,
    "next-sentence-prediction": [{"text": "a", "text_pair": "b", "label": 1}] * 3,
    "fill-mask": REVIEWS,
    "pretraining": [{"sentences": ["a b.", "c"]}, {"sentences": ["d e f"]}],
}


@pytest.mark.parametrize("task", ROWS_OF)
def test_a_batch_is_what_the_head_of_its_task_takes(tokenizer, task):
    architecture = architecture_of_task(task, "bert")
    batch = Batches(ROWS_OF[task], collator_of(task, tokenizer, config()), 2, 0).at(0)
    check_inputs(architecture, config(), batch)
    assert set(head_of(architecture).labels) < set(batch)
