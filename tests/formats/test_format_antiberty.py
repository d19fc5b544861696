"""A real pytorch_model.bin: AntiBERTy (Ruffolo et al. 2021), a masked-residue model of antibodies, from its package.

Its classes are the author's own, over transformers; the weights of a BertForMaskedLM are in it under the hub's names,
beside heads for species and chain. 26 million parameters.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import transformers
from format_support import assert_bit_equal, open_checkpoint, read_tensors

import bertx
from bertx import BertTokenizer, CheckpointError
from bertx.hub.sources import resolve

SOURCE = "python:antiberty/trained_models/AntiBERTy_md_smooth"
# The heavy chain of trastuzumab, as its label prints it; every sixth residue is hidden.
CHAIN = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRY"
    "ADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSRWGGDGFYAMDYWGQGTLVTVSS"
)


@pytest.fixture(scope="module")
def model():
    model = bertx.load(SOURCE, task="fill-mask", backend="numpy")
    model.tokenizer = BertTokenizer(resolve(SOURCE).parent / "vocab.txt", do_lower_case=False)
    return model


def masked(chain=CHAIN, first=2, step=6):
    places = range(first, len(chain), step)
    return " ".join("[MASK]" if i in places else residue for i, residue in enumerate(chain)), [chain[i] for i in places]


def test_it_loads_as_a_masked_language_model(model):
    assert (model.architecture, model.config.num_hidden_layers, model.config.hidden_size) == ("BertForMaskedLM", 8, 512)
    report = model.load_report
    assert report.problems == report.initialised == report.skipped == []
    assert report.used["bert.embeddings.word_embeddings.weight"].endswith("embeddings.word_embeddings.weight")
    left = {name.rpartition(".")[0] for name in report.unused}
    assert left == {"bert.pooler.dense", "cls.chain", "cls.graft", "cls.species"}  # of the author's further heads
    assert report.ignored == ["bert.embeddings.position_ids"]


def test_hidden_residues_of_a_known_heavy_chain_are_recovered(model):
    text, wanted = masked()
    assert len(wanted) == 20
    found = ["".join(best["token_str"].split()) for best in (row[0] for row in model(text, top_k=1))]
    assert all(len(residue) == 1 for residue in found)
    right = sum(a == b for a, b in zip(found, wanted, strict=True))
    assert right >= 17, (found, wanted)  # here 18


def test_its_logits_are_those_of_transformers(model):
    """Of the class that the weights are of, filled by PyTorch itself."""
    folder = resolve(SOURCE)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True, map_location="cpu")
    peer = transformers.BertForMaskedLM(transformers.BertConfig.from_pretrained(folder)).eval()
    missing, _ = peer.load_state_dict(state, strict=False)
    assert set(missing) <= {"cls.predictions.decoder.bias"}
    inputs = model.tokenizer(masked()[0], return_tensors="np")
    with torch.no_grad():
        wanted = peer.double()(**{name: torch.from_numpy(value) for name, value in inputs.items()}).logits.numpy()
    np.testing.assert_allclose(model.forward(**inputs)["logits"], wanted, rtol=0, atol=2e-4)


def test_without_a_task_its_unknown_class_is_named():
    with pytest.raises(CheckpointError, match=r"config\.json: architectures names AntiBERTy, .*with task="):
        bertx.load(SOURCE, backend="numpy")


def test_it_is_converted(model, tmp_path):
    report = bertx.convert(SOURCE, tmp_path / "target", task="fill-mask")
    assert (report.source_format, report.architecture, report.verified) == ("pytorch", "BertForMaskedLM", True)
    assert any("of another head" in line for line in report.skipped)
    stored = open_checkpoint(resolve(SOURCE)).tensors
    wanted = {name: stored[held].read() for name, held in model.load_report.used.items() if held in stored}
    found = read_tensors(tmp_path / "target")
    assert_bit_equal(found, {name: wanted[name] for name in found})
    assert len(found) == len(report.tensors) == 5 + 16 * 8 + 5
    again = transformers.BertForMaskedLM.from_pretrained(tmp_path / "target", output_loading_info=True)
    assert not any(again[1].values())
    # The vocabulary lies one folder up: there is none beside the weights, and that is said.
    assert any("no tokenizer" in note for note in report.notes)
    shutil.rmtree(tmp_path / "target")  # pytest keeps its folders for three runs
