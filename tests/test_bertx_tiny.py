"""bertx-tiny, the model that ships with bertx: it loads without a hub, is small, and has learnt English."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bertx
from bertx.hub.sources import resolve
from support import BACKENDS

FOLDER = Path(bertx.__file__).parent / "bertx-tiny"
# Sentences whose hidden word its texts tell: addresses on the State of the Union, Moby-Dick, the glosses of WordNet.
KNOWN = {
    "the people of the united [MASK] .": "states",
    "the president of the [MASK] states .": "united",
    "it is one [MASK] the best .": "of",
    "he went to the sea [MASK] a ship .": "in",
    "the state of the [MASK] .": "union",
    "we have more [MASK] 100 ships .": "than",
    "in the last [MASK] years .": "few",
    "the congress of the [MASK] states .": "united",
    "i have the honor [MASK] be , sir .": "to",
    "the city of new [MASK] .": "york",
}


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bertx.hub.download.fetch", lambda *_: pytest.fail("the hub was asked"))


def test_it_is_found_and_small():
    assert resolve("bertx-tiny") == FOLDER
    with pytest.raises(ValueError, match="bertx-tiny is a model that ships with bertx, which has no revision 'main'"):
        resolve("bertx-tiny", revision="main")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10e6
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"] and config["dtype"] == "float16"


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_fills_in_what_its_texts_tell(backend):
    model = bertx.load("bertx-tiny", backend=backend)
    found = model(list(KNOWN), top_k=20)
    hits = [word in [each["token_str"] for each in words] for word, words in zip(KNOWN.values(), found, strict=True)]
    assert sum(hits) >= 9
    assert model("the people of the united [MASK] .", top_k=1)[0]["token_str"] == "states"


def test_its_card_names_data_and_licenses():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for part in ("State of the Union", "Moby-Dick", "WordNet", "CC0", "license: other", "held-out"):
        assert part in card, part
    assert (FOLDER / "LICENSE-WordNet.txt").exists()
