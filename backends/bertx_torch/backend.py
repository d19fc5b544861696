"""The PyTorch backend."""

from __future__ import annotations

import functools

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from bertx.backend import Backend
from bertx.parameters import skip_init
from bertx.pretrained import bases_in
from bertx_weights import BFLOAT16

from . import cpu_kernels, graphs, varlen
from .decode import TorchDecoder
from .int8 import is_int8, to_int8
from .tensors import first_parameter, from_numpy, input_tensor, to_numpy
from .threads import can_take_one_core, take_one_core


class _Undrawn(TorchFunctionMode):
    """Within, blocks draw no initial values: the first on the meta device would import SymPy."""

    _draws = (init.kaiming_uniform_, init.uniform_, init.normal_, torch.Tensor.fill_, torch.Tensor.zero_)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self._draws:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


class TorchBackend(Backend):
    """See `bertx.backend.Backend`."""

    name = "torch"
    package = __package__
    dtypes = ("float32", "bfloat16", "float16", "float64", "int8")

    def build(self, model_class, config, value_of, dtype, device, options):
        """Parameters of that dtype in the checkpoint stay mapped: on the CPU there is no copy.

        "int8": the Linear layers of the encoder, and float32 else.
        """
        stored = "float32" if dtype == "int8" else dtype
        with skip_init(), torch.device("meta"), _Undrawn():
            module = model_class(config, **options)
        for name, parameter in module.named_parameters():
            tensor = from_numpy(value_of(name, tuple(parameter.shape))).to(device or "cpu", getattr(torch, stored))
            # Swapping keeps the identity of the parameter, and with it what is tied.
            torch.utils.swap_tensors(parameter, torch.nn.Parameter(tensor))
        if dtype == "int8":
            for base in bases_in(module):
                to_int8(base.encoder)
        return module.eval()

    def forward(self, module, inputs, flags):
        """Runs in inference mode, on the device of the parameters."""
        like = first_parameter(module)

        def compute(tensors):
            return dict(module(**tensors, **flags, return_dict=True))

        with torch.inference_mode():
            found = graphs.replayed(module, inputs, flags, compute, _copied)
            if found is None:
                tensors = tree_map(lambda value: input_tensor(value, like.device, like.dtype), inputs)
                found = tree_map(to_numpy, compute(tensors))
        return found

    def decoder(self, module):
        """Keys and values in buffers."""
        return TorchDecoder(module)

    def tensors(self, module):
        """The parameters' own memory on the CPU."""
        if is_int8(module):
            raise ValueError("the weights of an int8 model are rounded: load its checkpoint again, as float32")
        for name, parameter in module.named_parameters(remove_duplicate=False):
            tensor = parameter.detach().cpu()
            if tensor.dtype == torch.bfloat16:
                yield name, tensor.contiguous().view(torch.int16).numpy().view(BFLOAT16)
            else:
                yield name, tensor.numpy()

    def dtype(self, module):
        """That of the first parameter, which an int8 model has in float32."""
        return str(first_parameter(module).dtype).removeprefix("torch.")

    def tensor(self, array):
        """The array in the framework."""
        return torch.from_numpy(array)

    def devices(self):
        """cpu, and the accelerators that PyTorch sees."""
        found = ["cpu"]
        if torch.cuda.is_available():
            found += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            found.append("mps")
        return found

    def device(self, module):
        """That of the first parameter."""
        return str(first_parameter(module).device)

    def exporter(self, form):
        """See `export`."""
        from .export import EXPORTERS

        return EXPORTERS[form]() if form in EXPORTERS else super().exporter(form)

    def trainer(self):
        """See `train`."""
        from .train import TorchTrainer

        return TorchTrainer

    def packs(self, module):
        """Where `varlen` has its kernel for the model: on CUDA, in half precision."""
        config, like = module.config, first_parameter(module)
        padded = config.is_decoder or config.position_embedding_type != "absolute"
        return not padded and varlen.is_for(like.device, like.dtype, config.hidden_size // config.num_attention_heads)

    def replays(self, module, rows, length):
        """See `graphs`."""
        return graphs.are_for(module, rows, length)

    def compile(self, module):
        """torch.compile, in place, for batches of any length."""
        module.compile(dynamic=True)

    def workers(self, module):
        """One for each core; none for what torch.compile made, which it would make once more for one core.

        None either where a thread cannot be given one core without a change to the whole process.
        """
        if self.device(module) != "cpu" or any(block._compiled_call_impl for block in module.modules()):
            return 0, None
        if not can_take_one_core():
            return 0, None
        return torch.get_num_threads(), functools.partial(_begin, {})


def _begin(laid_out):
    cpu_kernels.thread.laid_out = laid_out
    take_one_core()


def _copied(outputs):
    return {name: to_numpy(tensor.to("cpu", copy=True)) for name, tensor in outputs.items()}
