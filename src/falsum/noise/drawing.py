"""Drawing entities: from odds, without repeats, past what must not be drawn. Pure functions of a generator."""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.graph.graph import Pairs


def even_draws(shape: tuple[int, ...], num_entities: int, random: torch.Generator) -> Tensor:
    """Entities with equal odds, with replacement."""
    return torch.randint(num_entities, shape, generator=random, device=random.device)


def by_steps(shape: tuple[int, ...], steps: Tensor, random: torch.Generator) -> Tensor:
    """Places drawn with replacement. steps: (k,) float64, the running sum of their odds; for small k."""
    uniform = torch.rand(shape, generator=random, device=random.device, dtype=steps.dtype)
    # right=True: a place without odds is no step, and is never landed on.
    return torch.searchsorted(steps, uniform * steps[-1], right=True).clamp_(max=len(steps) - 1)


def alias_table(odds: Tensor) -> tuple[Tensor, Tensor]:
    """(keep (k,) float64, other (k,) int64): draws from odds (k,) at the cost of a look-up (Walker 1977).

    A uniform place i stays i with probability keep[i], else becomes other[i]. Vose's order, told from running sums: the
    places with less than an equal share are filled up, one after the other, by those with more; one of these that has
    given too much is filled up by the next.
    """
    share = odds.double() * (len(odds) / odds.sum())
    light, heavy = (share < 1).nonzero().flatten(), (share >= 1).nonzero().flatten()
    wanted, spare = (1 - share[light]).cumsum(0), (share[heavy] - 1).cumsum(0)
    keep, other = share.clamp(max=1), torch.arange(len(odds), device=odds.device)
    if len(light) == 0 or len(heavy) == 0:  # all alike, but for rounding
        return torch.ones_like(share), other
    before = torch.cat([wanted.new_zeros(1), wanted[:-1]])
    last = len(heavy) - 1
    other[light] = heavy[torch.searchsorted(spare, before, right=True).clamp(max=last)]
    done = torch.searchsorted(wanted, spare[:-1]).clamp(max=len(light) - 1)  # the last one gives only what it has
    keep[heavy[:-1]] = (1 - (wanted[done] - spare[:-1])).clamp(0, 1)
    other[heavy[:-1]] = heavy[1:]
    return keep, other


def alias_draws(shape: tuple[int, ...], keep: Tensor, other: Tensor, random: torch.Generator) -> Tensor:
    """Places drawn with replacement by an alias table."""
    uniform = torch.rand(shape, generator=random, device=keep.device, dtype=keep.dtype) * len(keep)
    place = uniform.long().clamp_(max=len(keep) - 1)
    return torch.where(uniform - place < keep[place], place, other[place])


def by_odds(odds: Tensor, num: int, random: torch.Generator) -> Tensor:
    """(b, num) positions drawn with replacement from odds (b, k) of each row, which need not sum to 1."""
    steps = odds.cumsum(1, dtype=torch.float64)
    uniform = torch.rand(len(odds), num, generator=random, device=odds.device, dtype=torch.float64)
    return torch.searchsorted(steps, uniform * steps[:, -1:], right=True).clamp_(max=odds.shape[1] - 1)


def distinct(rows: int, num: int, odds: Tensor, avoid: Pairs | None, random: torch.Generator) -> Tensor:
    """(rows, num) distinct entities per row, drawn one after the other by odds (E,) (Gumbel top-k).

    Those to avoid come only where nothing else is left.
    """
    uniform = torch.rand(rows, len(odds), generator=random, device=random.device, dtype=odds.dtype)
    key = odds.log() - (-uniform.clamp(min=torch.finfo(odds.dtype).tiny).log()).log()
    if avoid is not None:
        key = key.index_put(tuple(avoid), key.new_tensor(-torch.inf))
    return key.argsort(1, descending=True)[:, :num]


def repeated(ids: Tensor) -> Tensor:
    """(c, n) bool: True where an entity already stands further left in its row."""
    value, order = ids.sort(dim=1, stable=True)
    again = torch.zeros_like(ids, dtype=torch.bool)
    again[:, 1:] = value[:, 1:] == value[:, :-1]
    return torch.zeros_like(again).scatter(1, order, again)


def row_totals(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """(num_rows,): the sum of the values of each row."""
    return values.new_zeros(num_rows).index_add(0, row, values)
