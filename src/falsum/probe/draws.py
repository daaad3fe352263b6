"""Draws: what a sampler gives to questions, as one table of negatives; samplers that learn are warmed up before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Pairs, Query
from falsum.noise.base import Candidates, Live, Sampler, each
from falsum.probe.truths import contains
from falsum.seeds import derive, generator
from falsum.training.optimizers import Adam, Updater

# Draws made to see whom a noise that shares its draws reaches: it says little of that in each.
MOST_SHARED = 256


@dataclass(frozen=True, slots=True)
class Draws:
    """Negatives of b questions, one question a row.

    ids: (b, N) int64. weight: (b, N) float64, how often each counts; 0 for those that the sampler leaves out, which
    `dropped` (b, N) marks. shift: (b, N) float64, what a correction adds to each score. turns: (N,) in which draw
    of the sampler each column came. whole: whether the columns are whole draws; where a draw lists more entities than
    were asked for, N of them were picked with replacement.
    """

    ids: Tensor
    weight: Tensor
    dropped: Tensor
    shift: Tensor
    turns: Tensor
    whole: bool


def warmed(
    sampler: Sampler, queries: Sequence[Query], live: Callable[[float], Live], passes: int, seed: int
) -> Sampler:
    """The sampler after `passes` over the questions, each a draw and what follows a training step.

    The model stays as it is: caches fill up and generators learn against a frozen model. live: what a sampler sees in
    an epoch; a pass is one.
    """
    own = dict(sampler.named_parameters())
    updater = Updater(Adam(sampler.lr), own) if own else None
    for turn in range(passes if learns(sampler) else 0):
        for part, query in enumerate(queries):
            path, view = (turn, part), live(turn)
            drawn = sampler.draw(query, derive(seed, *path, "warm"), view)
            value = sampler.learn(query, drawn, view, derive(seed, *path, "learn"))
            if value is not None:
                value.backward()
        if updater is not None:
            updater.step()
    return sampler


def learns(sampler: Sampler) -> bool:
    """Whether the sampler has state of its own that follows the steps: caches, an order, parameters."""
    return bool(sampler.state_dict())


@torch.no_grad()
def drawn(sampler: Sampler, query: Query, live: Live, seed: int, most: int) -> Draws:
    """As many whole draws, each from another seed, as give each question `most` negatives at most; one at least."""
    parts: list[tuple[Tensor, ...]] = []
    num = sampler.num(query)
    for turn in range(max(1, most // num)):
        candidates = sampler.draw(query, derive(seed, turn, "draw"), live)
        parts.append(_negatives(candidates, query, derive(seed, turn, "thin"), most))
    ids, weight, dropped, shift = (torch.cat(x, 1) for x in zip(*parts, strict=True))
    sizes = torch.tensor([part[0].shape[1] for part in parts], device=ids.device)
    turns = torch.arange(len(parts), device=ids.device).repeat_interleave(sizes)
    return Draws(ids, weight, dropped, shift, turns, num <= most)


def _negatives(candidates: Candidates, query: Query, seed: int, most: int) -> tuple[Tensor, ...]:
    """(b, n) ids, weights, what is left out, and shifts of one draw; at most `most` of each question's."""
    everyone = isinstance(candidates.ids, range)
    num = len(candidates.ids) if isinstance(candidates.ids, range) else candidates.ids.shape[1]
    size, device = len(query), query.anchor.device
    if num > most:
        at = torch.randint(num, (size, most), generator=generator(seed, device), device=device)
        ids = at if isinstance(candidates.ids, range) else _own(candidates.ids, size, at)
        weight, shift = (None if x is None else _own(x, size, at) for x in (candidates.weight, candidates.shift))
    else:
        ids = torch.arange(num, device=device).expand(size, num) if everyone else each(candidates.ids, size)  # type: ignore[arg-type]
        weight, shift = (None if x is None else each(x, size) for x in (candidates.weight, candidates.shift))
    left_out = torch.zeros_like(ids, dtype=torch.bool)
    if candidates.drop is not None:
        left_out |= contains(candidates.drop, ids)
    if everyone:  # a loss over all entities counts no target
        left_out |= contains(Pairs(query.row, query.target), ids)
    shift = torch.zeros(ids.shape, device=device) if shift is None else shift
    left_out |= shift == -torch.inf
    weight = torch.ones(ids.shape, device=device) if weight is None else weight
    return ids, weight.double().masked_fill(left_out, 0), left_out, shift.double().masked_fill(left_out, 0)


def _own(shared: Tensor, num_queries: int, at: Tensor) -> Tensor:
    """(b, m): places `at` (b, m) of each question's row of a (c, n) that serves ceil(b / c) questions a row."""
    row = torch.arange(num_queries, device=at.device) // math.ceil(num_queries / len(shared))
    return shared[row[:, None], at]


@torch.no_grad()
def marginal(sampler: Sampler, query: Query, live: Live, seed: int, draws: Draws) -> tuple[Tensor, Tensor]:
    """Entities and weights (m,) of independent draws, whomever they are for: those of `draws`, or more of them from a
    sampler whose draws serve many questions each.
    """
    first = sampler.draw(query, derive(seed, 0, "draw"), live)
    if isinstance(first.ids, range) or len(first.ids) > len(query) // 2 or not draws.whole:
        return draws.ids.flatten(), draws.weight.flatten()
    turns = min(MOST_SHARED, math.ceil(draws.ids.numel() / first.ids.numel()))
    again = [first, *(sampler.draw(query, derive(seed, turn, "draw"), live) for turn in range(1, turns))]
    parts = [(c.ids, _of_rows(c.weight, c.ids, len(query))) for c in again if isinstance(c.ids, Tensor)]
    return torch.cat([ids.flatten() for ids, _ in parts]), torch.cat([weight.flatten() for _, weight in parts])


def _of_rows(weight: Tensor | None, ids: Tensor, num_queries: int) -> Tensor:
    """(c, n) float64 weights of shared ids (c, n); where each of b questions has its own, the mean of a row's."""
    if weight is None:
        return torch.ones(ids.shape, dtype=torch.float64, device=ids.device)
    if len(weight) == len(ids):
        return weight.double()
    row = torch.arange(num_queries, device=ids.device) // math.ceil(num_queries / len(ids))
    sums = torch.zeros(ids.shape, dtype=torch.float64, device=ids.device).index_add(0, row, weight.double())
    return sums / torch.bincount(row, minlength=len(ids))[:, None].clamp(min=1)
