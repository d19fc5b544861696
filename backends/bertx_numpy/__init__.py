"""BERT and its family in plain NumPy: `bertx.models` as it stands, with what a user's model can do beside its pass."""

from typing import TYPE_CHECKING

import bertx.models
from bertx.native import public_names

if TYPE_CHECKING:  # where "go to definition" finds the spec's classes
    from ._spec import *

__path__ += bertx.models.__path__  # the models' files, over the `nn` of this package
__getattr__, __dir__ = public_names(__name__)
