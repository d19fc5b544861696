"""Generation on JAX."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from bertx.generation.slots import SlotDecoder, is_all

from .functional import to_int32
from .layers.cache import Slots, left_padded  # pyright: ignore[reportMissingImports]  # in bertx.models
from .structure import MOST_SHAPES, compiled, take_apart

# Prompts are padded to a multiple of this: each of their lengths would be compiled.
_STEP = 32


class JaxDecoder(SlotDecoder):
    """See `bertx.generation.slots.SlotDecoder`; a step is compiled once for each number of rows and capacity.

    The number of rows in the buffers is a power of two, or where rows attend to texts the number of texts is: the last
    ones may be there for that alone.
    """

    def states(self, module, input_ids, mask):
        """Compiled for each number of rows and of tokens, as `read` pads them; what is added is hidden."""
        count, length = input_ids.shape
        width = min(-(-length // _STEP) * _STEP, module.config.max_sequence_length)
        rows, added = _filled_up(np.arange(count)), ((0, 0), (0, width - length))
        structure, values = take_apart(module)
        run = _compiled_states(structure, len(rows), width)
        ids = np.pad(input_ids, added, constant_values=module.config.encoder.pad_token_id or 0)
        return run(values, to_int32(ids[rows]), to_int32(np.pad(mask, added)[rows]))

    def read(self, input_ids, starts, layers, before, greedy, encoded):
        """Buffers are donated: XLA writes into them."""
        count, length = input_ids.shape
        if not layers:
            width = min(-(-length // _STEP) * _STEP, self.module.config.max_sequence_length)
            input_ids = np.pad(input_ids, ((0, 0), (width - length, 0)))
            starts = starts + (width - length)
        rows = _filled_up(np.arange(count), 1 if encoded is None else count // len(encoded.mask))
        structure, values = take_apart(self.module)
        capacity = layers[0][0].shape[2] if layers else 0
        encoder = ()
        if encoded is not None:
            width = (encoded.states if layers == () else layers[0][2].swapaxes(1, 2)).shape[1]
            mask = np.pad(encoded.mask, ((0, 0), (0, width - encoded.mask.shape[1])))
            encoder = (encoded.states, to_int32(mask[_filled_up(np.arange(len(mask)))]))
        shape = encoder[1].shape if encoder else None
        run = _compiled(structure, greedy, len(rows), input_ids.shape[1], capacity, shape)
        found, layers = run(values, layers, to_int32(input_ids[rows]), to_int32(starts[rows]), before, encoder)
        return np.asarray(found)[:count], layers

    def move(self, layers, rows, texts, start, length, capacity):
        """All buffers in one compiled function, but for an encoder's, where they stay."""
        if rows is None:
            rows = np.arange(len(layers[0][0]))
        else:
            rows = _filled_up(rows, 1 if texts is None else len(rows) // len(texts))
        own = _move([layer[:2] for layer in layers], to_int32(rows), start, capacity)
        cross = [layer[2:] for layer in layers]
        if texts is not None and not (is_all(texts, len(texts)) and len(_filled_up(texts)) == len(cross[0][0])):
            cross = _select(cross, to_int32(_filled_up(texts)))
        return tuple((*of_row, *of_text) for of_row, of_text in zip(own, cross, strict=True))


def _filled_up(rows, of_text=1):
    """Rows, the first of them as often again as are lacking to a power of two of texts, of which each has so many."""
    wanted = (1 << (len(rows) // of_text - 1).bit_length()) * of_text
    return np.concatenate([rows, np.repeat(rows[:1], wanted - len(rows))])


@functools.lru_cache(maxsize=MOST_SHAPES)
def _compiled_states(structure, rows, length):
    """The function that runs an encoder on texts of such shapes."""
    return compiled(lambda values, input_ids, mask: structure.put_together(values).states(input_ids, mask))


@functools.lru_cache(maxsize=MOST_SHAPES)
def _compiled(structure, greedy, rows, length, capacity, of_encoder):
    """The function that reads tokens of such shapes; with it goes its compiled code."""

    def read(values, layers, input_ids, starts, before, encoder):
        module = structure.put_together(values)
        past = tuple(Slots(*layer, length=before) for layer in layers)
        outputs = module(**left_padded(input_ids, starts, module.config.first_position, past, *encoder))
        logits = outputs.logits[:, 0]
        found = logits.argmax(-1) if greedy else logits.astype(jnp.float32)
        return found, outputs.past_key_values

    return compiled(read, donate_argnums=1)


@functools.partial(jax.jit, static_argnums=3)
def _move(layers, rows, start, capacity):
    def moved(buffer):
        # What is rolled round to the end lies past the positions that are taken.
        kept = jnp.roll(buffer[rows], -start, axis=2)[:, :, :capacity]
        return jnp.pad(kept, ((0, 0), (0, 0), (0, capacity - kept.shape[2]), (0, 0)))

    return tuple(tuple(map(moved, layer)) for layer in layers)


@jax.jit
def _select(layers, rows):
    return tuple(tuple(each[rows] for each in layer) for layer in layers)
