"""What transformers' Trainer, accelerate and PEFT call on a model beside its forward."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from .virtual_subclasses import VirtualSubclass

if TYPE_CHECKING:
    from bertx.pretrained import PreTrainedModel

    class _Native(PreTrainedModel, torch.nn.Module):
        base_model: Any
else:
    _Native = object


class HuggingFaceModel(VirtualSubclass, _Native):
    """Methods and attributes of transformers' PreTrainedModel that its tools use, over those of bertx."""

    # For any other model the Trainer writes checkpoints without config.json, and for tied weights it fails.
    virtual_base = ("transformers.modeling_utils", "PreTrainedModel")
    _require_grads_hook: Any = None
    _no_split_modules = ("BertEmbeddings", "BertLayer")

    @staticmethod
    def is_custom_code() -> bool:
        """That the class is none of transformers' own: it renames tensors of its own alone."""
        return True

    # --- losses -----------------------------------------------------------------------------------

    @property
    def accepts_loss_kwargs(self) -> bool:
        """Whether the loss takes num_items_in_batch; else the Trainer divides the losses of accumulated batches."""
        return "num_items_in_batch" in inspect.signature(self.forward).parameters

    @property
    def loss_type(self) -> str | None:
        """Tells the Trainer that a decoder's first token has no loss, so that it does not count it."""
        return "ForCausalLM" if self.accepts_loss_kwargs else None

    # --- gradient checkpointing -------------------------------------------------------------------

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Computes activations again in the backward pass rather than keeping them.

        Args:
            gradient_checkpointing_kwargs: further arguments of `torch.utils.checkpoint.checkpoint`; use_reentrant is
                False unless they say otherwise.
            every_n_layers: one layer in so many does, the others keep theirs.
            offload: the inputs of the layers are kept in the host's memory.

        Raises:
            ValueError: `every_n_layers` below 1.
        """
        if every_n_layers < 1:
            raise ValueError(f"every_n_layers is {every_n_layers}, expected at least 1")
        options = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        run = functools.partial(_offloaded if offload else checkpoint, **options)
        encoder = self.base_model.encoder
        for i, layer in enumerate(encoder.layer):
            layer.checkpoint = run if i % every_n_layers == 0 else None
        encoder.gradient_checkpointing = True
        if options["use_reentrant"]:
            # Such a checkpoint gives no gradients where none of its inputs requires one, as where adapters alone train.
            self.enable_input_require_grads()

    def gradient_checkpointing_disable(self) -> None:
        """Keeps activations for the backward pass again."""
        self.base_model.encoder.gradient_checkpointing = False

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """`gradient_checkpointing_enable` by the name of later versions of transformers 5."""
        self.gradient_checkpointing_enable(activation_checkpointing_kwargs, every_n_layers, offload)

    def activation_checkpointing_disable(self) -> None:
        """`gradient_checkpointing_disable`."""
        self.gradient_checkpointing_disable()

    @property
    def is_activation_checkpointing(self) -> bool:
        """`is_gradient_checkpointing`."""
        return self.is_gradient_checkpointing

    def enable_input_require_grads(self) -> None:
        """Lets the word embeddings require gradients, as adapters need where a checkpoint is reentrant."""
        if self._require_grads_hook is None:
            self._require_grads_hook = self.get_input_embeddings().register_forward_hook(_require_grads)

    def disable_input_require_grads(self) -> None:
        """Undoes `enable_input_require_grads`."""
        if self._require_grads_hook is not None:
            self._require_grads_hook.remove()
            self._require_grads_hook = None

    # --- saving and generation --------------------------------------------------------------------

    def save_pretrained(self, folder: Any, *args: Any, save_function: Any = None, **options: Any) -> None:
        """See PreTrainedModel; `save_function`, given by scripts with accelerate, is not called, as in transformers."""
        super().save_pretrained(folder, *args, **options)

    @property
    def _keys_to_ignore_on_save(self) -> list[str] | None:
        """Further names of shared parameters: `save_pretrained` leaves them out, the Trainer expects them missing."""
        own = {name for name, _ in self.named_parameters()}
        shared = [name for name, _ in self.named_parameters(remove_duplicate=False) if name not in own]
        return shared or None

    def prepare_inputs_for_generation(
        self, input_ids: Any, past_key_values: Any = None, attention_mask: Any = None, **others: Any
    ) -> dict[str, Any]:
        """The inputs of a decoder's next step: after a past, the last token alone."""
        if past_key_values:
            input_ids = input_ids[:, -1:]
        return {**others, "input_ids": input_ids, "past_key_values": past_key_values, "attention_mask": attention_mask}


def _require_grads(module, inputs, output):
    output.requires_grad_(True)


def _offloaded(layer, states, **options):
    with torch.autograd.graph.save_on_cpu(pin_memory=torch.cuda.is_available()):
        return checkpoint(layer, states, **options)
