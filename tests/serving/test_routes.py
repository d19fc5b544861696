"""Each route answers what the library does."""

from __future__ import annotations

import base64
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving_support import MODELS

from bertx.tasks import zero_shot_classification

pytest_plugins = "serving_support"

TEXTS = ["the happy dog walks", "a cat", "the house is in the city . who walks ?", "the dog " * 60]
QUESTION = {"question": "who walks ?", "context": "the happy dog walks in the city ."}
CHOICES = {"question": "who walks ?", "choices": ["the dog", "a house"]}


@pytest.fixture(scope="module")
def client(serving):
    """A client of a server of all models."""
    with serving(*MODELS) as running:
        yield running.client


def answered(client, path, body):
    answer = client.post(path, body)
    assert answer.status == 200, answer
    return answer.json


def vectors(found):
    return np.array(found, np.float32)


def close(found, expected):
    """Equal, with the noise of a batch's shape in the numbers."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(close, found, expected))
    return abs(found - expected) < 1e-6 if isinstance(expected, float) else found == expected


# --- embeddings -----------------------------------------------------------------------------------


def test_embeddings_are_bit_equal_to_the_librarys(client, model_of):
    found = vectors(answered(client, "/embed", {"inputs": TEXTS}))
    assert np.array_equal(found, model_of("embedder")(TEXTS, normalize=True))
    found = vectors(answered(client, "/embed", {"inputs": TEXTS, "normalize": False}))
    assert np.array_equal(found, model_of("embedder")(TEXTS, normalize=False))


def test_one_text_has_a_list_of_one_embedding(client, model_of):
    found = vectors(answered(client, "/embed", {"inputs": TEXTS[0]}))
    assert np.array_equal(found, model_of("embedder")([TEXTS[0]], normalize=True))


def test_requests_that_share_a_batch_differ_by_noise(client, model_of):
    expected = model_of("embedder")(TEXTS, normalize=True)
    start = threading.Barrier(16)

    def ask(i):
        start.wait()
        return i, vectors(answered(client, "/embed", {"inputs": TEXTS[i % 4]}))[0]

    with ThreadPoolExecutor(16) as pool:
        for i, found in pool.map(ask, range(16)):
            assert np.abs(found - expected[i % 4]).max() < 1e-6


def test_prompts_and_dimensions(client, model_of):
    model = model_of("embedder")
    found = vectors(answered(client, "/embed", {"inputs": TEXTS, "prompt_name": "query"}))
    assert np.array_equal(found, model(TEXTS, prompt_name="query", normalize=True))
    assert not np.allclose(found, model(TEXTS, normalize=True), atol=1e-3)
    whole = model(TEXTS, normalize=False)[:, :5]
    found = vectors(answered(client, "/embed", {"inputs": TEXTS, "dimensions": 5}))
    assert np.allclose(found, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6)
    found = vectors(answered(client, "/embed", {"inputs": TEXTS, "dimensions": 5, "normalize": False}))
    assert np.array_equal(found, whole)
    answer = client.post("/embed", {"inputs": "a", "dimensions": 999})
    assert answer.status == 422 and "dimensions is 999" in answer.json["error"]


def test_ids_are_read_as_their_text(client, model_of):
    tokenizer = model_of("embedder").tokenizer
    ids = tokenizer(TEXTS[0])["input_ids"]
    by_text = answered(client, "/embed", {"inputs": TEXTS[0]})
    assert answered(client, "/embed", {"inputs": ids}) == by_text
    assert answered(client, "/embed", {"inputs": [ids, TEXTS[0]]})[0] == pytest.approx(by_text[0], abs=1e-6)
    answer = client.post("/embed", {"inputs": [10**6]})
    assert answer.status == 422 and "1000000" in answer.json["error"]


def test_the_vectors_of_tokens(client, model_of):
    found = answered(client, "/embed_all", {"inputs": TEXTS})
    for one, expected in zip(found, model_of("embedder")(TEXTS, pooling="none"), strict=True):
        assert np.array_equal(vectors(one), expected)


def test_similarity_is_the_cosine(client, model_of):
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    made = model_of("embedder")(TEXTS, normalize=True)
    assert answered(client, "/similarity", body) == pytest.approx((made[1:] @ made[0]).tolist(), abs=1e-6)
    prompted = {**body, "parameters": {"prompt_name": "document"}}
    made = model_of("embedder")(TEXTS, normalize=True, prompt_name="document")
    assert answered(client, "/similarity", prompted) == pytest.approx((made[1:] @ made[0]).tolist(), abs=1e-6)


def test_openais_embeddings(client, model_of):
    model = model_of("embedder")
    made = model(TEXTS, normalize=True)
    found = answered(client, "/v1/embeddings", {"input": TEXTS, "model": "embedder"})
    assert np.array_equal(vectors([one["embedding"] for one in found["data"]]), made)
    tokens = int(sum(len(ids) for ids in model.tokenizer(TEXTS, truncation=True)["input_ids"]))
    assert found["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert (found["object"], found["model"]) == ("list", "embedder")
    assert [(one["object"], one["index"]) for one in found["data"]] == [("embedding", i) for i in range(len(TEXTS))]
    body = {"input": TEXTS, "model": "embedder", "encoding_format": "base64", "dimensions": 7}
    found = answered(client, "/v1/embeddings", body)
    decoded = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in found["data"]]
    assert np.allclose(decoded, made[:, :7] / np.linalg.norm(made[:, :7], axis=1, keepdims=True), atol=1e-6)
    answer = client.post("/v1/embeddings", {"input": "a", "model": "gpt"})
    assert answer.status == 404 and "embedder" in answer.json["error"]["message"]
    assert "embedder" in [one["id"] for one in client.get("/v1/models").json["data"]]


def test_texts_are_cut_or_refused_as_the_request_says(client, model_of):
    assert answered(client, "/embed", {"inputs": TEXTS[3], "truncate": True}) == answered(
        client, "/embed", {"inputs": TEXTS[3]}
    )
    answer = client.post("/embed", {"inputs": [TEXTS[0], TEXTS[3]], "truncate": False})
    assert answer.status == 413 and "input 1 has" in answer.json["error"]


# --- classification -------------------------------------------------------------------------------


def test_predict_takes_texts_pairs_and_batches_of_both(client, model_of):
    model = model_of("classifier")
    assert close(answered(client, "/predict", {"inputs": TEXTS[0]}), model(TEXTS[0], top_k=None))
    pair = (TEXTS[0], TEXTS[1])
    assert close(answered(client, "/predict", {"inputs": list(pair)}), model(pair, top_k=None))
    batch = [[TEXTS[0]], list(pair), [TEXTS[2]]]
    assert answered(client, "/predict", {"inputs": batch}) == model([TEXTS[0], pair, TEXTS[2]], top_k=None)
    found = answered(client, "/predict", {"inputs": batch, "raw_scores": True})
    assert found == model([TEXTS[0], pair, TEXTS[2]], top_k=None, function_to_apply="none")


def test_rerank_orders_texts(client, model_of):
    model = model_of("reranker")
    logits = [one["score"] for one in model([("who", text) for text in TEXTS], function_to_apply="none")]
    order = sorted(range(len(TEXTS)), key=lambda i: -logits[i])
    found = answered(client, "/rerank", {"query": "who", "texts": TEXTS, "raw_scores": True, "return_text": True})
    assert [(one["index"], one["score"], one["text"]) for one in found] == [(i, logits[i], TEXTS[i]) for i in order]
    found = answered(client, "/rerank", {"query": "who", "texts": TEXTS})
    assert [one["index"] for one in found] == order and "text" not in found[0]
    assert [one["score"] for one in found] == pytest.approx([1 / (1 + np.exp(-logits[i])) for i in order], abs=1e-6)


def test_zero_shot(client, model_of):
    labels = ["dog", "house", "city"]
    found = answered(client, "/zero-shot", {"inputs": TEXTS[:2], "candidate_labels": labels})
    assert found == zero_shot_classification(model_of("inference"), TEXTS[:2], labels)


# --- the other tasks ------------------------------------------------------------------------------

PAIR = ["the dog walks", "the cat sat"]
OTHERS = [
    ("/fill-mask", "masked", {"inputs": "the [MASK] dog", "top_k": 2}, "the [MASK] dog", {"top_k": 2}),
    (
        "/fill-mask",
        "masked",
        {"inputs": ["a [MASK]"], "targets": ["dog", "cat"]},
        ["a [MASK]"],
        {"targets": ["dog", "cat"]},
    ),
    ("/tag", "tagger", {"inputs": TEXTS}, TEXTS, {"aggregation": "simple"}),
    ("/tag", "tagger", {"inputs": TEXTS[0], "aggregation_strategy": "none"}, TEXTS[0], {"aggregation": "none"}),
    ("/answer", "reader", {"inputs": QUESTION}, QUESTION, {}),
    ("/answer", "reader", {"inputs": [QUESTION, QUESTION], "top_k": 2}, [QUESTION, QUESTION], {"top_k": 2}),
    ("/choose", "chooser", {"inputs": CHOICES}, CHOICES, {}),
    ("/choose", "chooser", {"inputs": [CHOICES]}, [CHOICES], {}),
    ("/next-sentence", "follower", {"inputs": PAIR}, tuple(PAIR), {}),
    ("/next-sentence", "follower", {"inputs": [PAIR, PAIR[::-1]]}, [tuple(PAIR), tuple(PAIR[::-1])], {}),
    ("/generate", "writer", {"inputs": "the dog", "max_new_tokens": 3}, "the dog", {"max_new_tokens": 3}),
    ("/generate", "writer", {"inputs": ["the dog", "a"], "num_beams": 2}, ["the dog", "a"], {"num_beams": 2}),
    ("/summarize", "summarizer", {"inputs": "the dog", "max_new_tokens": 3}, "the dog", {"max_new_tokens": 3}),
    (
        "/summarize",
        "summarizer",
        {"inputs": TEXTS, "num_beams": 1, "min_new_tokens": 2, "max_new_tokens": 4},
        TEXTS,
        {"num_beams": 1, "min_new_tokens": 2, "max_new_tokens": 4},
    ),
]


@pytest.mark.parametrize(("path", "name", "body", "inputs", "options"), OTHERS)
def test_each_other_task(client, model_of, path, name, body, inputs, options):
    expected = json.loads(json.dumps(model_of(name)(inputs, **options)))
    assert answered(client, path, body) == expected


def test_choices_of_requests_that_share_a_batch(client, model_of):
    questions = [{"question": "who", "choices": TEXTS[: 2 + i % 3]} for i in range(12)]
    expected = model_of("chooser")(questions)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda one: answered(client, "/choose", {"inputs": one}), questions))
    assert close(found, expected)


# --- the tokenizer --------------------------------------------------------------------------------


def test_tokenize_and_decode(client, model_of):
    tokenizer = model_of("embedder").tokenizer
    (found,) = answered(client, "/tokenize", {"inputs": "the dog zz"})
    assert [one["id"] for one in found] == tokenizer("the dog zz")["input_ids"]
    assert found[0] == {"id": tokenizer.cls_token_id, "text": "[CLS]", "special": True, "start": None, "stop": None}
    assert [one["text"] for one in found[1:-1]] == ["the", "dog", "z", "z"]
    assert (found[2]["start"], found[2]["stop"]) == (4, 7)
    (bare,) = answered(client, "/tokenize", {"inputs": ["the dog"], "add_special_tokens": False})
    assert [one["text"] for one in bare] == ["the", "dog"]
    (prompted,) = answered(client, "/tokenize", {"inputs": "dog", "prompt_name": "query"})
    assert [one["text"] for one in prompted] == ["[CLS]", "query", ":", "dog", "[SEP]"]
    ids = [one["id"] for one in found]
    assert answered(client, "/decode", {"ids": ids}) == ["the dog zz"]
    texts = answered(client, "/decode", {"ids": [ids, ids[:2]], "skip_special_tokens": False})
    assert texts == ["[CLS] the dog zz [SEP]", "[CLS] the"]


# --- which model answers --------------------------------------------------------------------------


def test_a_request_names_its_model_in_the_body_or_the_path(client, model_of):
    raw = {"inputs": [["the dog"]], "raw_scores": True}
    for name in ("classifier", "inference"):
        expected = model_of(name)(["the dog"], top_k=None, function_to_apply="none")
        assert answered(client, "/predict", {**raw, "model": name}) == expected
        assert answered(client, f"/models/{name}/predict", raw) == expected
    assert answered(client, "/predict", raw) == answered(client, "/predict", {**raw, "model": "classifier"})
    answer = client.post("/models/inference/predict", {**raw, "model": "classifier"})
    assert answer.status == 422 and "the path names inference" in answer.json["error"]


def test_a_model_that_is_not_there_or_cannot(client):
    answer = client.post("/embed", {"inputs": "a", "model": "nobody"})
    assert answer.status == 404 and all(name in answer.json["error"] for name in MODELS)
    answer = client.post("/embed", {"inputs": "a", "model": "classifier"})
    assert answer.status == 424 and answer.json["error_type"] == "Backend"
    answer = client.post("/embed", {"inputs": "a", "model": "tokens"})
    assert answer.status == 424 and "--pooling" in answer.json["error"]
    assert client.post("/models/nobody/embed", {"inputs": "a"}).status == 404


def test_a_route_that_no_model_serves(serving):
    with serving("classifier") as running:
        answer = running.client.post("/embed", {"inputs": "a"})
        assert answer.status == 424 and "none is served" in answer.json["error"]


@pytest.mark.parametrize(
    ("name", "body", "path"),
    [
        ("embedder", {"inputs": "the dog"}, "/embed"),
        ("classifier", {"inputs": "the dog"}, "/predict"),
        ("reranker", {"query": "who", "texts": ["the dog", "a cat"]}, "/rerank"),
        ("tagger", {"inputs": "the dog"}, "/tag"),
    ],
)
def test_a_models_own_route_is_that_of_sagemaker_vertex_and_the_root(serving, name, body, path):
    with serving(
        "masked", name, environment={"AIP_PREDICT_ROUTE": "/here:predict", "AIP_HEALTH_ROUTE": "/well"}
    ) as running:
        client = running.client
        expected = answered(client, path, body)
        assert answered(client, f"/models/{name}/invocations", body) == expected
        assert answered(client, "/invocations", {**body, "model": name}) == expected
        assert answered(client, "/", {**body, "model": name}) == expected
        vertex = {"instances": [body, body], "model": name}
        for vertex_path in ("/vertex", "/here:predict"):
            found = answered(client, vertex_path, vertex)
            assert list(found) == ["predictions"] and close(found["predictions"], [expected, expected])
        assert client.get("/ping").status == client.get("/well").status == 200


def test_parameters_of_vertex_are_refused_rather_than_ignored(client):
    answer = client.post("/vertex", {"instances": [{"inputs": "a"}], "parameters": {"truncate": True}})
    assert answer.status == 422 and "parameters" in answer.json["error"]
    answer = client.post("/vertex", {"instances": [{"inputs": "a", "model": "classifier"}]})
    assert answer.status == 422


# --- what is told of the server -------------------------------------------------------------------


def test_info(client, model_of):
    found = client.get("/info").json
    by_name = {one["model_id"]: one for one in found["models"]}
    assert list(by_name) == list(MODELS)
    assert found["model_type"] == {"embedding": {"pooling": "mean"}} and found["max_client_batch_size"] == 32
    assert by_name["reranker"]["model_type"] == {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
    assert by_name["masked"]["mask_token"] == "[MASK]" and "/fill-mask" in by_name["masked"]["routes"]
    assert by_name["embedder"]["max_input_length"] == model_of("embedder").tokenizer.model_max_length


def test_headers_tell_what_it_cost(client):
    answer = client.post("/embed", {"inputs": ["the dog", "a"]})
    assert answer.headers["x-compute-characters"] == "8" and answer.headers["x-compute-tokens"] == "7"
    assert all(answer.headers[f"x-{name}-time"].isdecimal() for name in ("total", "tokenization", "queue", "inference"))


def test_metrics_have_the_names_of_text_embeddings_inference(serving):
    with serving("embedder", "classifier") as running:
        client = running.client
        for _ in range(3):
            answered(client, "/embed", {"inputs": ["the dog", "a"]})
        answered(client, "/predict", {"inputs": "the dog"})
        client.post("/embed", {"inputs": 5})
        text = client.get("/metrics").content.decode()
        found = dict(re.findall(r"^(te_\w+(?:\{.*?\})?) ([\d.e+-]+)$", text, re.MULTILINE))
        assert (
            float(found['te_request_count{method="batch"}']) == 3 == float(found['te_request_success{method="batch"}'])
        )
        assert float(found['te_request_count{method="single"}']) == 1
        assert float(found['te_request_failure{err="validation"}']) == 1
        assert (float(found["te_embed_count"]), float(found["te_predict_count"])) == (6, 1)
        for name in ("te_request_duration", "te_request_tokenization_duration", "te_request_queue_duration"):
            assert float(found[f"{name}_count"]) == 4
        assert float(found["te_request_inference_duration_sum"]) > 0
        assert float(found["te_batch_next_size_count"]) == 4 and float(found["te_batch_next_tokens_sum"]) == 3 * 7 + 4
        assert float(found["te_queue_size"]) == 0
        assert "_total" not in text and "# TYPE te_request_count counter" in text


def test_the_document_describes_every_route(client):
    from bertx.serving.routes import ROUTES

    document = client.get("/openapi.json").json
    for route in ROUTES:
        body = document["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        name = body["$ref"].rpartition("/")[2]
        assert name == route.request.__name__
        assert "parameters" in document["components"]["schemas"][name]["properties"]
    assert {"/health", "/livez", "/metrics", "/info"} <= set(document["paths"])
    text = json.dumps(document)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document["components"]["schemas"]


def test_the_page_is_one_file_that_asks_nobody_else(client):
    answer = client.get("/")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    text = answer.content.decode()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    # Each field has a label, and what changes is told to a screen reader.
    for name in re.findall(r'<(?:input|select) id="(\w+)"', text):
        assert f'<label for="{name}">' in text
    assert '<html lang="en">' in text and 'role="status"' in text


def test_the_page_tries_every_task(client):
    from bertx.serving.routes import ROUTES

    table = client.get("/").content.decode().partition("const ROUTES = {")[2].partition("\n};")[0]
    tried = set(re.findall(r'^  "(/[\w-]+)": \[', table, re.MULTILINE))
    assert tried == {route.path for route in ROUTES} - {"/embed_all", "/v1/embeddings", "/decode"}
