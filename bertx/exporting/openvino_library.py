"""The openvino library without its telemetry, which forks the process to send what was called: with JAX that can hang.

openvino and nncf do without where openvino_telemetry is not installed.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]

import openvino  # noqa: E402

__all__ = ["openvino"]
