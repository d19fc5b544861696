"""Export of JAX models: StableHLO by jax.export."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from bertx.backend import Exporter

from .structure import compiled, take_apart


class StableHloExporter(Exporter):
    """A function with the weights in it, for the platforms that JAX runs on."""

    dtypes = {name: name for name in ("float32", "bfloat16", "float16")}
    platforms = ("cpu", "cuda")

    def export(self, module, path, inputs, outputs, dtype):
        """Sizes are symbolic; float32 products are not rounded to TF32."""
        structure, values = take_apart(module)

        def run(**arrays):
            found = structure.put_together(values)(**arrays, return_dict=True)
            return {name: found[name] for name in outputs}

        axes = sorted({axis for of_input in inputs.values() for axis in of_input})
        symbols = dict(zip(axes, jax.export.symbolic_shape(", ".join(axes)), strict=True))
        shapes = {
            name: jax.ShapeDtypeStruct(tuple(symbols[axis] for axis in of_input), jnp.int32)
            for name, of_input in inputs.items()
        }
        exported = jax.export.export(compiled(run), platforms=self.platforms)(**shapes)
        path.write_bytes(exported.serialize())

    def open(self, path):
        """By jax.export.deserialize."""
        exported = jax.export.deserialize(bytearray(path.read_bytes()))
        call = jax.jit(exported.call)

        def run(batch):
            found = call(**{name: np.asarray(value, np.int32) for name, value in batch.items()})
            return {name: np.asarray(value) for name, value in found.items()}

        return run


EXPORTERS = {"stablehlo": StableHloExporter}
