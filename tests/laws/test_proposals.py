"""What noises are put together from: odds that are those of the draws, sets, corrections, slots, counts, and state."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from falsum.curves import CURVES, Constant, Ramp, RiseFall
from falsum.graph.graph import BOTH_SIDES, Graph, Query, Side
from falsum.noise import NOISES, Candidates, Composed, Drawn, Frequency, Noise, PseudoTyped, Size, Uniform
from falsum.noise.base import bytes_of
from falsum.noise.counts import Rarer
from falsum.noise.pools import POOLS, Difference, Everyone, Intersection, Members, Pool, Seen, Union
from falsum.noise.proposals import PROPOSALS, Best, Counted, Even, Mixture, Proposal, Targets
from falsum.noise.request import Request
from falsum.noise.slots import Bernoulli, Both, OneSide
from falsum.objectives import NegativeSampling, SoftmaxCrossEntropy
from falsum.scan.loss import loss
from falsum.seeds import generator
from laws import worlds

GRAPHS = [worlds.graph(), worlds.graph().with_inverses()]
POOL_CASES: list[Pool] = [
    *(pool() for pool in POOLS.values()),
    Union(Seen(), Everyone()),
    Intersection(Everyone(), Seen()),
    Difference(Everyone(), Seen()),
    Difference(Seen(), Everyone()),
]
EXACT: list[Proposal] = [
    Even(),
    *(Even(pool) for pool in POOL_CASES),
    Counted(1.0),
    Counted(0.75, by="degree"),
    Counted(0.5, start=1.0, pool=Seen()),
    Counted(1.0, pool=Difference(Seen(), Everyone())),
    Mixture(Even(Seen()), Even(), Constant(0.3)),
    Mixture(Counted(1.0), Even(), Constant(1.0)),
    *(each for member in PROPOSALS.values() if (each := member()).exact and each.sees != "batch"),
]


def questions(g: Graph, side: Side) -> Query:
    return g.queries(g.splits["train"], side, grouped=False)


def asked(g: Graph, query: Query, num: int, seed: int) -> Request:
    return Request(query, len(query), num, query.target, generator(seed), worlds.live(g))


def chi_square(counts: Tensor, odds: Tensor) -> float:
    """Over the cells that can be drawn; infinite when one that cannot was."""
    expected = counts.sum() * odds
    if bool((counts[odds == 0] > 0).any()):
        return math.inf
    inside = odds > 0
    return float(((counts - expected)[inside] ** 2 / expected[inside]).sum())


@pytest.mark.parametrize("proposal", EXACT, ids=str)
def test_odds_sum_to_one_and_are_those_of_the_draws(proposal: Proposal) -> None:
    """By enumeration, and by 20,000 draws of each question: 45 is passed by chance once in 10^7 times at 6 degrees."""
    for g, side in itertools.product(GRAPHS, BOTH_SIDES):
        query = questions(g, side).select(torch.tensor([0, 5]))
        proposer = proposal.bind(g, worlds.CPU)
        request = asked(g, query, 20000, 3)
        for ids in (torch.arange(7)[None], torch.arange(7).expand(2, 7)):
            odds = proposer.log_q(request, ids).double().exp().expand(2, 7)
            torch.testing.assert_close(odds.sum(1), torch.ones(2, dtype=torch.float64))
        drawn = proposer.draw(request)
        for row in range(2):
            assert chi_square(torch.bincount(drawn[row], minlength=7).double(), odds[row]) < 45


def test_the_test_of_odds_can_fail() -> None:
    odds = torch.tensor([0.5, 0.3, 0.2])
    assert chi_square(torch.tensor([5000.0, 3000, 2000]), odds) < 1
    assert chi_square(torch.tensor([5000.0, 2600, 2400]), odds) > 45
    assert chi_square(torch.tensor([5.0, 1, 0]), torch.tensor([1.0, 0, 0])) == math.inf


def test_targets_are_drawn_as_often_as_they_stand_in_the_batch() -> None:
    g = GRAPHS[0]
    query = questions(g, Side.TAIL)
    proposer = Targets().bind(g, worlds.CPU)
    drawn = proposer.draw(replace(asked(g, query, 20000, 1), rows=1))
    share = torch.bincount(query.target, minlength=7).double() / len(query)
    assert chi_square(torch.bincount(drawn[0], minlength=7).double(), share) < 45
    # The whole split is the batch here, so the odds of an epoch are those of the batch.
    torch.testing.assert_close(proposer.log_q(asked(g, query, 1, 0), torch.arange(7)[None])[0].exp(), share)


# Sets


def sets_of(pool: Pool, g: Graph, query: Query) -> list[set[int]]:
    members = pool.bind(g, worlds.CPU).of(query)
    starts, counts = members.start.tolist(), members.count.tolist()
    rows = [members.entity[s : s + n].tolist() for s, n in zip(starts, counts, strict=True)]
    assert all(row == sorted(set(row)) for row in rows)
    return [set(row) for row in rows]


def seen(g: Graph, query: Query, i: int) -> set[int]:
    wanted = int(query.relation[i]) % g.num_base_relations
    place = 2 if query.slot is Side.TAIL else 0
    return {triple[place] for triple in g.splits["train"].tolist() if triple[1] == wanted}


@pytest.mark.parametrize("side", BOTH_SIDES)
def test_pools_hold_what_sets_of_python_hold(side: Side) -> None:
    for g in GRAPHS:
        query, everyone = questions(g, side), set(range(7))
        fillers = [seen(g, query, i) for i in range(len(query))]
        halves = sets_of(Seen(), g, query)
        assert halves == fillers
        assert sets_of(Everyone(), g, query) == [everyone] * len(query)
        assert sets_of(Union(Seen(), Everyone()), g, query) == [everyone] * len(query)
        assert sets_of(Intersection(Seen(), Everyone()), g, query) == fillers
        assert sets_of(Difference(Everyone(), Seen()), g, query) == [everyone - own for own in fillers]


def test_membership_is_bisected_right() -> None:
    pick = random.Random(0)
    rows = [sorted(pick.sample(range(50), pick.randrange(0, 20))) for _ in range(40)]
    count = torch.tensor([len(row) for row in rows])
    members = Members(count.cumsum(0) - count, count, torch.tensor(list(itertools.chain(*rows))))
    ids = torch.arange(50)[None]
    assert members.holds(ids).tolist() == [[e in row for e in range(50)] for row in rows]
    nobody = torch.zeros(3, dtype=torch.int64)
    assert not members.holds(torch.full((1, 4), 50)).any()
    assert not Members(nobody, nobody, nobody[:0]).holds(torch.arange(4)[None]).any()


@pytest.mark.parametrize("pool", POOL_CASES, ids=str)
def test_pools_know_nothing_of_held_out_triples(pool: Pool) -> None:
    g = GRAPHS[1]
    bare = replace(g, splits={"train": g.splits["train"]})
    for side in BOTH_SIDES:
        assert sets_of(pool, g, questions(g, side)) == sets_of(pool, bare, questions(g, side))


def test_an_empty_set_leaves_everybody() -> None:
    """Nobody is seen where a relation never occurs; drawing goes on."""
    train = torch.tensor([[0, 0, 1], [2, 0, 3]])
    g = replace(GRAPHS[0], splits={"train": train})
    query = replace(questions(g, Side.TAIL), relation=torch.tensor([1, 1]))
    for proposal in (Even(Seen()), Counted(1.0, pool=Seen())):
        drawn = proposal.bind(g, worlds.CPU).draw(asked(g, query, 500, 0))
        assert set(drawn.flatten().tolist()) == set(range(7))


# Filters


@pytest.mark.parametrize("noise", [PseudoTyped(num=40, uniform=Constant(0.0)), PseudoTyped(num=40, replacement=False)])
@pytest.mark.parametrize("side", BOTH_SIDES)
def test_a_question_whose_pool_is_all_answers_still_gets_candidates(noise: Noise, side: Side) -> None:
    """A saturated question ends, and draws from elsewhere rather than not at all; no known answer counts."""
    train = torch.tensor([[h, 0, t] for h in range(3) for t in (3, 4)])
    g = replace(GRAPHS[0], splits={"train": train})
    query = questions(g, side)
    drawn = noise.bind(g, worlds.CPU).draw(query, 0, worlds.live(g))
    for i in range(len(query)):
        answers = {
            t[2 if side is Side.TAIL else 0]
            for t in train.tolist()
            if t[0 if side is Side.TAIL else 2] == query.anchor[i]
        }
        left = {e for e, *_ in worlds.counted(query, drawn, i, 7)}
        assert left
        assert not left & answers


def test_only_the_target_is_left_out_where_asked() -> None:
    g = worlds.graph(7, 1, sizes=(30, 0, 0))
    query = questions(g, Side.TAIL)
    ids = Uniform(num=200, filtered="target").bind(g, worlds.CPU).draw(query, 0, worlds.live(g)).ids
    for i, row in enumerate(ids.tolist()):
        assert set(row) == set(range(7)) - {int(query.target[i])}


def test_repeats_count_once_without_replacement() -> None:
    """Where distinct draws run out, what repeats has weight 0."""
    g = GRAPHS[0]
    query = questions(g, Side.TAIL)
    drawn = Composed(num=7, proposal=Even(Seen()), replacement=False).bind(g, worlds.CPU).draw(query, 0, worlds.live(g))
    weight = torch.ones(len(query), 7) if drawn.weight is None else drawn.weight
    for row, counted in zip(drawn.ids.tolist(), weight.tolist(), strict=True):
        once = [e for e, w in zip(row, counted, strict=True) if w]
        assert len(set(once)) == len(once) == len(set(row))


# Corrections


def counting(drawn: Candidates, ids: Tensor) -> Tensor:
    """The weight of every draw, 0 where it is left out."""
    weight = torch.ones(ids.shape) if drawn.weight is None else drawn.weight.expand(ids.shape).clone()
    return weight if drawn.shift is None else weight.masked_fill(drawn.shift.expand(ids.shape) == -torch.inf, 0)


def expected_counts(noise: Drawn, g: Graph, query: Query, draws: int) -> Tensor:
    """(b, E): how often each entity is drawn per draw of the noise."""
    sampler, counts = noise.bind(g, worlds.CPU), torch.zeros(len(query), g.num_entities, dtype=torch.float64)
    for seed in range(draws):
        drawn = sampler.draw(query, seed, worlds.live(g))
        ids = drawn.ids.expand(len(query), -1)
        counts.scatter_add_(1, ids, counting(drawn, ids).double())
    return counts / draws


CORRECTED = [
    Uniform(num=400, correction="refined"),
    Uniform(num=400, correction="refined", filtered=True),
    Uniform(num=400, correction="refined", shared="batch", filtered=True),
    Frequency(num=400, exponent=0.5, correction="refined", filtered=True),
    PseudoTyped(num=400, correction="refined"),
    Composed(num=400, proposal=Counted(0.5, start=2.0, pool=Seen()), correction="refined", count=Rarer(0.7)),
    Uniform(num=4, correction="refined", replacement=False, filtered="target"),
]


@pytest.mark.parametrize("noise", CORRECTED, ids=str)
def test_shifts_are_the_logs_of_expected_counts(noise: Drawn) -> None:
    """The right sign, the count and not the probability, and what filters and counts change in it."""
    for side in BOTH_SIDES:
        g = GRAPHS[0]
        query = questions(g, side).select(torch.tensor([0, 3, 7]))
        often = expected_counts(noise, g, query, 60 if noise.num > 10 else 1000)
        drawn = noise.bind(g, worlds.CPU).draw(query, 0, worlds.live(g))
        assert drawn.shift is not None
        assert drawn.own_shift is None
        ids = drawn.ids.expand(3, -1)
        counted = counting(drawn, ids) > 0
        found = often.gather(1, ids)
        torch.testing.assert_close(
            (-drawn.shift.expand(3, -1)).double().exp()[counted], found[counted], rtol=0.08, atol=0.06
        )


def test_classic_shifts_the_target_by_its_own_count() -> None:
    g = GRAPHS[0]
    query = questions(g, Side.TAIL)
    noise = Frequency(num=40, correction="classic")
    drawn = noise.bind(g, worlds.CPU).draw(query, 0, worlds.live(g))
    share = torch.bincount(g.splits["train"][:, 2], minlength=7).double() / len(query)
    assert drawn.own_shift is not None
    torch.testing.assert_close(drawn.own_shift, -(40 * share[query.target]).log())
    grouped = g.queries(g.splits["train"], Side.TAIL, grouped=True)
    own = (
        PseudoTyped(num=40, correction="classic", uniform=Constant(0.0))
        .bind(g, worlds.CPU)
        .draw(grouped, 0, worlds.live(g))
    )
    fillers = torch.tensor([len(seen(g, grouped, int(i))) for i in grouped.row]).double()
    assert own.own_shift is not None
    torch.testing.assert_close(own.own_shift, (fillers / 40).log())


def relative_bias(noise: Drawn, num: int, draws: int) -> float:
    """How far the mean gradient of a sampled softmax is from that over all entities."""
    g = worlds.graph(30, 1, sizes=(60, 0, 0), seed=3)
    parts = worlds.scoring("distmult", g, seed=1)
    parts.entities.values.mul_(0.6)
    query = questions(g, Side.TAIL).select(torch.arange(20))
    whole = worlds.value_and_gradients(parts, SoftmaxCrossEntropy(), query, Candidates(range(30)))[1][0]
    sampler = replace(noise, num=num).bind(g, worlds.CPU)
    total = torch.zeros_like(whole)
    for seed in range(draws):
        drawn = sampler.draw(query, seed, worlds.live(g))
        total += worlds.value_and_gradients(parts, SoftmaxCrossEntropy(), query, drawn)[1][0]
    return float((total / draws - whole).norm() / whole.norm())


def test_the_bias_of_a_corrected_softmax_falls_with_the_number_of_draws() -> None:
    """For uneven odds; without the correction it stays, and with the wrong sign it would grow."""
    odds = Counted(1.0, start=1.0)
    corrected = Composed(proposal=odds, correction="refined", filtered="target")
    few, many = relative_bias(corrected, 4, 120), relative_bias(corrected, 400, 6)
    plain = relative_bias(replace(corrected, correction="none"), 400, 6)
    assert many < 0.05 < 0.15 < few
    assert plain > 0.15


def test_negative_sampling_with_the_classic_correction_is_noise_contrastive_estimation() -> None:
    """-log P(data | s+) - sum log P(noise | s), P(data | s) = e^s / (e^s + n q): by hand for one question."""
    g = GRAPHS[0]
    parts = worlds.scoring("distmult", g)
    query = questions(g, Side.TAIL).select(torch.tensor([2]))
    drawn = Frequency(num=5, correction="classic").bind(g, worlds.CPU).draw(query, 1, worlds.live(g))
    value = loss(parts, NegativeSampling(), query, drawn, 0).item()
    truth = worlds.Oracle("distmult", parts)
    count = torch.bincount(g.splits["train"][:, 2], minlength=7).double()
    often = (5 * count / count.sum()).tolist()
    s = {e: truth.score(query, 0, e) for e in range(7)}
    target = int(query.target[0])
    expected = -math.log(math.exp(s[target]) / (math.exp(s[target]) + often[target]))
    expected -= sum(math.log(often[e] / (math.exp(s[e]) + often[e])) for e in drawn.ids[0].tolist())
    assert value == pytest.approx(expected, rel=1e-6)


# Slots and counts

# Two heads, one with four tails: a relation of many tails per head. Relation 1 is the other way round.
STAR = torch.tensor([[0, 0, t] for t in (1, 2, 3, 4)] + [[5, 0, 6]] + [[h, 1, 0] for h in (1, 2, 3, 4, 5)])


def star(inverses: bool) -> Graph:
    g = replace(GRAPHS[0], splits={"train": STAR})
    return g.with_inverses() if inverses else g


@pytest.mark.parametrize("inverses", [False, True])
def test_bernoulli_asks_for_heads_where_a_head_has_many_tails(inverses: bool) -> None:
    """5 triples, 2 heads, 5 tails: tph = 2.5, hpt = 1, so the head counts 2 x 2.5 / 3.5. Relation 1: tph 1, hpt 5."""
    g = star(inverses)
    for side, first, second in ((Side.HEAD, 10 / 7, 2 / 6), (Side.TAIL, 4 / 7, 10 / 6)):
        query = questions(g, side)
        share = NOISES["bernoulli"](num=2).bind(g, worlds.CPU).draw(query, 0, worlds.live(g)).share
        expected = torch.where(STAR[:, 1] == 0, first, second).double()
        torch.testing.assert_close(share, expected)


def test_one_side_counts_where_there_is_one_filler() -> None:
    g = star(False)
    shares = OneSide().shares(g)
    assert shares.tolist() == [[0, 2], [2, 0]]
    # tph of relation 0 is 2.5: at a threshold of 3 both its sides are "1"; relation 1 has 5 heads per tail
    assert OneSide(threshold=3.0).shares(g).tolist() == [[1, 2], [1, 0]]
    assert OneSide(threshold=6.0).shares(g).tolist() == [[1, 1], [1, 1]]
    many = replace(g, splits={"train": torch.tensor([[h, 0, t] for h in (0, 1) for t in (2, 3)])})
    assert OneSide().shares(many).tolist() == [[1, 1], [1, 1]]
    assert OneSide(many="neither").shares(many)[:, 0].tolist() == [0, 0]
    assert Both().shares(g) is None
    torch.testing.assert_close(Bernoulli().shares(g).sum(0), torch.full((2,), 2.0, dtype=torch.float64))


def test_frequent_questions_take_fewer_draws() -> None:
    g = star(False)
    query = questions(g, Side.TAIL)
    drawn = Uniform(num=12, count=Rarer(1.0)).bind(g, worlds.CPU).draw(query, 0, worlds.live(g))
    assert drawn.weight is not None
    # (0, 0, ?) has four answers, the others one each
    assert drawn.weight.sum(1).tolist() == [3, 3, 3, 3, 12, 12, 12, 12, 12, 12]
    assert Rarer(1.0, least=5).of(12, torch.tensor([1, 4, 100])).tolist() == [12, 5, 5]
    assert Rarer(0.5).of(12, torch.tensor([4])).tolist() == [6]


# Curves


def test_curves_by_hand() -> None:
    assert [Ramp(0, 1, epochs=4).at(e) for e in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    assert [Ramp(1, 0, epochs=4, wait=2).at(e) for e in (0, 2, 4, 6)] == [1, 1, 0.5, 0]
    assert [Ramp(0, 1, epochs=4, shape="step").at(e) for e in (0, 3.9, 4)] == [0, 0, 1]
    assert Ramp(0, 1, epochs=4, shape="cosine").at(1) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    curve = RiseFall(0.1, 0.5, wait=2, rise=2, fall=4)
    assert [round(curve.at(e), 9) for e in (0, 2, 3, 4, 6, 8, 99)] == [0.1, 0.1, 0.3, 0.5, 0.3, 0.1, 0.1]


ARGUMENTS: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.3},
    "ramp": {"start": 0.7, "stop": 0.2},
    "rise-fall": {"low": 0.1, "high": 0.6},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_curves_stay_between_their_ends(name: str) -> None:
    curve = CURVES[name](**ARGUMENTS[name])
    low, high = curve.ends
    values = [curve.at(e / 4) for e in range(400)]
    assert low <= min(values) <= max(values) <= high


def test_the_share_of_a_mixture_follows_its_curve() -> None:
    g = GRAPHS[0]
    query = questions(g, Side.TAIL)
    proposer = Mixture(Counted(1.0, pool=Seen()), Even(Difference(Everyone(), Seen())), Ramp(0, 1, epochs=10)).bind(
        g, worlds.CPU
    )
    outside = [set(range(7)) - seen(g, query, i) for i in range(len(query))]
    for epoch in (0.0, 2.5, 10.0):
        request = asked(g, query, 8, 0)
        drawn = proposer.draw(replace(request, live=replace(request.live, epoch=epoch)))
        for row, own in zip(drawn.tolist(), outside, strict=True):
            if own:
                assert sum(e in own for e in row) == round(8 * epoch / 10)


def test_a_fraction_of_a_draw_is_given_by_chance() -> None:
    """2 draws at a share of 0.25: half of the rows hold one of the second."""
    g = worlds.graph(7, 1, sizes=(40, 0, 0))
    query = questions(g, Side.TAIL).select(torch.zeros(4000, dtype=torch.int64))
    proposer = Mixture(Best(of=40), Best(of=1), Constant(0.25)).bind(g, worlds.CPU)
    drawn = proposer.draw(asked(g, query, 2, 5))
    top = drawn.mode().values.mode().values
    assert 0.43 < (drawn != top).any(1).double().mean() + 0.5 / 7 < 0.6


# State


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_the_bytes_of_the_state_are_foretold(noise: tuple[str, dict]) -> None:
    """From the sizes of the graph alone: never too few, and not many times too many."""
    built = worlds.make_noise(noise)
    for g in (GRAPHS[1], worlds.graph(60, 3, sizes=(700, 0, 0))):
        kept, told = bytes_of(built.bind(g, worlds.CPU)), built.state_bytes(Size.of(g))
        assert kept <= told <= 4 * kept + 4096


def test_every_tensor_of_a_sampler_is_counted() -> None:
    """What is no buffer would be lost to a move between devices and to the count of bytes."""
    for noise in worlds.noises():
        sampler = worlds.make_noise(noise).bind(GRAPHS[0], worlds.CPU)
        for module in sampler.modules():
            own = {k: v for k, v in vars(module).items() if not k.startswith("_")}
            loose = [
                k
                for k, v in own.items()
                if isinstance(v, Tensor) or (isinstance(v, dict) and any(isinstance(x, Tensor) for x in v.values()))
            ]
            assert not loose, (noise, loose)
