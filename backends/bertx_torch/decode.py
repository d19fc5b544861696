"""Generation on PyTorch."""

from __future__ import annotations

import torch

from bertx.generation.slots import SlotDecoder, is_all

from .layers.cache import Slots, left_padded  # pyright: ignore[reportMissingImports]  # in bertx.models
from .tensors import first_parameter


class TorchDecoder(SlotDecoder):
    """See `bertx.generation.slots.SlotDecoder`; buffers are written in place."""

    def states(self, module, input_ids, mask):
        """In inference mode, on the device of the parameters."""
        device = first_parameter(module).device
        with torch.inference_mode():
            return module.states(torch.from_numpy(input_ids).to(device), torch.from_numpy(mask).to(device))

    def read(self, input_ids, starts, layers, before, greedy, encoded):
        """In inference mode, on the device of the parameters."""
        device = first_parameter(self.module).device
        input_ids, starts = (torch.from_numpy(array).to(device) for array in (input_ids, starts))
        encoder = () if encoded is None else (encoded.states, torch.from_numpy(encoded.mask).to(device))
        past = tuple(Slots(*layer, length=before) for layer in layers)
        with torch.inference_mode():
            outputs = self.module(**left_padded(input_ids, starts, self.module.config.first_position, past, *encoder))
            logits = outputs.logits[:, 0]
            found = logits.argmax(-1) if greedy else logits.to(torch.promote_types(logits.dtype, torch.float32))
        return found.cpu().numpy(), layers or outputs.past_key_values

    def move(self, layers, rows, texts, start, length, capacity):
        """Of memory that is not touched before it is needed."""
        if rows is not None:
            rows = torch.from_numpy(rows).to(layers[0][0].device)

        def moved(buffer):
            kept = buffer[:, :, start : start + length]
            kept = kept if rows is None else kept.index_select(0, rows)
            new = kept.new_empty((*kept.shape[:2], capacity, kept.shape[3]))
            new[:, :, :length] = kept
            return new

        cross = layers[0][2:]
        texts = None if not cross or is_all(texts, len(cross[0])) else torch.from_numpy(texts).to(cross[0].device)

        def selected(buffer):
            return buffer if texts is None else buffer.index_select(0, texts)

        with torch.inference_mode():
            return tuple((moved(key), moved(value), *map(selected, cross)) for key, value, *cross in layers)
