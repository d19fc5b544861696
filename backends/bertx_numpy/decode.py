"""Generation on NumPy."""

from __future__ import annotations

import numpy as np

from bertx.generation.slots import SlotDecoder, is_all

from .layers.cache import Slots, left_padded  # pyright: ignore[reportMissingImports]  # in bertx.models


class NumpyDecoder(SlotDecoder):
    """See `bertx.generation.slots.SlotDecoder`; buffers are written in place."""

    def states(self, module, input_ids, mask):
        """The spec's own."""
        return module.states(input_ids, mask)

    def read(self, input_ids, starts, layers, before, greedy, encoded):
        """The spec's own outputs."""
        encoder = () if encoded is None else (encoded.states, encoded.mask)
        past = tuple(Slots(*layer, length=before) for layer in layers)
        outputs = self.module(**left_padded(input_ids, starts, self.module.config.first_position, past, *encoder))
        logits = outputs.logits[:, 0]
        return logits.argmax(-1) if greedy else logits, layers or outputs.past_key_values

    def move(self, layers, rows, texts, start, length, capacity):
        """Of memory that is not touched before it is needed."""

        def moved(buffer):
            kept = buffer[:, :, start : start + length]
            kept = kept if rows is None else kept[rows]
            new = np.empty((*kept.shape[:2], capacity, kept.shape[3]), kept.dtype)
            new[:, :, :length] = kept
            return new

        def selected(buffer):
            return buffer if is_all(texts, len(buffer)) else buffer[texts]

        return tuple((moved(key), moved(value), *map(selected, cross)) for key, value, *cross in layers)
