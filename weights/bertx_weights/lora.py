"""LoRA adapters of PEFT (Hu et al. 2021): read, and merged into the weights of the checkpoint they were trained on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import Checkpoint, StoredTensor, as_dtype
from .containers.safetensors import map_file
from .dtypes import as_float
from .errors import CheckpointError
from .files import exists, inside, read_json
from .formats import ADAPTER_CONFIG as CONFIG
from .naming.rules import ModelNames
from .schema import head_of_decoder, schema_name

WEIGHTS = _SAFETENSORS, _PICKLE = "adapter_model.safetensors", "adapter_model.bin"
_PREFIX = "base_model.model."

# What the merge takes from adapter_config.json, and what of it changes nothing once the adapter is trained.
_READ = {
    "peft_type",
    "r",
    "lora_alpha",
    "use_rslora",
    "alpha_pattern",
    "rank_pattern",
    "target_modules",
    "bias",
    "lora_bias",
}
_WITHOUT_EFFECT = {
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "task_type",
    "inference_mode",
    "peft_version",
    "lora_dropout",
    "fan_in_fan_out",  # a torch.nn.Linear and an Embedding have one layout: PEFT sets it to False for them
    "modules_to_save",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "megatron_core",
    "qalora_group_size",
    "loftq_config",
    "eva_config",
    "runtime_config",
    "ensure_weight_tying",
    "init_lora_weights",
}
# Ways to draw a new adapter that leave the weights of the base as they are.
_DRAWN = (None, True, False, "gaussian", "eva", "orthogonal")
# How the class is called that PEFT puts on the base for a task.
_ARCHITECTURES = {
    "SEQ_CLS": ("ForSequenceClassification",),
    "TOKEN_CLS": ("ForTokenClassification",),
    "QUESTION_ANS": ("ForQuestionAnswering",),
    "CAUSAL_LM": ("LMHeadModel", "ForCausalLM"),
    "FEATURE_EXTRACTION": ("Model",),
}
_WITH_DECODER = "ForMaskedLM", "ForPreTraining", "LMHeadModel", "ForCausalLM"
# With or without ensure_weight_tying, as of PEFT 0.21: https://github.com/huggingface/peft/issues/2777
_TIED = (
    "word_embeddings is trained, and the decoder of {head} shares its table: PEFT trains with the decoder as it "
    "was, and merges into both, which is another model; in PEFT, give the decoder a weight of its own before "
    "merge_and_unload: "
    "decoder = model.base_model.model.{decoder}; decoder.weight = torch.nn.Parameter("
    "decoder.weight.detach().clone()); model.config.tie_word_embeddings = False; save the result, and load that"
)
_LORA = re.compile(r"(.+)\.(lora_A|lora_B)\.(weight|bias)|(.+)\.(lora_embedding_A|lora_embedding_B)")


@dataclass(frozen=True)
class Adapter:
    """What an adapter's folder holds: its file, its settings, and its tensors by stored name."""

    file: Path
    config_file: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    @property
    def base(self) -> str | None:
        """What the adapter was trained on, as PEFT noted it."""
        base = self.config.get("base_model_name_or_path")
        return base if isinstance(base, str) and base else None

    @property
    def revision(self) -> str | None:
        """The revision of that on the hub."""
        revision = self.config.get("revision")
        return revision if isinstance(revision, str) and revision else None


def read_adapter(folder: Path) -> Adapter:
    """The adapter of a folder.

    Raises:
        CheckpointError: its files are missing or broken, or it is not a LoRA of the kind that bertx merges.
    """
    path = inside(folder, CONFIG)
    config = read_json(path)
    if problems := _setting_problems(config):
        raise CheckpointError(
            f"{path}: bertx merges PEFT's LoRA, and not with {', '.join(problems)}: merge it with PEFT's "
            "merge_and_unload, save the result, and load that"
        )
    if exists(folder, _SAFETENSORS):
        file = inside(folder, _SAFETENSORS)
        tensors = {name: StoredTensor.of_array(name, array) for name, array in map_file(file).items()}
    elif exists(folder, _PICKLE):
        from .containers.torch_file import read_file

        file = inside(folder, _PICKLE)
        tensors = read_file(file)
    else:
        raise CheckpointError(f"{folder} has {CONFIG}, but neither {_SAFETENSORS} nor {_PICKLE}")
    return Adapter(file, path, config, tensors)


def _setting_problems(config: Mapping[str, Any]) -> list[str]:
    """The settings that change results and that the merge does not know."""
    problems = []
    if config.get("peft_type") != "LORA":
        return [f"peft_type {config.get('peft_type')!r:.80}"]
    for name, value in config.items():
        if name not in _READ | _WITHOUT_EFFECT and value not in (None, False, {}, [], ""):
            problems.append(f"{name} {value!r:.80}")
    if config.get("init_lora_weights", True) not in _DRAWN:
        problems.append(f"init_lora_weights {config['init_lora_weights']!r:.80}, which changes the base's weights")
    for name, kind in (("alpha_pattern", Mapping), ("rank_pattern", Mapping)):
        patterns = config.get(name) or {}
        if not isinstance(patterns, kind):
            problems.append(f"{name} {patterns!r:.80}, expected an object")
        else:
            problems += [
                f"{name} {key!r:.80}: {value!r:.40}" for key, value in patterns.items() if not _is_plain(key, value)
            ]
    for name, value in (("r", config.get("r", 8)), ("lora_alpha", config.get("lora_alpha", 8))):
        if not _is_number(value) or value <= 0:
            problems.append(f"{name} {value!r:.40}, expected a number above 0")
    if config.get("bias", "none") not in ("none", "all", "lora_only"):
        problems.append(f"bias {config['bias']!r:.80}")
    if not isinstance(config.get("target_modules"), (str, list, type(None))):
        problems.append(f"target_modules {config['target_modules']!r:.80}")
    return problems


def _is_plain(key: str, value: Any) -> bool:
    """Whether a pattern is a regular expression that takes no exponential time, for a number above 0."""
    try:
        re.compile(key)
    except re.error:
        return False
    quantifiers = re.findall(r"[*+?{]", key)
    grouped = re.search(r"\)[*+?{]", key)
    return len(key) <= 200 and len(quantifiers) <= 4 and not grouped and _is_number(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value < 2**31


def merge_adapter(base: Checkpoint, adapter: Adapter, names: ModelNames) -> Checkpoint:
    """The checkpoint with the adapter in its weights: W + scaling · B A, computed when a tensor is read.

    `names` are those of the base's architecture.

    Raises:
        CheckpointError: the adapter does not belong to the base; all problems at once.
    """
    stored = {tensor.schema_name: tensor for tensor in base.tensors.values()}
    factors, replaced, problems = _sorted_out(adapter, names.prefix)
    decoder = next((f"{head}.decoder" for row in names.rows() if (head := head_of_decoder(row.name))), "decoder")
    merged: dict[str, StoredTensor] = {}
    for module, parts in sorted(factors.items()):
        problems += _merge_module(module, parts, adapter.config, stored, merged)
    problems += [
        f"{target} is a target module without a tensor"
        for target in _without_tensors(adapter, stored, factors, names.prefix)
    ]
    if decoder in factors:
        problems.append(f"{decoder} is a target: it may share the table of the word embeddings")
    changed = {*replaced, *(f"{module}.weight" for module in factors)}
    words, own_table = f"{names.prefix}embeddings.word_embeddings.weight", f"{decoder}.weight"
    shared = base.config.get("tie_word_embeddings", True) and own_table not in replaced and words in changed
    architectures = _config(base, adapter, base.tensors, names).get("architectures") or ()
    if shared and (heads := {head for head in architectures if head.endswith(_WITH_DECODER)}):
        problems.append(_TIED.format(head=min(heads), decoder=decoder))
    if problems:
        raise CheckpointError("\n  ".join([f"{adapter.file} does not fit {base.folder}:", *sorted(problems)[:50]]))
    merged |= replaced
    tensors = {name: merged.pop(tensor.schema_name, tensor) for name, tensor in base.tensors.items()}
    tensors |= {tensor.name: tensor for tensor in merged.values()}
    if shared:
        tensors.pop(own_table, None)  # a copy of the table that it shares, before the merge
    config = _config(base, adapter, tensors, names)
    if own_table in replaced:  # trained as a copy of its own
        config["tie_word_embeddings"] = False
    whole = ", ".join(sorted(name.removeprefix(names.prefix) for name in replaced))
    note = f"the LoRA {adapter.file} is merged: {len(factors)} modules" + (f", and {whole} replaced" if whole else "")
    return dataclasses.replace(
        base, tensors=tensors, config=config, files=(*base.files, adapter.file), notes=(*base.notes, note)
    )


def _sorted_out(
    adapter: Adapter, prefix: str
) -> tuple[dict[str, dict[str, StoredTensor]], dict[str, StoredTensor], list[str]]:
    """The factors of each module, the tensors that are stored whole, and what is neither."""
    factors: dict[str, dict[str, StoredTensor]] = {}
    replaced: dict[str, StoredTensor] = {}
    problems = []
    for stored_name, tensor in adapter.tensors.items():
        name = (
            stored_name.removeprefix(_PREFIX)
            .replace(".modules_to_save.default.", ".")
            .replace(".modules_to_save.", ".")
        )
        name = name.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B.")
        if found := _LORA.fullmatch(name):
            module = schema_name(f"{found[1] or found[4]}.weight", prefix).removesuffix(".weight")
            part = f"{found[2] or found[5]}.{found[3] or 'weight'}"
            factors.setdefault(module, {})[part] = dataclasses.replace(tensor, name=found[1] or found[4])
        elif ".original_module." in name:
            continue  # the base's own, beside what replaces it
        elif "lora_" in name:
            problems.append(f"{stored_name} is no tensor of a LoRA that bertx knows")
        else:
            name = schema_name(name.replace(".base_layer.", "."), prefix)
            replaced[name] = dataclasses.replace(tensor, name=name, schema_name=name)
    return factors, replaced, problems


def _merge_module(
    module: str,
    parts: Mapping[str, StoredTensor],
    config: Mapping[str, Any],
    stored: Mapping[str, StoredTensor],
    merged: dict[str, StoredTensor],
) -> list[str]:
    """Puts a module's merged weight, and bias, into `merged`; gives what does not fit."""
    embeds = "lora_embedding_A.weight" in parts or "lora_embedding_B.weight" in parts
    kind = "lora_embedding_" if embeds else "lora_"
    a, b = parts.get(f"{kind}A.weight"), parts.get(f"{kind}B.weight")
    weight = stored.get(f"{module}.weight")
    if weight is None:
        return [f"{module} is adapted, and the base has no {module}.weight"]
    if a is None or b is None:
        return [f"{module} has {', '.join(sorted(parts))}, expected both lora_A and lora_B"]
    rank = a.shape[0] if a.shape else 0
    expected = _setting(config, "rank_pattern", "r", a.name)
    shape = (*b.shape[:1], *a.shape[1:])
    shape = shape[::-1] if embeds else shape
    if len(a.shape) != 2 or b.shape[1:] != (rank,) or shape != weight.shape or rank != expected:
        return [
            f"{module} has A {list(a.shape)} and B {list(b.shape)}, expected rank {expected} for a weight "
            f"{list(weight.shape)}"
        ]
    alpha = _setting(config, "alpha_pattern", "lora_alpha", a.name)
    scaling = alpha / (rank**0.5 if config.get("use_rslora") else rank)

    def read() -> np.ndarray:
        delta = as_float(b.read(), "float32") @ as_float(a.read(), "float32")
        delta = (delta.T if embeds else delta) * np.float32(scaling)
        wide = "float64" if weight.dtype == np.float64 else "float32"
        return as_dtype(as_float(weight.read(), wide) + delta, weight.dtype)

    merged[f"{module}.weight"] = dataclasses.replace(weight, read=read)
    if (added := parts.get("lora_B.bias")) is None:
        return []
    bias = stored.get(f"{module}.bias")
    if bias is None or bias.shape != added.shape:
        return [f"{module}.lora_B.bias {list(added.shape)} has no bias of that shape in the base"]

    def read_bias() -> np.ndarray:
        return as_dtype(
            as_float(bias.read(), "float32") + as_float(added.read(), "float32") * np.float32(scaling), bias.dtype
        )

    merged[f"{module}.bias"] = dataclasses.replace(bias, read=read_bias)
    return []


def _setting(config: Mapping[str, Any], patterns: str, name: str, module: str) -> Any:
    """A setting of one module: that of the first pattern that its name ends with, as PEFT finds it, or of all."""
    for key, value in (config.get(patterns) or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return config.get(name, 8)


def _without_tensors(
    adapter: Adapter, stored: Mapping[str, StoredTensor], factors: Mapping[str, object], prefix: str
) -> list[str]:
    """The target modules, where they are listed by name, of which the adapter has no tensors."""
    targets = adapter.config.get("target_modules")
    limits = ("exclude_modules", "layers_to_transform", "layers_pattern")
    if not isinstance(targets, list) or any(adapter.config.get(name) for name in limits):
        return []
    modules = {name.removesuffix(".weight") for name, tensor in stored.items() if len(tensor.shape) == 2}
    suffixes = tuple(f".{target}" for target in targets)
    found = {module for module in modules if module.startswith(prefix) and f".{module}".endswith(suffixes)}
    return sorted(found - factors.keys())


def _config(
    base: Checkpoint, adapter: Adapter, tensors: Mapping[str, StoredTensor], names: ModelNames
) -> dict[str, Any]:
    """The base's config, with the head that the adapter was trained with and its number of labels."""
    config = dict(base.config)
    task, mapping = adapter.config.get("task_type"), adapter.config.get("auto_mapping")
    meant = [names.class_prefix + name for name in _ARCHITECTURES.get(task, ())] if isinstance(task, str) else []
    head = next((name for name in meant if name in names.classes()), None)
    if head is None and isinstance(mapping, Mapping) and isinstance(mapping.get("base_model_class"), str):
        head = mapping["base_model_class"]
    if head is not None:
        config["architectures"] = [head]
    labelled = {row.name for row in names.rows() if row.axes[:1] == ("label",) and row.name.startswith("classifier.")}
    classifier = next((t for t in tensors.values() if t.schema_name in labelled and len(t.shape) == 2), None)
    labels = config.get("id2label")
    known = len(labels) if isinstance(labels, Mapping) else config.get("num_labels", 2)
    if classifier is not None and head != f"{names.class_prefix}ForMultipleChoice" and classifier.shape[:1] != (known,):
        config = {name: value for name, value in config.items() if name not in ("id2label", "label2id")}
        config["num_labels"] = classifier.shape[0] if classifier.shape else 0
    return config
