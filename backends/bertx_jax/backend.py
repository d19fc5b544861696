"""The JAX backend."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from bertx.backend import Backend
from bertx.caches import cache_folder
from bertx.parameters import skip_init
from bertx_weights import BFLOAT16

from . import cpu_kernels, nn
from .arrays import from_numpy
from .decode import JaxDecoder
from .functional import input_array
from .glibc import keep_freed_memory
from .structure import MOST_SHAPES, compiled, take_apart


class JaxBackend(Backend):
    """See `bertx.backend.Backend`."""

    name = "jax"
    package = __package__
    dtypes = ("float32", "bfloat16", "float16")
    compiles_each_shape = True

    def __init__(self):
        _keep_compiled_code()
        keep_freed_memory()

    def build(self, model_class, config, value_of, dtype, device, options):
        """One copy of the weights, in JAX's memory."""
        target = _devices()[device] if device else None

        def put(value):
            return jax.device_put(from_numpy(value), target).astype(dtype).block_until_ready()

        with skip_init():
            module = model_class(config, **options)
        module.fill_parameters(value_of, put)
        return module

    def forward(self, module, inputs, flags):
        """Runs compiled, once for each combination of shapes; float32 products are not rounded to TF32 on a GPU.

        The code of the `MOST_SHAPES` combinations used last is kept.
        """
        structure, values = take_apart(module)
        given, of_inputs = jax.tree.flatten(inputs)
        dtype = _dtype(values) if any(value.dtype.kind == "f" for value in given) else None
        leaves = [input_array(value, dtype) for value in given]
        run = _compiled(structure, tuple(flags.items()), of_inputs, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        outputs = run(values, leaves)
        # One by one: a mapped dict would come back sorted.
        return {
            name: _to_numpy(value) if isinstance(value, jax.Array) else jax.tree.map(_to_numpy, value)
            for name, value in outputs.items()
        }

    def decoder(self, module):
        """Keys and values in buffers."""
        return JaxDecoder(module)

    def tensors(self, module):
        """Views of JAX's memory on the CPU, kernels transposed."""
        for name, parameter, kind in nn.parameters(module):
            array = np.asarray(parameter.get_value())
            array = array.view(BFLOAT16) if array.dtype == jnp.bfloat16 else array
            yield name, array.T if kind == "kernel" else array

    def tensor(self, array):
        """The array in the framework."""
        return jnp.asarray(array)

    def devices(self):
        """cpu, and the accelerators that JAX sees: cuda, cuda:0, …"""
        return list(_devices())

    def device(self, module):
        """One that holds the first parameter, or a part of it."""
        if len(_devices()) == 1:
            return "cpu"
        held = next(nn.parameters(module))[1].get_raw_value().devices()
        return next((name for name, device in reversed(_devices().items()) if device in held), "cpu")

    def head_device(self, module):
        """None: arrays on no given device go where those of a model are, which may be several devices."""
        return None

    def compile(self, module):
        """Nothing: a model always runs compiled, once for each shape of its inputs."""

    def exporter(self, form):
        """See `export`."""
        from .export import EXPORTERS

        return EXPORTERS[form]() if form in EXPORTERS else super().exporter(form)

    def trainer(self):
        """See `train`."""
        from .train import JaxTrainer

        return JaxTrainer


def _keep_compiled_code():
    """XLA's code stays on disk for the next process, at most 1 GiB of it, unless JAX has been told about this."""
    if jax.config.jax_compilation_cache_dir is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return
    if folder := cache_folder("xla"):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", 2**30)  # for which JAX needs filelock
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@functools.lru_cache(maxsize=MOST_SHAPES)
def _compiled(structure, flags, of_inputs, shapes):
    """The function that runs such a model on inputs of such shapes; with it goes its compiled code."""

    # Of [B, T] and further axes.
    few_rows = cpu_kernels.for_few_rows(max(math.prod(shape[:2]) for shape, _ in shapes), nn.Decoder in structure.kinds)

    def run(values, leaves):
        inputs = jax.tree.unflatten(of_inputs, leaves)
        with cpu_kernels.few_rows(few_rows):
            return structure.put_together(values)(**inputs, **dict(flags), return_dict=True)

    return compiled(run, compiler_options=cpu_kernels.OPTIONS if few_rows else None)


@functools.cache
def _devices():
    found = {"cpu": jax.devices("cpu")[0]}
    for device in [device for device in jax.devices() if device.platform != "cpu"]:
        platform = "cuda" if device.platform == "gpu" else device.platform
        found.setdefault(platform, device)
        found[f"{platform}:{device.id}"] = device
    return found


def _dtype(values):
    return next(value.dtype for value in values if jnp.issubdtype(value.dtype, np.floating))


_BFLOAT16 = np.dtype(jnp.bfloat16)


def _to_numpy(array):
    found = np.asarray(array)
    # In NumPy: JAX would compile the cast for each shape.
    return found.astype(np.float32) if found.dtype == _BFLOAT16 else found
