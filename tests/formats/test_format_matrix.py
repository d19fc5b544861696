"""Every format to every format, every head: bit-equal, or refused for a reason that is told. Prints the table."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest
from format_support import (
    FIXTURES,
    HEADS,
    POOLED,
    assert_bit_equal,
    copy_with_config,
    left_beside,
    open_checkpoint,
    original,
)

import bertx
from bertx import CheckpointError
from bertx.checkpoints.load import config_of
from bertx_weights import FORMATS

NO_PLACE = "has no place for"
MASKED_LM = "KerasHub's masked-LM head computes another GELU and epsilon"
NO_POOLER = "KerasHub's BertBackbone has a pooler, and this model has none"
EXACT = "hidden_act is 'gelu', KerasHub's BERT has 'gelu_new'"
# What a format does not take, and why, of a model whose activation it has.
REFUSED = {
    ("keras-hub", "BertForMaskedLM"): MASKED_LM,
    ("keras-hub", "BertLMHeadModel"): MASKED_LM,
    ("keras-hub", "BertForPreTraining"): MASKED_LM,
    ("keras-hub", "BertForTokenClassification"): NO_POOLER,
    ("keras-hub", "BertForQuestionAnswering"): NO_POOLER,
    ("keras-hub", "BertForNextSentencePrediction"): NO_PLACE,
} | {("tf2", head): NO_PLACE for head in HEADS if head not in ("BertModel", "BertLMHeadModel")}
REFUSED |= {(form, "BertLMHeadModel"): "is_decoder is True" for form in ("tf1", "tf2")}
# Those that have one GELU only: of a model with the other they refuse it, and say which they have.
GELUS = {"keras-hub": "gelu_new", "tf1": "gelu", "tf2": "gelu"}
ACTIVATION = "hidden_act is"
PAIRS = {head: {} for head in HEADS}  # head → (source format, target format) → "equal" or the reason


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch):
    """Five hundred conversions; that a file is synced before it is renamed is not tested here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def same_config(found: dict, wanted: dict) -> bool:
    """Nothing of the config is lost on the way; what was the default may be written out."""
    return all(found.get(key) == value for key, value in wanted.items() if value is not None)


def reason(form: str, head: str, act: str) -> str | None:
    """Why a format refuses a model; None where it takes it."""
    return ACTIVATION if GELUS.get(form, act) != act else REFUSED.get((form, head))


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
@pytest.mark.parametrize("head", HEADS)
def test_every_format_to_every_format(head, act, tmp_path):
    """From the original to each format, from each of these to each; what is read at the end is the original."""
    source = copy_with_config(FIXTURES / head / "safetensors", tmp_path / "source", hidden_act=act)
    wanted, config = original(head), bertx.BertConfig.from_pretrained(source).to_dict()
    holds = [form for form in FORMATS if reason(form, head, act) is None]
    for form in holds:
        report = bertx.convert(source, tmp_path / form, form)
        assert report.verified
    for start in holds:
        for end in FORMATS:
            if act == "gelu_new" and "keras-hub" not in (start, end) and end in holds:
                continue  # as with the other GELU
            target = tmp_path / f"{start}-{end}"
            if why := reason(end, head, act):
                with pytest.raises(CheckpointError) as error:
                    bertx.convert(tmp_path / start, target, end)
                assert why in str(error.value)
                PAIRS[head].setdefault((start, end), why)
                continue
            report = bertx.convert(tmp_path / start, target, end, verify=False)
            assert (report.source_format, report.format, report.architecture) == (start, end, head)
            assert report.notes == []
            assert all(line.endswith((": no array", ": a buffer, or stored twice")) for line in report.skipped)
            found = open_checkpoint(target)
            assert found.format == end
            tensors = {
                tensor.schema_name: tensor.read()
                for tensor in found.tensors.values()
                if not tensor.schema_name.startswith("cls.predictions.decoder.")
            }
            assert_bit_equal(tensors, wanted)
            assert same_config(config_of(found).to_dict(), config)
            PAIRS[head][start, end] = "equal"
            shutil.rmtree(target)
    # Nothing was left of what was refused.
    assert left_beside(tmp_path) == {"source", *holds}


@pytest.mark.parametrize("head", HEADS)
def test_the_exact_gelu_is_refused_for_kerashub(head, tmp_path):
    reasons = {EXACT}
    if (why := REFUSED.get(("keras-hub", head))) not in (None, NO_PLACE):
        reasons.add(why)
    if head not in POOLED:
        reasons.add(NO_POOLER)
    if head == "BertLMHeadModel":
        reasons.add("is_decoder is True, KerasHub's BERT has False")
    if head == "BertForTokenClassification":
        reasons.add("KerasHub's BERT classifies texts, not tokens")
    with pytest.raises(CheckpointError) as error:
        bertx.convert(FIXTURES / head / "safetensors", tmp_path / "preset", "keras-hub")
    _, *lines, way_out = str(error.value).splitlines()
    assert len(lines) == len(reasons) and all(any(line.strip().startswith(r) for r in reasons) for line in lines)
    assert "write a format that keeps the whole config" in way_out
    assert left_beside(tmp_path) == set()


def test_the_table(capsys):
    """How many heads came through bit-equal, by source (rows) and target (columns)."""
    if not all(PAIRS.values()):
        pytest.skip("needs the tests above, run before in the same process")
    equal = Counter(pair for pairs in PAIRS.values() for pair, what in pairs.items() if what == "equal")
    reasons = Counter((pair[1], what) for pairs in PAIRS.values() for pair, what in pairs.items() if what != "equal")
    width = max(map(len, FORMATS)) + 2
    lines = ["heads of 9 that are bit-equal, from (rows) to (columns)"]
    lines.append(" " * width + "".join(f"{form:>{width}}" for form in FORMATS))
    for start in FORMATS:
        lines.append(f"{start:<{width}}" + "".join(f"{equal[start, end]:>{width}}" for end in FORMATS))
    for (end, why), count in sorted(reasons.items()):
        heads = sorted(head for (form, head), its in REFUSED.items() if (form, its) == (end, why))
        lines.append(f"refused for {end}, {count} times: {why} ({', '.join(heads)})")
    table = "\n".join(lines)
    if "PYTEST_XDIST_WORKER" in os.environ:
        print(table)  # shown by -rA
    else:
        with capsys.disabled():
            print(f"\n{table}")
    served = {form: {head for head in HEADS if (form, head) not in REFUSED} for form in FORMATS}
    for start in FORMATS:
        for end in FORMATS:
            others = start in GELUS and end in GELUS and GELUS[start] != GELUS[end]
            assert equal[start, end] == (0 if others else len(served[start] & served[end]))
