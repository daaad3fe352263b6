"""Optimizers, schedules, initialisers and seeds against torch, the oracle and closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import oracle
from falsum.rows.initialisers import INITIALISERS
from falsum.rows.table import Table
from falsum.seeds import derive, generator
from falsum.training.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, Optimizer, Updater
from falsum.training.schedules import SCHEDULES, Constant, Linear, Plateau, Steps

OPTIMIZER_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "adagrad": [{}, {"lr": 0.5, "initial": 0.1, "eps": 1e-3}],
    "adam": [{"lazy": True}, {"lr": 0.05, "beta1": 0.5, "beta2": 0.8, "eps": 1e-4, "lazy": True}],
    "sgd": [{"lr": 0.3}],
}
MEMBERS = [(name, each) for name in OPTIMIZERS for each in OPTIMIZER_SETTINGS[name]]


def start() -> nn.Parameter:
    return nn.Parameter(torch.randn(6, 3, generator=generator(0), dtype=torch.float64))


class Updated:
    """One parameter under an optimizer, dense or by rows, given the gradients of a step."""

    def __init__(self, optimizer: Optimizer, rows: bool) -> None:
        self.table = Table(6, 3, row_wise=rows).double()
        self.table.values.copy_(start().detach())
        self.rows = rows
        beside = {"v": start()}
        whole = beside if rows else {"w": self.table.whole(), **beside}
        self.updater = Updater(optimizer, whole, {"w": self.table} if rows else {})

    def step(self, ids: Tensor, grad: Tensor, scale: float = 1.0) -> None:
        rows = torch.unique(ids)
        self.table.add(rows, grad[rows])
        self.updater.step(scale)
        if not self.rows:
            assert (self.table.sink() == 0).all()

    @property
    def weight(self) -> Tensor:
        return self.table.values


def steps(seed: int, count: int = 6) -> list[tuple[Tensor, Tensor]]:
    """(touched rows, with repetitions, and a gradient that is zero elsewhere) of a few steps."""
    draw, out = generator(seed), []
    for _ in range(count):
        ids = torch.randint(6, (4,), generator=draw)
        grad = torch.zeros(6, 3, dtype=torch.float64)
        grad[ids] = torch.randn(4, 3, generator=draw, dtype=torch.float64)
        out.append((ids, grad))
    return out


def row_wise(optimizer: Optimizer, history: list[tuple[Tensor, Tensor]]) -> Tensor:
    updated = Updated(optimizer, rows=True)
    for ids, grad in history:
        updated.step(ids, grad)
    return updated.weight


@pytest.mark.parametrize("member", MEMBERS, ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_row_wise_updates_are_the_oracles(member: tuple[str, dict], seed: int) -> None:
    optimizer, history = OPTIMIZERS[member[0]](**member[1]), steps(seed)
    weight = row_wise(optimizer, history)
    values = {key: value for key, value in vars(optimizer).items() if key != "lazy"}
    for i in range(6):
        for j in range(3):
            touched = [float(grad[i, j]) if i in ids.tolist() else None for ids, grad in history]
            grads = touched if member[0] == "adam" else [g for g in touched if g is not None]
            expected = getattr(oracle, member[0])(start()[i, j].item(), grads, **values)
            assert weight[i, j].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("member", [m for m in MEMBERS if m[0] != "adam"], ids=str)
def test_row_wise_and_dense_updates_are_identical_where_rows_without_gradient_stay(member: tuple[str, dict]) -> None:
    optimizer, history = OPTIMIZERS[member[0]](**member[1]), steps(3)
    dense = Updated(optimizer, rows=False)
    for ids, grad in history:
        dense.step(ids, grad)
    torch.testing.assert_close(row_wise(optimizer, history), dense.weight, rtol=1e-12, atol=1e-12)


def test_lazy_adam_is_torch_sparse_adam() -> None:
    """Up to where eps is added: torch scales it by the bias correction, which is far below the tolerance here."""
    history = steps(4)
    theirs = start()
    rule = torch.optim.SparseAdam([theirs], lr=0.01, eps=1e-12)
    for ids, grad in history:
        rows = torch.unique(ids)
        theirs.grad = torch.sparse_coo_tensor(rows[None], grad[rows], (6, 3), check_invariants=True).coalesce()
        rule.step()
    torch.testing.assert_close(row_wise(Adam(lr=0.01, eps=1e-12, lazy=True), history), theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Adam(lr=0.02, beta1=0.8), lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.999))),
        (Adagrad(lr=0.2, initial=0.5), lambda p: torch.optim.Adagrad(p, lr=0.2, initial_accumulator_value=0.5)),
        (SGD(lr=0.2), lambda p: torch.optim.SGD(p, lr=0.2)),
    ],
    ids=["adam", "adagrad", "sgd"],
)
def test_dense_updates_are_torchs(ours: Optimizer, theirs: Any) -> None:
    mine, other = start(), start()
    updater, rule = Updater(ours, {"w": mine}), theirs([other])
    for _, grad in steps(5):
        mine.grad, other.grad = grad.clone(), grad.clone()
        updater.step()
        rule.step()
        assert (mine.grad == 0).all()
    torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("rows", [False, True], ids=["dense", "row-wise"])
def test_the_schedule_scales_the_learning_rate(name: str, rows: bool) -> None:
    results = []
    for lr, scale in ((0.1, 0.25), (0.025, 1.0)):
        updated = Updated(OPTIMIZERS[name](lr=lr), rows)
        for ids, grad in steps(6):
            updated.step(ids, grad, scale)
        results.append(updated.weight)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("member", MEMBERS, ids=str)
@pytest.mark.parametrize("rows", [False, True], ids=["dense", "row-wise"])
def test_restored_optimizers_go_on_to_the_same_bits(member: tuple[str, dict], rows: bool) -> None:
    optimizer, history = OPTIMIZERS[member[0]](**member[1]), steps(7)
    whole, first, second = (Updated(optimizer, rows) for _ in range(3))
    for ids, grad in history:
        whole.step(ids, grad, 0.5)
    for ids, grad in history[:3]:
        first.step(ids, grad, 0.5)
    second.weight.copy_(first.weight)
    second.updater.restore({k: v.clone() for k, v in first.updater.state().items()}, first.updater.steps)
    for ids, grad in history[3:]:
        second.step(ids, grad, 0.5)
    assert torch.equal(whole.weight, second.weight)


# Schedules

METRICS = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.3, 0.30002, 0.31])), max_size=30)


@given(METRICS, st.floats(0.1, 0.9), st.integers(0, 4), st.sampled_from([0.0, 1e-4, 0.05]))
@settings(max_examples=100, deadline=None)
def test_plateau_is_torchs(history: list[float], decay: float, patience: int, threshold: float) -> None:
    rule = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        rule, mode="max", factor=decay, patience=patience, threshold=threshold, eps=0.0
    )
    for metric in history:
        theirs.step(metric)
    ours = Plateau(decay=decay, patience=patience, threshold=threshold).factor(10**6, 0.0, history)
    assert ours == pytest.approx(rule.param_groups[0]["lr"], rel=1e-12)


def test_schedules_by_hand() -> None:
    assert [Steps(every=10, decay=0.5).factor(0, e, []) for e in (0, 9.99, 10, 25, 40)] == [1, 1, 0.5, 0.25, 0.0625]
    line = Linear(epochs=10, last=0.2)
    assert [line.factor(0, e, []) for e in (0, 5, 10, 99)] == pytest.approx([1, 0.6, 0.2, 0.2])
    assert Constant().factor(0, 0.0, []) == 1
    assert Plateau(decay=0.5, patience=1).factor(0, 0, [0.5, 0.4, 0.4, 0.6, 0.1, 0.1]) == 0.25


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_warms_up(name: str) -> None:
    """1/4, 2/4, 3/4, 1, 1 at the first steps of four steps of warm-up, times what it is without."""
    with_it, without = SCHEDULES[name](warmup=4), SCHEDULES[name]()
    shares = [with_it.factor(s, 0.0, []) / without.factor(s, 0.0, []) for s in range(5)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert without.factor(0, 0.0, []) == 1


# Initialisers and seeds


@pytest.mark.parametrize("name", INITIALISERS)
def test_initialisers_are_functions_of_the_seed(name: str) -> None:
    one, two, other = (torch.empty(50, 8) for _ in range(3))
    for weight, seed in ((one, 1), (two, 1), (other, 2)):
        INITIALISERS[name](weight, seed)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "settings", "mean", "std"),
    [
        ("normal", {"std": 0.3}, 0.0, 0.3),
        ("uniform", {"low": -1.0, "high": 3.0}, 1.0, 4 / math.sqrt(12)),
        ("xavier_normal", {"gain": 2.0}, 0.0, 2 * math.sqrt(2 / 2100)),
        ("xavier_uniform", {"gain": 2.0}, 0.0, 2 * math.sqrt(2 / 2100)),
    ],
)
def test_initialisers_have_the_moments_that_they_name(name: str, settings: dict, mean: float, std: float) -> None:
    """200,000 draws: the mean within 5 standard errors, the deviation within 2 %."""
    weight = torch.empty(2000, 100)
    INITIALISERS[name](weight, 0, **settings)
    assert abs(float(weight.mean()) - mean) < 5 * std / math.sqrt(200_000)
    assert float(weight.std()) == pytest.approx(std, rel=0.02)


def test_initialisers_agree_with_torch_on_bounds() -> None:
    ours, theirs = torch.empty(30, 20), torch.empty(30, 20)
    INITIALISERS["xavier_uniform"](ours, 0)
    nn.init.xavier_uniform_(theirs)
    bound = math.sqrt(6 / 50)
    assert bound * 0.98 < float(ours.abs().max()) <= bound
    assert bound * 0.98 < float(theirs.abs().max()) <= bound


def test_derived_seeds_are_stable_and_apart() -> None:
    """A changed value here changes every run: it needs a new major version."""
    assert derive(0, 1, "noise") == 5754602670477536525
    paths = [(s, *path) for s in range(20) for path in ((), (1,), ("1",), (1, "a"), ("1a",), ("a", 1), (11,), (1, 1))]
    seeds = [derive(*path) for path in paths if "1" not in path]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_derived_seeds_have_fair_bits() -> None:
    """Over 4000 seeds each of 63 bits is set within 5 standard deviations of half the time."""
    seeds = torch.tensor([derive(seed, step) for seed in range(4) for step in range(1000)])
    for bit in range(63):
        assert abs(int((seeds >> bit & 1).sum()) - 2000) < 5 * math.sqrt(1000)
