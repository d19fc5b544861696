"""Data for training: readers of files, collators, and batches whose position is a number. NumPy only."""

from .batches import Batches
from .collators import collator_of
from .labels import labels_of, problem_type_of
from .readers import read
from .rows import DataError

__all__ = ["Batches", "DataError", "collator_of", "labels_of", "problem_type_of", "read"]
