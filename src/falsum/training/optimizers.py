"""Optimizers.

Every table has dense fused updates (all rows have gradients) or row-wise ones (only the gathered rows have them).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from falsum.errors import in_range
from falsum.rows.table import Table


class Optimizer(ABC):
    """Settings of an optimizer: its dense torch form, and its update of a few rows."""

    lr: float

    def __post_init__(self) -> None:
        in_range("(0, 1e38]", lr=self.lr)

    @property
    def row_wise(self) -> bool:
        """Whether rows without a gradient may be left as they are."""
        return True

    @abstractmethod
    def dense(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer of parameters whose every entry has a gradient."""

    @abstractmethod
    def slots(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Fresh per-row state of a table that is updated row-wise."""

    @abstractmethod
    def update(self, rows: Tensor, grad: Tensor, slots: tuple[Tensor, ...], lr: float, step: int) -> None:
        """Update gathered rows and their state in place. step counts from 1."""


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Duchi et al. 2011, as in torch. Row-wise and dense updates are identical: rows without gradient stay."""

    lr: float = 0.1
    eps: float = 1e-10
    initial: float = 0.0

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        in_range("[0, 1e6]", eps=self.eps, initial=self.initial)

    def dense(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(
            parameters, lr=self.lr, eps=self.eps, initial_accumulator_value=self.initial, fused=True
        )

    def slots(self, weight: Tensor) -> tuple[Tensor, ...]:
        return (torch.full_like(weight, self.initial),)

    def update(self, rows: Tensor, grad: Tensor, slots: tuple[Tensor, ...], lr: float, step: int) -> None:
        (total,) = slots
        total.addcmul_(grad, grad)
        rows.addcdiv_(grad, total.sqrt().add_(self.eps), value=-lr)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma & Ba 2015. lazy: row-wise where it can be, so untouched rows keep their moments (as torch SparseAdam);
    otherwise dense, and momentum moves every row at every step (as LibKGE and the RotatE code).
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    lazy: bool = False

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        in_range("[0, 1)", beta1=self.beta1, beta2=self.beta2)
        in_range("[0, 1e6]", eps=self.eps)

    @property
    def row_wise(self) -> bool:
        return self.lazy

    def dense(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)

    def slots(self, weight: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(weight), torch.zeros_like(weight)

    def update(self, rows: Tensor, grad: Tensor, slots: tuple[Tensor, ...], lr: float, step: int) -> None:
        first, second = slots
        first.lerp_(grad, 1 - self.beta1)
        second.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        scale = lr / (1 - self.beta1**step)
        rows.addcdiv_(first, second.div(1 - self.beta2**step).sqrt_().add_(self.eps), value=-scale)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Plain stochastic gradient descent."""

    lr: float = 0.1

    def dense(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=self.lr, fused=True)

    def slots(self, weight: Tensor) -> tuple[Tensor, ...]:
        return ()

    def update(self, rows: Tensor, grad: Tensor, slots: tuple[Tensor, ...], lr: float, step: int) -> None:
        rows.add_(grad, alpha=-lr)


OPTIMIZERS: dict[str, type[Optimizer]] = {"adagrad": Adagrad, "adam": Adam, "sgd": SGD}


class Updater:
    """Applies an optimizer to named parameters, and to named row-wise tables only where the step touched them."""

    def __init__(
        self, settings: Optimizer, parameters: Mapping[str, nn.Parameter], tables: Mapping[str, Table] | None = None
    ) -> None:
        self.settings, self.whole, self.tables = settings, dict(parameters), dict(tables or {})
        self.slots = {name: settings.slots(table.values) for name, table in sorted(self.tables.items())}
        self.torch = settings.dense(list(self.whole.values())) if self.whole else None
        self.steps = 0

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> None:
        """One update at learning rate lr * scale, then clear the gradients."""
        self.steps += 1
        for name, slots in self.slots.items():
            table = self.tables[name]
            ids, grad = table.take()
            if len(ids) == 0:
                continue
            rows, own = table.read(ids), tuple(slot.index_select(0, ids) for slot in slots)
            self.settings.update(rows, grad, own, self.settings.lr * scale, self.steps)
            table.put(ids, rows)
            for slot, part in zip(slots, own, strict=True):
                slot.index_copy_(0, ids, part)
        if self.torch is not None:
            for group in self.torch.param_groups:
                group["lr"] = self.settings.lr * scale
            self.torch.step()
            self.torch.zero_grad(set_to_none=False)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, by name."""
        tensors = {f"{name}.slot{i}": t for name, slots in self.slots.items() for i, t in enumerate(slots)}
        for name, parameter in self.whole.items():
            assert self.torch is not None
            tensors |= {f"{name}.{key}": value for key, value in self.torch.state[parameter].items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Inverse of `state`."""
        self.steps = steps
        for name, slots in self.slots.items():
            for i, slot in enumerate(slots):
                slot.copy_(tensors[f"{name}.slot{i}"])
        for name, parameter in self.whole.items():
            assert self.torch is not None
            prefix = f"{name}."
            own = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
            if own:
                self.torch.state[parameter] = {
                    key: value.to(parameter.device) if value.dim() else value for key, value in own.items()
                }
