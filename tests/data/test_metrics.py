"""Metrics against the field's: seqeval, SQuAD's script, scikit-learn and SciPy."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import bertx
from bertx.data import Batches, collator_of
from bertx.training.metrics import entities, metrics_of, squad
from bertx_weights import MissingExtraError
from conftest import MINILM
from fixture_files import FIXTURES


def config(*labels, **changes):
    return bertx.BertConfig(id2label=dict(enumerate(labels)), **changes)


def added(task, config, *batches):
    metrics = metrics_of(task, config)
    for outputs, batch in batches:
        metrics.add(outputs, batch)
    return metrics.compute()


@pytest.mark.parametrize("case", json.loads((FIXTURES / "seqeval.json").read_text()))
def test_entities_are_those_of_seqeval(case):
    assert entities(case["found"], case["expected"]) == pytest.approx(case["scores"])


def test_bilou_tags_are_those_of_other_letters():
    iobes = [["B-X", "E-X", "S-Y", "O", "B-X", "I-X", "E-X"]], [["B-X", "E-X", "S-X", "O", "S-X", "B-X", "E-X"]]
    bilou = [[[tag.replace("E-", "L-").replace("S-", "U-") for tag in text] for text in texts] for texts in iobes]
    assert entities(*bilou) == entities(*iobes)
    with pytest.raises(ValueError, match="the tag 'NOUN' is none of entities"):
        entities([["NOUN"]], [["O"]])
    with pytest.raises(ValueError, match="differ in their lengths"):
        entities([["O"]], [["O", "O"]])


def test_squad_is_its_script():
    cases = json.loads((FIXTURES / "squad_metrics.json").read_text())
    for case in cases:
        expected = {name: 100 * case[name] for name in ("exact_match", "f1")}
        assert squad([case["answer"]], [case["expected"]]) == pytest.approx(expected), case
    found = squad([case["answer"] for case in cases], [case["expected"] for case in cases])
    assert found["f1"] == pytest.approx(100 * np.mean([case["f1"] for case in cases]))
    with pytest.raises(ValueError, match="1 answers for 0 questions"):
        squad(["a"], [])


def logits(classes, count):
    return np.eye(count)[np.array(classes)] * 3


def test_classes():
    batches = [
        ({"logits": logits([0, 1, 2], 3)}, {"labels": np.array([0, 1, 1])}),
        ({"logits": logits([2], 3)}, {"labels": np.array([2])}),
    ]
    found = added("text-classification", config("a", "b", "c"), *batches)
    # F1 of a 1, of b 2/3, of c 2/3; over both batches, of unequal sizes.
    assert found == pytest.approx({"accuracy": 0.75, "f1": 7 / 9})
    two = ({"logits": logits([0, 1, 1, 0], 2)}, {"labels": np.array([0, 1, 0, 0])})
    assert added("text-classification", config("a", "b"), two) == pytest.approx({"accuracy": 0.75, "f1": 2 / 3})
    for task in ("multiple-choice", "next-sentence-prediction"):
        assert added(task, config("a", "b"), two) == {"accuracy": 0.75}


def test_several_labels():
    outputs = {"logits": np.array([[2.0, -1, -3], [1, 0.3, -1]])}
    batch = {"labels": np.array([[1, 0, 0], [1, 0, 0]], np.float32)}
    several = config("a", "b", "c", problem_type="multi_label_classification")
    found = added("text-classification", several, (outputs, batch))
    assert found == pytest.approx({"f1": 0.8, "f1_macro": 1 / 3, "accuracy": 0.5})


def test_numbers():
    predicted, labels = np.array([[0.1], [0.9], [0.4]]), np.array([1.0, 3.0, 1.5])
    number = config("score")
    batches = [({"logits": predicted[part]}, {"labels": labels[part]}) for part in (slice(2), slice(2, 3))]
    found = added("text-classification", number, *batches)
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] == pytest.approx(np.corrcoef(predicted[:, 0], labels)[0, 1])
    assert found["mse"] == pytest.approx(np.mean((predicted[:, 0] - labels) ** 2))
    same = added("text-classification", number, ({"logits": np.ones((3, 1))}, {"labels": labels}))
    assert np.isnan(same["spearman"]) and np.isnan(same["pearson"])


def test_entities_of_batches():
    tags = config("O", "B-X", "I-X")
    outputs = {"logits": logits([[1, 2, 0, 1, 0]], 3)}
    batch = {"labels": np.array([[1, 2, -100, 0, 0]])}  # the third is a piece of a word
    found = added("token-classification", tags, (outputs, batch))
    assert found == pytest.approx({"f1": 2 / 3, "precision": 0.5, "recall": 1, "accuracy": 0.75})
    parts = config("NOUN", "VERB", "DET")
    assert added("token-classification", parts, (outputs, batch)) == pytest.approx({"accuracy": 0.75, "f1": 7 / 9})


def test_perplexity_counts_tokens_not_batches():
    generator = np.random.default_rng(0)
    batches = []
    for rows in (1, 3):
        labels = generator.integers(0, 11, (rows, 5))
        labels[:, 2:4] = -100
        batches.append(({"logits": generator.normal(0, 30, (rows, 5, 11)).astype(np.float32)}, {"labels": labels}))
    found = added("fill-mask", bertx.BertConfig(), *batches)
    outputs = np.concatenate([one["logits"].reshape(-1, 11) for one, _ in batches]).astype(np.float64)
    labels = np.concatenate([batch["labels"].ravel() for _, batch in batches])
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(outputs), torch.from_numpy(labels))
    assert found["perplexity"] == pytest.approx(float(loss.exp()))
    counted = labels != -100
    assert found["accuracy"] == np.mean(outputs.argmax(-1)[counted] == labels[counted])
    renamed = [
        (
            {"prediction_logits": one["logits"], "seq_relationship_logits": logits([0] * len(batch["labels"]), 2)},
            {**batch, "next_sentence_label": np.arange(len(batch["labels"])) % 2},
        )
        for one, batch in batches
    ]
    both = added("pretraining", bertx.BertConfig(), *renamed)
    assert both == pytest.approx({**found, "next_sentence_accuracy": 0.75})


def test_positions():
    outputs = {"start_logits": logits([1, 2, 0], 5), "end_logits": logits([3, 3, 0], 5)}
    batch = {"start_positions": np.array([1, 1, 0]), "end_positions": np.array([3, 3, 0])}
    assert added("question-answering", config("a", "b"), (outputs, batch)) == {"exact_positions": pytest.approx(2 / 3)}


CONTEXT = "Anna lives in Paris. Ben lives in Rome."


@pytest.fixture
def answers():
    """(questions with their texts, the end of each window) → metrics of logits that name spans of characters."""
    tokenizer = bertx.BertTokenizer.from_pretrained(MINILM)
    collate = collator_of("question-answering", tokenizer, config("a", "b"), max_length=16, stride=4)

    def metrics_of_spans(rows, spans):
        batches = Batches(rows, collate, 2, 0, shuffle=False)
        metrics = metrics_of("question-answering", config("a", "b"), collate)
        for step in range(len(batches)):
            batch = batches.at(step)
            windows = [batches.rows[int(i)] for i in batches.indices(step)]
            logits = {name: np.zeros(batch["input_ids"].shape) for name in ("start_logits", "end_logits")}
            for i, window in enumerate(windows):
                encoding, _, _, _ = collate.window(window)
                logits["start_logits"][i, 0] = logits["end_logits"][i, 0] = 2.0  # no answer
                for (first, last), score in spans[window["question"]]:
                    for t, (offset, sequence) in enumerate(zip(encoding.offsets, encoding.sequence_ids, strict=True)):
                        if sequence == 1 and offset[0] == first:
                            logits["start_logits"][i, t] = score
                        if sequence == 1 and offset[1] == last:
                            logits["end_logits"][i, t] = score
            metrics.add(logits, batch)
            metrics.add_rows(logits, windows)
        return metrics.compute()

    return metrics_of_spans


def test_answers_are_texts_of_all_windows(answers):
    """The context takes several windows, and the best span of all of them counts, right or not."""
    paris, rome = (CONTEXT.index("Paris"), CONTEXT.index("Paris") + 5), (CONTEXT.index("Rome"), len(CONTEXT) - 1)
    rows = [
        {"question": f"Where {i}?", "context": CONTEXT, "answers": {"text": [text], "answer_start": [start]}}
        for i, (text, start) in enumerate((("Paris", paris[0]), ("the Rome", rome[0] - 4), ("in Rome", rome[0] - 3)))
    ]
    rows[1]["answers"]["text"] = ["Rome"]
    spans = {
        "Where 0?": [(paris, 5.0), (rome, 3.0)],
        "Where 1?": [(paris, 3.0), (rome, 5.0)],
        "Where 2?": [(rome, 5.0)],
    }
    found = answers(rows, spans)
    assert found["exact_match"] == pytest.approx(200 / 3) and found["f1"] == pytest.approx((2 + 2 / 3) / 3 * 100)
    assert list(found) == ["f1", "exact_match", "exact_positions"]
    # All have an answer: a likelier "none" is no answer. With a question that has none it is.
    weak = {name: [(span, 1.0) for span, _ in of_one] for name, of_one in spans.items()}
    assert answers(rows, weak)["exact_match"] > 0
    none = {"question": "Where 3?", "context": CONTEXT, "answers": {"text": [], "answer_start": []}}
    found = answers([*rows, none], weak | {"Where 3?": [(paris, 1.0)]})
    assert found["exact_match"] == found["f1"] == 25
    found = answers([*rows, none], spans | {"Where 3?": [(paris, 1.0)]})
    assert found["exact_match"] == pytest.approx(75)


def test_an_answer_is_no_span_that_ends_before_it_begins_or_is_too_long(answers):
    """The end of "Anna" is likely, and so is a start after it; so is the end of the whole context."""
    context = f"Anna {'very ' * 40}well"
    row = {"question": "Who?", "context": context, "answers": {"text": ["Anna"], "answer_start": [0]}}
    likely = {"Who?": [((0, 4), 5.0), ((context.index("well"), 4), 4.0), ((0, len(context)), 4.5)]}
    assert answers([row], likely)["exact_match"] == 100


def test_similarity():
    generator = np.random.default_rng(0)
    embeddings = generator.normal(0, 1, (9, 2, 6))
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in embeddings]
    scores = np.float32(np.array(cosines) + generator.normal(0, 0.3, 9))
    parts = [({"sentence_embedding": embeddings[part]}, {"labels": scores[part]}) for part in (slice(4), slice(4, 9))]
    found = added("sentence-similarity", config("a"), *parts)
    assert found["pearson"] == pytest.approx(np.corrcoef(cosines, scores)[0, 1])
    assert found["spearman"] == pytest.approx(
        np.corrcoef(np.argsort(np.argsort(cosines)), np.argsort(np.argsort(scores)))[0, 1]
    )
    texts = np.eye(5)[[[0, 0, 1], [2, 2, 3], [4, 3, 4]]]  # of the last the negative is nearer
    found = added("sentence-similarity", config("a"), ({"sentence_embedding": texts}, {}))
    assert found == pytest.approx({"accuracy": 2 / 3, "triplet_accuracy": 2 / 3})
    assert added("sentence-similarity", config("a"), ({"sentence_embedding": texts[:2, :2]}, {})) == {"accuracy": 1.0}


def test_what_has_no_metrics_is_refused():
    with pytest.raises(ValueError, match="feature-extraction has no metrics"):
        metrics_of("feature-extraction", bertx.BertConfig())
    for task in ("text-classification", "token-classification", "fill-mask"):
        with pytest.raises(ValueError, match=r"no batch was added|no token was hidden"):
            added(task, config("O", "B-X"))


def test_a_library_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"needs? sklearn, not installed here: pip install 'bertx\[train\]'"):
        added("multiple-choice", config("a", "b"), ({"logits": logits([0], 2)}, {"labels": np.array([0])}))


def test_no_library_is_imported_before_it_is_needed():
    code = "import bertx.data, bertx.training.metrics, sys; print(*{'sklearn', 'scipy', 'pyarrow'} & set(sys.modules))"
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
