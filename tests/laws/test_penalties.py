"""Penalties are the oracle's, per target, for every model, and never see dropout."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import oracle
from falsum.graph.graph import BOTH_SIDES, Query, Side
from falsum.models import MODELS
from falsum.noise import Candidates
from falsum.objectives.penalties import PENALTIES, Factors
from falsum.scan.scoring import Scoring
from laws import worlds

GRAPHS = [worlds.graph(), worlds.graph().with_inverses()]
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "lp": [{"p": 2.0, "entity": 0.3}, {"p": 3.0, "entity": 0.3, "relation": 0.7}, {"p": 1.5, "relation": 0.1}],
    "n3": [{"weight": 0.2}],
    "dura": [{"weight": 0.4}, {"weight": 0.4, "norms": 0.5, "products": 1.5}],
    "table-lp": [{"p": 2.0, "entity": 0.3, "relation": 0.2}, {"p": 3.0, "entity": 0.5}],
}
PER_TARGET = [(name, s) for name in PENALTIES if name != "table-lp" for s in SETTINGS[name]]
COMPLEX = {"complex"}


def factors(parts: Scoring, query: Query) -> Factors:
    return parts.ask(query, Candidates(range(7)), 0).factors()


def read(model: str, side: Side, anchor: list[float], target: list[float]) -> tuple[list[float], list[float]]:
    """The entries of the rows that a score on `side` reads: of CP, one half each."""
    half = len(anchor) // 2
    if model != "cp":
        return anchor, target
    as_head, as_tail = slice(None, half), slice(half, None)
    return (anchor[as_head], target[as_tail]) if side is Side.TAIL else (anchor[as_tail], target[as_head])


def expected(member: tuple[str, dict], rows: tuple[list[float], ...], moduli: bool) -> float:
    name, given = member
    values = {**vars(PENALTIES[name](**given))}
    if name == "lp":
        values["weight"] = values.pop("relation")
    return getattr(oracle, name)(*rows, moduli, **values)


@pytest.mark.parametrize("member", PER_TARGET, ids=worlds.label)
@pytest.mark.parametrize("model", MODELS)
def test_penalties_per_target_are_the_oracles(model: str, member: tuple[str, dict]) -> None:
    for g in GRAPHS:
        parts = worlds.scoring(model, g, seed=1)
        for side in BOTH_SIDES:
            query = g.queries(g.splits["train"], side, grouped=True)
            held = factors(parts, query)
            values = PENALTIES[member[0]](**member[1]).of_batch(held)
            vectors = held.query()
            truth = []
            for target, row in zip(query.target.tolist(), query.row.tolist(), strict=True):
                ends = (parts.entities.values[e].tolist() for e in (query.anchor[row], target))
                anchor, answer = read(model, query.side, *ends)
                rows = (anchor, parts.relations.values[query.relation[row]].tolist(), answer, vectors[row].tolist())
                truth.append(expected(member, rows, model in COMPLEX))
            torch.testing.assert_close(values, torch.tensor(truth, dtype=torch.float64), rtol=1e-10, atol=1e-10)


def test_the_comparison_can_fail() -> None:
    rows = ([1.0, 2.0], [1.0, 1.0], [0.5, 0.5], [1.0, 1.0])
    assert expected(("n3", {"weight": 1.0}), rows, True) != expected(("n3", {"weight": 1.0}), rows, False)


@pytest.mark.parametrize("given", SETTINGS["table-lp"], ids=str)
def test_table_penalties_are_the_oracles(given: dict[str, float]) -> None:
    parts = worlds.scoring("distmult", GRAPHS[0])
    value = PENALTIES["table-lp"](**given).of_tables(parts.entities.whole, parts.relations.whole)
    truth = oracle.table_lp(
        parts.entities.values.tolist(), parts.relations.values.tolist(), **{"relation": 0.0, **given}
    )
    assert value.item() == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("name", ["distmult", "complex", "rescal"])
def test_the_two_sides_of_dura_are_its_four_terms(name: str) -> None:
    """|t|^2 + |h M_r|^2 + |h|^2 + |M_r t|^2 of a triple, from a question for each of its slots."""
    g = GRAPHS[0]
    parts = worlds.scoring(name, g)
    total = 0.0
    for side in BOTH_SIDES:
        query = g.queries(g.splits["train"][:1], side, grouped=False)
        total += PENALTIES["dura"](weight=1.0).of_batch(factors(parts, query)).item()
    head, relation, tail = g.splits["train"][0].tolist()
    truth = worlds.Oracle(name, parts)
    dim = parts.model.dim
    h, t = truth.entities[head], truth.entities[tail]
    matrix = []
    for i in range(dim):
        one = [float(i == k) for k in range(dim)]
        matrix.append(
            [truth.rule(one, truth.relations[relation], [float(j == k) for k in range(dim)], None) for j in range(dim)]
        )
    by_head = [sum(h[i] * matrix[i][j] for i in range(dim)) for j in range(dim)]
    by_tail = [sum(matrix[i][j] * t[j] for j in range(dim)) for i in range(dim)]
    four = sum(oracle.power_sum(row, 2) for row in (h, t, by_head, by_tail))
    assert total == pytest.approx(four, rel=1e-10)


@pytest.mark.parametrize("member", PER_TARGET, ids=worlds.label)
@pytest.mark.parametrize("model", ["complex", "tucker", "tucker3"])
def test_penalties_see_no_dropout_and_leave_no_trace(model: str, member: tuple[str, dict]) -> None:
    """The rows are the same while training; a batch norm is not told of them a second time."""
    g = GRAPHS[0]
    options = {"dropout_entity": 0.5, "dropout_relation": 0.5}
    parts = worlds.scoring(model, g, seed=1, **options)
    query = g.queries(g.splits["train"], BOTH_SIDES[0], grouped=True)
    penalty = PENALTIES[member[0]](**member[1])
    parts.model.train()
    asked = parts.ask(query, Candidates(range(7)), 0)  # as a step does, once, for its loss and its penalties
    before = {name: buffer.clone() for name, buffer in parts.model.named_buffers()}
    value = penalty.of_batch(asked.factors())
    for name, buffer in parts.model.named_buffers():
        assert torch.equal(buffer, before[name])
    parts.model.eval()
    torch.testing.assert_close(value, penalty.of_batch(factors(parts, query)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("member", PER_TARGET, ids=worlds.label)
def test_gradients_of_penalties_add_up_over_targets(member: tuple[str, dict]) -> None:
    """The gradient of grouped queries is that of one row per triple, and finite differences agree with it."""
    g = GRAPHS[0]
    results = []
    for grouped in (True, False):
        parts = worlds.scoring("complex", g, seed=1)
        query = g.queries(g.splits["train"], BOTH_SIDES[1], grouped=grouped)
        value = PENALTIES[member[0]](**member[1]).of_batch(factors(parts, query)).sum()
        value.backward()
        results.append((value.detach(), worlds.gradients(parts)))
    worlds.same(*results)
    weight, step = parts.entities.values, 1e-6
    nudged = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[2, 1] += sign * step
            nudged.append(PENALTIES[member[0]](**member[1]).of_batch(factors(parts, query)).sum().item())
            weight[2, 1] -= sign * step
    assert (nudged[0] - nudged[1]) / (2 * step) == pytest.approx(results[0][1][0][2, 1].item(), rel=1e-5, abs=1e-7)


def test_every_penalty_has_settings_here() -> None:
    assert set(SETTINGS) == set(PENALTIES)


def test_the_penalty_of_cp_is_that_of_lacroix() -> None:
    """weight (|u_h|^3 + |v_r|^3 + |w_t|^3): the halves of other roles are in no score and in no penalty."""
    g = GRAPHS[1]
    parts = worlds.scoring("cp", g)
    query = g.queries(g.splits["train"][:1], BOTH_SIDES[0], grouped=False)
    value = PENALTIES["n3"](weight=1.0).of_batch(factors(parts, query)).item()
    h, r, t = g.splits["train"][0].tolist()
    rows = parts.entities.values[h][:2], parts.relations.values[r], parts.entities.values[t][2:]
    assert value == pytest.approx(sum(float((row.abs() ** 3).sum()) for row in rows), rel=1e-12)
