"""The files of a sentence-transformers folder, and what they set: modules, pooling, prompts, length."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bertx_weights import CheckpointError
from bertx_weights.containers.safetensors import map_file
from bertx_weights.dtypes import BFLOAT16, as_float
from bertx_weights.files import exists, inside, read_json
from bertx_weights.formats import keras_hub

from ..models.layers.activations import TORCH_ACTIVATIONS
from ..models.sentence_embedding import MODES
from . import pooling

MODULES = "modules.json"
_PICKLE = "pytorch_model.bin"
MODEL_CONFIG = "config_sentence_transformers.json"
# The settings of the Transformer module: the first that is there. Named for its class until version 2.
TRANSFORMER_CONFIGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)

# The classes that bertx runs; Dropout does nothing in inference.
_KINDS = ("Transformer", "BERT", "Pooling", "Dense", "Normalize", "Dropout")
_CLASS = re.compile(r"sentence_transformers(\.\w+)*\.(?P<kind>\w+)")
_FLAGS = {  # of the older configs, in the order in which sentence-transformers joins several
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATION = re.compile(r"torch\.nn(\.modules\.(activation|linear))?\.(?P<name>\w+)")
_MODEL_KEYS = (
    "__version__",
    "activation_fn",
    "default_prompt_name",
    "keep_in_fp32_modules",
    "model_type",
    "prompts",
    "requirements",
    "similarity_fn_name",
    "truncate_dim",
)
# Keyword arguments of transformers' from_pretrained that change no result but by its precision.
_HARMLESS = ("attn_implementation", "dtype", "low_cpu_mem_usage", "torch_dtype", "trust_remote_code", "use_safetensors")


_FLOATS = (np.dtype("float32"), np.dtype("float64"), np.dtype("float16"), BFLOAT16)


@dataclass(frozen=True)
class SentenceSettings:
    """What a sentence-transformers folder sets; as it stands, what a plain checkpoint does.

    Attributes:
        model_type: "SentenceTransformer" or "CrossEncoder"; None for a plain checkpoint.
        modules: what is computed of the token vectors, in order; none gives the token vectors.
        max_length: in tokens, None where the tokenizer says it.
        lower_case: whether texts are lowercased before the tokenizer's own normalizer.
        prompts: name → what is put before a text.
        default_prompt: what is put before a text where no other is chosen.
        truncate_dim: how many values of an embedding are kept, None for all.
        activation: a CrossEncoder's function of the logits, by the name of torch's class; None where not said.
    """

    model_type: str | None = None
    modules: tuple[Any, ...] = ()
    max_length: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str = ""
    truncate_dim: int | None = None
    activation: str | None = None

    def prompt(self, prompt: str | None, name: str | None) -> str:
        """What is put before each text.

        Raises:
            ValueError: there is no prompt of that name, or both are given.
        """
        if prompt is not None and name is not None:
            raise ValueError("give prompt or prompt_name, not both")
        if prompt is not None and not isinstance(prompt, str):
            raise TypeError(f"prompt is {prompt!r:.60}, expected a string")
        if name is None:
            return self.default_prompt if prompt is None else prompt
        if name not in self.prompts:
            known = ", ".join(sorted(self.prompts)) or "none"
            raise ValueError(f"prompt_name is {name!r:.60}, the checkpoint has {known}: give the prompt itself instead")
        return self.prompts[name]


class Module(NamedTuple):
    """One entry of modules.json: the class that sentence-transformers makes of it, and its subfolder, "" for none."""

    type: str
    path: str

    @property
    def kind(self) -> str | None:
        """The name of a class that bertx runs, None for any other."""
        match = _CLASS.fullmatch(self.type)
        return match["kind"] if match and match["kind"] in _KINDS else None

    @property
    def is_transformer(self) -> bool:
        """Whether it is the encoder itself."""
        return self.kind in ("Transformer", "BERT")

    def file(self, name: str) -> str:
        """The name of one of its files, relative to the checkpoint's folder."""
        return f"{self.path}/{name}".lstrip("/")


def read_modules(folder: Path) -> list[Module]:
    """The entries of modules.json in their order; none where the folder has no such file.

    Raises:
        CheckpointError: the file is not such a list, or names a folder elsewhere.
    """
    if not exists(folder, MODULES):
        return []
    path = inside(folder, MODULES)
    found = []
    for i, entry in enumerate(read_json(path, list)):
        if not isinstance(entry, dict):
            raise CheckpointError(f"{path}: entry {i} is {entry!r:.60}, expected an object with type and path")
        for key in ("type", "path"):
            if not isinstance(entry.get(key), str):
                raise CheckpointError(f"{path}: {key} of entry {i} is {entry.get(key)!r:.60}, expected a string")
        subfolder = entry["path"].rstrip("/")
        if "\0" in subfolder or (subfolder and {"", ".", ".."} & set(re.split(r"[/\\]", subfolder))):
            raise CheckpointError(f"{path}: path of entry {i} is {entry['path']!r:.60}, expected a subfolder")
        found.append(Module(entry["type"], subfolder))
    return found


def transformer_folder(folder: Path) -> str:
    """The subfolder that holds config, weights and tokenizer, such as "0_BERT"; "" where it is the folder itself.

    Raises:
        CheckpointError: as `read_modules`.
    """
    return next((module.path for module in read_modules(folder) if module.is_transformer), "")


def flattened(folder: Path) -> bytes:
    """modules.json for a copy that has the Transformer in the folder itself."""
    entries = read_json(inside(folder, MODULES), list)
    for entry, module in zip(entries, read_modules(folder), strict=True):
        if module.is_transformer:
            entry["path"] = ""
    return json.dumps(entries, indent=2).encode()


def side_files(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """The files that sentence-transformers reads beside the config, weights and tokenizer of the Transformer module.

    A copy of the checkpoint needs all of them: modules.json, config_sentence_transformers.json, the Transformer's
    settings, and every file in the folders of the other modules, save pickled weights that are there as safetensors.

    Args:
        folder: the checkpoint's, with modules.json in it.
        names: of all files of the checkpoint, relative and with "/"; None lists the folder. For a download: the folder
            need then hold no more than modules.json.

    Returns:
        Their names in the same way, sorted.

    Raises:
        CheckpointError: as `read_modules`; or the folder has a link out of it, or what is no regular file, in the place
            of one of them.
    """
    modules = read_modules(folder)
    encoder = next((module.path for module in modules if module.is_transformer), "")
    wanted = {MODULES, MODEL_CONFIG, *(f"{encoder}/{name}".lstrip("/") for name in TRANSFORMER_CONFIGS)}
    others = tuple({f"{module.path}/" for module in modules if module.path and not module.is_transformer})
    if names is None:
        below = [name for other in others for name in _walk(folder, other)]
        names = [*(name for name in wanted if exists(folder, name)), *below]
        for name in names:
            inside(folder, name)
    found = {name for name in names if name in wanted or name.startswith(others)}
    pickled = {name for name in found if Path(name).name == _PICKLE}
    return sorted(found - {name for name in pickled if f"{Path(name).parent.as_posix()}/model.safetensors" in found})


def _walk(folder: Path, subfolder: str) -> Iterable[str]:
    """The names of what is no folder below a subfolder; links are not followed."""
    for at, folders, files in os.walk(folder / subfolder):
        base = Path(at).relative_to(folder).as_posix()
        linked = [name for name in folders if (Path(at) / name).is_symlink()]
        yield from (f"{base}/{name}" for name in (*files, *linked))


def settings_folder(folder: Path) -> Path | None:
    """The folder whose modules.json names a Transformer's folder, which may be that folder itself; None for neither."""
    if exists(folder, MODULES):
        return folder
    parent = Path(os.path.abspath(folder)).parent
    if exists(parent, MODULES) and transformer_folder(parent) == Path(os.path.abspath(folder)).name:
        return parent
    return None


def read_settings(folder: Path, hidden_size: int | None) -> SentenceSettings:
    """The settings of a sentence-transformers folder, of the Transformer's folder in it, or of a KerasHub embedder.

    `hidden_size` is that of the encoder; None takes what the modules say of it.

    Raises:
        CheckpointError: a module or a setting that bertx does not run, all those of a file at once; or a file that is
            not what its name says.
    """
    root = settings_folder(folder)
    if root is None:
        return _keras_embedder(folder)
    found = _read_model_config(root)
    modules = read_modules(root)
    if unknown := [module.type for module in modules if module.kind is None]:
        raise CheckpointError(
            f"{root / MODULES}: bertx does not run the modules {', '.join(unknown)[:400]}, only "
            f"{', '.join(_KINDS)} of sentence-transformers: run it with sentence-transformers"
        )
    encoders = [i for i, module in enumerate(modules) if module.is_transformer]
    if encoders != [0]:
        raise CheckpointError(f"{root / MODULES}: expected one Transformer, as the first module")
    cross = found["model_type"] == "CrossEncoder"
    found |= _read_transformer_config(root, modules[0], cross)
    if cross:
        if len(modules) > 1:
            raise CheckpointError(
                f"{root / MODULES}: a CrossEncoder with {modules[1].type}, and bertx runs a Transformer "
                "alone: run it with sentence-transformers"
            )
        return SentenceSettings(**found)
    steps: list[Any] = []
    pooled, width = False, None
    for module in modules[1:]:
        if module.kind == "Pooling":
            steps.append(_read_pooling(root, module))
            pooled, width = True, hidden_size and hidden_size * len(steps[-1].modes)
        elif module.kind == "Dense":
            _check_names(root, module, _config_of(root, module)[1])
            if not pooled:
                raise CheckpointError(f"{root / MODULES}: a Dense before any Pooling has nothing to take")
            steps.append(_read_dense(root, module, width))
            width = steps[-1].out_features
        elif module.kind == "Normalize":
            _check_names(root, module, _read_config(root, module, required=False))
            if pooled:  # sentence-transformers computes nothing where there is no embedding yet
                steps.append(pooling.Normalize())
    return SentenceSettings(modules=tuple(steps), **found)


def read_embedding_settings(folder: Path | None, hidden_size: int | None) -> SentenceSettings:
    """The settings of sentence embeddings: those of a CrossEncoder, as of a model without a folder, are none.

    Raises:
        CheckpointError: as `read_settings`.
    """
    settings = SentenceSettings() if folder is None else read_settings(folder, hidden_size)
    return SentenceSettings() if settings.model_type == "CrossEncoder" else settings


def _keras_embedder(folder: Path) -> SentenceSettings:
    """What a KerasHub preset of an embedder sets; a plain checkpoint sets nothing."""
    embedder = keras_hub.read_embedder(folder)
    if embedder is None:
        return SentenceSettings()
    steps = (pooling.Pooling((embedder["pooling_mode"],)), *([pooling.Normalize()] if embedder["normalize"] else []))
    return SentenceSettings(modules=steps, max_length=embedder["sequence_length"])


def read_cross_encoder(folder: Path | None, config: Any) -> SentenceSettings | None:
    """The settings of a CrossEncoder, None where a checkpoint is none.

    `config` is the checkpoint's: before version 6 sentence-transformers wrote the activation there.

    Raises:
        CheckpointError: as `read_settings`.
    """
    root = None if folder is None else settings_folder(folder)
    if folder is not None and root is not None and _read_model_config(root)["model_type"] == "CrossEncoder":
        settings = read_settings(folder, config.hidden_size)
    else:
        settings = SentenceSettings()
    by = f"{folder}: config.json"
    of_config = config.extra.get("sentence_transformers")
    if of_config is not None and not isinstance(of_config, Mapping):
        raise CheckpointError(f"{by}: sentence_transformers is {of_config!r:.60}, expected an object")
    if unknown := sorted((of_config or {}).keys() - {"activation_fn", "version"}):
        raise CheckpointError(f"{by}: sentence_transformers has {', '.join(unknown)[:400]}, which bertx does not run")
    name = settings.activation
    if name is None and of_config and "activation_fn" in of_config:
        name = _activation(of_config["activation_fn"], f"{by}: sentence_transformers.activation_fn")
    elif name is None and config.extra.get("sbert_ce_default_activation_function") is not None:
        key = "sbert_ce_default_activation_function"
        name = _activation(config.extra[key], f"{by}: {key}")
    if settings.model_type is None and name is None:
        return None
    return replace(settings, activation=name or ("Sigmoid" if config.num_labels == 1 else "Identity"))


def lowercased(tokenizer: Any, folder: Path | None) -> Any:
    """A copy of a folder's tokenizer that lowercases texts, but no special tokens, before its own normalizer."""
    from tokenizers.normalizers import Lowercase, Sequence

    own: Any = tokenizer.backend_tokenizer.normalizer
    steps: list[Any] = [*own] if isinstance(own, Sequence) else [] if own is None else [own]
    if any(isinstance(step, Lowercase) for step in steps):
        return tokenizer
    copy = type(tokenizer).from_pretrained(folder)
    copy.backend_tokenizer.normalizer = Sequence([Lowercase(), *steps])
    return copy


def _read_model_config(root: Path) -> dict[str, Any]:
    """What config_sentence_transformers.json sets, by the names of `SentenceSettings`."""
    found = {"model_type": "SentenceTransformer", "prompts": {"query": "", "document": ""}}
    if not exists(root, MODEL_CONFIG):
        return found
    path = inside(root, MODEL_CONFIG)
    config = read_json(path)
    _refuse_unknown(path, config, _MODEL_KEYS)
    kind = config.get("model_type", "SentenceTransformer")
    if kind not in ("SentenceTransformer", "CrossEncoder"):
        raise CheckpointError(
            f"{path}: model_type is {kind!r:.60}, and bertx runs SentenceTransformer and CrossEncoder: run it with "
            "sentence-transformers"
        )
    prompts = _of_type(path, config, "prompts", dict) or {}
    for name, prompt in prompts.items():
        if not isinstance(prompt, (str, type(None))):
            raise CheckpointError(f"{path}: prompts.{name} is {prompt!r:.60}, expected a string")
        if prompt is not None:
            found["prompts"][name] = prompt
    default = _of_type(path, config, "default_prompt_name", str)
    if default is not None and default not in {**prompts, **found["prompts"]}:
        raise CheckpointError(f"{path}: default_prompt_name is {default!r:.60}, which prompts does not have")
    if default is not None:
        found["default_prompt"] = found["prompts"].get(default, "")
    _of_type(path, config, "similarity_fn_name", str)
    if _of_type(path, config, "keep_in_fp32_modules", list):
        raise CheckpointError(
            f"{path}: bertx does not run keep_in_fp32_modules: load with dtype='float32' and remove it"
        )
    found["truncate_dim"] = _at_least_one(path, config, "truncate_dim")
    if config.get("activation_fn") is not None:
        if kind != "CrossEncoder":
            raise CheckpointError(f"{path}: activation_fn is a CrossEncoder's, and model_type is {kind}")
        found["activation"] = _activation(config["activation_fn"], f"{path}: activation_fn")
    return found | {"model_type": kind}


def _read_transformer_config(root: Path, encoder: Module, cross: bool) -> dict[str, Any]:
    """What sentence_bert_config.json, or one of its older names, sets, by the names of `SentenceSettings`."""
    config: dict[str, Any] = {}
    path = root / encoder.file(TRANSFORMER_CONFIGS[0])
    for name in TRANSFORMER_CONFIGS:
        if not config and exists(root, encoder.file(name)):
            path = inside(root, encoder.file(name))
            config = read_json(path)
    output = "logits" if cross else "last_hidden_state"
    expected = {
        "transformer_task": "sequence-classification" if cross else "feature-extraction",
        "module_output_name": "scores" if cross else "token_embeddings",
    }
    argument_keys = [
        f"{of}_{kind}" for of in ("model", "tokenizer", "processor", "config") for kind in ("args", "kwargs")
    ]
    none = ("processing_kwargs", "query_length", "document_length", "query_expansion", "tokenizer_name_or_path")
    known = ("max_seq_length", "do_lower_case", "unpad_inputs", "modality_config", *expected, *argument_keys, *none)
    _refuse_unknown(path, config, known)
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise CheckpointError(f"{path}: {key} is {config[key]!r:.60}, and bertx runs {value}")
    for key in none:
        if config.get(key):
            raise CheckpointError(f"{path}: bertx does not run {key}, here {config[key]!r:.60}")
    modalities = _of_type(path, config, "modality_config", dict)
    text = {"method": "forward", "method_output_name": output}
    if modalities is not None and modalities != {"text": text}:
        raise CheckpointError(f"{path}: modality_config is {modalities!r:.200}, and bertx runs {{'text': {text}}}")
    max_length = _at_least_one(path, config, "max_seq_length")
    for key in argument_keys:
        arguments = _of_type(path, config, key, dict) or {}
        harmless = _HARMLESS if key in ("model_args", "model_kwargs") else ("trust_remote_code",)
        if key in ("tokenizer_args", "tokenizer_kwargs", "processor_kwargs"):
            harmless = (*harmless, "model_max_length")
            max_length = _at_least_one(path, arguments, "model_max_length", f"{key}.") or max_length
        if unknown := sorted(arguments.keys() - set(harmless)):
            raise CheckpointError(f"{path}: bertx does not run {', '.join(f'{key}.{name}' for name in unknown)[:400]}")
    return {"max_length": max_length, "lower_case": bool(_of_type(path, config, "do_lower_case", bool))}


def _read_pooling(root: Path, module: Module) -> pooling.Pooling:
    path, config = _config_of(root, module)
    _refuse_unknown(
        path, config, (*_FLAGS, "pooling_mode", "include_prompt", "word_embedding_dimension", "embedding_dimension")
    )
    flags = [mode for key, mode in _FLAGS.items() if _of_type(path, config, key, bool)]
    modes = config.get("pooling_mode", flags or "mean")
    modes = [modes] if isinstance(modes, str) else modes
    known = tuple(MODES)
    if not isinstance(modes, list) or not modes or any(mode not in known for mode in map(_text, modes)):
        raise CheckpointError(f"{path}: pooling_mode is {modes!r:.100}, and bertx pools by {', '.join(known)}")
    include = _of_type(path, config, "include_prompt", bool)
    return pooling.Pooling(tuple(modes), include is not False)


def _read_dense(root: Path, module: Module, width: int | None) -> pooling.Dense:
    path, config = _config_of(root, module)
    names = ("module_input_name", "module_output_name")
    _refuse_unknown(
        path, config, ("in_features", "out_features", "bias", "activation_function", "use_residual", *names)
    )
    in_features, out_features = (_at_least_one(path, config, key) for key in ("in_features", "out_features"))
    if in_features is None or out_features is None:
        raise CheckpointError(f"{path}: expected in_features and out_features")
    width = width or in_features
    if in_features != width:
        raise CheckpointError(f"{path}: in_features is {in_features}, and the module before it gives {width}")
    has_bias = _of_type(path, config, "bias", bool) is not False
    residual = bool(_of_type(path, config, "use_residual", bool))
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    activation = _activation(name, f"{path}: activation_function")
    expected: dict[str, tuple[int | None, ...]] = {"linear.weight": (out_features, width)}
    if has_bias:
        expected["linear.bias"] = (out_features,)
    if residual and out_features != width:
        expected["residual.weight"] = (out_features, width)
    tensors = _read_weights(root, module)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        wrong = [f"{n} is {found.get(n)}, expected {shape}" for n, shape in expected.items() if found.get(n) != shape]
        wrong += [f"{name} is not expected" for name in sorted(found.keys() - expected.keys())]
        raise CheckpointError(f"{root / module.path}: {'; '.join(wrong)[:600]}")
    return pooling.Dense(width, out_features, activation, residual, tensors)


def _read_weights(root: Path, module: Module) -> dict[str, np.ndarray]:
    """The tensors of a module as float arrays, from model.safetensors or else from pytorch_model.bin."""
    if exists(root, module.file("model.safetensors")):
        tensors = map_file(inside(root, module.file("model.safetensors")))
    elif exists(root, module.file(_PICKLE)):
        from bertx_weights.containers.torch_file import read_file

        stored = read_file(inside(root, module.file(_PICKLE)))
        tensors = {name: tensor.read() for name, tensor in stored.items()}
    else:
        raise CheckpointError(f"{root / module.path}: expected model.safetensors or {_PICKLE}")
    if strange := sorted(name for name, value in tensors.items() if value.dtype not in _FLOATS):
        raise CheckpointError(f"{root / module.path}: expected floating tensors, not {', '.join(strange)[:200]}")
    return {name: as_float(value, "float32") for name, value in tensors.items()}


def _config_of(root: Path, module: Module) -> tuple[Path, dict[str, Any]]:
    path = inside(root, module.file("config.json"), root / MODULES)
    return path, read_json(path)


def _read_config(root: Path, module: Module, required: bool) -> dict[str, Any]:
    # A Normalize of before version 6 has no file, not even a folder.
    if not module.path or (not required and not exists(root, module.file("config.json"))):
        return {}
    return _config_of(root, module)[1]


def _check_names(root: Path, module: Module, config: Mapping[str, Any]) -> None:
    """Refuses a module that takes or gives another feature than the embedding."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            path = root / module.file("config.json")
            raise CheckpointError(
                f"{path}: {key} is {config[key]!r:.60}, and bertx runs sentence_embedding: run it with "
                "sentence-transformers"
            )
    if module.kind == "Normalize":
        _refuse_unknown(root / module.file("config.json"), config, ("module_input_name", "module_output_name"))


def _activation(name: Any, at: str) -> str:
    match = _ACTIVATION.fullmatch(name) if isinstance(name, str) else None
    if match is None or match["name"] not in TORCH_ACTIVATIONS:
        known = ", ".join(TORCH_ACTIVATIONS)
        raise CheckpointError(f"{at} is {name!r:.100}, and bertx runs torch.nn's {known}: it imports nothing by name")
    return match["name"]


def _refuse_unknown(path: Path, config: Mapping[str, Any], known: Iterable[str]) -> None:
    if unknown := sorted(config.keys() - set(known)):
        raise CheckpointError(
            f"{path}: bertx does not know {', '.join(unknown)[:400]}, which may change the result: remove what does "
            "not, or run it with sentence-transformers"
        )


def _of_type(path: Path, config: Mapping[str, Any], key: str, kind: type) -> Any:
    value = config.get(key)
    if value is not None and not isinstance(value, kind):
        expected = {dict: "an object", str: "a string", bool: "true or false", list: "a list"}[kind]
        raise CheckpointError(f"{path}: {key} is {value!r:.60}, expected {expected}")
    return value


def _at_least_one(path: Path, config: Mapping[str, Any], key: str, prefix: str = "") -> int | None:
    value = config.get(key)
    if value is not None and (type(value) is not int or value < 1):
        raise CheckpointError(f"{path}: {prefix}{key} is {value!r:.60}, expected a whole number of at least 1")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
