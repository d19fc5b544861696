"""One core for the calling thread alone.

`torch.set_num_threads` also sets the number with which each later thread of the process begins, so that two threads
that call it and put it back can leave the process at one. OpenMP and MKL themselves keep their number per thread.
"""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor

import torch


@functools.cache
def _setters():
    """The functions of OpenMP and MKL that set the number of the calling thread; none where PyTorch hides them."""
    try:
        library = ctypes.CDLL(torch._C.__file__)  # a symbol is looked up in the libraries that it links, too
        setters = [library.omp_set_num_threads]
        if torch.backends.mkl.is_available():
            setters.append(library.MKL_Set_Num_Threads_Local)
    except (AttributeError, OSError):
        return ()
    return tuple(setters)


def take_one_core():
    """From here on the operators of the calling thread run in it alone; no other thread notices.

    Returns:
        Whether they do: on macOS and Windows, or in a PyTorch without OpenMP, there may be no such function.
    """
    torch.get_num_threads()  # else this thread's first operation would take the process's number
    for set_number in _setters():
        set_number(1)
    return torch.get_num_threads() == 1


@functools.cache
def can_take_one_core():
    """Whether `take_one_core` has its effect here, tried once in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(take_one_core).result()
