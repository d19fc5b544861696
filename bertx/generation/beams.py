"""Beam search: of each prompt the continuations with the largest sums of log-probabilities, kept side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..backend import Decoder
from .config import GenerationConfig
from .processors import check_ids, log_softmax, processors_of, warpers_of
from .rows import NOTHING, Ends, Rows

# The score of a beam that is not there, which loses against every other. transformers has −1e9, which a sum that a
# length_penalty of −4 multiplies falls below.
_NONE = -np.inf

# Of each group [E, K]: the sums of log-probabilities, the rows that are continued, the tokens added, which end a row.
_Continuations = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Beams:
    """One search over P prompts, by transformers' rules, each prompt as if it were alone.

    The beams of a prompt are in G groups, each of which searches for itself, after the groups before it: what they have
    just chosen costs it a `diversity_penalty` ("diverse beam search", Vijayakumar et al. 2016, with G > 1).

    Shapes: a row for each beam, N of each group, [P · G · N], its scores [P · G · N, V]; what is known of groups has a
    first axis E, at first P · G, of which those leave that are finished.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: Rows,
        ends: Ends,
        config: GenerationConfig,
        generators: Sequence[np.random.Generator],
    ):
        self._decoder, self._ends, self._config = decoder, ends, config
        self._prompts = prompts
        self._generators = generators
        self._processors = [*processors_of(config), *warpers_of(config)]
        self._beams = config.num_beams // config.num_beam_groups
        # So many continuations that as many as there are beams go on, even if the others end.
        self._wanted = max(2, 1 + len(config.ends)) * self._beams

    def search(self, pad: int) -> list[list[tuple[list[int], float]]]:
        """Of each prompt the tokens of its `num_return_sequences` best continuations, and their scores."""
        beams, groups, prompts = self._beams, self._config.num_beam_groups, len(self._prompts.lengths)
        logits, cache = self._decoder.prefill(self._prompts.padded(pad), self._prompts.lengths, False)
        check_ids(self._config, logits.shape[1])
        # A prompt is read once: until the first tokens are chosen its beams are one row of the cache.
        logits, of_cache = logits.repeat(groups * beams, 0), np.arange(prompts).repeat(groups * beams)
        rows = self._prompts.select(of_cache)
        rooms = (self._prompts.limits - self._prompts.lengths).repeat(groups)
        count = prompts * groups
        going = np.arange(count)
        # All but one begin as if they were not there, so that no continuation comes twice.
        running = np.tile([0.0, *[_NONE] * (beams - 1)], (count, 1))
        finished = Finished(count, beams, int(rooms.max()))
        results: list[list[tuple[list[int], float]]] = [[] for _ in range(count)]
        length = 0
        while True:
            length += 1
            scores, parents, tokens, ended = self._continuations(rows, log_softmax(logits), running, going)
            finished.update(scores, parents, tokens, ended, rows, length, self._config.length_penalty)

            running, parents, tokens = _unended(beams, ended, scores, parents, tokens)
            # Of groups transformers 4 takes the best of what has ended too.
            best = (running if groups == 1 else scores)[:, 0]
            done = ended.all(1) | ~self._may_improve(best, finished, length, rooms)
            if self._config.early_stopping is True:
                done |= finished.there.all(1)
            for index in np.flatnonzero(done).tolist():
                results[going[index]] = finished.best(index)
            if done.all():
                return [self._best(results[i : i + groups]) for i in range(0, count, groups)]
            if done.any():
                going, running, parents, tokens, rooms = (of[~done] for of in (going, running, parents, tokens, rooms))
                finished.select(~done)
            parents, tokens = parents.ravel(), tokens.ravel()
            rows, wanted = rows.select(parents), of_cache[parents]
            rows.append(tokens)
            if len(wanted) != len(of_cache) or (wanted != np.arange(len(wanted))).any():
                cache = cache.select(wanted.tolist())
            of_cache = np.arange(len(wanted))
            logits = self._decoder.step(tokens, cache, False)

    def _best(self, groups: list[list[tuple[list[int], float]]]) -> list[tuple[list[int], float]]:
        """Of a prompt the `num_return_sequences` best of all its groups."""
        found = sorted((one for group in groups for one in group), key=lambda one: -one[1])
        return found[: self._config.num_return_sequences]

    def _continuations(self, rows: Rows, scores: np.ndarray, running: np.ndarray, going: np.ndarray) -> _Continuations:
        """Those of all groups: rows and their log-probabilities [E · N, V], the beams' sums [E, N], the groups [E]."""
        groups = self._config.num_beam_groups
        if groups == 1:
            return self._of_groups(rows, scores, running, going)
        prompts, numbers = divmod(going, groups)
        taken = np.zeros((prompts.max() + 1, scores.shape[1]))  # how often earlier groups go on with a token
        order, found = [], []
        for number in np.unique(numbers):
            own = np.flatnonzero(numbers == number)
            lines = (own[:, None] * self._beams + np.arange(self._beams)).ravel()
            less = self._config.diversity_penalty * taken[prompts[own]].repeat(self._beams, 0)
            sums, parents, tokens, ended = self._of_groups(
                rows.select(lines), scores[lines] - less, running[own], going[own]
            )
            goes_on = _unended(self._beams, np.isin(tokens, self._config.ends), sums, tokens)[1]
            np.add.at(taken, (prompts[own][:, None], goes_on), 1)
            order.append(own)
            found.append((sums, lines[parents], tokens, ended))
        back = np.concatenate(order).argsort()
        sums, parents, tokens, ended = (np.concatenate(parts)[back] for parts in zip(*found, strict=True))
        return sums, parents, tokens, ended

    def _of_groups(self, rows: Rows, scores: np.ndarray, running: np.ndarray, going: np.ndarray) -> _Continuations:
        """The continuations of groups that do not look at each other."""
        for process in self._processors:
            scores = process(rows, scores)
        count, beams = running.shape
        if self._config.do_sample:
            sums = (scores.reshape(count, beams, -1) + running[:, :, None]).reshape(count, -1)
            drawn = [_drawn(of, self._wanted, self._generators[i]) for of, i in zip(sums, going, strict=True)]
            chosen = np.array(drawn)
            sums, tokens, beam = (
                np.take_along_axis(sums, chosen, 1),
                chosen % scores.shape[1],
                chosen // scores.shape[1],
            )
        else:
            # Those of a group are among those of its beams.
            tokens = _largest(scores, min(self._wanted, scores.shape[1]))
            sums = np.take_along_axis(scores, tokens, 1).reshape(count, beams, -1) + running[:, :, None]
            each = sums.shape[2]
            sums, tokens = sums.reshape(count, -1), tokens.reshape(count, -1)
            chosen = _largest(sums, self._wanted)
            sums, tokens, beam = (
                np.take_along_axis(sums, chosen, 1),
                np.take_along_axis(tokens, chosen, 1),
                chosen // each,
            )
        parents = beam + np.arange(count)[:, None] * beams
        return sums, parents, tokens, self._ends(rows, tokens.ravel(), parents.ravel()).reshape(tokens.shape)

    def _may_improve(self, best: np.ndarray, finished: Finished, length: int, rooms: np.ndarray) -> np.ndarray:
        """Whether the best that goes on, [E], may still be better than the worst that is finished."""
        penalty = self._config.length_penalty
        lengths = rooms if self._config.early_stopping == "never" and penalty > 0 else np.array([length])
        best = best / lengths.astype(np.float64) ** penalty
        # Where a beam has nothing that is finished, all is better.
        worst = np.where(finished.there.all(1), finished.scores.min(1), _NONE)
        return best > worst


class Finished:
    """Of each group the best continuations that have ended, the best first.

    Attributes:
        scores: [E, N], of those that are not there -inf.
        there: [E, N].
    """

    def __init__(self, count: int, beams: int, room: int):
        self.scores = np.full((count, beams), _NONE)
        self.there = np.zeros((count, beams), bool)
        self._tokens = np.full((count, beams, room), NOTHING)

    def update(
        self,
        scores: np.ndarray,
        parents: np.ndarray,
        tokens: np.ndarray,
        ended: np.ndarray,
        rows: Rows,
        length: int,
        penalty: float,
    ) -> None:
        """Takes in what has ended among the N best of the continuations of `length` tokens."""
        beams = self.scores.shape[1]
        ended = ended[:, :beams]
        if not ended.any():
            return
        new = np.where(ended, scores[:, :beams] / length**penalty, _NONE)
        added = rows.added(self._tokens.shape[2])[parents[:, :beams]]
        added[:, :, length - 1] = tokens[:, :beams]
        merged = np.concatenate([self.scores, new], 1)
        best = _largest(merged, beams)
        self.scores = np.take_along_axis(merged, best, 1)
        self.there = np.take_along_axis(np.concatenate([self.there, ended], 1), best, 1)
        self._tokens = np.take_along_axis(np.concatenate([self._tokens, added], 1), best[:, :, None], 1)

    def select(self, rows: np.ndarray) -> None:
        """These groups."""
        self.scores, self.there, self._tokens = self.scores[rows], self.there[rows], self._tokens[rows]

    def best(self, index: int) -> list[tuple[list[int], float]]:
        """The tokens and the scores of a group."""
        tokens = [row[row != NOTHING].tolist() for row in self._tokens[index]]
        return list(zip(tokens, self.scores[index].tolist(), strict=True))


def _unended(count: int, ended: np.ndarray, scores: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """The largest scores [E, count] of what has not ended, and what `others` have there."""
    scores = scores + np.where(ended, _NONE, 0.0)
    chosen = _largest(scores, count)
    return [np.take_along_axis(of, chosen, 1) for of in (scores, *others)]


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """The columns of the largest of each row [R, count], in falling order, of equal ones the first."""
    if count < scores.shape[1]:
        columns = np.sort(np.argpartition(scores, -count, 1)[:, -count:], 1)
    else:
        columns = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, columns, 1), 1, kind="stable")
    return np.take_along_axis(columns, order, 1)


def _drawn(scores: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` different indices of [V], drawn one after the other by the softmax of the scores."""
    # The largest of scores with noise of Gumbel's distribution are such a draw.
    possible = np.flatnonzero(scores > -np.inf)
    noisy = np.full(len(scores), -np.inf)
    noisy[possible] = scores[possible] + generator.gumbel(size=len(possible))
    return _largest(noisy[None], count)[0]
