"""Clusters of rows, and an order of rows in which neighbours are alike. Pure functions."""

from __future__ import annotations

import torch
from torch import Tensor

# Rows held against all centres at once.
BLOCK = 8192


def assigned(rows: Tensor, centres: Tensor) -> Tensor:
    """(E,): which of centres (c, w) is nearest to each row."""
    size = centres.square().sum(1)
    return torch.cat([(2 * block @ centres.mT - size).argmax(1) for block in rows.split(BLOCK)])


def k_means(rows: Tensor, num: int, rounds: int, random: torch.Generator) -> Tensor:
    """(num, w) centres of rows (E, w) by Lloyd's rounds from `num` distinct rows. A cluster that empties stays put."""
    centres = rows[torch.randperm(len(rows), generator=random, device=rows.device)[:num]]
    for _ in range(rounds):
        # Sums as products: adding by index gives another last bit each time on a GPU.
        total, count = torch.zeros_like(centres), rows.new_zeros(len(centres))
        for block, cluster in zip(rows.split(BLOCK), assigned(rows, centres).split(BLOCK), strict=True):
            member = torch.nn.functional.one_hot(cluster, len(centres)).to(rows.dtype)
            total, count = total + member.mT @ block, count + member.sum(0)
        centres = torch.where(count[:, None] > 0, total / count[:, None].clamp(min=1), centres)
    return centres


def chain(centres: Tensor) -> Tensor:
    """(c,): an order of the centres, each followed by the nearest of those left."""
    distance = torch.cdist(centres, centres)
    distance.fill_diagonal_(torch.inf)
    at = centres.new_zeros((), dtype=torch.int64)
    order = [at]
    for _ in range(len(centres) - 1):
        distance[:, at] = torch.inf
        at = distance[at].argmin()
        order.append(at)
    return torch.stack(order)


def alike_in_order(rows: Tensor, num: int, rounds: int, random: torch.Generator) -> Tensor:
    """(E,): the rows in an order in which neighbours are alike.

    Cluster by cluster along a chain; within one, along the line from the centre before to the centre after.
    """
    centres = k_means(rows, min(num, len(rows)), rounds, random)
    centres = centres[chain(centres)]
    cluster = assigned(rows, centres)
    ends = torch.cat([centres[:1], centres, centres[-1:]])
    along = (rows * (ends[2:] - ends[:-2])[cluster]).sum(1)
    order = along.argsort(stable=True)
    return order[cluster[order].argsort(stable=True)]
