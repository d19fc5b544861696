"""BERT and its family for PyTorch: native torch.nn.Modules, made from `bertx.models`."""

from typing import TYPE_CHECKING

import bertx.models
from bertx.backend import import_libraries
from bertx.native import public_names

if TYPE_CHECKING:  # where "go to definition" finds the spec's classes
    from ._spec import *

import_libraries("torch", "torch")
__path__ += bertx.models.__path__  # the models' files, over the `nn` of this package
__getattr__, __dir__ = public_names(__name__)
