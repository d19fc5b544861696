"""Tasks of RoBERTa on text, with the tokenizer.json of its folder, against transformers' pipelines."""

from __future__ import annotations

import pytest
import transformers
from tokenizers import ByteLevelBPETokenizer

import bertx

TEXTS = ["the quick brown fox", "a happy person sits by the river", "the lazy dog jumps over ☃"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A head's class → its pipeline's tokenizer, the model, and the folder that both were saved to."""
    folder = tmp_path_factory.mktemp("roberta")
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    rules = ByteLevelBPETokenizer()
    rules.train_from_iterator(TEXTS * 20, vocab_size=400, special_tokens=special, show_progress=False)
    rules.save_model(str(folder))
    tokenizer = transformers.RobertaTokenizer.from_pretrained(folder)

    def get(head):
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
        config = transformers.RobertaConfig(vocab_size=len(tokenizer), type_vocab_size=1, **sizes)
        model = getattr(transformers, head)(config).eval()
        model.save_pretrained(folder / head)
        tokenizer.save_pretrained(folder / head)
        return tokenizer, model, folder / head

    return get


def test_words_are_filled_at_its_mask(saved):
    tokenizer, model, folder = saved("RobertaForMaskedLM")
    texts = ["the <mask> fox", "a happy <mask> sits"]
    expected = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=3)(texts)
    found = bertx.load(folder, backend="numpy")(texts, top_k=3)
    for ours, theirs in zip(found, expected, strict=True):
        assert [row["token"] for row in ours] == [row["token"] for row in theirs]
        assert [row["sequence"] for row in ours] == [row["sequence"] for row in theirs]
        assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in theirs], abs=1e-6)


def test_texts_of_different_length_are_classified(saved):
    tokenizer, model, folder = saved("RobertaForSequenceClassification")
    expected = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)(TEXTS)
    found = bertx.load(folder, backend="torch")(TEXTS)
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in expected], abs=1e-6)


def test_parity_holds(saved):
    report = bertx.parity(saved("RobertaForMaskedLM")[2], backends=["torch"])
    assert report.passed, str(report)
