"""Hard candidates: harder than uniform ones, never what is barred, as the definition in loops says, and resumable."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from falsum.curves import Constant, Ramp
from falsum.graph.graph import BOTH_SIDES, Graph, Pairs, Query, Side
from falsum.noise import NOISES, Candidates, Composed, Live, Sampler, Size, Uniform
from falsum.noise.base import bytes_of
from falsum.noise.clusters import alike_in_order, k_means
from falsum.noise.drawing import even_draws
from falsum.noise.known import Barred, Look
from falsum.noise.proposals import (
    Above,
    Around,
    Band,
    Best,
    Chains,
    Closest,
    Diverse,
    Even,
    Influence,
    Neighbours,
    Proposal,
    Proposer,
)
from falsum.noise.proposals.around import steps
from falsum.noise.proposals.chains import Walkers
from falsum.noise.proposals.closest import Remembering
from falsum.noise.proposals.influence import Influenced
from falsum.noise.proposals.ranked import Offer, spread
from falsum.noise.request import Request
from falsum.noise.suspects import Confident, NearPositive, Nobody
from falsum.scan.loss import live as live_of
from falsum.scan.scoring import Scoring
from falsum.seeds import generator
from laws import worlds

CPU = worlds.CPU
E = 60


def learned(seed: int = 0) -> tuple[Graph, Scoring]:
    """A graph and a model that knows it: every question's training answers are the model's best two."""
    g = worlds.graph(E, 2, sizes=(1, 0, 0))
    parts = worlds.scoring("distmult", g, seed, dim=8)
    head, relation = (part.flatten() for part in torch.meshgrid(torch.arange(0, E, 2), torch.arange(2), indexing="ij"))
    none = torch.zeros(0, dtype=torch.int64)
    query = Query(head, relation, none, none, torch.ones(0), Side.TAIL, Side.TAIL)
    best = live_of(parts, 0.0).score(query, torch.arange(E)[None]).topk(2).indices
    triples = torch.stack([head.repeat_interleave(2), relation.repeat_interleave(2), best.flatten()], 1)
    return replace(g, splits={"train": triples}), parts


GRAPH, PARTS = learned()
VIEW = live_of(PARTS, 0.0)
QUERY = GRAPH.queries(GRAPH.splits["train"], Side.TAIL, grouped=False)
EVERYONE = torch.arange(E)
# Settings at which a draw of 6 is far from all of E; every named noise of this file, and proposals that none shows.
HARD: list[tuple[str, dict[str, Any]]] = [
    ("near-miss", {"num": 6, "of": 40, "top": Constant(0.2)}),
    ("above-positive", {"num": 6, "of": 40}),
    ("banded", {"num": 6, "of": 40, "low": Constant(0.05), "high": Constant(0.3)}),
    ("positive-aware", {"num": 6, "of": 40, "top": Constant(0.2)}),
    ("nearest-neighbour", {"num": 6, "k": 12}),
    ("eans", {"num": 6, "sigma": Constant(1.0), "clusters": 30}),
    ("sns", {"num": 6, "of": 40, "memory": 3}),
    ("mcns", {"num": 6, "alpha": 1.0, "chains": 6}),
    ("influence", {"num": 6, "of": 20, "temperature": Constant(0.5), "share": 0.5, "width": 8}),
    ("hasa", {"num": 6, "of": 40, "top": Constant(0.1), "hard": Constant(0.6), "suspects": Nobody()}),
    ("hard-diverse", {"num": 6, "of": 20}),
]
COMPOSED: list[Proposal] = [Band(20, Best(2)), Above(8, Best(2)), Closest(8, Best(2)), Diverse(12, Best(2))]
NOISY = [*HARD, *(("composed", {"num": 6, "filtered": True, "proposal": each}) for each in COMPOSED)]


def sampler(noise: tuple[str, dict[str, Any]], g: Graph = GRAPH) -> Sampler:
    return NOISES[noise[0]](**noise[1]).bind(g, CPU)


def taught(noise: tuple[str, dict[str, Any]], rounds: int = 4) -> Sampler:
    """A sampler after some steps of a model that does not change."""
    made = sampler(noise)
    for step, side in itertools.product(range(rounds), BOTH_SIDES):
        query = GRAPH.queries(GRAPH.splits["train"], side, grouped=False)
        made.learn(query, made.draw(query, step, VIEW), VIEW, step)
    return made


def percentiles(query: Query, ids: Tensor) -> Tensor:
    """(b, n) share of entities that score less than each candidate."""
    scores = VIEW.score(query, EVERYONE[None])
    return (scores[:, None, :] < scores.gather(1, ids)[:, :, None]).double().mean(-1)


def answers(g: Graph, query: Query) -> list[set[int]]:
    """The known training answers of every question, from the triples."""
    known = [set[int]() for _ in range(len(query))]
    for i, (anchor, relation) in enumerate(zip(query.anchor.tolist(), query.relation.tolist(), strict=True)):
        for head, r, tail in g.splits["train"].tolist():
            given, wanted = (head, tail) if query.slot is Side.TAIL else (tail, head)
            if (given, r) == (anchor, relation % g.num_base_relations):
                known[i].add(wanted)
    return known


def ask(
    made: Proposer, query: Query = QUERY, num: int = 4, seed: int = 0, view: Live = VIEW, bars: bool = True
) -> Tensor:
    barred = GRAPH.answers(["train"], query.slot).of(query.anchor, query.relation) if bars else None
    return made.draw(request(query, num, seed, view, barred))


def request(query: Query, num: int, seed: int = 0, view: Live = VIEW, barred: Any = None) -> Request:
    found = None if barred is None else Given(barred)
    return Request(query, len(query), num, query.target, generator(seed), view, found)


class Given(Barred):
    """Pairs by hand."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def of(self, query: Query) -> Pairs:
        return self.pairs

    def look(self, query: Query) -> Look:
        keys = self.pairs.row * E + self.pairs.entity
        return lambda rows, ids: torch.isin(rows * E + ids, keys)


# Every hard noise


def test_uniform_draws_are_no_harder_than_half() -> None:
    """The null of the next law: it would pass 0.6 one time in 10^6 at most."""
    ids = Uniform(num=6, filtered=True).bind(GRAPH, CPU).draw(QUERY, 0, VIEW).ids
    assert isinstance(ids, Tensor)
    assert percentiles(QUERY, ids).mean() < 0.55


@pytest.mark.parametrize("noise", NOISY, ids=worlds.label)
@pytest.mark.parametrize("side", BOTH_SIDES)
def test_hard_draws_are_hard_and_false(noise: tuple[str, dict[str, Any]], side: Side) -> None:
    """Harder than uniform ones, no known answer and so no target among them, distinct where promised, no gradient."""
    query = GRAPH.queries(GRAPH.splits["train"], side, grouped=False)
    made, known = taught(noise), answers(GRAPH, query)
    drawn = [made.draw(query, seed, VIEW) for seed in range(3)]
    for each in drawn:
        assert isinstance(each.ids, Tensor)
        assert not any(set(row) & own for row, own in zip(each.ids.tolist(), known, strict=True))
        assert each.weight is None
    assert torch.cat([percentiles(query, each.ids) for each in drawn]).mean() > 0.6  # type: ignore[arg-type]
    assert PARTS.entities.weight.grad is None
    assert not any(tensor.requires_grad for tensor in made.state_dict().values())
    apart = worlds.make_noise((noise[0], noise[1] | {"replacement": False})).bind(GRAPH, CPU).draw(query, 0, VIEW)
    for i, row in enumerate(apart.ids.tolist()):  # type: ignore[union-attr]
        counts = [1.0] * len(row) if apart.weight is None else apart.weight[i].tolist()
        assert sum(counts) == len(set(row))


@pytest.mark.parametrize("name", ["near-miss", "above-positive", "nearest-neighbour", "sns", "hard-diverse"])
def test_ranked_draws_are_distinct_where_there_are_enough(name: str) -> None:
    made = sampler((name, dict(HARD)[name] | ({"exploit": Constant(0.0)} if name == "sns" else {})))
    made.filter = None
    own = replace(made.settings, filtered=True).bind(GRAPH, CPU) if name != "nearest-neighbour" else made
    ids = own.draw(QUERY, 0, VIEW).ids
    repeats = sum(len(row) - len(set(row)) for row in ids.tolist())  # type: ignore[union-attr]
    # Half of the hard and diverse ones are uniform
    assert repeats == 0 or (name == "hard-diverse" and repeats < 0.1 * ids.numel())  # type: ignore[union-attr]


@pytest.mark.parametrize("noise", NOISY, ids=worlds.label)
def test_a_resumed_sampler_draws_as_if_it_had_not_stopped(noise: tuple[str, dict[str, Any]]) -> None:
    """The model has moved on within the epoch: what is kept of before counts."""
    moved = live_of(worlds.scoring("distmult", GRAPH, 5, dim=8), 0.5)
    made, resumed, fresh = taught(noise), sampler(noise), sampler(noise)
    assert set(resumed.state_dict()) == set(made.state_dict())
    resumed.load_state_dict(made.state_dict())
    for step in range(2):
        one, two = (each.draw(QUERY, step, moved) for each in (made, resumed))
        assert torch.equal(one.ids, two.ids)  # type: ignore[arg-type]
        for each in (made, resumed):
            each.learn(QUERY, one, moved, step)
    if made.state_dict():
        assert not torch.equal(fresh.draw(QUERY, 0, moved).ids, made.draw(QUERY, 0, moved).ids)  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", NOISY, ids=worlds.label)
def test_state_is_what_the_formula_says(noise: tuple[str, dict[str, Any]]) -> None:
    made, size = worlds.make_noise(noise), Size.of(GRAPH)
    kept = bytes_of(made.bind(GRAPH, CPU))
    assert kept <= made.state_bytes(size) <= 2 * kept


@pytest.mark.parametrize("noise", NOISY, ids=worlds.label)
def test_a_question_of_several_answers_draws_too(noise: tuple[str, dict[str, Any]]) -> None:
    query, made = GRAPH.queries(GRAPH.splits["train"], Side.TAIL, grouped=True), sampler(noise)
    assert not query.single
    ids = made.draw(query, 0, VIEW).ids
    assert isinstance(ids, Tensor)
    assert ids.shape == (len(query), 6)
    assert not any(set(row) & own for row, own in zip(ids.tolist(), answers(GRAPH, query), strict=True))
    made.learn(query, Candidates(ids), VIEW, 0)


# Ranks


def test_spread_places_come_equally_often_and_once() -> None:
    size = torch.tensor([5, 7, 12, 30]).repeat_interleave(30)
    place = torch.stack([spread(size, 5, generator(seed)) for seed in range(100)], 1)
    assert ((place >= 0) & (place < size[:, None, None])).all()
    assert (place.sort(-1).values.diff(dim=-1) > 0).all()
    for num, rows in zip((5, 7, 12, 30), place.split(30), strict=True):
        for part in (rows, rows[..., 0]):  # also the first of a row: they are in no order
            count = torch.bincount(part.flatten(), minlength=num) / part.numel()
            torch.testing.assert_close(count, torch.full_like(count, 1 / num), rtol=0.5, atol=0)
    assert sorted(spread(torch.tensor([2]), 6, generator(0))[0].tolist()) == [0, 0, 0, 1, 1, 1]


def ranking(i: int, scores: Tensor, known: list[set[int]]) -> list[int]:
    """Entities that are not barred, best first."""
    return sorted(set(range(E)) - known[i], key=lambda e: -float(scores[i, e]))


@pytest.mark.parametrize("ceiling", [None, 0.9, 0.5])
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (0.1, 0.35), (0.5, 1.0), (0.2, 0.201)])
def test_a_band_is_that_of_the_sorted_list(low: float, high: float, ceiling: float | None) -> None:
    made = Band(0, low=Constant(low), high=Constant(high), ceiling=ceiling).bind(GRAPH, CPU)
    drawn, scores, known = ask(made, num=60), VIEW.score(QUERY, EVERYONE[None]), answers(GRAPH, QUERY)
    lifted = 0
    for i, target in enumerate(QUERY.target.tolist()):
        order = ranking(i, scores, known)
        if ceiling is not None:
            mean, own = sum(float(scores[i, e]) for e in order) / len(order), float(scores[i, target])
            below = [e for e in order if own <= mean or float(scores[i, e]) <= mean + ceiling * (own - mean)]
            lifted += len(below) < len(order)
            order = below or order
        first = min(math.floor(low * len(order) + 1e-6), len(order) - 1)
        last = max(first + 1, math.ceil(high * len(order) - 1e-6))
        assert set(drawn[i].tolist()) == set(order[first:last])
    assert ceiling is None or lifted > 10


def test_a_band_may_move_with_the_epoch() -> None:
    made = Band(0, low=Ramp(0.0, 0.5, epochs=10), high=Ramp(0.1, 1.0, epochs=10)).bind(GRAPH, CPU)
    early, late = (percentiles(QUERY, ask(made, view=replace(VIEW, epoch=epoch))).mean() for epoch in (0.0, 10.0))
    assert early > 0.85
    assert late < 0.35


@pytest.mark.parametrize("slack", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize("least", [1, 5])
def test_above_is_what_scores_at_least_the_target_or_the_best_others(slack: float, least: int) -> None:
    # Any target: those of the graph are the model's best, with nobody above.
    query = replace(QUERY, target=(QUERY.target * 7 + 3) % E)
    drawn = ask(Above(0, slack=slack, least=least).bind(GRAPH, CPU), query, num=60)
    scores, known = VIEW.score(query, EVERYONE[None]), answers(GRAPH, query)
    for i, target in enumerate(query.target.tolist()):
        order = ranking(i, scores, known)
        above = [e for e in order if float(scores[i, e]) >= float(scores[i, target]) - slack]
        # Whether the target scores as much as itself is a matter of how its product is rounded.
        assert set(drawn[i].tolist()) - {target} == set(order[: max(len(above), least)]) - {target}


def test_of_all_entities_the_top_num_are_the_near_misses() -> None:
    made = sampler(("near-miss", {"num": 6, "of": 0, "top": Constant(0.1)}))
    scores, known = VIEW.score(QUERY, EVERYONE[None]), answers(GRAPH, QUERY)
    for i, row in enumerate(made.draw(QUERY, 0, VIEW).ids.tolist()):  # type: ignore[union-attr]
        assert set(row) == set(ranking(i, scores, known)[:6])


# Neighbours


@pytest.mark.parametrize("metric", ["cosine", "euclid"])
def test_neighbours_are_the_nearest_rows(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falsum.noise.proposals.neighbours.ENTITIES", 7)
    monkeypatch.setattr("falsum.noise.proposals.neighbours.QUESTIONS", 5)
    rows, drawn = PARTS.entities.values, ask(Neighbours(4, metric=metric).bind(GRAPH, CPU), num=4)

    def far(e: int, target: int) -> float:
        if metric == "euclid":
            return float((rows[e] - rows[target]).norm())
        return -float(torch.nn.functional.cosine_similarity(rows[e], rows[target], dim=0))

    for i, target in enumerate(QUERY.target.tolist()):
        others = sorted((e for e in range(E) if e != target), key=lambda e: far(e, target))
        assert set(drawn[i].tolist()) == set(others[:4])


def test_neighbours_are_looked_for_again_when_they_are_old_and_asked_for() -> None:
    made = Neighbours(4, every=2).bind(GRAPH, CPU)
    other = worlds.scoring("distmult", GRAPH, 9, dim=8)
    before = ask(made)
    assert torch.equal(before, ask(made, view=live_of(other, 1.9)))
    assert (made.looked[QUERY.target] == 0).all()
    assert (made.looked == -1).sum() == E - len(set(QUERY.target.tolist()))
    after = ask(made, view=live_of(other, 2.0))
    assert not torch.equal(before, after)
    assert torch.equal(after, ask(Neighbours(4).bind(GRAPH, CPU), view=live_of(other, 2.0)))


# The order of entities


def normal(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


@pytest.mark.parametrize(("sigma", "num"), [(1.0, 50), (2.5, 7), (30.0, 5), (0.5, 2)])
def test_steps_are_a_rounded_normal_round_the_ends(sigma: float, num: int) -> None:
    step, odds = steps(sigma, num, CPU)
    wrapped = [0.0] * num
    for k in range(-400, 401):
        wrapped[k % num] += normal((k + 0.5) / sigma) - normal((k - 0.5) / sigma)
    expected = [p / (1 - wrapped[0]) for p in wrapped[1:]]
    full = torch.zeros(num, dtype=torch.float64).index_put((step,), odds)
    torch.testing.assert_close(full[1:].tolist(), expected, rtol=1e-6, atol=1e-12)
    assert float(odds.sum()) == pytest.approx(1, rel=1e-12)


def test_steps_of_one_by_hand() -> None:
    """sigma 1: one step either way has .241730, two .060598, three .005977; without 0 they share out .617075."""
    step, odds = steps(1.0, 1000, CPU)
    values = dict(zip(step.tolist(), odds.tolist(), strict=True))
    for far, p in ((1, 0.241730), (2, 0.060598), (3, 0.005977)):
        assert values[far] == values[1000 - far] == pytest.approx(p / 0.617075, abs=2e-6)


@pytest.mark.parametrize("grouped", [False, True])
def test_around_knows_its_odds(grouped: bool) -> None:
    query = GRAPH.queries(GRAPH.splits["train"][:8], Side.TAIL, grouped=grouped)
    made = Around(Constant(3.0)).bind(GRAPH, CPU)
    count = torch.zeros(len(query), E, dtype=torch.float64)
    for seed in range(60):
        drawn = ask(made, query, num=200, seed=seed, bars=False)
        count += torch.nn.functional.one_hot(drawn, E).sum(1)
    odds = made.log_q(request(query, 1), EVERYONE[None]).exp()
    torch.testing.assert_close(odds.sum(1), torch.ones(len(query), dtype=torch.float64), rtol=1e-9, atol=0)
    torch.testing.assert_close(count / 12000, odds, rtol=0, atol=0.1 if grouped else 0.02)
    own = torch.arange(len(query))[query.row]
    assert not (count[own, query.target] > 0).any() or grouped
    assert torch.equal(odds, made.log_q(request(query, 1), EVERYONE.expand(len(query), -1)).exp())


def test_neighbours_in_order_are_alike() -> None:
    """Eight clouds on a line: the order runs through one after the other, and along each."""
    cloud = torch.arange(8).repeat(25)
    rows = torch.stack([10.0 * cloud, torch.randn(200, generator=generator(0))], 1)
    order = alike_in_order(rows, 8, 10, generator(3))
    assert sorted(order.tolist()) == list(range(200))
    jumps = (rows[order[1:]] - rows[order[:-1]]).norm(dim=1).mean()
    assert jumps < 0.25 * (rows[1:] - rows[:-1]).norm(dim=1).mean()
    assert torch.equal(order, alike_in_order(rows, 8, 10, generator(3)))

    def loss(rounds: int) -> float:
        return float(torch.cdist(rows, k_means(rows, 8, rounds, generator(1))).amin(1).square().sum())

    assert loss(10) < 0.7 * loss(0)
    assert len(alike_in_order(rows, 1, 2, generator(0))) == len(alike_in_order(rows, 200, 1, generator(0))) == 200


def test_the_order_is_made_again_when_it_is_old() -> None:
    made = Around(every=2).bind(GRAPH, CPU)
    other = worlds.scoring("distmult", GRAPH, 9, dim=8)
    ask(made)
    first = made.order.clone()
    ask(made, view=live_of(other, 1.9))
    assert torch.equal(first, made.order)
    ask(made, view=live_of(other, 2.0))
    assert not torch.equal(first, made.order)
    assert torch.equal(made.place[made.order.long()].long(), EVERYONE)


# Closest


def test_the_closest_are_drawn_and_the_good_are_remembered() -> None:
    made = Closest(0, exploit=Constant(0.0), memory=2, scrub=True).bind(GRAPH, CPU)
    assert isinstance(made, Remembering)
    drawn, rows, known = ask(made), PARTS.entities.values, answers(GRAPH, QUERY)
    scores = VIEW.score(QUERY, EVERYONE[None])
    for i, target in enumerate(QUERY.target.tolist()):
        others = set(range(E)) - known[i] - {target}
        assert set(drawn[i].tolist()) == set(sorted(others, key=lambda e: float((rows[e] - rows[target]).norm()))[:4])
    spoilt = drawn.clone()
    spoilt[:, 0] = QUERY.target
    made.learn(QUERY, Candidates(spoilt), VIEW, 0)
    first = {t: i for i, t in reversed(list(enumerate(QUERY.target.tolist())))}
    for target in range(E):
        expected = [-1, -1]
        if target in first:  # of the first two draws, the target itself is none
            expected = [int(spoilt[first[target], 1]), -1]
        assert made.good[target].tolist() == expected
    made.learn(QUERY, Candidates(drawn), VIEW, 0)
    for target, i in first.items():
        seen = {int(spoilt[i, 1]), *drawn[i, :2].tolist()}
        best = sorted(seen, key=lambda e: -float(scores[i, e]))[:2]
        assert made.good[target].tolist() == best
    from_memory = ask(replace_exploit(made, 1.0), bars=False)
    held = made.good[QUERY.target].long()
    assert (from_memory[:, :, None] == held[:, None, :]).any(-1).all()


def test_a_filtered_memory_holds_no_known_answer() -> None:
    """Whatever a step hands back, known answers too, which score highest of all."""
    known = answers(GRAPH, QUERY)
    first = {t: i for i, t in reversed(list(enumerate(QUERY.target.tolist())))}
    spoilt = torch.tensor([sorted(own)[:2] + [e for e in range(E) if e not in own][:4] for own in known])
    for filtered in (True, False):
        made = worlds.make_noise(("sns", {"num": 6, "of": 40, "memory": 6, "filtered": filtered})).bind(GRAPH, CPU)
        made.learn(QUERY, Candidates(spoilt), VIEW, 0)
        held = [set(made.proposer.good[t].tolist()) & known[i] for t, i in first.items()]  # type: ignore[union-attr]
        assert any(held) == (not filtered)


def test_the_target_is_neither_close_to_itself_nor_remembered() -> None:
    made = Closest(0, exploit=Constant(0.0), memory=2).bind(GRAPH, CPU)
    assert isinstance(made, Remembering)
    drawn = ask(made, bars=False)
    assert not (drawn == QUERY.target[:, None]).any()
    drawn[:, 0] = QUERY.target
    made.learn(QUERY, Candidates(drawn), VIEW, 0)
    assert not (made.good == EVERYONE[:, None]).any()
    assert (made.good[QUERY.target, 0] >= 0).all()


def replace_exploit(made: Remembering, share: float) -> Remembering:
    made.settings = replace(made.settings, exploit=Constant(share))
    return made


# Chains


def tiny() -> tuple[Graph, Query, Live, Tensor]:
    """Five entities of uneven degree, one of none, and scores of both signs; (E,) odds at alpha 1, c barred."""
    train = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 3], [1, 0, 2], [1, 0, 1], [3, 0, 0]])
    g = Graph("tiny", {"train": train}, pl.Series([*"abcde"]), pl.Series(["r"]), 1)
    value = torch.tensor([-1.5, 0.5, 4.0, -0.2, 0.8], dtype=torch.float64)
    view = Live(lambda query, ids: value[ids].expand(len(query), -1), VIEW.rows, VIEW.against, 0.0)
    odds = value.masked_fill(torch.arange(5) == 2, -torch.inf).softmax(0)
    return g, g.queries(train[3:4], Side.TAIL, grouped=False), view, odds


@pytest.mark.parametrize(("chains", "steps_"), [(60000, 1), (4000, 40)])
def test_chains_keep_and_reach_the_odds_they_aim_at(chains: int, steps_: int) -> None:
    """One move takes the target's odds to themselves; many take any start there."""
    g, query, view, odds = tiny()
    made = Chains(1.0, chains=chains, steps=steps_, hops=1).bind(g, CPU)
    assert isinstance(made, Walkers)
    if steps_ == 1:
        made.get_buffer("tail")[:] = torch.multinomial(odds, chains, replacement=True, generator=generator(1)).int()
    barred = g.answers(["train"], Side.TAIL).of(query.anchor, query.relation)
    barred = type(barred)(barred.row[-1:], barred.entity[-1:])
    assert barred.entity.tolist() == [2]
    drawn = made.draw(request(query, chains, 3, view, barred))[0]
    share = torch.bincount(drawn, minlength=5).double() / chains
    torch.testing.assert_close(share, odds, rtol=0, atol=4 / math.sqrt(chains) / 2)


@pytest.mark.parametrize("hops", [1, 2])
def test_walks_to_and_fro_are_as_the_degrees(hops: int) -> None:
    """deg(x) K(x, y) = deg(y) K(y, x), with K by powers of the walk's matrix; the log ratio is what moves are told."""
    g, _, _, _ = tiny()
    made = Chains(hops=hops).bind(g, CPU)
    assert isinstance(made, Walkers)
    joins = torch.zeros(5, 5, dtype=torch.float64)
    for head, _, tail in g.splits["train"].tolist():
        joins[head, tail] += 1
        joins[tail, head] += 1
    degree = joins.sum(1)
    once = torch.where(degree[:, None] > 0, joins / degree[:, None].clamp(min=1), torch.eye(5, dtype=torch.float64))
    kernel = torch.linalg.matrix_power(once, hops)
    start = torch.arange(5).repeat_interleave(20000)[:, None]
    end, ratio = made._walk(start, generator(0))
    share = torch.bincount((start * 5 + end).flatten(), minlength=25).view(5, 5).double() / 20000
    torch.testing.assert_close(share, kernel, rtol=0, atol=0.02)
    for x, y, told in set(zip(start[:, 0].tolist(), end[:, 0].tolist(), ratio[:, 0].tolist(), strict=True)):
        assert told == pytest.approx(float((kernel[y, x] / kernel[x, y]).log()), abs=1e-9)


def test_chains_go_on_from_the_last_draws() -> None:
    made = Chains(1.0, chains=3, steps=2).bind(GRAPH, CPU)
    start = made.get_buffer("tail").clone()
    drawn = ask(made, num=5)
    assert torch.equal(start, made.get_buffer("tail"))
    made.learn(QUERY, Candidates(drawn), VIEW, 0)
    at = made.known.row(QUERY)
    first = {row: i for i, row in reversed(list(enumerate(at.tolist())))}
    for row, i in first.items():
        assert made.get_buffer("tail")[row].tolist() == drawn[i, -3:].tolist()
    fewer = ask(made, num=2)
    made.learn(QUERY, Candidates(fewer), VIEW, 0)
    assert made.get_buffer("tail").shape == start.shape


# Influence


def influenced(**settings: Any) -> Influenced:
    made = Influence(0, **({"share": 1.0, "width": 8} | settings)).bind(GRAPH, CPU)
    assert isinstance(made, Influenced)
    return made


def test_help_is_how_a_small_step_on_a_candidate_lowers_the_slices_loss() -> None:
    made = influenced(batch=40, negatives=5, memory=0.0)
    made.learn(QUERY, Candidates(EVERYONE[None]), VIEW, 7)
    # The slice's questions and candidates of this seed again
    random = generator(7)
    asked = made._aside(QUERY, random)
    ids = torch.cat([asked.target[:, None], even_draws((40, 5), E, random)], 1)

    def loss(table: Tensor) -> Tensor:
        scores = VIEW.against(asked, table[ids])
        softplus = torch.nn.functional.softplus
        return (softplus(-scores[:, 0]) + softplus(scores[:, 1:]).mean(1)).sum()

    table = PARTS.entities.values.detach().clone()
    few = QUERY.select(torch.tensor([0, 5, 9]))
    help_ = made.help(few, Offer(EVERYONE[None], torch.ones(3, E, dtype=torch.bool)), VIEW)
    for i, e in itertools.product(range(3), range(0, E, 7)):
        row = table[e].clone().requires_grad_()
        own = torch.nn.functional.softplus(VIEW.against(few.select(torch.tensor([i])), row[None, None])).sum()
        step = torch.autograd.grad(own, row)[0] / made._curvature().double()
        up, down = table.clone(), table.clone()
        up[e] += 1e-5 * step
        down[e] -= 1e-5 * step
        expected = float((loss(up) - loss(down)) / 2e-5)
        assert float(help_[i, e]) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_answers_of_the_slice_are_dropped_and_nothing_known_is_even() -> None:
    """A model that has learned little: a step on an answer of the slice, as if it were false, harms."""
    parts = worlds.scoring("distmult", GRAPH, 3, dim=8)
    parts.entities.values.mul_(0.3)
    made, view = influenced(batch=400), live_of(parts, 0.0)
    offer = Offer(EVERYONE[None], torch.ones(len(QUERY), E, dtype=torch.bool))
    even = made._odds(made.help(QUERY, offer, view), offer.open, 0.0)
    torch.testing.assert_close(even, torch.full_like(even, 1 / E))
    assert made.draw(request(QUERY, 200)).unique().numel() == E
    for step in range(8):
        made.learn(QUERY, Candidates(EVERYONE[None]), view, step)
    odds = made._odds(made.help(QUERY, offer, view), offer.open, 0.0)
    own = odds[torch.arange(len(QUERY)), QUERY.target]
    assert float((own == 0).double().mean()) > float((odds == 0).double().mean()) + 0.2


def test_wide_rows_are_folded_and_products_stay_on_average() -> None:
    x, y = torch.randn(2, 4000, 30, generator=generator(0), dtype=torch.float64)
    y = x + 0.5 * y
    made = influenced(width=32)
    torch.testing.assert_close((made.folded(x) * made.folded(y)).sum(1), (x * y).sum(1))
    narrow = influenced(width=7)
    assert narrow.folded(x).shape == (4000, 7)
    assert float((narrow.folded(x) * narrow.folded(y)).sum(1).mean()) == pytest.approx(30, rel=0.05)
    # Signs, without which columns of one mean add up: |1 + 1 + 1 + 1|^2 in the place of 4
    sizes = [float(narrow.folded(torch.ones(wide)).square().sum()) / wide for wide in range(28, 70)]
    assert sum(sizes) / len(sizes) == pytest.approx(1, abs=0.5)


def test_the_slice_is_of_training_triples() -> None:
    g = worlds.graph(20, 2, sizes=(40, 10, 10)).with_inverses()
    made = Influence(share=0.25).bind(g, CPU)
    train = {tuple(triple) for triple in g.splits["train"].tolist()}
    tails = [made.get_buffer(f"{name}_tail").tolist() for name in ("anchor", "relation", "target")]
    heads = [made.get_buffer(f"{name}_head").tolist() for name in ("anchor", "relation", "target")]
    assert len(tails[0]) == 10
    assert set(zip(*tails, strict=True)) <= train
    assert {(t, r - 2, a) for a, r, t in zip(*heads, strict=True)} == set(zip(*tails, strict=True))


# Diversity


@pytest.mark.parametrize("hardness", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("pool", [None, Best(2)])
def test_diverse_draws_are_the_greedy_ones(hardness: float, pool: Proposal | None) -> None:
    settings = Diverse(0 if pool is None else 14, pool or Even(), hardness=Constant(hardness))
    made = settings.bind(GRAPH, CPU)
    barred = GRAPH.answers(["train"], Side.TAIL).of(QUERY.anchor, QUERY.relation)
    offer = made.offer(request(QUERY, 4, 2, VIEW, barred))  # type: ignore[operator]
    drawn = made.draw(request(QUERY, 4, 2, VIEW, barred))
    scores = VIEW.score(QUERY, offer.ids)
    rows = torch.nn.functional.normalize(PARTS.entities.values, dim=1)
    for i in range(0, len(QUERY), 5):
        ids = offer.ids[0 if len(offer.ids) == 1 else i].tolist()
        left = {e: float(scores[i, j]) for j, e in enumerate(ids) if offer.open[i, j]}
        low, high = min(left.values()), max(left.values())
        chosen: list[int] = []
        while len(chosen) < min(4, len(left)):
            worth = {
                e: hardness * (s - low) / (high - low)
                - (1 - hardness) * max((float(rows[e] @ rows[c]) for c in chosen), default=0.0)
                for e, s in left.items()
                if e not in chosen
            }
            chosen.append(max(worth, key=worth.__getitem__))
        if hardness > 0:  # at 0 the first is anybody
            assert set(drawn[i].tolist()) == set(chosen)
        assert set(drawn[i].tolist()) <= set(left)


def test_diverse_draws_are_less_alike_than_the_top() -> None:
    rows = torch.nn.functional.normalize(PARTS.entities.values, dim=1)

    def alike(hardness: float) -> float:
        ids = ask(Diverse(0, hardness=Constant(hardness)).bind(GRAPH, CPU), num=8)
        return float((rows[ids] @ rows[ids].mT).mean())

    assert alike(1.0) > alike(0.7) > alike(0.3)


# Doubts


def doubts(settings: Any, query: Query = QUERY, view: Live = VIEW) -> Tensor:
    return settings.bind(GRAPH, CPU).doubt(query, EVERYONE[None], view)


def test_what_scores_near_the_target_is_doubted() -> None:
    query = replace(QUERY, target=(QUERY.target * 7 + 3) % E)
    scores = VIEW.score(query, EVERYONE[None])
    close, belief = doubts(NearPositive(ceiling=0.8), query), doubts(Confident(temperature=0.7), query)
    for i, target in enumerate(query.target.tolist()):
        row = scores[i].tolist()
        mean, own = sum(row) / E, row[target]
        spread_ = math.sqrt(sum((s - mean) ** 2 for s in row) / E)
        limit = mean + 0.8 * (own - mean) if own > mean else math.inf
        assert close[i].tolist() == [float(s > limit) for s in row]
        assert belief[i].tolist() == pytest.approx([1 / (1 + math.exp((own - s) / (0.7 * spread_))) for s in row])
    assert 0 < close.sum() < close.numel()
    shifted = replace(VIEW, score=lambda query, ids: VIEW.score(query, ids) * 3 - 50)
    for settings in (NearPositive(), Confident()):
        torch.testing.assert_close(doubts(settings, query), doubts(settings, query, shifted))
    waiting = Confident(strength=Ramp(0.0, 1.0, epochs=1, wait=3))
    assert not doubts(waiting).any()
    assert torch.equal(doubts(waiting, view=replace(VIEW, epoch=4.0)), doubts(Confident()))


def test_doubts_lower_what_a_candidate_counts() -> None:
    drawn = Composed(num=5, suspects=Confident()).bind(GRAPH, CPU).draw(QUERY, 0, VIEW)
    assert isinstance(drawn.ids, Tensor)
    assert drawn.weight is not None
    expected = 1 - doubts(Confident()).gather(1, drawn.ids)
    torch.testing.assert_close(drawn.weight, expected.float())
    shared = Uniform(num=5, shared="batch", suspects=NearPositive(ceiling=0.3)).bind(GRAPH, CPU).draw(QUERY, 0, VIEW)
    assert shared.weight is not None
    assert shared.weight.shape == (len(QUERY), 5)
    assert shared.weight.min() == 0


# Settings


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="of = 0"):
        Band(0, Best(2))
    with pytest.raises(ValueError, match="low must be less"):
        Band(low=Constant(0.5), high=Constant(0.3))
    for wrong in (
        lambda: Band(high=Constant(0.0)),
        lambda: Band(ceiling=0.0),
        lambda: Neighbours(0),
        lambda: Around(Constant(0.0)),
        lambda: Closest(exploit=Constant(1.5)),
        lambda: Chains(-1.0),
        lambda: Influence(temperature=Constant(0.0)),
        lambda: Diverse(hardness=Constant(2.0)),
        lambda: Confident(strength=Constant(2.0)),
    ):
        with pytest.raises(ValueError, match="must lie in"):
            wrong()
    with pytest.raises(ValueError, match="correction"):
        NOISES["eans"](correction="classic")  # type: ignore[call-arg]
    alone = Graph("one", {"train": torch.tensor([[0, 0, 0]])}, pl.Series(["a"]), pl.Series(["r"]), 1)
    for lonely in (Neighbours(), Around()):
        with pytest.raises(ValueError, match="one entity"):
            lonely.bind(alone, CPU)
