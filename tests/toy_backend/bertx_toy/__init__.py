"""A fifth backend, which is `nn.py` and `backend.py`."""

import bertx.models
from bertx.native import public_names

__path__ += bertx.models.__path__
__getattr__, __dir__ = public_names(__name__, "Toy")
