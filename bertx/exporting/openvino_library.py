"""The openvino library without its telemetry, which forks the process to send what was called: with JAX that can hang.

openvino and nncf do without where openvino_telemetry is not installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]

import openvino  # noqa: E402

__all__ = ["compiled_model", "openvino"]


def compiled_model(path: Path, device: str = "CPU") -> openvino.CompiledModel:
    """The model of a file on a device, in float32: by itself OpenVINO takes bfloat16 where a processor has that."""
    return openvino.Core().compile_model(path, device, {"INFERENCE_PRECISION_HINT": "f32"})
