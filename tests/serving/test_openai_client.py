"""OpenAI's own client, pointed at the server, works unchanged."""

from __future__ import annotations

import base64

import numpy as np
import openai
import pytest

pytest_plugins = "serving_support"

TEXTS = ["the happy dog walks", "a cat", "the house is in the city"]


@pytest.fixture
def client_of(serving):
    """(key) → OpenAI's client of a server that has the key "secret"."""
    with serving("classifier", "embedder", api_keys=("secret",)) as running:
        url = f"http://127.0.0.1:{running.port}/v1"
        made = []

        def get(key):
            made.append(openai.OpenAI(base_url=url, api_key=key, max_retries=0))
            return made[-1]

        yield get
        for client in made:
            client.close()


def test_embeddings_of_openais_client(client_of, model_of):
    client, model = client_of("secret"), model_of("embedder")
    expected = model(TEXTS, normalize=True)
    for given in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        found = client.embeddings.create(model="embedder", input=TEXTS, **given)
        vectors = [one.embedding for one in found.data]
        if given.get("encoding_format") == "base64":
            vectors = [np.frombuffer(base64.b64decode(one), "<f4") for one in vectors]
        assert np.array_equal(np.array(vectors, np.float32), expected)
        assert found.usage.total_tokens == sum(map(len, model.tokenizer(TEXTS)["input_ids"]))
    found = client.embeddings.create(model="text-embeddings-inference", input=TEXTS[0], dimensions=4)
    assert len(found.data[0].embedding) == 4 and found.model == "embedder"
    assert [one.id for one in client.models.list()] == ["classifier", "embedder"]


def test_errors_of_openais_client(client_of):
    client = client_of("secret")
    with pytest.raises(openai.NotFoundError, match="embedder"):
        client.embeddings.create(model="gpt", input="a")
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(model="embedder", input=[])
    with pytest.raises(openai.AuthenticationError):
        client_of("wrong").embeddings.create(model="embedder", input="a")
