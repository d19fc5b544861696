"""The clients that text-embeddings-inference documents, pointed at the server, work unchanged.

They are huggingface_hub's InferenceClient, and what LangChain (by that client) and LlamaIndex post.
"""

from __future__ import annotations

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import HfHubHTTPError

pytest_plugins = "serving_support"

TEXTS = ["the happy dog walks", "a cat", "the house is in the city"]


@pytest.fixture
def at(serving):
    """A context's server of several models, and (path) → the client of its URL."""
    with serving("embedder", "classifier", "masked", "reranker") as running:

        def get(path=""):
            return huggingface_hub.InferenceClient(model=f"http://127.0.0.1:{running.port}{path}")

        yield running, get


def test_feature_extraction(at, model_of):
    _, get = at
    model = model_of("embedder")
    expected = model(TEXTS, normalize=True)
    for path in ("", "/", "/embed"):  # the documentation gives the server's URL, or the route's
        assert np.array_equal(get(path).feature_extraction(TEXTS), expected)
    one = get().feature_extraction(TEXTS[0])
    assert one.shape == (1, len(expected[0])) and np.abs(one[0] - expected[0]).max() < 1e-6
    plain = get().feature_extraction(TEXTS, normalize=False)
    assert np.array_equal(plain, model(TEXTS, normalize=False)) and not np.array_equal(plain, expected)
    cut = get().feature_extraction(TEXTS, dimensions=4, truncate=True, truncation_direction="right")
    again = expected[:, :4] / np.linalg.norm(expected[:, :4], axis=1, keepdims=True)
    assert cut.shape == (3, 4) and np.abs(cut - again).max() < 1e-6
    prompted = get().feature_extraction(TEXTS, prompt_name="query")
    assert np.array_equal(prompted, model(TEXTS, normalize=True, prompt_name="query"))


def test_a_text_that_is_too_long_is_told(at):
    _, get = at
    long = "the dog " * 2000
    assert get().feature_extraction(long, truncate=True).shape[0] == 1
    with pytest.raises(HfHubHTTPError, match="413"):
        get().feature_extraction(long, truncate=False)
    with pytest.raises(HfHubHTTPError, match="422"):  # it would be cut at the wrong end
        get().feature_extraction(long, truncation_direction="left")


def test_sentence_similarity(at, model_of):
    _, get = at
    vectors = model_of("embedder")(TEXTS, normalize=True)
    found = get("/similarity").sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
    assert np.abs(np.array(found) - vectors[1:] @ vectors[0]).max() < 1e-6


def test_text_classification_and_fill_mask(at, model_of):
    _, get = at
    best = model_of("classifier")(TEXTS[0], top_k=None)[0]
    found = get("/models/classifier/predict").text_classification(TEXTS[0])
    assert found.label == best["label"] and found.score == pytest.approx(best["score"], abs=1e-6)
    text = f"the {model_of('masked').tokenizer.mask_token} walks"
    words = get("/fill-mask").fill_mask(text, top_k=3)
    expected = model_of("masked")(text, top_k=3)
    assert [(one.token, one.token_str) for one in words] == [(one["token"], one["token_str"]) for one in expected]


def test_options_in_parameters(at):
    running, get = at
    assert len(get("/fill-mask").fill_mask("a [MASK]", top_k=2)) == 2
    body = {"inputs": "a [MASK]", "parameters": {"top_k": 2}}
    for changes, told in (
        ({"top_k": 2}, "top_k: given in the body and in parameters"),
        ({"parameters": {"topk": 2}}, "topk: Extra inputs are not permitted"),
        ({"parameters": {"inputs": "a"}}, "inputs: given in the body and in parameters"),
        ({"parameters": 5}, "parameters: Extra inputs are not permitted"),
    ):
        answer = running.client.post("/fill-mask", {**body, **changes})
        assert answer.status == 422 and told in answer.json["error"], answer


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": TEXTS},  # LangChain's HuggingFaceEndpointEmbeddings, at the URL itself
        {"inputs": TEXTS, "truncate": True},  # LlamaIndex's TextEmbeddingsInference
    ],
)
def test_bodies_of_langchain_and_llama_index(at, model_of, body):
    running, _ = at
    for path in ("/", "/embed"):
        answer = running.client.post(path, body)
        assert answer.status == 200, answer
        assert np.array_equal(np.array(answer.json, np.float32), model_of("embedder")(TEXTS, normalize=True))
    ranks = running.client.post("/rerank", {"query": TEXTS[0], "texts": TEXTS, "raw_scores": False, "truncate": True})
    assert ranks.status == 200 and sorted(one["index"] for one in ranks.json) == [0, 1, 2]
