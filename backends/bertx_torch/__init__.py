"""BERT and its family for PyTorch: native torch.nn.Modules, made from `bertx.models`."""

import bertx.models
from bertx.backend import import_libraries
from bertx.native import public_names

import_libraries("torch", "torch")
__path__ += bertx.models.__path__  # the models' files, over the `nn` of this package
__getattr__, __dir__ = public_names(__name__)
