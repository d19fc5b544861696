"""Tasks of RoBERTa on text, with the tokenizer.json of its folder, against transformers' pipelines."""

from __future__ import annotations

import pytest
import torch
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

    def get(head, **changes):
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
        config = transformers.RobertaConfig(vocab_size=len(tokenizer), type_vocab_size=1, **sizes, **changes)
        torch.manual_seed(0)
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


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # of the peer
@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
def test_tokens_are_joined_to_words(saved, aggregation):
    """No token is marked as the rest of a word: words end at spaces."""
    labels = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
    tokenizer, model, folder = saved("RobertaForTokenClassification", id2label=labels, initializer_range=0.3)
    theirs = transformers.pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=aggregation
    )
    found = bertx.load(folder, backend="numpy")(TEXTS, aggregation_strategy=aggregation)
    for ours, expected in zip(found, theirs(TEXTS), strict=True):
        assert len(ours) == len(expected) > 0
        for entity, wanted in zip(ours, expected, strict=True):
            assert entity.pop("score") == pytest.approx(float(wanted.pop("score")), abs=1e-6)
            assert entity == wanted


def test_a_prompt_is_continued_as_it_reads(saved):
    tokenizer, model, folder = saved("RobertaForCausalLM", is_decoder=True, initializer_range=0.3)
    prompt = "the quick brown"
    ids = torch.tensor([[tokenizer.cls_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]])
    expected = model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.pad_token_id)[0]
    found = bertx.load(folder, backend="numpy")(prompt, max_new_tokens=6)
    assert found["tokens"] == expected[ids.shape[1] :].tolist()
    assert found["generated_text"] == tokenizer.decode(expected, skip_special_tokens=True)
