"""What PyTorch people do with a module, done with a BERT of bertx_torch."""

from __future__ import annotations

import copy
import functools
import pickle
import warnings

import numpy as np
import pytest
import torch
import torch.nn.utils.parametrize
import transformers
from safetensors.torch import load_file

import bertx_torch
from bertx import BertConfig
from bertx_torch import cpu_kernels
from support import HEADS, batch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import peft

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 5, 6, 3, 0]])
MASK = (IDS != 0).long()


@pytest.fixture(scope="module")
def folder(peers):
    return peers("BertForSequenceClassification")[1]


@pytest.fixture
def model(folder):
    return bertx_torch.BertForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize("head", HEADS)
def test_a_state_dict_goes_to_transformers_and_back(peers, head):
    peer, folder = peers(head)
    ours = getattr(bertx_torch, head).from_pretrained(folder)
    theirs = getattr(transformers, head)(peer.config).eval()
    assert str(theirs.load_state_dict(ours.state_dict())) == "<All keys matched successfully>"
    assert str(ours.load_state_dict(theirs.state_dict())) == "<All keys matched successfully>"
    inputs = {name: torch.from_numpy(value) for name, value in batch(head, "right").items()}
    torch.testing.assert_close(ours(**inputs).to_tuple()[0], theirs(**inputs)[0], rtol=0, atol=5e-6)


def test_outputs_by_attribute_key_index_and_as_a_tuple(model):
    output = model(IDS, MASK, output_hidden_states=True)
    assert isinstance(output, bertx_torch.SequenceClassifierOutput)
    assert output.logits is output["logits"] is output[0]
    assert output.attentions is None and len(output.hidden_states) == 4
    as_tuple = model(IDS, MASK, return_dict=False)
    assert isinstance(as_tuple, tuple) and torch.equal(as_tuple[0], model(IDS, MASK).logits)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_compile_without_a_break(model, monkeypatch, mode):
    for limit, value in {"LINEAR_FROM": 0, "GELU_FROM": 0, "PARTS_TO": 32}.items():
        monkeypatch.setattr(cpu_kernels, limit, value)
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    with mode():
        torch.testing.assert_close(compiled(IDS, MASK).logits, model(IDS, MASK).logits, rtol=0, atol=1e-6)


def products(dense, x):
    """The operators that `cpu_kernels.linear` calls for a product."""
    names = ("mkldnn::_linear_pointwise", "aten::baddbmm", "aten::linear")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        found = cpu_kernels.linear(dense, x)
    torch.testing.assert_close(found, dense(x), rtol=0, atol=1e-5)
    return [event.name for event in profile.events() if event.name in names]


def test_products_of_many_rows_have_a_limit_of_their_own(monkeypatch):
    for limit, value in {"LINEAR_FROM": 100, "LINEAR_FROM_OF_MANY_ROWS": 1000, "PARTS_TO": 0}.items():
        monkeypatch.setattr(cpu_kernels, limit, value)
    small, large = torch.nn.Linear(10, 20), torch.nn.Linear(10, 100)
    with torch.inference_mode():
        few, many = torch.randn(8, 63, 10), torch.randn(8, 64, 10)
        assert [products(dense, few) for dense in (small, large)] == [["mkldnn::_linear_pointwise"]] * 2
        assert [products(dense, many) for dense in (small, large)] == [["aten::linear"], ["mkldnn::_linear_pointwise"]]


def test_products_of_few_rows_in_parts(monkeypatch):
    for limit, value in {"LINEAR_FROM": float("inf"), "PARTS_TO": 32}.items():
        monkeypatch.setattr(cpu_kernels, limit, value)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    dense = torch.nn.Linear(10, 24)
    others = torch.nn.Linear(10, 20), torch.nn.Linear(10, 24, bias=False), torch.nn.Linear(10, 24)
    others[2].weight = torch.nn.Parameter(torch.randn(10, 24).T)
    with torch.inference_mode():
        for shape in ((10,), (0, 10), (32, 10), (2, 16, 10), (2, 2, 3, 10)):
            assert products(dense, torch.randn(shape)) == ["aten::baddbmm"], shape
        assert products(dense, torch.randn(16, 2, 10).transpose(0, 1)) == ["aten::baddbmm"]
        assert products(dense, torch.randn(33, 10)) == ["aten::linear"]
        assert [products(other, torch.randn(1, 10)) for other in others] == [["aten::linear"]] * 3
        monkeypatch.setattr(cpu_kernels, "LINEAR_FROM", 0)  # what has no equal parts is oneDNN's, where that is faster
        assert [products(other, torch.randn(1, 10)) for other in others] == [["mkldnn::_linear_pointwise"]] * 3
        monkeypatch.setattr(cpu_kernels, "LINEAR_FROM", float("inf"))
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        assert products(dense, torch.randn(1, 10)) == ["aten::linear"]
    assert products(dense, torch.randn(1, 10)) == ["aten::linear"]  # outside inference mode


def test_export_with_any_batch_and_length(model):
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=37)}
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    program = torch.export.export(model, (), inputs, dynamic_shapes=dict.fromkeys(inputs, dims))
    longer = torch.arange(3 * 9).reshape(3, 9)
    found = program.module()(input_ids=longer, attention_mask=torch.ones_like(longer)).logits
    torch.testing.assert_close(found, model(longer).logits, rtol=0, atol=1e-6)


def test_autocast_to_bfloat16(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(IDS, MASK).logits
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), model(IDS, MASK).logits, rtol=0.05, atol=0.05)


def test_deepcopy_and_pickle(model):
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(IDS, MASK).logits, model(IDS, MASK).logits)


def test_dropout_in_train_mode_alone_and_by_the_seed(model):
    quiet = model(IDS, MASK).logits
    model.train()
    torch.manual_seed(0)
    first = model(IDS, MASK).logits
    torch.manual_seed(0)
    assert torch.equal(model(IDS, MASK).logits, first) and not torch.equal(first, quiet)
    model.eval()
    assert torch.equal(model(IDS, MASK).logits, quiet)


def test_gradient_checkpointing_changes_no_gradient(model):
    def gradients():
        model.zero_grad()
        model(IDS, MASK, labels=torch.tensor([1, 2])).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    expected = gradients()
    calls = []
    handle = model.bert.encoder.layer[0].register_forward_pre_hook(lambda *_: calls.append(1))
    model.gradient_checkpointing_enable()
    found = gradients()
    assert len(calls) == 2  # once more in the backward pass
    model.gradient_checkpointing_disable()
    handle.remove()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_parametrize(model):
    class Halved(torch.nn.Module):
        def forward(self, weight):
            return weight / 2

    expected = copy.deepcopy(model)
    expected.classifier.weight.data /= 2
    torch.nn.utils.parametrize.register_parametrization(model.classifier, "weight", Halved())
    assert torch.equal(model(IDS, MASK).logits, expected(IDS, MASK).logits)


def test_distributed_data_parallel(model, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        parallel(IDS, MASK, labels=torch.tensor([1, 2])).loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        # If it outlives its group, PyTorch ends that with the GIL held, while gloo's thread waits for the GIL.
        del parallel
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
@pytest.mark.parametrize("size", [150, 120])
def test_resized_token_embeddings(peers, head, size):
    model = getattr(bertx_torch, head).from_pretrained(peers(head)[1])
    before = model.get_input_embeddings().weight.detach().clone()
    assert model.resize_token_embeddings(size) is model.get_input_embeddings()
    kept = min(size, len(before))
    assert model.config.vocab_size == size == model.get_input_embeddings().num_embeddings
    assert torch.equal(model.get_input_embeddings().weight[:kept], before[:kept])
    scores = model(torch.tensor([[2, size - 1]])).to_tuple()[0]
    assert scores.shape[-1] == (48 if head == "BertModel" else size)
    if head != "BertModel":
        assert model.cls.predictions.decoder.weight is model.get_input_embeddings().weight


def test_a_class_of_ones_own_and_an_untied_config(folder, tmp_path):
    class WithTemperature(bertx_torch.BertForSequenceClassification):
        def __init__(self, config):
            super().__init__(config)
            self.divisor = 2.0

        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output["logits"] = output.logits / self.divisor
            return output

    model = WithTemperature.from_pretrained(folder)
    expected = bertx_torch.BertForSequenceClassification.from_pretrained(folder)
    assert type(model) is WithTemperature
    assert torch.equal(model(IDS).logits, expected(IDS).logits / 2)
    model.save_pretrained(tmp_path)
    assert torch.equal(WithTemperature.from_pretrained(tmp_path)(IDS).logits, model(IDS).logits)


def test_a_dtype_may_be_torchs_own(folder):
    model = bertx_torch.BertForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_from_config_draws_what_every_backend_draws():
    config = BertConfig(vocab_size=50, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    first = bertx_torch.BertForMaskedLM.from_config(config)
    again = bertx_torch.BertForMaskedLM.from_config(config.to_dict())
    values = first.get_input_embeddings().weight.detach().numpy()
    assert np.array_equal(values, again.get_input_embeddings().weight.detach().numpy())
    assert 0.015 < values.std() < 0.025


def test_a_head_of_another_size_is_initialised_with_a_warning(peers):
    with pytest.warns(UserWarning, match=r"has no classifier\.weight, classifier\.bias: initialised"):
        model = bertx_torch.BertForSequenceClassification.from_pretrained(peers("BertModel")[1], num_labels=7)
    assert model(IDS).logits.shape == (2, 7)


def test_lora_of_peft():
    config = BertConfig(vocab_size=50, hidden_size=12, num_hidden_layers=2, num_attention_heads=2)
    model = bertx_torch.BertForSequenceClassification(config).eval()
    before = model(IDS).logits
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["query", "value"]))
    assert torch.equal(tuned(IDS).logits, before)  # LoRA begins at zero
    trained = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name for name in trained)


TRACES = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*:DeprecationWarning")
QUANTIZES = pytest.mark.filterwarnings("ignore:.*torch.ao.quantization", "ignore:.*quantize_per_tensor")


@TRACES
@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForQuestionAnswering"])
def test_a_trace_gives_a_dict(peers, head, tmp_path, monkeypatch):
    monkeypatch.setattr(cpu_kernels, "LINEAR_FROM", 0)
    monkeypatch.setattr(cpu_kernels, "GELU_FROM", 0)
    model = getattr(bertx_torch, head).from_pretrained(peers(head)[1])
    longer = torch.arange(3 * 9).reshape(3, 9)
    with torch.inference_mode():
        traced = torch.jit.trace(model, (IDS, MASK), strict=False)
        assert "mkldnn" not in str(traced.inlined_graph)  # what one processor is fast with is not in the file
        traced.save(tmp_path / "model.pt")
        read = torch.jit.load(tmp_path / "model.pt")
        for run, ids in ((traced, longer), (read, IDS), (read, longer)):
            mask = (ids != 0).long()
            found, expected = run(ids, mask), model(ids, mask)
            assert type(found) is dict and list(found) == list(expected)
            for name, value in expected.items():
                torch.testing.assert_close(found[name], value, rtol=0, atol=2e-6)


@TRACES
@pytest.mark.parametrize("setting", [{"return_dict": False}, {"torchscript": True}])
@pytest.mark.parametrize("head", ["BertModel", "BertForSequenceClassification"])
def test_a_trace_gives_a_tuple_where_the_config_does(peers, head, setting, tmp_path):
    config = BertConfig.from_dict(BertConfig.from_pretrained(peers(head)[1]).to_dict() | setting)
    model = getattr(bertx_torch, head)(config).eval()
    expected = model(IDS, MASK)
    found = torch.jit.trace(model, (IDS, MASK))(IDS, MASK)
    assert type(found) is type(expected) is tuple and len(found) == len(expected)
    for value, of_model in zip(found, expected, strict=True):
        torch.testing.assert_close(value, of_model, rtol=0, atol=1e-6)
    assert isinstance(model(IDS, MASK, return_dict=True), dict)


@QUANTIZES
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("head", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_dynamic_quantization(peers, head, mode):
    """As near as that of transformers' model of the same weights, in the mode that takes oneDNN's products too."""
    quantize = functools.partial(
        torch.ao.quantization.quantize_dynamic, qconfig_spec={torch.nn.Linear}, dtype=torch.qint8
    )
    theirs = quantize(getattr(transformers, head).from_pretrained(peers(head)[1]).eval())
    model = getattr(bertx_torch, head).from_pretrained(peers(head)[1])
    quantized = quantize(model)
    blocks = [type(block).__name__ for block in quantized.modules()]
    assert blocks.count("Linear") == sum(isinstance(block, torch.nn.Linear) for block in model.modules())
    assert not any(type(block) is torch.nn.Linear for block in quantized.modules())
    with mode():
        found, expected = quantized(IDS, MASK).logits, theirs(IDS, MASK).logits
        assert 0 < (found - model(IDS, MASK).logits).abs().max() < 0.2
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


@QUANTIZES
def test_what_cannot_be_saved_is_refused_and_nothing_written(model, tmp_path):
    quantized = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    halved = copy.deepcopy(model)
    torch.nn.utils.parametrize.register_parametrization(halved.classifier, "weight", torch.nn.Identity())
    adapted = copy.deepcopy(model)
    peft.get_peft_model(adapted, peft.LoraConfig(r=2, target_modules=["query"]))
    for changed, missing, found in (
        (quantized, r"encoder\.layer\.0\.attention\.self\.query\.weight, .*in all\)", "quantization replaced"),
        (halved, r"classifier\.weight", r"classifier\.parametrizations\.weight\.original in their place"),
        (
            adapted,
            r"encoder\.layer\.0\.attention\.self\.query\.weight, ",
            r"query\.base_layer\.bias, .*merge_and_unload",
        ),
    ):
        with pytest.raises(ValueError, match=f"cannot be saved: it has no .*{missing}.*{found}"):
            changed.save_pretrained(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()


def test_a_model_of_several_dtypes_is_saved_as_it_is(model, tmp_path):
    model.classifier.half()
    model.bert.encoder.layer[1].bfloat16()
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {name: tensor.dtype for name, tensor in stored.items()} == {
        name: parameter.dtype for name, parameter in model.named_parameters()
    }
    assert BertConfig.from_pretrained(tmp_path).dtype == "float32"  # that of the first, as transformers writes it
    again = bertx_torch.BertForSequenceClassification.from_pretrained(tmp_path)
    for name, parameter in again.named_parameters():
        assert parameter.dtype == torch.float32 and torch.equal(parameter, model.get_parameter(name).float())
