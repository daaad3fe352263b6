"""Diversity: how many entities a noise reaches, how evenly, and how soon it repeats itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Side
from falsum.probe.draws import Draws

COHORTS = ("popular", "mid", "tail")


@dataclass(frozen=True, slots=True)
class Diversity:
    """How negatives spread.

    effective: exp(entropy) of the drawn entities over E, corrected for the number of draws (Miller & Madow 1955);
    simpson: 1 / (sum of squared shares) over E, without bias. coverage: share of the entities drawn at least once.
    distinct: mean share of different entities in one draw for a question; repeats: share of a question's negatives that
    it had before, in this draw or an earlier one; None for noises of which only a part was looked at. cohorts: shares
    of the draws that go to popular, mid and tail entities, see `cohorts`; popularity: see `concentration`.
    """

    effective: float
    simpson: float
    coverage: float
    distinct: float | None
    repeats: float | None
    cohorts: tuple[float, ...]
    popularity: float


def diversity(draws: Draws, entities: Tensor, weight: Tensor, counts: Tensor) -> Diversity:
    """entities, weight: (m,) independent draws, whomever they are for. counts: (E,) how often each fills the slot."""
    num = len(counts)
    mass = torch.bincount(entities, weights=weight, minlength=num)
    squares = torch.bincount(entities, weights=weight.square(), minlength=num)
    share = mass / mass.sum()
    cohort = cohorts(counts).to(mass.device)
    rows = _repeated(draws.ids, draws.turns), _repeated(draws.ids, torch.zeros_like(draws.turns))
    return Diversity(
        effective=effective(mass, squares) / num,
        simpson=simpson(mass, squares) / num,
        coverage=float((mass > 0).double().mean()),
        distinct=1 - rows[0] if draws.whole else None,
        repeats=rows[1] if draws.whole else None,
        cohorts=tuple(float(share[cohort == i].sum()) for i in range(len(COHORTS))),
        popularity=concentration(share, counts.to(mass.device)),
    )


def effective(mass: Tensor, squares: Tensor) -> float:
    """exp(entropy) of shares estimated from draws: mass (E,) sums of their weights, squares (E,) of squared weights.

    The entropy of what was seen is too low by about (entities seen - 1) / (2 draws) (Miller & Madow 1955), which is
    added; weighted draws are worth (sum w)^2 / sum w^2. No more than E.
    """
    seen = mass[mass > 0]
    share = seen / seen.sum()
    draws = float(seen.sum().square() / squares.sum())
    entropy = float(-(share * share.log()).sum()) + (len(seen) - 1) / (2 * draws)
    return min(float(len(mass)), float(torch.tensor(entropy, dtype=torch.float64).exp()))


def simpson(mass: Tensor, squares: Tensor) -> float:
    """1 / sum p^2, from the weight of pairs of draws that hit the same entity. No more than E."""
    pairs = float(mass.square().sum() - squares.sum())
    return min(len(mass), float(mass.sum().square() - squares.sum()) / pairs) if pairs > 0 else float(len(mass))


def cohorts(counts: Tensor) -> Tensor:
    """(E,) 0 popular, 1 mid, 2 tail, by counts (E,) of how often each entity fills the slot in training.

    Entities by falling count (ties by id) fill the slot up: those that begin in the first third of its occurrences are
    popular, in the second mid, and the rest, those that never fill it among them, tail.
    """
    order = torch.argsort(counts, descending=True, stable=True)
    before = counts[order].cumsum(0) - counts[order]
    third = (3 * before / counts.sum().clamp(min=1)).long().clamp(max=2)
    return torch.empty_like(third).scatter(0, order, third)


def concentration(share: Tensor, counts: Tensor) -> float:
    """The Gini of draws, entities in order of popularity: 0 for uniform draws, towards 1 for popular entities alone.

    sum_e share_e (2 r_e - E - 1) / E, where r_e is the rank by ascending count, ties in the middle; negative where rare
    entities are preferred. Linear in the shares, so a few draws estimate it without bias.
    """
    num = len(counts)
    ordered = counts.sort().values
    low, high = (torch.searchsorted(ordered, counts.contiguous(), side=side) for side in ("left", "right"))
    return float((share * (low + high + 1 - num - 1)).sum()) / num


def _repeated(ids: Tensor, group: Tensor) -> float:
    """Share of ids (b, N) that stand further left in their row already, in a column of the same group (N,)."""
    size = 1 + int(ids.max())
    keys = (group * size + ids).sort(1).values
    return float((keys[:, 1:] == keys[:, :-1]).sum()) / ids.numel()


def slot_counts(graph: Graph, slot: Side) -> Tensor:
    """(E,) float64: how often each entity fills `slot` in the training triples."""
    column = 2 if slot is Side.TAIL else 0
    return torch.bincount(graph.splits["train"][:, column], minlength=graph.num_entities).double()
