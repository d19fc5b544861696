"""What a backend offers, and which ones are installed."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import importlib.util
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from bertx_weights import MissingExtraError, dtype_name

from .parameters import ValueOf
from .registry import model_of

if TYPE_CHECKING:
    from .training.trainer import Trainer

ENTRY_POINTS = "bertx.backends"
RUNTIMES = "bertx.runtimes"
PREFERENCE = ("torch", "jax", "tensorflow", "numpy")


Method = TypeVar("Method", bound=Callable[..., Any])


def _capability(method: Method) -> Method:
    """Marks a method of Backend as one that a backend may have or not; it is listed by its name."""
    method.is_capability = True
    return method


class Backend(ABC):
    """One framework: native models made from the spec, fed and read with NumPy arrays.

    Attributes:
        name: as users write it.
        package: the package of its native classes, made from `bertx.models` over its own `nn`.
        dtypes: what it runs in.
        compiles_each_shape: whether the model is compiled anew for each shape of its inputs.
        files: where a folder may have the exported file that it runs, the first that is there; none of a backend that
            builds models. See `bertx.exporting.runtime.Runtime`.
    """

    name: ClassVar[str]
    package: ClassVar[str | None]
    dtypes: ClassVar[tuple[str, ...]]
    compiles_each_shape: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]] = ()

    def model_class(self, architecture: str) -> type:
        """The native class by the hub's PyTorch name (`"BertForMaskedLM"`)."""
        return self.spec_class(model_of(architecture).module, architecture)

    def spec_class(self, module: str, name: str) -> Any:
        """The native class, or the function over native tensors, that a file of `bertx.models` defines."""
        return getattr(importlib.import_module(f"{self.package}.{module}"), name)

    @abstractmethod
    def build(
        self,
        model_class: type,
        config: Any,
        value_of: ValueOf,
        dtype: str,
        device: str | None,
        options: dict[str, Any],
    ) -> Any:
        """A native model of a class of this backend, in inference mode, its parameters `value_of`'s: none is drawn.

        `options` are further arguments of the class, such as `add_pooling_layer`.
        """

    @abstractmethod
    def forward(self, module: Any, inputs: Mapping[str, Any], flags: Mapping[str, bool]) -> dict[str, Any]:
        """Runs the model without gradients; every input and output is a NumPy array or a tuple of such.

        flags: `output_hidden_states`, `output_attentions` and `use_cache`: what else is given.
        """

    @abstractmethod
    def tensors(self, module: Any) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (schema name, tensor in schema layout); a tied tensor may come again under its other names."""

    def dtype(self, module: Any) -> str:
        """The name of the dtype that the parameters are stored in."""
        return dtype_name(next(self.tensors(module))[1].dtype)

    @abstractmethod
    def tensor(self, array: np.ndarray) -> Any:
        """The framework's own tensor of an array."""

    @abstractmethod
    def devices(self) -> list[str]:
        """The devices that `build` takes, "cpu" first."""

    @abstractmethod
    def device(self, module: Any) -> str:
        """The one of them that holds the parameters, with its number; of several that do, one."""

    def outputs(self, module: Any) -> tuple[str, ...] | None:
        """What an exported file gives, whatever is asked for; None of a model that is made from the spec."""
        return None

    @_capability
    def decoder(self, module: Any) -> Decoder:
        """What generates with a causal model, token by token.

        Raises:
            ValueError: the backend has none.
        """
        raise ValueError(f"the {self.name} backend generates no text: it has no bertx.backend.Decoder")

    def head_device(self, module: Any) -> str | None:
        """The device on which `build` makes a head over a built model; None where the framework moves it there."""
        return self.device(module)

    @_capability
    def trainer(self) -> type[Trainer]:
        """The class that trains models of this backend.

        Raises:
            ValueError: the backend only runs models.
        """
        raise ValueError(
            f"the {self.name} backend computes no gradients, and trains no models: train on torch, jax or tensorflow, "
            "and load the checkpoint here"
        )

    @_capability
    def packs(self, module: Any) -> bool:
        """Whether rows of any length are faster packed in one than padded: where attention has a kernel for them."""
        return False

    @_capability
    def replays(self, module: Any, rows: int, length: int) -> bool:
        """Whether a small batch [rows, length] is faster where its shape came before: it is padded to one of a few."""
        return False

    @_capability
    def compile(self, module: Any) -> None:
        """Compiles a built model, in place, for batches of any length.

        Raises:
            ValueError: the backend has no compiler, or none for that.
        """
        raise ValueError(f"the {self.name} backend compiles no model further: torch does, and jax always")

    @classmethod
    def capabilities(cls) -> list[str]:
        """What the backend has beside running models: the methods that are marked so above and that it defines."""
        marked = [name for name, method in vars(Backend).items() if hasattr(method, "is_capability")]
        return [name for name in marked if getattr(cls, name) is not getattr(Backend, name)]

    @_capability
    def workers(self, module: Any) -> tuple[int, Callable[[], None] | None]:
        """How many threads share the batches of a list, and what each does first; 0 where a batch takes all cores."""
        return 0, None

    @_capability
    def exporter(self, form: str) -> Exporter:
        """What writes models of this backend in a format of `bertx.exporting`.

        Raises:
            ValueError: the backend writes none such.
        """
        raise ValueError(f"the {self.name} backend exports no {form}: it has no bertx.backend.Exporter for it")


class Cache(ABC):
    """The keys and values of rows that a Decoder continues, on the device of its model."""

    @abstractmethod
    def select(self, rows: Sequence[int]) -> Cache:
        """These rows, in this order, in place of all; one may come several times, each with memory of its own.

        What it is called on is not used again, and may be what it returns.
        """


class Decoder(ABC):
    """A capability beside a Backend: it generates with one causal model, whose keys and values stay on the device."""

    def encode(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> Decoder:
        """Reads texts [B, S] with the encoder of the model; the Decoder that attends to them, each row to its own.

        Its `prefill` takes as many rows, in this order. What the encoder gives, and its keys and values in each layer,
        are computed once and stay on the device.

        Raises:
            ValueError: the model has no encoder.
        """
        raise ValueError("the model has no encoder: only an encoder-decoder writes about a text, this one continues it")

    @abstractmethod
    def prefill(self, input_ids: np.ndarray, lengths: np.ndarray, greedy: bool) -> tuple[np.ndarray, Cache]:
        """Reads rows [B, T] of `lengths` [B] tokens, shorter ones with padding on the left.

        Returns:
            The id of the likeliest next token of each row [B], the first of several, or where `greedy` is False their
            logits [B, V]; and the cache of all rows.
        """

    @abstractmethod
    def step(self, tokens: np.ndarray, cache: Cache, greedy: bool) -> np.ndarray:
        """Reads one token more of each row, [B], which the cache takes in; gives what follows as `prefill` does."""


class Exporter(ABC):
    """A capability beside a Backend: it writes a model in one format that runs without bertx, and runs it there.

    Attributes:
        dtypes: each that it writes → the dtype of the model that it takes for that.
    """

    dtypes: ClassVar[Mapping[str, str]] = {"float32": "float32"}

    @abstractmethod
    def export(
        self, module: Any, path: Path, inputs: Mapping[str, Sequence[str]], outputs: Sequence[str], dtype: str
    ) -> None:
        """Writes the artefact.

        Args:
            module: a native model in inference mode.
            path: the file or folder to write.
            inputs: the inputs, integers, and the names of their axes, each of any size: "batch", "choices", "sequence".
            outputs: which fields of the model's output the artefact gives, in this order.
            dtype: one of `dtypes`.
        """

    @abstractmethod
    def open(self, path: Path) -> Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]:
        """A function of the inputs by their names that runs the artefact in its own runtime: outputs by their names."""

    def export_on_texts(
        self,
        module: Any,
        path: Path,
        inputs: Mapping[str, Sequence[str]],
        outputs: Sequence[str],
        dtype: str,
        tokenizer: Any,
        max_length: int,
    ) -> None:
        """As `export`; the artefact takes texts, or pairs of them, too.

        Args:
            module, path, inputs, outputs, dtype: as there.
            tokenizer: the BertTokenizer that it has in it.
            max_length: in tokens; longer texts are truncated.
        """
        raise ValueError(f"{type(self).__name__} writes no tokenizer into its files")

    def open_on_texts(self, path: Path) -> Callable[..., Mapping[str, np.ndarray]]:
        """A function of texts, and of their second parts or not, that runs what `export_on_texts` wrote."""
        raise ValueError(f"{type(self).__name__} writes no tokenizer into its files")


# What other libraries call a backend or a dtype.
_BACKEND_ALIASES = {"tf": "tensorflow", "keras": "tensorflow", "pytorch": "torch", "pt": "torch", "flax": "jax"}
_BACKEND_ALIASES |= {"nnx": "jax", "np": "numpy", "onnx": "onnxruntime", "ort": "onnxruntime", "ov": "openvino"}
_DTYPE_ALIASES = {"fp16": "float16", "half": "float16", "f16": "float16", "bf16": "bfloat16", "fp32": "float32"}
_DTYPE_ALIASES |= {"float": "float32", "single": "float32", "f32": "float32", "full": "float32", "fp64": "float64"}
_DTYPE_ALIASES |= {"double": "float64", "f64": "float64", "i8": "int8"}


def meant_backend(name: Any) -> str:
    """For an error about a name that no backend has: which was meant, or nothing."""
    return _meant(name, [*known_backends(), *known_runtimes()], _BACKEND_ALIASES)


def meant_dtype(name: Any, known: Collection[str]) -> str:
    """For an error about a dtype that is none of the known: which of them was meant, or nothing."""
    return _meant(name, known, _DTYPE_ALIASES)


def _meant(name: Any, known: Collection[str], aliases: Mapping[str, str]) -> str:
    lower = str(name).lower()
    close = [aliases[lower]] if lower in aliases else difflib.get_close_matches(lower, known, n=1)
    return f"; did you mean {close[0]}?" if close and close[0] in known and close[0] != name else ""


@functools.cache
def _entry_points(group: str = ENTRY_POINTS) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)} | _own_entry_points(group)


@functools.cache
def _own_entry_points(group: str) -> dict[str, EntryPoint]:
    """Those of bertx itself: a look through all that is installed takes longer."""
    with contextlib.suppress(PackageNotFoundError):
        return {point.name: point for point in distribution("bertx").entry_points.select(group=group)}
    return {}


def _entry_point(name: str) -> Any:
    groups = (ENTRY_POINTS, RUNTIMES)
    own = (found for group in groups if (found := _own_entry_points(group).get(name)))
    return next(own, None) or next((found for group in groups if (found := _entry_points(group).get(name))), None)


def known_backends() -> list[str]:
    """The backends that are registered, installed or not, the preferred first."""
    return sorted(_entry_points(), key=lambda name: (*PREFERENCE, name).index(name))


def known_runtimes() -> list[str]:
    """The backends that run exported files only, installed or not: each runs where it is named."""
    return sorted(_entry_points(RUNTIMES))


def installed_backends() -> list[str]:
    """The backends whose framework is installed, the preferred first; imports none of them."""
    return [name for name in known_backends() if not _missing(name)]


def is_installed(name: str) -> bool:
    """Whether what a backend runs on is installed; imports nothing."""
    return not _missing(name)


def backend_versions(name: str) -> dict[str, str]:
    """The versions of the libraries that a backend runs on."""
    found = {}
    for library in _libraries(name) or ["numpy"]:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = version(library)
    return found


def get_backend(name: str | Backend | None = None) -> Backend:
    """The backend of that name; None takes the first installed; a Backend, as one that is not registered, is itself.

    Raises:
        ValueError: no backend is called that.
        MissingExtraError: its framework is not installed.
    """
    if isinstance(name, Backend):
        return name
    if name is None:
        name = installed_backends()[0]
    if _entry_point(name) is None:
        raise ValueError(
            f"there is no backend {name!r}; those known are {', '.join(known_backends())}, for exported files "
            f"{', '.join(known_runtimes())}, and yours is given as a bertx.backend.Backend{meant_backend(name)}"
        )
    if missing := _missing(name):
        raise MissingExtraError(
            f"the {name} backend needs {' and '.join(missing)}, not installed here: "
            f"pip install '{_entry_point(name).dist.name}[{name}]'"
        )
    return _load_backend(name)


@functools.cache
def _load_backend(name: str) -> Backend:
    return _entry_point(name).load()()


def _libraries(name: str) -> list[str]:
    """What the extra of the backend's name installs, read from the metadata of the package that registers it."""
    requirements = _entry_point(name).dist.requires or []
    return [re.split(r"[^\w.-]", line)[0] for line in requirements if re.search(rf"""extra == ['"]{name}['"]""", line)]


def _missing(name: str) -> list[str]:
    return [library for library in _libraries(name) if importlib.util.find_spec(library.replace("-", "_")) is None]


def import_libraries(backend: str, *libraries: str) -> None:
    """Imports what a backend runs on.

    Raises:
        MissingExtraError: one of them cannot be imported.
    """
    for library in libraries:
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise MissingExtraError(
                f"bertx_{backend} needs {library}, which cannot be imported here ({error}): "
                f"pip install 'bertx[{backend}]'"
            ) from error


def check_dtype(backend: Backend, dtype: str) -> None:
    """Raises ValueError for a dtype that the backend does not run."""
    if dtype not in backend.dtypes:
        raise ValueError(
            f"the {backend.name} backend runs {', '.join(backend.dtypes)}; asked for dtype {dtype!r}"
            f"{meant_dtype(dtype, backend.dtypes)}"
        )


def check_device(backend: Backend, device: Any) -> str | None:
    """The backend's name of a device: of its name, of a framework's object of that name, or of its number.

    Raises:
        ValueError: the backend does not see it.
    """
    if device is None:
        return None
    seen = backend.devices()
    if isinstance(device, int) and not isinstance(device, bool):
        # As torch.device(0) and transformers' pipeline(device=-1) have it.
        name = (
            "cpu" if device == -1 else next((name for name in seen if name.endswith(f":{device}")), f"number {device}")
        )
    elif hasattr(device, "platform"):  # a jax.Device
        platform = {"gpu": "cuda"}.get(device.platform, device.platform)  # pyright: ignore[reportAttributeAccessIssue]
        name = platform if platform == "cpu" else f"{platform}:{device.id}"  # pyright: ignore[reportAttributeAccessIssue]
    else:
        name = str(device).lower().removeprefix("/").removeprefix("device:")  # TensorFlow's: "/GPU:0", "/device:GPU:0"
        name = "cpu" if name == "cpu:0" else name
    if name not in seen:
        raise ValueError(f"the {backend.name} backend sees {', '.join(seen)} here; asked for device {device!r}")
    return name
