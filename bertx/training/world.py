"""The processes and devices that train one model together."""

from __future__ import annotations


class World:
    """One process, on one device; a backend has its own where a launcher started several.

    Attributes:
        device: the backend's name of the device that the model is loaded on; None leaves it to the framework.
        rank: the number of this process, from 0. Process 0 writes the files.
        processes: how many there are.
        devices: how many devices they have together: each computes the same number of rows of a batch.
        is_sharded: whether parameters and moments are spread over the devices, rather than copied to each.
    """

    def __init__(
        self,
        device: str | None = None,
        rank: int = 0,
        processes: int = 1,
        devices: int = 1,
        is_sharded: bool = False,
    ):
        self.device = device
        self.rank = rank
        self.processes = processes
        self.devices = devices
        self.is_sharded = is_sharded

    def total(self, number: float) -> float:
        """The sum of what the processes give: every process calls it, and waits there for the others."""
        return number
