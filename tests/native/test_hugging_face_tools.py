"""transformers 5's Trainer and pipelines, accelerate, PEFT and sentence-transformers with the models of bertx_torch."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
import transformers

import bertx
import bertx_torch
from support import SIZES, peer, save_peer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import accelerate
    import peft
    import sentence_transformers

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 5, 6, 3, 0]])
MASK = (IDS != 0).long()
LABELS = {"labels": torch.tensor([1, 3])}
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "who",
    "is",
    "big",
    "red",
    "dog",
    "ran",
    "to",
    "see",
    "it",
    ".",
    ",",
    "?",
]
TRAINED = (
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForMaskedLM",
    "BertForQuestionAnswering",
)
LAYERS = SIZES["num_hidden_layers"]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """(head, dropout rate) → the folder of a checkpoint with a vocabulary of words."""
    made = {}

    def get(head, rate=0.0):
        if (head, rate) not in made:
            changes = {"hidden_dropout_prob": rate, "attention_probs_dropout_prob": rate, "type_vocab_size": 2}
            folder = made[head, rate] = save_peer(peer(head, **changes), tmp_path_factory.mktemp(head))
            tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
            tokens += [f"w{i}" for i in range(SIZES["vocab_size"] - len(tokens))]
            (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
        return made[head, rate]

    return get


@pytest.fixture
def both(folder_of):
    """head → (transformers' model, bertx's)."""

    def get(head, rate=0.0):
        folder = folder_of(head, rate)
        return (
            getattr(transformers, head).from_pretrained(folder).eval(),
            getattr(bertx_torch, head).from_pretrained(folder),
        )

    return get


@pytest.fixture
def model(folder_of):
    return bertx_torch.BertForSequenceClassification.from_pretrained(folder_of("BertForSequenceClassification"))


def rows(head, count, length=9):
    """Examples as a dataset gives them, with a column that no model takes."""
    generator = torch.Generator().manual_seed(0)
    for i in range(count):
        ids = torch.randint(5, SIZES["vocab_size"], (length,), generator=generator)
        row = {"input_ids": ids, "attention_mask": torch.ones(length, dtype=torch.long), "text": f"row {i}"}
        if head == "BertForSequenceClassification":
            yield row | {"labels": i % 5}
        elif head == "BertForQuestionAnswering":
            yield row | {"start_positions": i % length, "end_positions": (i + 2) % length}
        elif head == "BertForTokenClassification":
            yield row | {"labels": ids % 5}
        else:  # so that batches have different numbers of labels
            yield row | {"labels": torch.where(ids % (2 + i % 5) == 0, ids, -100)}


def train(model, head, folder, resume=None, **options):
    """(losses of training and evaluation as the Trainer logs them, the Trainer)."""
    settings = {"max_steps": 4, "save_steps": 2, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 2}
    settings |= {"per_device_train_batch_size": 4, "learning_rate": 1e-3, "report_to": [], "seed": 0}
    settings |= {"use_cpu": True, "disable_tqdm": True, **options}
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(output_dir=str(folder), **settings),
        train_dataset=list(rows(head, 24)),
        eval_dataset=list(rows(head, 6)),
    )
    trainer.train(resume_from_checkpoint=resume)
    logged = [(line.get("loss"), line.get("eval_loss")) for line in trainer.state.log_history[:-1]]
    return np.array(logged, float), trainer


# --- Trainer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", TRAINED)
def test_the_trainer_trains_saves_and_resumes(both, head, tmp_path):
    """The losses of transformers' own model, and checkpoints that bertx, transformers and the Trainer read."""
    theirs, ours = both(head)
    expected, _ = train(theirs, head, tmp_path / "theirs")
    found, trainer = train(ours, head, tmp_path / "ours")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)

    last = tmp_path / "ours" / "checkpoint-4"
    assert json.loads((last / "config.json").read_text())["architectures"] == [head]
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    logits = trainer.model.eval()(**inputs).to_tuple()[0].detach().numpy()
    of_numpy = bertx.load(last, backend="numpy").forward(**{name: value.numpy() for name, value in inputs.items()})
    np.testing.assert_allclose(next(iter(of_numpy.values())), logits, rtol=0, atol=5e-6)
    of_transformers = getattr(transformers, head).from_pretrained(last).eval()(**inputs)[0]
    np.testing.assert_allclose(of_transformers.detach(), logits, rtol=0, atol=5e-6)

    again = getattr(bertx_torch, head).from_pretrained(tmp_path / "ours" / "checkpoint-2")
    torch.nn.init.normal_(again.get_input_embeddings().weight)  # the Trainer reads the weights itself
    resumed, _ = train(again, head, tmp_path / "resumed", resume=str(tmp_path / "ours" / "checkpoint-2"))
    assert np.array_equal(resumed, found, equal_nan=True)
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_best_model_is_loaded_at_the_end(model, tmp_path):
    _, trainer = train(
        model, "BertForSequenceClassification", tmp_path, load_best_model_at_end=True, learning_rate=0.3, max_steps=4
    )
    best = bertx_torch.BertForSequenceClassification.from_pretrained(trainer.state.best_model_checkpoint)
    for name, value in best.state_dict().items():
        assert torch.equal(trainer.model.state_dict()[name], value)


def test_a_tied_decoder_is_not_reported_as_missing_when_training_resumes(folder_of, tmp_path, caplog):
    model = bertx_torch.BertForMaskedLM.from_pretrained(folder_of("BertForMaskedLM"))
    train(model, "BertForMaskedLM", tmp_path)
    transformers.utils.logging.get_logger("transformers").addHandler(caplog.handler)
    try:
        train(model, "BertForMaskedLM", tmp_path, resume=str(tmp_path / "checkpoint-2"))
    finally:
        transformers.utils.logging.get_logger("transformers").removeHandler(caplog.handler)
    assert "missing keys" not in caplog.text
    assert model.cls.predictions.decoder.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("head", ["BertForSequenceClassification", "BertLMHeadModel"])
def test_accumulated_batches_train_as_one_batch_does(folder_of, head, tmp_path):
    """A decoder's loss is the mean over the tokens of all, of which some batches have more."""
    folder = folder_of(head)
    models = [getattr(bertx_torch, head).from_pretrained(folder) for _ in range(2)]
    options = {"max_steps": 2, "lr_scheduler_type": "constant", "eval_strategy": "no", "optim": "sgd"}
    found, _ = train(models[0], head, tmp_path, gradient_accumulation_steps=2, **options)
    expected, _ = train(models[1], head, tmp_path, per_device_train_batch_size=8, **options)
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=0, atol=1e-5)
    for name, value in models[1].state_dict().items():
        torch.testing.assert_close(models[0].state_dict()[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({}, 1),
        ({"gradient_checkpointing": True}, 2),
        ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}}, 2),
        ({"activation_checkpointing": True, "activation_checkpointing_kwargs": {"every_n_layers": 2}}, 2),
    ],
    ids=["none", "all", "reentrant", "every second"],
)
def test_the_trainer_checkpoints_activations(folder_of, options, calls, tmp_path):
    """With dropout on: each layer draws its masks once more, the same ones."""
    head = "BertForSequenceClassification"
    folder = folder_of(head, 0.3)
    expected, _ = train(bertx_torch.BertForSequenceClassification.from_pretrained(folder), head, tmp_path, max_steps=2)
    model = bertx_torch.BertForSequenceClassification.from_pretrained(folder)
    counted = [0] * LAYERS
    for i, layer in enumerate(model.bert.encoder.layer):
        layer.register_forward_pre_hook(lambda *_, i=i: counted.__setitem__(i, counted[i] + torch.is_grad_enabled()))
    found, _ = train(model, head, tmp_path, max_steps=2, **options)
    assert np.array_equal(found, expected, equal_nan=True)
    if "gradient_checkpointing_kwargs" not in options:  # a reentrant checkpoint runs first without gradients
        every = options.get("activation_checkpointing_kwargs", {}).get("every_n_layers", 1)
        assert counted == [2 * (calls if i % every == 0 else 1) for i in range(LAYERS)]


def test_the_trainer_trains_adapters(folder_of, tmp_path):
    head = "BertForSequenceClassification"
    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, lora_dropout=0.1, init_lora_weights=False)
    torch.manual_seed(0)
    model = peft.get_peft_model(bertx_torch.BertForSequenceClassification.from_pretrained(folder_of(head)), config)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    _, trainer = train(model, head, tmp_path, gradient_checkpointing=True, learning_rate=0.01)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in before if "lora_" in name or "modules_to_save" in name}
    assert not (tmp_path / "checkpoint-4" / "model.safetensors").exists()
    base = bertx_torch.BertForSequenceClassification.from_pretrained(folder_of(head))
    again = peft.PeftModel.from_pretrained(base, tmp_path / "checkpoint-4").eval()
    torch.testing.assert_close(again(IDS, MASK).logits, trainer.model.eval()(IDS, MASK).logits, rtol=0, atol=1e-6)
    merged = again.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    logits = bertx.load(tmp_path / "merged", backend="numpy").forward(IDS.numpy(), MASK.numpy())["logits"]
    np.testing.assert_allclose(logits, trainer.model(IDS, MASK).logits.detach(), rtol=0, atol=5e-6)


# --- accelerate -----------------------------------------------------------------------------------


def test_accelerate_prepares_trains_and_saves(model, tmp_path):
    expected = copy.deepcopy(model)
    accelerator = accelerate.Accelerator(cpu=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = torch.utils.data.DataLoader([{"input_ids": row, "labels": 1} for row in IDS], batch_size=2)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for batch in loader:
        accelerator.backward(prepared(**batch).loss)
        optimizer.step()
    expected(IDS, labels=torch.tensor([1, 1])).loss.backward()
    torch.optim.SGD(expected.parameters(), 0.1).step()
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=1e-6)
    unwrapped = accelerator.unwrap_model(prepared)
    unwrapped.save_pretrained(
        tmp_path,
        is_main_process=accelerator.is_main_process,
        save_function=accelerator.save,
        state_dict=accelerator.get_state_dict(prepared),
    )
    logits = bertx.load(tmp_path, backend="numpy").forward(IDS.numpy())["logits"]
    np.testing.assert_allclose(logits, expected(IDS).logits.detach(), rtol=0, atol=5e-6)
    accelerator.free_memory()


# --- pipelines ------------------------------------------------------------------------------------

TEXTS = ["the cat sat on a mat", "a big dog ran .", "who is it ?"]
PIPELINES = {
    "text-classification": ("BertForSequenceClassification", [TEXTS, {"text": "a dog", "text_pair": "ran"}], {}),
    "token-classification": ("BertForTokenClassification", TEXTS, {"aggregation_strategy": "simple"}),
    "fill-mask": ("BertForMaskedLM", ["the [MASK] sat", "a [MASK] ran to see it ."], {"top_k": 7}),
    "feature-extraction": ("BertModel", TEXTS, {}),
    "zero-shot-classification": ("BertForSequenceClassification", TEXTS, {"candidate_labels": ["dog", "cat"]}),
}


@pytest.mark.parametrize("task", PIPELINES)
@pytest.mark.parametrize("own_tokenizer", [True, False])
def test_a_pipeline_gives_what_it_gives_with_transformers_model(both, folder_of, task, own_tokenizer):
    head, inputs, options = PIPELINES[task]
    theirs, ours = both(head)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder_of(head))
    own = bertx.BertTokenizer.from_pretrained(folder_of(head)) if own_tokenizer else tokenizer
    found, expected = (
        [transformers.pipeline(task, model=model, tokenizer=tok)(text, **options) for text in inputs]
        for model, tok in ((ours, own), (theirs, tokenizer))
    )
    assert near(found, expected)


def near(found, expected):
    """The same, floating-point numbers within 5e-6."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(near(found[key], value) for key, value in expected.items())
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(near, found, expected))
    if isinstance(expected, (float, np.floating)):
        return abs(found - expected) < 5e-6
    return found == expected


# --- PEFT -----------------------------------------------------------------------------------------

ADAPTERS = {
    "LoRA": lambda task: peft.LoraConfig(task_type=task, r=2, init_lora_weights=False),
    "IA3": lambda task: peft.IA3Config(task_type=task, init_ia3_weights=False),
    "prompt tuning": lambda task: peft.PromptTuningConfig(task_type=task, num_virtual_tokens=3),
    "P-tuning": lambda task: peft.PromptEncoderConfig(task_type=task, num_virtual_tokens=3),
}
PEFT_TASKS = {
    "BertForSequenceClassification": "SEQ_CLS",
    "BertForTokenClassification": "TOKEN_CLS",
    "BertForQuestionAnswering": "QUESTION_ANS",
    "BertModel": "FEATURE_EXTRACTION",
    "BertLMHeadModel": "CAUSAL_LM",
}


@pytest.mark.parametrize("head", PEFT_TASKS)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_do_what_they_do_to_transformers_model(both, kind, head, tmp_path):
    outputs, gradients = [], []
    for model in both(head):
        torch.manual_seed(0)
        adapted = peft.get_peft_model(model, ADAPTERS[kind](PEFT_TASKS[head])).eval()
        output = adapted(input_ids=IDS, attention_mask=MASK).to_tuple()[0]
        output.sum().backward()
        outputs.append(output.detach())
        gradients.append({n: p.grad for n, p in adapted.named_parameters() if p.requires_grad})
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=5e-6)
    assert gradients[1].keys() == gradients[0].keys() and gradients[0]
    for name, gradient in gradients[0].items():
        if gradient is not None:
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-4)
    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(both(head)[1], tmp_path).eval()
    found = again(input_ids=IDS, attention_mask=MASK).to_tuple()[0]
    torch.testing.assert_close(found.detach(), outputs[1], rtol=0, atol=1e-6)


def test_reentrant_checkpoints_give_adapters_gradients(model):
    adapted = peft.get_peft_model(model, ADAPTERS["LoRA"]("SEQ_CLS"))
    adapted(IDS, MASK, **LABELS).loss.backward()
    expected = {n: p.grad.clone() for n, p in adapted.named_parameters() if p.requires_grad}
    adapted.zero_grad()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    adapted(IDS, MASK, **LABELS).loss.backward()
    for name, gradient in expected.items():
        torch.testing.assert_close(adapted.get_parameter(name).grad, gradient, rtol=0, atol=1e-6)


def test_inputs_require_gradients_while_they_are_enabled(model):
    model.requires_grad_(False)
    states = []
    model.bert.embeddings.register_forward_hook(lambda *call: states.append(call[-1].requires_grad))
    model(IDS)
    model.enable_input_require_grads()
    model.enable_input_require_grads()
    model(IDS)
    model.disable_input_require_grads()
    model(IDS)
    assert states == [False, True, False]


# --- sentence-transformers ------------------------------------------------------------------------


def test_a_bertx_model_inside_a_sentence_transformer(folder_of, tmp_path):
    folder = folder_of("BertModel", 0.1)
    modules = sentence_transformers.sentence_transformer.modules

    def embedder(path):
        module = modules.Transformer(str(path))
        return sentence_transformers.SentenceTransformer(modules=[module, modules.Pooling(48)], device="cpu")

    expected = embedder(folder).encode(TEXTS)
    ours = embedder(folder)
    ours[0].model = bertx_torch.BertModel.from_pretrained(folder)
    np.testing.assert_allclose(ours.encode(TEXTS), expected, rtol=0, atol=5e-6)
    assert ours.encode(TEXTS, convert_to_tensor=True).device == ours[0].model.device
    # A step of training changes it; what is saved is read by sentence-transformers and by bertx.
    ours.train()
    features = ours.preprocess(TEXTS)
    ours(features)["sentence_embedding"].square().sum().backward()
    torch.optim.SGD(ours.parameters(), 0.01).step()
    ours.eval()
    ours.save(str(tmp_path), create_model_card=False)
    trained = ours.encode(TEXTS)
    assert np.abs(trained - expected).max() > 1e-3
    for again in (
        sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS),
        bertx.load(tmp_path, backend="numpy")(TEXTS),
    ):
        np.testing.assert_allclose(again, trained, rtol=0, atol=5e-6)


# --- what a model and an output pass for ----------------------------------------------------------


def test_a_model_and_its_output_pass_for_those_of_transformers_and_inherit_nothing(model):
    with torch.no_grad():
        output = model(IDS)
    for thing, cls, base in (
        (model, bertx_torch.BertForSequenceClassification, transformers.PreTrainedModel),
        (model.bert, bertx_torch.BertModel, transformers.PreTrainedModel),
        (output, bertx_torch.SequenceClassifierOutput, transformers.utils.ModelOutput),
    ):
        assert isinstance(thing, base) and type(thing) is cls and not issubclass(cls, base)
        assert thing.__class__.__name__ == cls.__name__ and issubclass(thing.__class__, cls)
        for other in (
            copy.copy(thing),
            copy.deepcopy(thing),
            *(pickle.loads(pickle.dumps(thing, n)) for n in range(6)),
        ):
            assert type(other) is cls
    assert not isinstance(model, transformers.BertPreTrainedModel)
    assert torch.equal(pickle.loads(pickle.dumps(output)).logits, output.logits)
    assert type(model.__class__(model.config)) is type(model) is type(model.__class__.__new__(model.__class__))
    assert not hasattr(model, "generate") and not hasattr(model, "dequantize")


def test_a_class_of_a_users_own_passes_too(folder_of):
    class Mine(bertx_torch.BertModel):
        helper: "NotImported"  # noqa: F821, UP037

    model = Mine.from_pretrained(folder_of("BertModel"))
    assert isinstance(model, transformers.PreTrainedModel) and type(copy.deepcopy(model)) is Mine


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view tensor")
def test_fully_sharded_data_parallel(model, tmp_path):
    expected = model(IDS).logits
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for layer in model.bert.encoder.layer:
            torch.distributed.fsdp.fully_shard(layer)
        sharded = torch.distributed.fsdp.fully_shard(model)
        assert isinstance(sharded, bertx_torch.BertForSequenceClassification)
        torch.testing.assert_close(sharded(IDS).logits, expected, rtol=0, atol=1e-6)
        sharded(IDS, **LABELS).loss.backward()
        del sharded
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("options", [{"every_n_layers": 2}, {"offload": True}, {"every_n_layers": 0}])
def test_checkpointing_of_some_layers_and_in_host_memory(folder_of, options):
    model = bertx_torch.BertForSequenceClassification.from_pretrained(folder_of("BertForSequenceClassification", 0.3))

    def gradients():
        torch.manual_seed(0)
        model.zero_grad()
        model.train()(IDS, MASK, **LABELS).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    expected = gradients()
    if options == {"every_n_layers": 0}:
        with pytest.raises(ValueError, match="every_n_layers is 0, expected at least 1"):
            model.gradient_checkpointing_enable(**options)
        return
    model.gradient_checkpointing_enable(**options)
    assert model.is_gradient_checkpointing and model.is_activation_checkpointing
    found = gradients()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"preserve_rng_state": False})
    assert any(not torch.equal(gradients()[name], gradient) for name, gradient in expected.items())
    model.activation_checkpointing_disable()
    assert not model.is_gradient_checkpointing
