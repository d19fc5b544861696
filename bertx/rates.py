"""The rate of a dropout in random numbers of 16 bits, of which a draw of 32 or 64 gives two or four."""

from __future__ import annotations

STEPS = 2**16


def steps_of(rate: float) -> int | None:
    """How many of the 65,536 numbers drop an element; None where no number is within 0.1 % of the rate."""
    steps = round(rate * STEPS)
    return steps if 0 < steps < STEPS and abs(steps / STEPS - rate) <= 1e-3 * rate else None
