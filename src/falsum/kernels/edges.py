"""Edges: messages summed and compared at their ends, without a row per edge where the processor allows it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

Extreme = Literal["amax", "amin"]


@dataclass(frozen=True)
class Edges:
    """m directed edges between `num_nodes` nodes, sorted by the node that they lead to.

    What an edge carries depends on its start and relation alone: `start` and `relation`, (p,) int64, name each distinct
    pair once. pair (m,): which of them an edge carries. end (m,): the node that it leads to, ascending.

    On the CPU sums and extremes are products with a sparse matrix of ones, read straight from the p messages; elsewhere
    the m messages of the edges are gathered first.
    """

    num_nodes: int
    start: Tensor
    relation: Tensor
    pair: Tensor
    end: Tensor

    @classmethod
    def of(cls, triples: Tensor, num_relations: int, num_nodes: int) -> tuple[Edges, Tensor]:
        """The edges of triples (m, 3), and the (m,) place of each among the triples."""
        head, relation, tail = triples.unbind(1)
        order = torch.argsort(tail, stable=True)
        key, pair = torch.unique(head * num_relations + relation, return_inverse=True)
        return cls(num_nodes, key // num_relations, key % num_relations, pair[order], tail[order]), order

    def kept(self, keep: Tensor) -> Edges:
        """Without the edges where keep (m,) bool is False."""
        return Edges(self.num_nodes, self.start, self.relation, self.pair[keep], self.end[keep])

    @cached_property
    def degree(self) -> Tensor:
        """(nodes,) int64: how many edges lead to each."""
        return torch.bincount(self.end, minlength=self.num_nodes)

    def sums(self, messages: Tensor) -> tuple[Tensor, Tensor]:
        """(nodes, k) sums of what arrives, and of its squares, of messages (p, k)."""
        if messages.device.type != "cpu":
            return self.gathered_sums(messages)
        total, squares = _Sums.apply(messages, self)
        return total, squares

    def gathered_sums(self, messages: Tensor) -> tuple[Tensor, Tensor]:
        """`sums`, from a row per edge."""
        none, arrived = messages.new_zeros(self.num_nodes, messages.shape[1]), messages.index_select(0, self.pair)
        return none.index_add(0, self.end, arrived), none.index_add(0, self.end, arrived.square())

    def extremes(self, messages: Tensor, which: Extreme) -> Tensor:
        """(nodes, k) largest or smallest of what arrives, of messages (p, k); 0 where nothing does.

        The gradient goes to one of those that tie on the CPU, and to all of them in equal shares elsewhere.
        """
        if messages.device.type != "cpu":
            return self.gathered_extremes(messages, which)
        return torch.sparse.mm(self._to_nodes(messages.dtype), messages, which)

    def gathered_extremes(self, messages: Tensor, which: Extreme) -> Tensor:
        """`extremes`, from a row per edge."""
        none = messages.new_zeros(self.num_nodes, messages.shape[1])
        end = self.end[:, None].expand(-1, messages.shape[1])
        return none.scatter_reduce(0, end, messages.index_select(0, self.pair), which, include_self=False)

    def _to_nodes(self, dtype: torch.dtype) -> Tensor:
        """(nodes, p) sparse ones."""
        return _ones(self.degree, self.pair, len(self.start), dtype)

    def _to_pairs(self, dtype: torch.dtype) -> Tensor:
        """(p, nodes) sparse ones."""
        return _ones(self._per_pair, self.end[self._by_pair], self.num_nodes, dtype)

    @cached_property
    def _by_pair(self) -> Tensor:
        return torch.argsort(self.pair, stable=True)

    @cached_property
    def _per_pair(self) -> Tensor:
        return torch.bincount(self.pair, minlength=len(self.start))


class _Sums(torch.autograd.Function):
    """Sparse products whose backward has the transposed matrix at hand (autograd's own sorts the edges each time) and
    keeps no squares.
    """

    @staticmethod
    def forward(ctx: Any, messages: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        ctx.edges = edges
        ctx.save_for_backward(messages)
        ones = edges._to_nodes(messages.dtype)
        return torch.sparse.mm(ones, messages, "sum"), torch.sparse.mm(ones, messages * messages, "sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (messages,) = ctx.saved_tensors
        ones = ctx.edges._to_pairs(messages.dtype)
        by_total, by_squares = (torch.sparse.mm(ones, grad.contiguous(), "sum") for grad in grads)
        return by_total.add_(by_squares.mul_(messages), alpha=2), None


def _ones(counts: Tensor, column: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """The sparse matrix with counts[i] ones in row i, at `column`."""
    start = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            start, column, torch.ones(len(column), dtype=dtype), (len(counts), width), check_invariants=False
        )
