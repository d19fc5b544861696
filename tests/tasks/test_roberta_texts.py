"""Tasks of RoBERTa and XLM-R on text, with the tokenizer of their folder, against transformers' pipelines."""

from __future__ import annotations

import numpy as np
import pytest
import sentencepiece
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

import bertx
from bertx.generation.text import pieces
from bertx.tokenizers.auto import read_tokenizer
from bertx.tokenizers.files import copy_tokenizer
from bertx.tokenizers.subwords import extended

TEXTS = ["the quick brown fox", "a happy person sits by the river", "the lazy dog jumps over ☃"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_pairs(folder):
    rules = ByteLevelBPETokenizer()
    rules.train_from_iterator(TEXTS * 20, vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    rules.save_model(str(folder))
    return transformers.RobertaTokenizer.from_pretrained(folder)


def unigram(folder):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=80,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return transformers.XLMRobertaTokenizer.from_pretrained(folder)


@pytest.fixture(
    scope="module", params=[("Roberta", byte_pairs), ("XLMRoberta", unigram)], ids=["roberta", "xlm-roberta"]
)
def saved(request, tmp_path_factory):
    """A head's class → its pipeline's tokenizer, the model, and the folder that both were saved to."""
    family, train = request.param
    folder = tmp_path_factory.mktemp(family)
    tokenizer = train(folder)

    def get(head, **changes):
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
        config = getattr(transformers, f"{family}Config")(
            vocab_size=len(tokenizer), type_vocab_size=1, **sizes, **changes
        )
        torch.manual_seed(0)
        model = getattr(transformers, f"{family}{head}")(config).eval()
        model.save_pretrained(folder / head)
        tokenizer.save_pretrained(folder / head)
        return tokenizer, model, folder / head

    return get


def test_words_are_filled_at_its_mask(saved):
    tokenizer, model, folder = saved("ForMaskedLM")
    texts = ["the <mask> fox", "a happy <mask> sits"]
    expected = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=3)(texts)
    found = bertx.load(folder, backend="numpy")(texts, top_k=3)
    for ours, theirs in zip(found, expected, strict=True):
        assert [row["token"] for row in ours] == [row["token"] for row in theirs]
        assert [row["sequence"] for row in ours] == [row["sequence"] for row in theirs]
        assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in theirs], abs=1e-6)


def test_texts_of_different_length_are_classified(saved):
    tokenizer, model, folder = saved("ForSequenceClassification")
    expected = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)(TEXTS)
    found = bertx.load(folder, backend="torch")(TEXTS)
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in expected], abs=1e-6)


def test_parity_holds(saved):
    report = bertx.parity(saved("ForMaskedLM")[2], backends=["torch"])
    assert report.passed, str(report)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # of the peer
@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
def test_tokens_are_joined_to_words(saved, aggregation):
    """No token is marked as the rest of a word: words end at spaces."""
    labels = dict(enumerate(["B-PER", "I-PER", "B-LOC", "I-LOC", "O"]))
    tokenizer, model, folder = saved("ForTokenClassification", id2label=labels, initializer_range=0.3)
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
    tokenizer, model, folder = saved("ForCausalLM", is_decoder=True, initializer_range=0.3)
    prompt = "the quick brown"
    ids = torch.tensor([[tokenizer.cls_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]])
    # Not model.generate(), which counts RoBERTa's positions from 0: the model itself counts from pad_token_id + 1.
    expected = ids
    for _ in range(6):
        best = model(expected, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
        expected = torch.cat([expected, best], 1)
    for backend in ("numpy", "torch", "jax"):
        found = bertx.load(folder, backend=backend)([prompt, "the"], max_new_tokens=6)[0]
        assert found["tokens"] == expected[0, ids.shape[1] :].tolist(), backend
        assert found["generated_text"] == tokenizer.decode(expected[0], skip_special_tokens=True)


def test_answers_are_words_of_their_context(saved):
    """In windows too, with two separators between the question and them."""
    _, _, folder = saved("ForQuestionAnswering", initializer_range=0.3)
    reader = bertx.load(folder, backend="numpy")
    context = " ".join(f"{text} {i}" for i, text in enumerate(TEXTS))
    whole = reader({"question": "who sits", "context": context}, top_k=3, overlapping=True)
    windows = reader({"question": "who sits", "context": context}, top_k=3, max_length=64, stride=9, overlapping=True)
    for answer in (*whole, *windows):
        start, end = answer["start"], answer["end"]
        assert answer["answer"] == context[start:end] != ""
        assert " " in f" {context}"[start] and " " in f"{context} "[end]


def test_a_preset_of_kerashub_gets_no_tokenizer(saved, tmp_path):
    _, _, folder = saved("ForSequenceClassification")
    with pytest.raises(bertx.CheckpointError, match="KerasHub preset for BERT only: take another format, or convert"):
        copy_tokenizer(folder, tmp_path, keras=True)
    assert not list(tmp_path.iterdir())


def test_random_tokens_are_streamed_to_the_same_text(saved):
    tokenizer = read_tokenizer(saved("ForMaskedLM")[2])
    generator = np.random.default_rng(0)
    ids = tokenizer("the fox", add_special_tokens=False)["input_ids"]
    for _ in range(100):
        tokens = generator.integers(0, len(tokenizer.get_vocab()), 25).tolist()
        found = "".join(pieces(tokenizer, "the fox", ids, tokens))
        assert "the fox" + found == extended(tokenizer, "the fox", ids, tokens)
