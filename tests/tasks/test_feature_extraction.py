from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.hub.sources import resolve
from bertx.tasks.feature_extraction import cosine_similarity
from conftest import MASKED_LM, MINILM
from support import BACKENDS

TEXTS = ["A happy person.", "", "A much longer text, with many words: " + "word " * 50, "   "]


@pytest.fixture(scope="module")
def token_vectors():
    """Each text alone through transformers in float64: [T, H]."""
    folder = resolve(MINILM)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).double().eval()
    with torch.no_grad():
        return [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy() for text in TEXTS]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [True, False])
def test_embeddings_equal_transformers(loaded, token_vectors, backend, pooling, normalize):
    pools = {"mean": lambda v: v.mean(0), "cls": lambda v: v[0], "max": lambda v: v.max(0)}
    expected = np.stack([pools[pooling](vectors) for vectors in token_vectors])
    if normalize:
        expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
    found = loaded(MINILM, backend=backend)(TEXTS, pooling=pooling, normalize=normalize)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_token_vectors_equal_transformers(loaded, token_vectors, backend):
    found = loaded(MINILM, backend=backend)(TEXTS, pooling="none")
    for vectors, expected in zip(found, token_vectors, strict=True):
        assert vectors.shape == expected.shape
        # The third text's outlier dimension makes 3e-5 of float32 noise here, in transformers as well.
        np.testing.assert_allclose(vectors, expected, atol=1e-4)


def test_the_folder_decides_pooling_normalisation_and_length(tmp_path, loaded):
    folder = tmp_path / "model"
    shutil.copytree(resolve(MINILM), folder)
    own = loaded(MINILM, backend="numpy")
    assert np.linalg.norm(own("A text.")) == pytest.approx(1, abs=1e-6)
    (folder / "modules.json").write_text(json.dumps(json.loads((folder / "modules.json").read_text())[:2]))
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    model = bertx.load(folder, backend="numpy")
    found = model("one two three four five six seven eight")
    expected = own("one two three four five", pooling="none")
    np.testing.assert_allclose(found, np.concatenate([expected[0], expected.mean(0)]), atol=1e-5)
    assert model([]).shape == (0, 768)


def test_a_plain_checkpoint_gives_token_vectors(loaded):
    model = loaded(MASKED_LM, task="feature-extraction", backend="numpy")
    assert model("one two").shape == (4, 128)
    assert [vectors.shape for vectors in model(["one", "one two"])] == [(3, 128), (4, 128)]
    with pytest.raises(
        ValueError, match="pooling is 'sum', expected one of none, cls, max, mean, mean_sqrt_len_tokens"
    ):
        model("one", pooling="sum")
    with pytest.raises(TypeError, match="input 1 is 2: expected a string"):
        model(["one", 2])


def test_cosine_similarity_of_every_pair():
    a, b = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 2.0], [3.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(cosine_similarity(a, b), [[0, 1, -1], [0.5**0.5, 0.5**0.5, -(0.5**0.5)]], atol=1e-12)


@pytest.mark.parametrize("names", [["input_ids", "attention_mask"], ["input_ids"]])
def test_a_tokenizer_that_gives_ids_alone_changes_nothing(tmp_path, loaded, names):
    folder = tmp_path / "model"
    shutil.copytree(resolve(MINILM), folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"model_input_names": names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    np.testing.assert_allclose(bertx.load(folder, backend="numpy")(TEXTS), loaded(MINILM, backend="numpy")(TEXTS))
    assert bertx.parity(folder, backends=["numpy"]).passed
