"""The files of a sentence-transformers folder, and what they set: modules, pooling, prompts, length."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, read_json
from bertx_weights.formats import keras_hub

MODULES = "modules.json"
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
POOLINGS = ("cls", "max", "mean")  # in the order in which sentence-transformers joins several

_TRANSFORMER = re.compile(r"sentence_transformers(\.\w+)*\.(Transformer|BERT)")


@dataclass(frozen=True)
class SentenceSettings:
    """pooling: none, one or several of `POOLINGS`, joined; max_length in tokens, None where not said."""

    pooling: tuple[str, ...] = ()
    normalize: bool = False
    max_length: int | None = None


@dataclass(frozen=True)
class Module:
    """One entry of modules.json: the class that sentence-transformers makes of it, and its subfolder, "" for none."""

    type: str
    path: str

    @property
    def is_transformer(self) -> bool:
        """Whether it is the encoder itself."""
        return _TRANSFORMER.fullmatch(self.type) is not None


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
        if subfolder and any(part in ("", ".", "..") for part in re.split(r"[/\\]", subfolder)):
            raise CheckpointError(f"{path}: path of entry {i} is {entry['path']!r:.60}, expected a subfolder")
        found.append(Module(entry["type"], subfolder))
    return found


def transformer_folder(folder: Path) -> str:
    """The subfolder that holds config, weights and tokenizer, such as "0_BERT"; "" where it is the folder itself.

    Raises:
        CheckpointError: as `read_modules`.
    """
    return next((module.path for module in read_modules(folder) if module.is_transformer), "")


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
    pickled = {name for name in found if Path(name).name == "pytorch_model.bin"}
    return sorted(found - {name for name in pickled if f"{Path(name).parent.as_posix()}/model.safetensors" in found})


def _walk(folder: Path, subfolder: str) -> Iterable[str]:
    """The names of what is no folder below a subfolder; links are not followed."""
    for at, folders, files in os.walk(folder / subfolder):
        base = Path(at).relative_to(folder).as_posix()
        linked = [name for name in folders if (Path(at) / name).is_symlink()]
        yield from (f"{base}/{name}" for name in (*files, *linked))


def read_settings(folder: Path) -> SentenceSettings:
    """Reads modules.json, the pooling's config and sentence_bert_config.json, or the embedder of a KerasHub preset.

    A plain checkpoint has no pooling.

    Raises:
        CheckpointError: a module or a pooling that bertx does not run, or a file that is not JSON.
    """
    pooling, normalize = (), False
    modules = read_modules(folder)
    if not modules:
        embedder = keras_hub.read_embedder(folder)
        if embedder is None:
            return SentenceSettings()
        return SentenceSettings((embedder["pooling_mode"],), embedder["normalize"], embedder["sequence_length"])
    for module in modules:
        kind = module.type.rpartition(".")[2]
        if kind == "Pooling":
            pooling = _pooling(inside(folder, f"{module.path}/config.json".lstrip("/"), folder / MODULES))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise CheckpointError(f"{folder / MODULES}: bertx does not run the module {module.type}")
    max_length = None
    if exists(folder, TRANSFORMER_CONFIGS[0]):
        max_length = read_json(inside(folder, TRANSFORMER_CONFIGS[0])).get("max_seq_length")
    return SentenceSettings(pooling, normalize, max_length)


def _pooling(path: Path) -> tuple[str, ...]:
    config: dict[str, Any] = read_json(path)
    asked = {
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    }
    newer = config.get("pooling_mode")  # one key, as sentence-transformers 5 writes it
    asked |= {newer} if isinstance(newer, str) else set(newer or ())
    if not asked or asked - set(POOLINGS):
        raise CheckpointError(
            f"{path}: bertx pools by {', '.join(POOLINGS)}; this asks for {sorted(asked) or 'nothing'}"
        )
    return tuple(name for name in POOLINGS if name in asked)
