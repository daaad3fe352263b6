"""Rows: what a scan may touch of entities and relations. Table: trainable rows, the only owner of their gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class Rows(ABC):
    """`num` rows of `width` reals by id: a table, or rows that are made for the queries of a batch.

    Rows of a table serve every query; made rows may differ from query to query. A scan reads them by these methods
    only, so whatever has them can be trained, ranked and asked.
    """

    num: int
    width: int

    @abstractmethod
    def of(self, ids: Tensor) -> Tensor:
        """The rows ids (c, n): (c, n, w), differentiable. Made rows take c = b: row j belongs to query j."""

    @abstractmethod
    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in order, at most `size` at a time: (ids (n,), rows (n, w) or (b, n, w)), differentiable."""

    @abstractmethod
    def select(self, queries: Tensor) -> Rows:
        """The same rows for some of the queries, in any order, also repeated. Those of a table serve any."""


class _Gather(torch.autograd.Function):
    """weight[ids] whose backward hands (ids, gradient) to the table.

    Autograd's own indexing fills and adds a table-sized tensor per gather: at four gathers a step that costs as much
    as the scores themselves.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, table: Table, ids: Tensor) -> Tensor:
        ctx.table, ctx.ids = table, ids
        return table.read(ids)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        ctx.table.add(ctx.ids, grads[0])
        return None, None, None


class Table(Rows, nn.Module):
    """Trainable rows, fp32 or fp64.

    row_wise: gradients are kept for the rows that a step touches only, and read by `take`; otherwise they are dense
    and stand where torch's optimizers look. A step costs memory for what it touches, not for the table.
    """

    def __init__(self, num: int, width: int, *, row_wise: bool = False) -> None:
        super().__init__()
        self.num, self.width, self.row_wise = num, width, row_wise
        self.weight = nn.Parameter(torch.empty(num, width))
        self._touched = _Touched(num) if row_wise else None

    @property
    def device(self) -> torch.device:
        return self.weight.device

    @property
    def values(self) -> Tensor:
        """(num, width) without gradient, to read; what writes here changes the table."""
        return self.weight.detach()

    def whole(self) -> nn.Parameter:
        """(num, width), differentiable, and what an optimizer updates. Its gradient is as large as the table."""
        return self.weight

    def of(self, ids: Tensor) -> Tensor:
        """values[ids]: (..., w) for ids (...), differentiable."""
        if not torch.is_grad_enabled() or not self.weight.requires_grad:
            return self.read(ids)
        return _Gather.apply(self.weight, self, ids)

    def read(self, ids: Tensor) -> Tensor:
        """values[ids], a copy: (..., w) for ids (...)."""
        # index_select: plain indexing takes twice as long.
        return self.values.index_select(0, ids.reshape(-1)).view(*ids.shape, self.width)

    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        # One split: the backward of each slice would fill a table-sized tensor.
        start = 0
        for rows in self.weight.split(max(1, size)):
            yield torch.arange(start, start + len(rows), device=self.device), rows
            start += len(rows)

    def select(self, queries: Tensor) -> Table:
        return self

    def add(self, ids: Tensor, grad: Tensor) -> None:
        """Add grad (..., w) to the gradient of the rows ids (...); repeated ids add up. Deterministic on the CPU."""
        if not self.weight.requires_grad:
            return
        ids, grad = ids.reshape(-1), grad.reshape(-1, self.width).to(self.weight.dtype)
        if self._touched is None:
            self.sink().index_add_(0, ids, grad)
        else:
            self._touched.add(ids, grad)

    def sink(self) -> Tensor:
        """(num, width): the dense gradient, to add to in place; zeros the first time."""
        if self.weight.grad is None:
            self.weight.grad = torch.zeros_like(self.weight)
        return self.weight.grad

    def take(self) -> tuple[Tensor, Tensor]:
        """(ids (u,), gradient (u, w)) of the rows that were touched since the last call, each once; then forget them.

        All rows where something asked for a dense gradient (`whole`, `blocks`, `sink`).
        """
        assert self._touched is not None, "only row-wise tables are taken from"
        ids, grad = self._touched.take(self.values)
        if self.weight.grad is None:
            return ids, grad
        dense, self.weight.grad = self.weight.grad, None
        dense[ids] += grad
        return torch.arange(self.num, device=self.device), dense

    def put(self, ids: Tensor, rows: Tensor) -> None:
        """values[ids] = rows."""
        self.values.index_copy_(0, ids, rows)


class _Touched:
    """Sums of the gradients of touched rows: (u, w), in the order in which they came, so sums are those of a dense
    gradient to the last bit. A slot number per row of the table says where in it a row stands, or -1.
    """

    def __init__(self, num: int) -> None:
        self.slot = torch.full((num,), -1, dtype=torch.int32)
        self.ids: list[Tensor] = []
        self.count = 0
        self.sums = torch.zeros(0, 0)

    def add(self, ids: Tensor, grad: Tensor) -> None:
        if self.slot.device != ids.device:
            self.slot = self.slot.to(ids.device)
        new = torch.unique(ids[self.slot[ids] < 0])
        if len(new):
            stop = self.count + len(new)
            self.slot[new] = torch.arange(self.count, stop, dtype=torch.int32, device=ids.device)
            self.ids.append(new)
            if stop > len(self.sums):
                room = grad.new_empty(min(len(self.slot), max(stop, 2 * len(self.sums))), grad.shape[1])
                if self.count:
                    room[: self.count] = self.sums[: self.count]
                self.sums = room
            self.sums[self.count : stop] = 0
            self.count = stop
        self.sums.index_add_(0, self.slot[ids], grad)

    def take(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """What was added, good until the next `add`. like: a tensor with the width, dtype and device of the table."""
        if not self.count:
            return torch.zeros(0, dtype=torch.int64, device=like.device), like.new_zeros(0, like.shape[1])
        ids, sums = torch.cat(self.ids), self.sums[: self.count]
        self.slot[ids] = -1
        self.ids, self.count = [], 0
        return ids, sums
