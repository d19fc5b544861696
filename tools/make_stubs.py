"""Writes the .pyi files of the backend packages, from the classes of `bertx.models`.

A backend package makes its classes when they are first used, from the spec's files over its own `nn`: a type checker
cannot follow that. This script imports no framework. Run it as `make stubs`; `--check` writes nothing, and fails where
a file is stale.

    backends/bertx_torch/__init__.pyi    what the package exports, with types
    backends/bertx_torch/_spec.pyi       the same names as imports from bertx.models, where an editor's "go to
                                         definition" finds them by way of __init__.py
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertx import native
from bertx.models import nn
from bertx.models.base_model import BaseModel
from bertx.models.layers import outputs
from bertx.parameters import skip_init
from bertx.registry import MODELS, head_of, is_architecture, made_config, model_of

ROOT = Path(__file__).parents[1]
BACKENDS = ROOT / "backends"


@dataclass(frozen=True)
class Framework:
    """What the stubs of a backend have of its framework.

    Attributes:
        imports: lines that import the types.
        tensor: the type of an output.
        given: the type of an input.
        forward: the methods that have the arguments of the spec's `forward`.
        block: the type of a layer inside a model.
        more: further arguments of `__call__`.
        extra: the lines of what the package has beside the spec's classes.
    """

    imports: tuple[str, ...]
    tensor: str
    given: str
    block: str = "Any"
    forward: tuple[str, ...] = ("forward", "__call__")
    more: str = ""
    extra: tuple[str, ...] = ()


FRAMEWORKS = {
    "bertx_torch": Framework(("from torch import Tensor",), "Tensor", "Tensor"),
    "bertx_tensorflow": Framework(
        ("import tensorflow as tf", "from .tokenizer import TFBertTokenizer as TFBertTokenizer"),
        "tf.Tensor",
        "Any",
        forward=("call", "__call__"),
        more=", training: bool | None = None",
    ),
    "bertx_jax": Framework(
        ("from jax import Array", "from jax.typing import ArrayLike"),
        "Array",
        "ArrayLike | Sequence[Any]",
        more=", params: Any = None, train: bool | None = None, dropout_rng: Array | None = None",
    ),
    "bertx_numpy": Framework(("import numpy as np",), "np.ndarray", "np.ndarray"),
}

# The types of the arguments of `forward` that are no tensors, and of the fields of outputs that are not one tensor.
_ARGUMENTS = {
    "past_key_values": "Any",
    "encoder_outputs": "Any",
    "use_cache": "bool | None",
    "output_attentions": "bool | None",
    "output_hidden_states": "bool | None",
    "num_items_in_batch": "Any",
    "readout": "Any",
}
_FIELDS = {
    "hidden_states": "tuple[{tensor}, ...] | None",
    "attentions": "tuple[{tensor}, ...] | None",
    "decoder_hidden_states": "tuple[{tensor}, ...] | None",
    "decoder_attentions": "tuple[{tensor}, ...] | None",
    "encoder_hidden_states": "tuple[{tensor}, ...] | None",
    "encoder_attentions": "tuple[{tensor}, ...] | None",
    "past_key_values": "tuple[tuple[{tensor}, ...], ...] | None",
    "cross_attentions": "tuple[{tensor}, ...] | None",
    "loss": "{tensor} | None",  # where there are labels
    "pooler_output": "{tensor} | None",  # where there is a pooler
}


def stubs() -> dict[Path, str]:
    """Path → text of every generated file."""
    found = {}
    for package in sorted(path.parent for path in BACKENDS.glob("*/nn.py")):  # one that runs files has no classes
        names = public_names(package)
        found[package / "__init__.pyi"] = _stub(package.name, names)
        found[package / "_spec.pyi"] = _spec(names)
    return {path: _formatted(path, text) for path, text in found.items()}


def public_names(package: Path) -> dict[str, tuple[str, str]]:
    """Public name → module of `bertx.models` and name there, from the call of `public_names` in a package's file."""
    for node in ast.walk(ast.parse((package / "__init__.py").read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "public_names":
            prefix = ast.literal_eval(node.args[1]) if len(node.args) > 1 else ""
            options = {option.arg: ast.literal_eval(option.value) for option in node.keywords}
            return native.modules_of(prefix, options.get("aliases", False))
    raise ValueError(f"{package}/__init__.py does not call bertx.native.public_names")


def _spec(names: dict[str, tuple[str, str]]) -> str:
    lines = ['"""Made by tools/make_stubs.py: the public names, in the files that define them."""', ""]
    lines += [f"from bertx.models.{module} import {known} as {name}" for name, (module, known) in names.items()]
    return "\n".join([*lines, f"__all__ = {sorted(names)}"])  # else `import … as` of another name exports none


def _stub(package: str, names: dict[str, tuple[str, str]]) -> str:
    framework = FRAMEWORKS[package]
    public_of = {known: name for name, (_, known) in names.items()}
    lines = [
        f'"""Made by tools/make_stubs.py from bertx.models: the classes of {package}, with types."""',
        "",
        "from collections.abc import Sequence",
        "from typing import Any, Literal, overload",
        *framework.imports,
    ]
    lines += [f"from bertx.configs.{spec.module} import {spec.config_class.__name__}" for spec in MODELS.values()]
    lines += ["from .nn import Model", ""]
    lines += [*_outputs(framework, public_of)]
    for name, (module, known) in names.items():
        if known.endswith(native.BASE):
            spec = next(spec for spec in MODELS.values() if spec.module == module)
            lines += [f"class {name}(Model):", f"    config: {spec.config_class.__name__}", ""]
    for name, (_, known) in names.items():
        if is_architecture(known):
            lines += [*_model(name, known, framework, public_of)]
    return "\n".join(lines)


def _outputs(framework: Framework, public_of: dict[str, str]) -> Iterator[str]:
    yield "class _ModelOutput(dict[str, Any]):"
    yield "    def __getitem__(self, key: str | int | slice, /) -> Any: ..."
    yield "    def to_tuple(self) -> tuple[Any, ...]: ..."
    for known in outputs.PUBLIC:
        yield f"class {public_of[known]}(_ModelOutput):"
        for field in getattr(outputs, known).fields:
            yield f"    {field}: {_FIELDS.get(field, '{tensor}').format(tensor=framework.tensor)}"


def _model(name: str, known: str, framework: Framework, public_of: dict[str, str]) -> Iterator[str]:
    cls = head_of(known)
    spec = model_of(known)
    named = (public_of[parent.__name__] for parent in cls.__mro__ if parent.__name__.endswith(native.BASE))
    base = next(named, "Model")
    yield f"class {name}({base}):"
    yield f"    {_docstring(cls)}"
    config = made_config(spec.model_type, num_hidden_layers=1)
    with skip_init():
        model = cls(config)
    for attribute, value in vars(model).items():
        if isinstance(value, BaseModel) and not spec.parts:
            yield f"    {attribute}: {public_of[type(value).__name__]}"
        elif isinstance(value, nn.Module | nn.Parameter):
            yield f"    {attribute}: {framework.block}"
    constructor = [f"config: {spec.config_class.__name__}"]
    if issubclass(cls, BaseModel):
        constructor.append("add_pooling_layer: bool = True")
    yield f"    def __init__(self, {', '.join(constructor)}, **options: Any) -> None: ..."
    output = public_of[cls.output_class.__name__]
    for method in framework.forward:
        more = framework.more if method == "__call__" else ""
        if method == "call" and "training" in framework.more:
            more = framework.more
        for return_dict, returned in (("Literal[True] | None = None", output), ("Literal[False]", "tuple[Any, ...]")):
            yield "    @overload"
            yield f"    def {method}(self, {_arguments(cls, framework, return_dict)}{more}) -> {returned}: ..."


def _arguments(cls: type, framework: Framework, return_dict: str) -> str:
    parts, keyword_only = [], False
    for parameter in list(inspect.signature(cls.forward).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        if parameter.name == "return_dict":
            parts.append(f"return_dict: {return_dict}")
        else:
            kind = _ARGUMENTS.get(parameter.name, f"{framework.given} | None")
            parts.append(f"{parameter.name}: {kind.replace('Any | None', 'Any')} = None")
    return ", ".join(parts)


def _docstring(cls: Any) -> str:
    return f'"""{inspect.getdoc(cls)}"""'


def _formatted(path: Path, text: str) -> str:
    """As ruff writes it."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--fix-only", "--quiet", "--select", "I,F401"], ["format", "--quiet"]):
        run = [*ruff, *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(run, input=text, text=True, capture_output=True, check=True, cwd=ROOT).stdout
    return text


def stale() -> list[Path]:
    """The generated files that are not what they would be now."""
    return [path for path, text in stubs().items() if not path.exists() or path.read_text() != text]


if __name__ == "__main__":
    if "--check" in sys.argv:
        if found := stale():
            sys.exit(f"stale, run `make stubs`: {', '.join(str(path.relative_to(ROOT)) for path in found)}")
    else:
        for path, text in stubs().items():
            path.write_text(text)
