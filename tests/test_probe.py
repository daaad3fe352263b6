"""Measures of negatives by hand and against naive loops, laws of the null, what a sampler may see, and the commands."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

import falsum as package
from command import Command, falsum, small_graph, write_graph
from falsum import api
from falsum.errors import UserError
from falsum.graph import load
from falsum.graph.graph import Graph, Pairs, Query, Side
from falsum.noise import NOISES, Candidates, Live, Noise, Sampler, Size, Uniform
from falsum.noise.proposals import Counted, Targets
from falsum.probe import Study, all_chosen, chosen, reference
from falsum.probe.cost import LARGE, Tally, storages
from falsum.probe.diversity import cohorts, concentration, diversity, effective, simpson, slot_counts
from falsum.probe.draws import Draws, drawn, marginal, warmed
from falsum.probe.estimates import enrichment, quantiles, ratio, wilson
from falsum.probe.gradient import false_mass, full_gradient, gradient, moments
from falsum.probe.hardness import Null, best_of, hardness
from falsum.probe.listed import Listing
from falsum.probe.reference import Standings, dense, quick_recipe, standings
from falsum.probe.truths import (
    Facts,
    base_rates,
    contains,
    over_uniform,
    planted,
    planted_answers,
    training_part,
)
from falsum.recipe.assemble import assemble
from falsum.run.run import Run
from falsum.scan.loss import live
from falsum.scan.scoring import Scoring
from falsum.training.loop import Trainer
from test_report import Strict

__all__ = ["falsum"]

CPU = torch.device("cpu")
# The best of uniform draws by name: M = 4 and 8, with training answers and without; one with 16 draws.
BEST_OF_8, BEST_OF_4_FILTERED = "best-of:of=8,filtered=false", "best-of:of=4"
BEST_OF_4_OF_16, BEST_OF_4_OF_16_FILTERED = "best-of:of=4,num=4,filtered=false", "best-of:of=4,num=4"


def graph_of(entities: int, relations: int, false: Any = (), **splits: Any) -> Graph:
    """A graph of triples by id."""
    triples = {name: torch.tensor(rows).reshape(-1, 3) for name, rows in splits.items()}
    stated = {"train": torch.tensor(false).reshape(-1, 3)} if len(false) else {}
    names = pl.Series([f"e{i}" for i in range(entities)]), pl.Series([f"r{i}" for i in range(relations)])
    return Graph("small", triples, *names, relations, false=stated)


def ring(entities: int = 30) -> Graph:
    """Each relation shifts by one step of three: 6 answers a question, a third of the triples held out."""
    rows = [(h, r, (h + 5 * r + s) % entities) for h in range(entities) for r in range(2) for s in (1, 2, 3)]
    order = np.random.default_rng(0).permutation(len(rows))
    rows = [rows[i] for i in order]
    cut = 2 * len(rows) // 3
    return graph_of(entities, 2, train=rows[:cut], valid=rows[cut : cut + 20], test=rows[cut + 20 :])


def untrained(graph: Graph, model: str = "complex", scale: float = 300) -> Scoring:
    """A model with scores that differ, in evaluation mode."""
    changes = {"train.inverses": False, "model.name": model, "model.dim": 8, "penalty": []}
    scoring = assemble(quick_recipe(graph).changed(**changes), graph).scoring
    with torch.no_grad():
        scoring.entities.values.mul_(scale)
        scoring.relations.values.mul_(scale)
    scoring.model.eval()
    return scoring


def questions(graph: Graph, side: Side, count: int = 40) -> Query:
    return graph.queries(graph.splits["train"][:count], side, grouped=False)


class Scripted(Sampler):
    """Gives what it is told to."""

    def __init__(self, *script: Candidates) -> None:
        super().__init__()
        self.script, self.turn = script, 0

    def num(self, query: Query) -> int:
        return len(self.script[0].ids) if isinstance(self.script[0].ids, range) else self.script[0].ids.shape[1]

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        self.turn += 1
        return self.script[(self.turn - 1) % len(self.script)]


def no_live() -> Live:
    def refuse(*_: Any) -> Tensor:
        raise AssertionError("asked the model")

    return Live(**{each.name: 0.0 if each.name == "epoch" else refuse for each in fields(Live)})


# ---------------------------------------------------------------------------------------------------- estimates


def test_a_ratio_and_its_interval() -> None:
    found = ratio(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]), 0)
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, 0.5, 1.5)  # both questions, or one of them twice
    assert ratio(torch.tensor([0.0]), torch.tensor([0.0]), 0) is None


def test_the_bootstrap_is_that_of_the_questions() -> None:
    """Hits that come in one question are no better known than one question."""
    alone, spread = torch.zeros(50), torch.full((50,), 2.0)
    alone[0] = 100
    wide, narrow = (ratio(hits, torch.full((50,), 10.0), 0) for hits in (alone, spread))
    assert wide is not None
    assert narrow is not None
    assert wide.value == narrow.value == 0.2
    assert narrow.high - narrow.low == 0
    assert wide.low == 0
    assert wide.high > 0.4


def test_wilson_by_hand() -> None:
    """Half of 10: (.5 + 1.92/10 -+ 1.96 sqrt(.025 + .96/100)) / 1.384; none of 10: 3.84 / 13.84."""
    assert wilson(0.5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-4)
    assert wilson(0.0, 10) == pytest.approx((0, 0.27753), abs=1e-4)


def test_no_hit_is_no_certainty() -> None:
    counted = torch.full((4,), 100.0)
    none = enrichment(torch.zeros(4), torch.full((4,), 1.0), counted, 400.0, 0)
    assert none is not None
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(wilson(0, 400)[1] / 0.01)
    half = enrichment(torch.zeros(4), torch.full((4,), 1.0), counted, 800.0, 0)  # unequal weights tell less
    assert half is not None
    assert half.high == pytest.approx(wilson(0, 200)[1] / 0.01)


def test_quantiles_count_weights() -> None:
    values, weight = torch.tensor([3.0, 1.0, 2.0, 9.0]), torch.tensor([1.0, 8.0, 1.0, 0.0])
    assert quantiles(values, weight, (0.1, 0.5, 0.85, 1.0)) == (1, 1, 2, 3)
    assert math.isnan(quantiles(values, 0 * weight, (0.5,))[0])


# ---------------------------------------------------------------------------------------------------- truths


def test_pairs_are_found_as_a_loop_finds_them() -> None:
    random = np.random.default_rng(1)
    pairs = sorted({(int(random.integers(6)), int(random.integers(9))) for _ in range(20)})
    ids = torch.from_numpy(random.integers(0, 12, (6, 7)))
    row, entity = (torch.tensor(column) for column in zip(*pairs, strict=True))
    want = [[(i, int(e)) in pairs for e in ids[i]] for i in range(6)]
    assert contains(Pairs(row, entity), ids).tolist() == want
    none = torch.zeros(0, dtype=torch.int64)
    assert not contains(Pairs(none, none), ids).any()


TINY = graph_of(
    5, 1, train=[(0, 0, 1), (0, 0, 2), (3, 0, 1)], valid=[(0, 0, 2), (0, 0, 3)], test=[(3, 0, 4), (1, 0, 1)],
    false=[(0, 0, 4)],
)  # fmt: skip


def test_facts_by_hand() -> None:
    """(0, r, ?): 1 and 2 known, 3 held out (2 is known already), 4 false. (3, r, ?): 1 known, 4 held out."""
    facts = Facts.of(TINY, TINY.queries(TINY.splits["train"], Side.TAIL, grouped=False))
    assert list(zip(*(x.tolist() for x in facts.known), strict=True)) == [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)]
    assert list(zip(*(x.tolist() for x in facts.held_out), strict=True)) == [(0, 3), (1, 3), (2, 4)]
    assert list(zip(*(x.tolist() for x in facts.stated_false), strict=True)) == [(0, 4), (1, 4)]
    expected = facts.expected(torch.tensor([3.0, 3.0, 8.0]), 5, filtered=True)
    assert expected.tolist() == [1, 1, 2]  # 3 of 3 free entities a third, 8 of 4 a fourth
    assert facts.expected(torch.tensor([5.0, 5.0, 5.0]), 5, filtered=False).tolist() == [1, 1, 1]


def test_base_rates_by_hand() -> None:
    """Tail: other known 1, 1, 0 and held out 1, 1, 1 of 5 entities. Head: (?, r, 1) 0, 3 known, 1 held out; twice."""
    assert base_rates(TINY, Side.TAIL) == pytest.approx((2 / 15, 3 / 15))
    assert base_rates(TINY, Side.HEAD) == pytest.approx((2 / 15, 2 / 15))


@pytest.mark.parametrize(
    ("name", "side", "known", "held_out"),
    [
        ("fb15k-237", Side.TAIL, 0.00212, 0.000293),
        ("fb15k-237", Side.HEAD, 0.01765, 0.003461),
        ("wn18rr", Side.TAIL, 0.00013, 0.000009),
        ("wn18rr", Side.HEAD, 0.00053, 0.000038),
    ],
)
def test_base_rates_of_real_graphs(falsum_data: Path, name: str, side: Side, known: float, held_out: float) -> None:
    found = base_rates(load(name), side)
    assert found == (pytest.approx(known, abs=6e-6), pytest.approx(held_out, abs=6e-7))


def test_enrichment_by_hand() -> None:
    """Question 0 draws 3 (held out) twice in 4, question 2 none in 4: 2 hits; expected 4/5 for each."""
    query = TINY.queries(TINY.splits["train"], Side.TAIL, grouped=False).select(torch.tensor([0, 2]))
    facts, ids = Facts.of(TINY, query), torch.tensor([[3, 3, 0, 1], [0, 1, 2, 3]])
    found = over_uniform(ids, torch.ones(2, 4).double(), facts, 5, 0, filtered=False)
    assert found is not None
    assert found.value == pytest.approx(2 / 1.6)
    weight = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 1]]).double()  # one hit of 3 that count
    found = over_uniform(ids, weight, facts, 5, 0, filtered=False)
    assert found is not None
    assert found.value == pytest.approx(1 / (1 / 5 + 2 / 5))


def test_planted_truths_are_gone_from_what_is_left() -> None:
    twice = graph_of(30, 2, train=[*ring().splits["train"].tolist()] * 2, test=[(0, 0, 9)])
    rest, hidden = planted(twice, 3)
    left, gone, all_of_them = (
        {tuple(t) for t in x.tolist()} for x in (rest.splits["train"], hidden, twice.splits["train"])
    )
    assert len(gone) == len(hidden) == round(0.1 * len(all_of_them))
    assert (left | gone, left & gone) == (all_of_them, set())
    assert set(rest.splits) == {"train"}
    assert torch.equal(planted(twice, 3)[1], hidden)
    assert not torch.equal(planted(twice, 4)[1], hidden)
    query = rest.queries(rest.splits["train"], Side.HEAD, grouped=False)
    facts = Facts.of(rest, query, planted_answers(twice, hidden, Side.HEAD))
    anchor, relation = query.anchor[facts.held_out.row], query.relation[facts.held_out.row]
    found = set(zip(facts.held_out.entity.tolist(), relation.tolist(), anchor.tolist(), strict=True))
    assert found
    assert found <= gone


# ---------------------------------------------------------------------------------------------------- draws


def test_draws_as_the_loss_counts_them() -> None:
    """Shared rows, weights and what is left out, from one draw after the other."""
    query = questions(ring(), Side.TAIL, 3)
    drop = Pairs(torch.tensor([0, 2]), torch.tensor([5, 7]))
    sampler = Scripted(
        Candidates(torch.tensor([[5, 6]]), torch.tensor([[2.0, 3.0]]), drop),
        Candidates(torch.tensor([[7, 8], [7, 9]]), None, drop),
    )
    found = drawn(sampler, query, no_live(), 0, 5)  # two draws of two: a third would be cut
    assert found.ids.tolist() == [[5, 6, 7, 8], [5, 6, 7, 8], [5, 6, 7, 9]]
    assert found.weight.tolist() == [[0, 3, 1, 1], [2, 3, 1, 1], [2, 3, 0, 1]]
    assert found.dropped.tolist() == [[True, False, False, False], [False] * 4, [False, False, True, False]]
    assert found.turns.tolist() == [0, 0, 1, 1]
    assert found.whole


def test_long_lists_are_thinned_without_bias() -> None:
    graph = ring()
    query = questions(graph, Side.TAIL, 40)
    weight = torch.arange(30.0)[None]
    few = drawn(Scripted(Candidates(torch.arange(30)[None], weight)), query, no_live(), 0, 25)
    assert few.ids.shape == (40, 25)
    assert not few.whole
    assert torch.equal(few.weight, weight[0][few.ids].double())
    assert few.ids.double().mean() == pytest.approx(14.5, abs=1)
    everyone = drawn(Scripted(Candidates(range(30))), query, no_live(), 0, 25)
    assert torch.equal(everyone.dropped, everyone.ids == query.target[:, None])
    whole = drawn(Scripted(Candidates(range(30))), query, no_live(), 0, 70)
    assert whole.ids[0].tolist() == [*range(30)] * 2


def test_shared_draws_are_drawn_again_to_see_whom_they_reach() -> None:
    graph = ring()
    query, sampler = questions(graph, Side.TAIL, 20), Uniform(num=4, shared="batch").bind(graph, CPU)
    draws = drawn(sampler, query, no_live(), 0, 8)
    ids, weight = marginal(sampler, query, no_live(), 0, draws)
    assert len(ids) == len(weight) == 160  # as many as own draws would have been
    assert len(ids.unique()) > len(draws.ids.unique())
    of_rows = Candidates(torch.tensor([[1, 2], [3, 4]]), torch.arange(6.0).reshape(3, 2))  # each question's own weight
    three = questions(graph, Side.TAIL, 5)
    weights = torch.cat([of_rows.weight, of_rows.weight[:2]])  # type: ignore[index]
    sampled = Scripted(replace(of_rows, weight=weights))
    ids, weight = marginal(sampled, three, no_live(), 0, drawn(sampled, three, no_live(), 0, 2))
    assert ids[:4].tolist() == [1, 2, 3, 4]
    assert weight[:4].tolist() == [2, 3, 1, 2]  # means of 0, 2, 4 and 1, 3, 5, and of 0, 2 and 1, 3
    own = Uniform(num=4).bind(graph, CPU)
    draws = drawn(own, query, no_live(), 0, 8)
    assert torch.equal(marginal(own, query, no_live(), 0, draws)[0], draws.ids.flatten())


class Learner(Sampler):
    """Learns to be 1; asks for nothing else."""

    lr = 0.1

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.zeros(()))

    def num(self, query: Query) -> int:
        return 1

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        return Candidates(torch.zeros(len(query), 1, dtype=torch.int64))

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor:
        return (self.own - 1).square()


def test_samplers_that_learn_are_warmed_by_adam_and_others_left_alone() -> None:
    query, scoring = questions(ring(), Side.TAIL, 4), untrained(ring())
    learner = Learner()
    warmed(learner, [query], lambda epoch: live(scoring, epoch), 3, 0)
    assert float(learner.own.detach()) == pytest.approx(0.3, abs=0.02)  # Adam: a step of lr each
    still = Scripted(Candidates(torch.zeros(1, 1, dtype=torch.int64)))
    warmed(still, [query], lambda epoch: live(scoring, epoch), 3, 0)
    assert still.turn == 0


# ---------------------------------------------------------------------------------------------------- hardness


def placed(graph: Graph, scoring: Scoring, query: Query) -> tuple[Facts, Standings]:
    facts = Facts.of(graph, query)
    return facts, standings(scoring, query, facts.known, 0)


@pytest.mark.parametrize("side", Side)
def test_percentiles_as_a_loop_counts_them(side: Side) -> None:
    graph = ring()
    scoring, query = untrained(graph), questions(graph, side, 6)
    with torch.no_grad():
        scoring.entities.values[7] = scoring.entities.values[3]  # a tie
    facts, found = placed(graph, scoring, query)
    everyone = torch.arange(30).expand(6, 30)
    scores = live(scoring, 0.0).score(query, everyone)
    assert torch.allclose(found.score(everyone), scores, atol=1e-5)
    for field, out in ((found.everyone, set()), (found.unanswered, set(zip(*map(Tensor.tolist, facts.known))))):
        place = field.percentile(found.score(everyone))
        for i in range(6):
            others = [float(found.scores[i, e]) for e in range(30) if (i, e) not in out]  # type: ignore[index]
            for e in range(30):
                own = float(found.scores[i, e])  # type: ignore[index]
                want = sum(s < own for s in others) + sum(s == own for s in others) / 2
                assert float(place[i, e]) == pytest.approx(want / len(others))
        assert field.size.tolist() == field.free.tolist() == [30 - sum(i == j for j, _ in out) for i in range(6)]
    assert found.everyone.percentile(found.score(everyone)).mean() == pytest.approx(0.5, abs=1e-12)


def test_a_panel_stands_for_all_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = ring()
    scoring, query = untrained(graph), questions(graph, Side.HEAD, 20)
    _, exact = placed(graph, scoring, query)
    monkeypatch.setattr(reference, "MOST_RANKED", 10)
    monkeypatch.setattr(reference, "PANEL", 3000)
    facts, panel = placed(graph, scoring, query)
    assert panel.scores is None
    ids = torch.arange(30).expand(20, 30)
    for of in ("everyone", "unanswered"):
        a, b = (getattr(s, of).percentile(s.score(ids)) for s in (exact, panel))
        assert (a - b).abs().mean() < 0.02
        assert torch.equal(getattr(exact, of).free, getattr(panel, of).free)
    assert torch.allclose(exact.positive, panel.positive, atol=1e-5)
    null = [Null.of(s, s.unanswered, facts.held_out).enrichment(3) for s in (exact, panel)]
    assert null[1] == pytest.approx(null[0], rel=0.05)


def test_scores_that_are_not_finite_are_refused() -> None:
    graph = ring()
    scoring, query = untrained(graph), questions(graph, Side.TAIL, 3)
    scoring.entities.values[4] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        placed(graph, scoring, query)


@pytest.mark.parametrize(("model", "scale"), [("complex", 300), ("transe", 1000)])  # distances: all scores below 0
def test_hardness_as_a_loop_measures_it(model: str, scale: float) -> None:
    graph, random = ring(), np.random.default_rng(2)
    scoring, query = untrained(graph, model, scale), questions(graph, Side.TAIL, 5)
    _, found = placed(graph, scoring, query)
    ids = torch.from_numpy(random.integers(0, 30, (5, 8)))
    weight = torch.from_numpy(random.integers(0, 3, (5, 8))).double()
    hard = hardness(found, found.everyone, ids, weight, 0)
    assert hard is not None
    assert found.scores is not None
    rows, total = scoring.entities.values, float(weight.sum())
    place = above = cosine = alive = 0.0
    for i, j in itertools.product(range(5), range(8)):
        scores, own, w = found.scores[i], found.scores[i, ids[i, j]], float(weight[i, j])
        place += w * (float((scores < own).sum()) + float((scores == own).sum()) / 2) / 30
        above += w * bool(own > scores[query.target[i]])
        cosine += w * float(torch.cosine_similarity(rows[ids[i, j]], rows[query.target[i]], 0))
        alive += w * bool(own.sigmoid() > 0.05 * scores.max().sigmoid())
    assert hard.percentile.value == pytest.approx(place / total)
    assert (hard.above, hard.cosine, hard.live) == pytest.approx((above / total, cosine / total, alive / total))
    assert 0.05 < hard.live < 0.95 or model == "complex"
    gaps = (found.scores.gather(1, ids) - found.positive[:, None]) / found.scores.std(1)[:, None]
    assert hard.gap == pytest.approx(quantiles(gaps.flatten(), weight.flatten(), (0.1, 0.5, 0.9)))
    assert hardness(found, found.everyone, ids, 0 * weight, 0) is None


def test_best_of_is_the_inverse_of_the_mean_maximum() -> None:
    for power in (1, 2, 7.5):
        assert best_of(power / (power + 1)) == pytest.approx(power)
    assert best_of(1.0) == math.inf


@pytest.mark.parametrize("power", [1, 3])
def test_the_null_is_every_draw_there_is(power: int) -> None:
    """All 30^M draws for a question, the best of each; with training answers, and without."""
    graph = ring()
    scoring, query = untrained(graph), questions(graph, Side.TAIL, 2)
    facts, found = placed(graph, scoring, query)
    assert found.scores is not None
    for field, free in ((found.everyone, [set()] * 2), (found.unanswered, [_of(facts.known, i) for i in range(2)])):
        hits = Null.of(found, field, facts.held_out).hits(power)
        for i in range(2):
            order = sorted(set(range(30)) - free[i], key=lambda e: float(found.scores[i, e]))  # type: ignore[index]
            best = [order[max(each)] for each in itertools.product(range(len(order)), repeat=power)]
            want = sum(e in _of(facts.held_out, i) for e in best) / len(best)
            assert float(hits[i]) == pytest.approx(want)
    assert Null.of(found, found.everyone, facts.held_out).enrichment(1) == pytest.approx(1)


def _of(pairs: Pairs, row: int) -> set[int]:
    return set(pairs.entity[pairs.row == row].tolist())


@pytest.fixture(scope="module")
def world() -> tuple[Graph, Scoring]:
    """The bundled graph and a model that has learnt a little of it."""
    graph = load("world")
    job = assemble(quick_recipe(graph).changed(**{"train.epochs": 1, "model.dim": 16, "train.inverses": False}), graph)
    for _ in Trainer(job).run():
        pass
    job.scoring.model.eval()
    return graph, job.scoring


@pytest.mark.parametrize(("noise", "power"), [("uniform:filtered=true", 1), (BEST_OF_4_FILTERED, 4), (BEST_OF_8, 8)])
def test_best_of_uniform_is_as_hard_and_as_false_as_the_null(
    world: tuple[Graph, Scoring], noise: str, power: int
) -> None:
    """H = M / (M + 1), and held-out truths as often as the null says, for which 1 lies in the interval."""
    graph, scoring = world
    query = graph.queries(graph.splits["train"][::30][:256], Side.HEAD, grouped=False)
    facts, found = placed(graph, scoring, query)
    filtered = bool(vars(chosen(noise).noise)["filtered"])
    field = found.unanswered if filtered else found.everyone
    sampler = chosen(noise).bind(training_part(graph), CPU)
    draws = drawn(sampler, query, live(scoring, 0.0), 0, 256)
    hard = hardness(found, field, draws.ids, draws.weight, 0)
    assert hard is not None
    assert hard.percentile.value == pytest.approx(power / (power + 1), abs=0.01)
    assert contains(facts.known, draws.ids).any() == (not filtered)
    counted, null = draws.weight.sum(1), Null.of(found, field, facts.held_out)
    hits = contains(facts.held_out, draws.ids).double().sum(1)
    held = enrichment(hits, counted * null.hits(power), counted, float(counted.sum()), 0)
    assert held is not None
    assert held.low < 1 < held.high
    wrong = enrichment(hits, counted * null.hits(1 if power > 1 else 8), counted, float(counted.sum()), 0)
    assert wrong is not None
    assert not wrong.low < 1 < wrong.high, "the law could not fail"


def test_uniform_draws_reach_everyone_evenly_and_are_as_false_as_they_must_be(world: tuple[Graph, Scoring]) -> None:
    graph, scoring = world
    query = graph.queries(graph.splits["train"][::25][:384], Side.TAIL, grouped=False)
    facts, found = placed(graph, scoring, query)
    draws = drawn(Uniform().bind(training_part(graph), CPU), query, no_live(), 0, 512)
    hard = hardness(found, found.everyone, draws.ids, draws.weight, 0)
    assert hard is not None
    assert hard.percentile.value == pytest.approx(0.5, abs=0.01)
    rich = over_uniform(draws.ids, draws.weight, facts, graph.num_entities, 0, filtered=False)
    assert rich is not None
    assert rich.low < 1 < rich.high
    spread = diversity(draws, draws.ids.flatten(), draws.weight.flatten(), slot_counts(graph, Side.TAIL))
    assert spread.effective > 0.99
    assert spread.simpson > 0.99
    assert spread.popularity == pytest.approx(0, abs=0.01)


def test_a_cache_grows_harder_with_every_pass(world: tuple[Graph, Scoring]) -> None:
    graph, scoring = world
    query = graph.queries(graph.splits["train"][::30][:128], Side.TAIL, grouped=False)
    _, found = placed(graph, scoring, query)
    places = []
    for passes in (0, 2, 8):
        sampler = chosen("nscaching").bind(training_part(graph), CPU)
        warmed(sampler, [query], lambda epoch: live(scoring, epoch), passes, 0)
        draws = drawn(sampler, query, live(scoring, 0.0), 0, 64)
        hard = hardness(found, found.everyone, draws.ids, draws.weight, 0)
        assert hard is not None
        places.append(hard.percentile.value)
    assert places[0] == pytest.approx(0.5, abs=0.02)
    assert places[0] + 0.05 < places[1] < places[2]


# ---------------------------------------------------------------------------------------------------- diversity


def test_effective_numbers_by_hand() -> None:
    """3 draws of one and 1 of another: entropy .5623 and a half of (2 - 1) / 4 more; 3 x 2 + 0 of 4 x 3 pairs meet."""
    mass = torch.tensor([3.0, 1, 0, 0]).double()
    assert effective(mass, mass) == pytest.approx(math.exp(0.562335 + 1 / 8), rel=1e-5)
    assert simpson(mass, mass) == 2
    assert simpson(2 * mass, 4 * mass) == 2, "weights all alike are no weights"
    assert effective(2 * mass, 4 * mass) == pytest.approx(effective(mass, mass))
    ones = torch.ones(4).double()
    assert (effective(ones, ones), simpson(ones, ones)) == (4, 4)


def test_the_correction_makes_up_for_few_draws() -> None:
    random = np.random.default_rng(0)
    mass = torch.from_numpy(np.bincount(random.integers(0, 500, 10_000), minlength=500)).double()
    assert effective(mass, mass) == pytest.approx(500, rel=0.01)
    share = mass / mass.sum()
    assert float((-(share * share.log()).sum()).exp()) < 0.985 * 500


def test_cohorts_by_hand() -> None:
    """9 occurrences, thirds of 3: the first fills 4, so the next begins in the second third, and 7 are full then."""
    counts = torch.tensor([1.0, 4, 0, 3, 1])
    assert cohorts(counts).tolist() == [2, 0, 2, 1, 2]


def test_concentration_by_hand() -> None:
    counts = torch.tensor([0.0, 5, 1])
    assert concentration(torch.tensor([1 / 3, 1 / 3, 1 / 3]), counts) == pytest.approx(0)
    assert concentration(torch.tensor([0.0, 1, 0]), counts) == pytest.approx(2 / 3)  # (E - 1) / E at most
    assert concentration(torch.tensor([1.0, 0, 0]), counts) == pytest.approx(-2 / 3)
    assert concentration(torch.tensor([0.2, 0.5, 0.3]), torch.zeros(3)) == pytest.approx(0)  # all alike popular


def test_repeats_and_what_is_distinct_by_hand() -> None:
    ids = torch.tensor([[1, 1, 2, 1], [0, 2, 2, 0]])
    draws = Draws(
        ids, torch.ones(2, 4).double(), torch.zeros(2, 4).bool(), torch.zeros(2, 4), torch.tensor([0, 0, 1, 1]), True
    )
    counts = torch.tensor([2.0, 1, 0])
    spread = diversity(draws, ids.flatten(), draws.weight.flatten(), counts)
    assert spread.distinct == 1 - 1 / 8  # of pairs of draws, only the first of question 0 is no two
    assert spread.repeats == 4 / 8  # question 0 drew 1 three times; question 1 drew both twice
    assert spread.coverage == 1
    assert spread.cohorts == pytest.approx((2 / 8, 0, 6 / 8))
    thin = diversity(replace(draws, whole=False), ids.flatten(), draws.weight.flatten(), counts)
    assert (thin.distinct, thin.repeats) == (None, None)


# ---------------------------------------------------------------------------------------------------- cost


def test_scores_and_rows_are_counted() -> None:
    graph = ring()
    scoring, query = untrained(graph), questions(graph, Side.TAIL, 6)
    tally = Tally()
    view = tally.watch(live(scoring, 2.5))
    assert view.epoch == 2.5
    sampler = chosen(BEST_OF_4_OF_16).bind(graph, CPU)
    drawn(sampler, query, view, 0, 4)
    assert (tally.scores, tally.rows) == (6 * 16, 0)
    view.rows(torch.tensor([1, 2]))
    assert tally.rows == 2


def test_state_is_what_a_sampler_holds_and_what_its_noise_says() -> None:
    graph = ring()
    cache = chosen("nscaching:cache=7").bind(graph, CPU)
    asked = sum(len(graph.answers(["train"], side).key) for side in Side)
    assert sum(t.untyped_storage().nbytes() for t in storages(cache)) >= 4 * 7 * asked
    assert storages(chosen("uniform").bind(graph, CPU)) == []
    assert chosen("frequency").noise.state_bytes(LARGE) == 48 * 2 * 10**7


# ---------------------------------------------------------------------------------------------------- gradient


def test_the_full_gradient_is_softmax_minus_one_hot() -> None:
    """Through naive scores of all entities; other answers are rivals."""
    graph = ring()
    scoring, query = dense(untrained(graph)), questions(graph, Side.TAIL, 5)
    found = full_gradient(scoring, query)
    entities, relations = (scoring.entities.values.clone().requires_grad_(), scoring.relations.values.clone())
    relations.requires_grad_()
    asked = scoring.model.query(entities[query.anchor], _relations(relations, query.relation), query.side, 0)
    scores = asked @ entities.T
    nn.functional.cross_entropy(scores, query.target).backward()
    assert entities.grad is not None
    assert relations.grad is not None
    assert torch.allclose(found.float(), torch.cat([entities.grad.flatten(), relations.grad.flatten()]), atol=1e-6)


def _relations(rows: Tensor, ids: Tensor) -> Any:
    from falsum.models.base import Relations

    return Relations(rows, ids)


def test_all_entities_have_no_bias_and_no_variance() -> None:
    graph = ring()
    scoring, query = dense(untrained(graph)), questions(graph, Side.HEAD, 8)
    full, view = full_gradient(scoring, query), live(scoring, 0.0)
    exact = gradient(scoring, query, chosen("all").bind(graph, CPU), view, full, 0, 2)
    assert (exact.bias, exact.cosine, exact.variance) == pytest.approx((0, 1, 0), abs=1e-6)
    few, many = (
        gradient(scoring, query, chosen(f"uniform:num={num}").bind(graph, CPU), view, full, 0, 24) for num in (2, 26)
    )
    assert few.bias > 3 * many.bias  # few draws see little of the partition function
    assert few.variance > many.variance > 0


def test_moments_by_hand() -> None:
    """Draws (3, 0) and (1, 0) against (2, 2): variance 2 of 8; 4 off the mean, of which 2 / 2 are chance."""
    full, draws = torch.tensor([2.0, 2.0]).double(), torch.tensor([[3.0, 0], [1.0, 0]]).double()
    found = moments(draws.mean(0), float(draws.square().sum(1).mean()), full, 2)
    assert found.variance == pytest.approx(2 / 8)
    assert found.bias == pytest.approx(math.sqrt((4 - 1) / 8))
    assert found.cosine == pytest.approx(math.sqrt(0.5))


def test_the_share_of_gradient_on_truths_as_a_loop_adds_it_up() -> None:
    graph = ring()
    scoring, query = untrained(graph), questions(graph, Side.TAIL, 12)
    facts, found = placed(graph, scoring, query)
    sampler = Scripted(
        *(Candidates(torch.randint(30, (12, 6), generator=torch.Generator().manual_seed(i))) for i in range(2))
    )
    draws = drawn(sampler, query, no_live(), 0, 12)
    held = contains(facts.held_out, draws.ids)
    assert held.any()
    assert found.scores is not None
    hit = total = 0.0
    for i, turn in itertools.product(range(12), range(2)):
        columns = range(6 * turn, 6 * turn + 6)
        mass = {j: math.exp(found.scores[i, draws.ids[i, j]]) for j in columns}
        whole = math.exp(found.positive[i]) + sum(mass.values())
        hit += sum(mass[j] / whole for j in columns if held[i, j])
        total += sum(mass.values()) / whole
    assert false_mass(found, draws, held) == pytest.approx(hit / total, rel=1e-5)


# ---------------------------------------------------------------------------------------------------- noises by text


def test_noises_are_named_with_their_settings() -> None:
    found = chosen("best-of:of=8,num=8,pool.name=counted,pool.exponent=0.5")
    assert found.noise == NOISES["best-of"](of=8, num=8, pool=Counted(0.5))
    assert chosen("frequency: exponent=0.75").noise == NOISES["frequency"](exponent=0.75)
    assert chosen("best-of:pool=targets").noise == NOISES["best-of"](pool=Targets())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unifrm", r"no noise 'unifrm'. The closest: uniform"),
        ("uniform:nums=3", r"unknown key 'nums'; legal keys here: num, num_head"),
        ("uniform:num", r"takes key=value"),
        ("uniform:num=0", r"num must lie in \[1"),
        ("best-of:pool.nums=3", r"unknown key 'nums'"),
        ("", r"no noise ''\. All: all, uniform"),
    ],
)
def test_what_is_wrong_with_a_noise_is_said(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        chosen(text)


def test_the_default_noises_are_all_that_fit() -> None:
    @dataclass(frozen=True)
    class Picky(Uniform):
        """Fits no graph."""

        def bind(self, graph: Graph, device: torch.device) -> Sampler:
            raise ValueError("never")

    with mock.patch.dict(NOISES, {"picky": Picky}):
        found, left_out = all_chosen([], ring())
    assert {each.label for each in found} >= {"uniform", "frequency", "best-of", "nscaching"}
    assert left_out[-1].startswith("picky is left out: Noise 'picky' does not fit graph 'small': never")
    with mock.patch.dict(NOISES, {"picky": Picky}), pytest.raises(UserError, match="does not fit"):
        all_chosen(["picky"], ring())


# ---------------------------------------------------------------------------------------------------- no leak


class Sealed(Mapping):  # type: ignore[type-arg]
    """Splits whose held-out part must not be read."""

    def __init__(self, splits: Mapping[str, Tensor]) -> None:
        self.splits = splits

    def __getitem__(self, key: str) -> Tensor:
        assert key == "train", f"read {key}"
        return self.splits[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __len__(self) -> int:
        return len(self.splits)


def test_the_training_part_reads_nothing_that_is_held_out() -> None:
    graph = replace(TINY, splits=Sealed(TINY.splits), false={"train": torch.zeros(1, 3), "test": torch.ones(1, 3)})
    for part in (training_part(graph), planted(graph, 0)[0]):
        assert set(part.splits) == {"train"}
        assert set(part.false) == {"train"}


SEEN: list[Graph] = []


@dataclass(frozen=True)
class Watched(Noise):
    """Uniform draws; the graphs that it was bound to are kept."""

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        SEEN.append(graph)
        return Uniform(num=16).bind(graph, device)

    def state_bytes(self, size: Size) -> int:
        return 0


def small_study(graph: Graph, folder: Path, *noises: str) -> Study:
    found, _ = all_chosen(noises, graph)
    study = Study(graph, found, folder, queries=32, draws=64, warm=2, redraws=3)
    for _ in study.reference.train() if not study.reference.finished else ():
        pass
    return study


def test_what_a_filter_makes_again_is_told(tmp_path: Path) -> None:
    """Even draws hit the known answers of a question as often as they are among the entities."""
    found = list(small_study(ring(), tmp_path, "uniform:filtered=true,num=64", "uniform:num=64").measure())
    query = ring().queries(ring().splits["train"], Side.TAIL, grouped=False)
    share = len(ring().answers(["train"], Side.TAIL).of(query.anchor, query.relation).row) / len(query) / 30
    assert found[0].truths.skipped == pytest.approx(share, abs=0.04)
    assert found[2].truths.skipped == 0
    assert found[2].truths.known == pytest.approx(share, abs=0.04)


def test_no_sampler_meets_what_is_held_out(tmp_path: Path) -> None:
    """Whatever valid and test hold, samplers are bound to training triples, and draw and cost the same."""
    graph, other = ring(), ring()
    other.splits["test"][:] = other.splits["test"].flip(0)  # type: ignore[index]
    other.splits["valid"][:, 2] = 0
    SEEN.clear()
    with mock.patch.dict(NOISES, {"watched": Watched}):
        all_chosen([], graph)
        found = [
            list(small_study(each, tmp_path / str(i), "watched", "nscaching:num=8,cache=8,fresh=8").measure())
            for i, each in enumerate((graph, other))
        ]
    assert SEEN
    for bound in SEEN:
        assert set(bound.splits) == {"train"}
        assert not bound.false
    rest = planted(graph, 0)[0].splits["train"]
    assert {len(bound.splits["train"]) for bound in SEEN} == {len(graph.splits["train"]), len(rest)}
    for one, two in zip(*found, strict=True):
        assert (one.hardness, one.diversity, one.gradient) == (two.hardness, two.diversity, two.gradient)
        assert one.truths.planted == two.truths.planted
        assert one.truths.known == two.truths.known
    assert any(one.truths.enrichment != two.truths.enrichment for one, two in zip(*found, strict=True))


def test_the_small_model_sees_neither_held_out_nor_planted_triples(tmp_path: Path) -> None:
    graph = ring()
    study = small_study(graph, tmp_path, "uniform:num=8")
    trained = Run.open(tmp_path / "reference").graph.splits
    rest, hidden = planted(graph, 0)
    assert set(trained) == {"train"}
    assert torch.equal(trained["train"], rest.splits["train"])
    assert len(hidden)
    with pytest.raises(UserError, match="another graph or seed"):
        _ = replace(study, seed=1).reference
    assert replace(study, warm=1).reference.folder == study.reference.folder


# ---------------------------------------------------------------------------------------------------- end to end


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small graph and a run on it."""
    folder = tmp_path_factory.mktemp("probed")
    graph = small_graph(folder / "graph")
    (graph / "false.tsv").write_text("e0\tr0\te5\ne3\tr1\te9\n", encoding="utf-8")
    settings: dict[str, Any] = {"model.dim": 8, "train.epochs": 3, "train.batch_size": 25}
    package.train(load(str(graph)), "default", folder=folder / "run", **settings)
    return graph, folder / "run"


FEW = ["--queries", 16, "--draws", 48, "--warm", 2, "--redraws", 2]


def test_probe_from_end_to_end(falsum: Command, trained: tuple[Path, Path], tmp_path: Path) -> None:
    graph, run = trained
    noises = ["--noise", "uniform:num=16", "--noise", BEST_OF_4_OF_16_FILTERED]
    shown = falsum.ok("probe", graph, "--run", run, *noises, *FEW, "--out", tmp_path)
    for word in (
        f"{BEST_OF_4_OF_16_FILTERED}, tail: ",
        "as often as uniform",
        "planted",
        "uniform has 0.5",
    ):
        assert word in shown

    def strict(name: str) -> None:
        raise AssertionError(name)

    found = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"), parse_constant=strict)
    assert [(f["noise"].split(":")[0], f["side"]) for f in found["findings"]] == [
        (noise, side) for noise in ("uniform", "best-of") for side in ("tail", "head")
    ]
    assert found["setup"]["small"] is False
    assert found["findings"][2]["truths"]["filtered"] is True
    assert found["findings"][2]["cost"]["scores"] == pytest.approx(4)
    assert found["setup"]["stated_false"] == 2
    assert "| side | noise | hardness |" in (tmp_path / "probe.md").read_text(encoding="utf-8")
    page = Strict((tmp_path / "probe.html").read_text(encoding="utf-8"))
    tags = [tag for tag, _ in page.elements]
    assert tags.count("svg") == 4
    assert not {"script", "link", "img"} & set(tags)
    assert "best of M uniform, filtered" in page.words()
    again = falsum.ok("probe", run, *noises[:2], *FEW, "--out", tmp_path / "folder")
    assert f"{run}, which has trained on the planted triples" in again


def test_a_probe_repeats_itself(trained: tuple[Path, Path], tmp_path: Path) -> None:
    graph, run = load(str(trained[0])), Run.open(trained[1])
    few: dict[str, Any] = {"queries": 16, "draws": 32, "redraws": 2, "run": run}
    one, two = (api.probe(graph, ["uniform:num=8"], folder=tmp_path / str(i), **few) for i in range(2))
    a, b = ([replace(f, cost=None) for f in found.findings] for found in (one, two))  # type: ignore[arg-type]
    assert a == b


def test_without_a_run_a_small_model_is_trained_and_kept(falsum: Command, tmp_path: Path) -> None:
    triples = [(f"e{h}", f"r{r}", f"e{(h + r + s) % 20}") for h in range(20) for r in range(2) for s in (1, 3)]
    graph = write_graph(tmp_path / "graph", train=triples)
    arguments = ["probe", graph, "--noise", "uniform:num=8", *FEW, "--out", tmp_path / "out"]
    first = falsum.ok(*arguments)
    assert "training a small reference model" in first
    assert "neither valid nor test triples" in first
    assert "no frontier" in (tmp_path / "out" / "probe.html").read_text(encoding="utf-8")
    assert "training a small" not in falsum.ok(*arguments)
    assert "another graph or seed" in falsum(*arguments, "--seed", 1).error


def test_negatives_by_label(falsum: Command, trained: tuple[Path, Path]) -> None:
    graph, run = trained
    asked = ["--head", "e0", "--relation", "r0", "-n", 24]
    shown = falsum.ok("negatives", graph, *asked, "--noise", "uniform:num=24,replacement=false", "--noise", "all")
    assert "e0 r0 ?" in shown
    assert "known" in shown
    assert "e5 stated false" in shown
    assert "%" not in shown, "no model was asked"
    assert "known, skipped" in shown  # all entities but the target
    seen = falsum.ok("negatives", run, *asked, "--noise", "uniform")
    assert "%)" in seen
    trains = falsum.ok("negatives", graph, "--tail", "e1", "--relation", "r0", "--noise", "best-of", "--noise", "all")
    assert "best-of: no --run, so a small model is trained first" in trains
    assert "%)" in trains


def test_listed_negatives_are_marked_as_the_graph_says(trained: tuple[Path, Path]) -> None:
    graph = load(str(trained[0]))
    frame = package.negatives(graph, ["all"], head="e0", relation="r0", num=24)
    known, held = ({graph.entities[int(t)] for h, r, t in torch.cat([graph.splits[s] for s in splits])
                    if graph.entities[int(h)] == "e0" and graph.relations[int(r)] == "r0"}
                   for splits in (["train"], ["valid", "test"]))  # fmt: skip
    assert {row["label"] for row in frame.iter_rows(named=True) if "known" in row["mark"]} == known
    assert {row["label"] for row in frame.iter_rows(named=True) if "held out" in row["mark"]} == held - known
    assert frame["score_percentile"].null_count() == len(frame) == 24


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["probe", "GRAPH", "--noise", "unifrm"], "There is no noise 'unifrm'. The closest: uniform."),
        (["probe", "GRAPH", "--noise", "uniform:nums=3"], "unknown key 'nums'; legal keys here: num,"),
        (["probe", "GRAPH", "--noise", "uniform:num=30,replacement=false"], "does not fit graph"),
        (["probe", "GRAPH", "--queries", "1"], "queries must lie in"),
        (["probe", "ring", "--run", "RUN"], ""),
        (["negatives", "GRAPH", "--relation", "r0"], "give --head to see negative tails"),
        (["negatives", "GRAPH", "--relation", "r0", "--head", "e0", "--tail", "e1"], "give --head"),
        (["negatives", "GRAPH", "--relation", "r00", "--head", "e0"], "The closest: 'r0'"),
        (["negatives", "GRAPH", "--relation", "r0", "--head", "e00"], "The closest: 'e0'"),
        (["negatives", "GRAPH", "--relation", "e0", "--head", "e0"], "it is an entity"),
    ],
)
def test_what_cannot_be_probed_is_refused(
    falsum: Command, trained: tuple[Path, Path], arguments: list[str], said: str
) -> None:
    words = {"GRAPH": str(trained[0]), "RUN": str(trained[1])}
    assert said in falsum(*(words.get(word, word) for word in arguments)).error


def test_other_refusals(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run = Run.open(trained[1])
    with pytest.raises(UserError, match="another graph"):
        Study(ring(), [], tmp_path, run)
    with pytest.raises(UserError, match="another graph"):
        Listing(ring(), "r0", head="e0", run=run)
    with pytest.raises(UserError, match="fewer than 20"):
        Study(TINY, [], tmp_path)
    graph = graph_of(6, 2, train=[(0, 0, 1), (0, 1, 2)])
    with pytest.raises(UserError, match="As tail it has: 'r0'"):
        Listing(graph, "r1", tail="e1")
