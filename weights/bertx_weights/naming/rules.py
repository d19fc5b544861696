"""The names that a format has for the rows of a model: a rule from the kind of each row, and the overrides of both.

A rule names the leaf of each kind: in Flax the `weight` of a Linear is `kernel`, of a LayerNorm `scale`, of an
Embedding `embedding`; its blocks keep their names, with "/" for ".". What a format or a model calls otherwise is an
override: `{"cls.predictions": "mlm___cls/predictions"}` renames a block and all that is in it,
`{"cls.predictions.bias": "cls/predictions/output_bias"}` one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import CheckpointError
from ..schema import Row, head_of_decoder

# These formats have the hub's own names, whatever the model.
HUBS_OWN = ("safetensors", "pytorch", "npz")

Names = Sequence[tuple[str, str, str]]
"""(stored name, schema name, layout); {i} is the layer, and see `tables.both_ways`."""

Blocks = Mapping[str, str | tuple[str, str]]
"""Schema name of a block or a tensor, without the model's prefix → stored name, or (stored name, layout)."""


@dataclass(frozen=True)
class Naming:
    """What a format has of its own for one model.

    Attributes:
        blocks: the overrides of its names.
        fixed: settings that the format's classes compute with whatever the config says, beside the format's own.
        parts: key of the config of a model inside it → what the format has for that.
    """

    blocks: Blocks = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Naming] = field(default_factory=dict)


@dataclass(frozen=True)
class KerasHubNaming(Naming):
    """What a KerasHub preset has of its own for one model.

    Attributes:
        keys: a key of the backbone's config → the hub's, beside those that all have.
        config: settings of the hub's config that the backbone has and does not say: of a preset that Keras wrote.
        activations: values of hidden_act that the backbone computes; the first is what a preset is read as.
        pooler: whether the backbone has a pooler.
        absent: tensors that the backbone lacks, without the model's prefix: zeros when read, written only where zero.
        unused_positions: the first rows of the position embeddings are for padding, and the backbone lacks them: as
            many as pad_token_id + 1.
        logits: the last block of the text classifier.
        without_masked_lm: why the masked-LM head is neither read nor written.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    activations: tuple[str, ...] = ("gelu",)
    pooler: bool = False
    absent: tuple[str, ...] = ()
    unused_positions: bool = False
    logits: str = "classifier"
    without_masked_lm: str = ""


class ModelNames(NamedTuple):
    """What the formats have to know of an architecture.

    Attributes:
        model_type: as config.json has it.
        name: for people: "BERT".
        class_prefix: how its classes are called: "Bert".
        module: its name in file names: "bert".
        prefix: what the schema names of the base model's tensors begin with in a model with a head: "bert.".
        rows: gives the rows of every head, the number of a layer as {i}; called where names follow from them.
        classes: gives the names of its classes.
        naming: format → its overrides, or in words why the format cannot hold this architecture.
        parts: what the names of a model inside it begin with → that model's names: "encoder" of "encoder.pooler.…".
    """

    model_type: str
    name: str
    class_prefix: str
    module: str
    prefix: str
    rows: Callable[[], Sequence[Row]]
    classes: Callable[[], Sequence[str]]
    naming: Mapping[str, Naming | str]
    parts: Mapping[str, ModelNames] = MappingProxyType({})


NamesOf = Callable[[Mapping[str, Any]], ModelNames]
"""The keys of a config.json, the hub's or a KerasHub preset's → the names of its architecture."""


class Rule(NamedTuple):
    """How a format names what it has no override for.

    Attributes:
        leaves: kind of a row → (the last part of its stored name, layout). The bias of a LayerNorm is "norm bias".
        blocks: overrides for every model.
        layer: how a layer is called: what replaces "layer/{i}".
        base: whether the names of the base model begin with its prefix, as in "bert/".
        decoder: whether the format can hold a decoder that does not share the word embeddings.
        listed: only what the overrides name has a place.
        strips_base: whether a model without a head inside another one is stored without its prefix.
    """

    leaves: Mapping[str, tuple[str, str]]
    blocks: Blocks = MappingProxyType({})
    layer: str = "layer/{i}"
    base: bool = True
    decoder: bool = False
    listed: bool = False
    strips_base: bool = False


def naming_of(form: str, names: ModelNames, where: Path) -> Naming:
    """The overrides of a model in a format.

    Raises:
        CheckpointError: the format cannot hold the architecture, or bertx has no names for it; gives the reason.
    """
    found = names.naming.get(form, f"bertx has no names for {names.model_type} in it")
    if isinstance(found, str):
        others = [*HUBS_OWN, *(other for other, naming in names.naming.items() if isinstance(naming, Naming))]
        raise CheckpointError(
            f"{where}: the format {form} cannot hold a model of model_type {names.model_type!r}: {found}; "
            f"use one of {', '.join(others)}"
        )
    return found


def table_of(names: ModelNames, naming: Naming, rule: Rule) -> Names:
    """The table of a model's names in a format: see `tables.both_ways`."""
    rows = {row.name: row for row in names.rows()}
    found: list[tuple[str, str, str]] = []
    for part, inner in names.parts.items():
        for stored, name, layout in table_of(inner, naming.parts[part], rule):
            own, base = name.removeprefix(inner.prefix), inner.prefix.replace(".", "/")
            if f"{part}.{name}" in rows:
                found.append((f"{part}/{stored}", f"{part}.{name}", layout))
            elif own != name and f"{part}.{own}" in rows:
                stored = stored.removeprefix(base) if rule.strips_base else stored
                found.append((f"{part}/{stored}", f"{part}.{own}", layout))
    of_parts = {name for _, name, _ in found}
    rest = {
        name: row for name, row in rows.items() if name not in of_parts and name.partition(".")[0] not in names.parts
    }
    return (*found, *_named(rest, names.prefix, {**rule.blocks, **naming.blocks}, rule))


def _named(rows: Mapping[str, Row], prefix: str, blocks: Blocks, rule: Rule) -> Iterator[tuple[str, str, str]]:
    for name, row in rows.items():
        if row.tied_to is not None or (head_of_decoder(name) and not rule.decoder):
            continue
        own = name.removeprefix(prefix)
        block = name.rpartition(".")[0]
        sibling = rows.get(f"{block}.weight")
        of_norm = row.kind == "bias" and sibling is not None and sibling.kind == "norm"
        last, layout = rule.leaves["norm bias" if of_norm else row.kind]
        if (override := blocks.get(own)) is not None:
            stored, layout = (override, layout) if isinstance(override, str) else override
        elif (place := _place(own.rpartition(".")[0], blocks, rule)) is not None:
            stored = "/".join(part for part in (place, last) if part)
        else:
            continue
        yield (f"{prefix[:-1]}/{stored}" if rule.base and own != name else stored), name, layout


def _place(block: str, blocks: Blocks, rule: Rule) -> str | None:
    """The stored name of a block: that of the longest override that it begins with, else its own."""
    parts = block.split(".")
    for length in range(len(parts), 0, -1):
        if isinstance(override := blocks.get(".".join(parts[:length])), str):
            return "/".join([override, *parts[length:]])
    return None if rule.listed else "/".join(parts).replace("layer/{i}", rule.layer)
