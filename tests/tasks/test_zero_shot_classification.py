from __future__ import annotations

import warnings

import pytest
import transformers
from tiny import write_checkpoint

import bertx
from bertx.tasks import zero_shot_classification
from support import BACKENDS

TEXTS = ["the happy dog walks", "a cat sat on the mat in the city . " * 6, "who ?"]
LABELS = ["dog", "the city", "river"]
NAMES = {"end": ["contradiction", "neutral", "entailment"], "first": ["ENTAILMENT", "not", "other"]}


@pytest.fixture(scope="module", params=NAMES)
def folder(request, tmp_path_factory):
    names = dict(enumerate(NAMES[request.param]))
    changes = {"num_labels": 3, "id2label": names, "label2id": {name: i for i, name in names.items()}}
    return write_checkpoint(tmp_path_factory.mktemp("nli") / "model", "BertForSequenceClassification", **changes)


@pytest.mark.parametrize("options", [{}, {"multi_label": True}, {"hypothesis_template": "it is in {} :"}])
@pytest.mark.parametrize("labels", [LABELS, "dog, river", ["cat"]])
def test_it_equals_the_hubs_pipeline(folder, loaded, options, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = transformers.pipeline("zero-shot-classification", model=str(folder), device="cpu")
        expected = peer(TEXTS, labels, **options)
    found = zero_shot_classification(loaded(folder, backend="numpy"), TEXTS, labels, **options)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["sequence"] == theirs["sequence"] and ours["labels"] == theirs["labels"]
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-5)


def test_every_backend_and_a_stream(folder, loaded):
    expected = zero_shot_classification(loaded(folder, backend="numpy"), TEXTS[0], LABELS)
    for backend in BACKENDS:
        (found,) = zero_shot_classification(loaded(folder, backend=backend), iter(TEXTS[:1]), LABELS)
        assert found["labels"] == expected["labels"]
        assert found["scores"] == pytest.approx(expected["scores"], abs=1e-5)


def test_what_it_cannot_rank(folder, loaded, tmp_path):
    model = loaded(folder, backend="numpy")
    with pytest.raises(ValueError, match="candidate_labels is empty"):
        zero_shot_classification(model, "a", " , ")
    with pytest.raises(ValueError, match=r"expected {} in the place of a label"):
        zero_shot_classification(model, "a", LABELS, hypothesis_template="this")
    with pytest.raises(ValueError, match="input 1 is 3, expected a text"):
        zero_shot_classification(model, ["a", 3], LABELS)
    with pytest.raises(ValueError, match="input 0 has no room beside a label"):
        zero_shot_classification(model, "a", ["dog " * 40])
    other = bertx.load(write_checkpoint(tmp_path / "other", "BertForSequenceClassification"), backend="numpy")
    with pytest.raises(ValueError, match="expected one that begins with 'entail'"):
        zero_shot_classification(other, "a", LABELS)
