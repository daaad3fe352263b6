"""Noises that learn, settings that are steered, shared caches, stated false triples."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor, nn

from falsum.curves import Constant, Curve, Guarded, LiveGradient, Ramp, RiseFall, Steered
from falsum.graph.graph import BOTH_SIDES, Graph, Pairs, Query, Side
from falsum.noise import KBGAN, Candidates, Child, Composed, Curriculum, Live, NSCaching, Size, StatedFalse
from falsum.noise.base import bytes_of
from falsum.noise.dials import Dial
from falsum.noise.known import KnownAnswers
from falsum.noise.proposals import Best, Cached, Even, Generator, Mixture, Proposal, Proposer
from falsum.noise.proposals import Child as ChildProposal
from falsum.noise.request import Request
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read
from falsum.scan.loss import live
from falsum.seeds import generator
from falsum.training.loop import Trainer
from laws import worlds

CPU = worlds.CPU
GRAPH = worlds.graph(11, 3, sizes=(40, 8, 8), seed=2)


def questions(g: Graph, side: Side = Side.TAIL) -> Query:
    return g.queries(g.splits["train"], side, grouped=False)


def repeated(query: Query, times: int) -> Query:
    return query.select(torch.arange(len(query)).repeat(times))


def request(query: Query, num: int, view: Live, seed: int = 0) -> Request:
    return Request(query, len(query), num, query.target, generator(seed), view)


def random_start(proposer: nn.Module, scale: float = 1.0, seed: int = 3) -> None:
    draw = generator(seed)
    with torch.no_grad():
        for p in proposer.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=draw))


def chi_square(counts: Tensor, odds: Tensor) -> float:
    """Per row, over how far its degrees of freedom would have it spread: about N(0, 1)."""
    expected = odds * counts.sum(1, keepdim=True)
    inside = expected > 0
    assert (counts[~inside] == 0).all()
    value = ((counts - expected) ** 2 / expected.clamp(min=1e-30))[inside].sum()
    freedom = inside.sum() - len(counts)
    return float((value - freedom) / (2 * freedom) ** 0.5)


def counted(ids: Tensor, num_entities: int) -> Tensor:
    return torch.zeros(len(ids), num_entities).scatter_add(1, ids, torch.ones(ids.shape))


def scores_by(values: list[float]) -> Live:
    """A model whose score of an entity is given, whatever the question."""
    table = torch.tensor(values, dtype=torch.float64)
    return Live(
        lambda query, ids: (table[list(ids)][None] if isinstance(ids, range) else table[ids]).expand(len(query), -1),
        lambda ids: table[ids][..., None],
        lambda query, rows: rows.sum(-1),
        0.0,
    )


def train(proposer: Proposer, query: Query, view: Live, steps: int, lr: float = 0.05) -> None:
    optimizer = torch.optim.Adam(proposer.parameters(), lr)
    drawn = Candidates(torch.zeros(len(query), 1, dtype=torch.int64))
    for step in range(steps):
        loss = proposer.learn(query, drawn, view, step)
        assert loss is not None
        assert loss.shape == ()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# The child

CHILDREN = [
    {},
    {"temperature": Constant(0.4), "share": Constant(0.9)},
    {"of": 5, "model": "distmult"},
    {"share": Constant(1.0), "model": "transe"},
    {"share": Constant(0.0)},
]


@pytest.mark.parametrize("settings", CHILDREN, ids=str)
@pytest.mark.parametrize("side", BOTH_SIDES)
def test_the_odds_of_a_child_sum_to_one_and_are_those_of_its_draws(settings: dict[str, Any], side: Side) -> None:
    proposal, view = ChildProposal(**{"dim": 4, **settings}), worlds.live(GRAPH)
    for g in (GRAPH, GRAPH.with_inverses()):
        child = proposal.bind(g, CPU)
        random_start(child)
        query = questions(g, side)
        asked = request(query, 4000, view)
        odds = child.log_q(asked, torch.arange(11)[None]).exp()
        torch.testing.assert_close(odds.sum(1), torch.ones(40, dtype=torch.float64), rtol=1e-5, atol=0)
        assert abs(chi_square(counted(child.draw(asked), 11), odds)) < 4
        ids = torch.randint(11, (40, 3), generator=generator(1))
        torch.testing.assert_close(child.log_q(asked, ids).exp(), odds.gather(1, ids), rtol=1e-5, atol=1e-12)


def test_the_test_of_odds_can_fail() -> None:
    odds = torch.tensor([[0.5, 0.3, 0.2]])
    assert abs(chi_square(torch.tensor([[5050.0, 2950.0, 2000.0]]), odds)) < 1
    assert chi_square(torch.tensor([[5200.0, 2900.0, 1900.0]]), odds) > 4


@pytest.mark.parametrize("of", [0, 6])
def test_a_filtered_child_draws_in_proportion_among_what_is_left(of: int) -> None:
    """And a child over all entities has nothing to draw again, however sure it is of the known answers."""
    query = questions(GRAPH)
    noise = Child(num=4000, dim=4, of=of, correction="none")
    sampler = noise.bind(GRAPH, CPU)
    random_start(sampler)
    view = worlds.live(GRAPH)
    drawn = sampler.draw(query, 7, view)
    odds = sampler.proposer.log_q(request(query, 1, view), torch.arange(11)[None]).exp()
    odds = odds.index_put(tuple(KnownAnswers(GRAPH, CPU).of(query)), torch.zeros((), dtype=odds.dtype))
    assert abs(chi_square(counted(drawn.ids, 11), odds / odds.sum(1, keepdim=True))) < 4


def test_the_odds_of_a_child_by_hand() -> None:
    """DistMult with one number: a = 1, b = 2, c = 0 and r = 1, so (a, r, ?) has scores 1, 2, 0; share 1/4, T = 1/2."""
    g = Graph("three", {"train": torch.tensor([[0, 0, 1]])}, pl.Series([*"abc"]), pl.Series(["r"]), 1)
    child = ChildProposal("distmult", 1, Constant(0.5), Constant(0.25)).bind(g, CPU)
    with torch.no_grad():
        child.small.entities.copy_(torch.tensor([[1.0], [2.0], [0.0]]))
        child.small.relations.fill_(1.0)
    total = math.exp(2) + math.exp(4) + 1
    expected = [0.25 * math.exp(2 * s) / total + 0.75 / 3 for s in (1, 2, 0)]
    got = child.log_q(request(questions(g), 1, worlds.live(g)), torch.arange(3)[None])
    assert got.exp()[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_co_trained_children_learn_the_answers_and_distilled_ones_the_model() -> None:
    query, everyone = questions(GRAPH), torch.arange(11)[None]
    view = live(worlds.scoring("distmult", GRAPH), 0.0)
    asked = request(query, 1, view)
    answers = GRAPH.answers(["train"], Side.TAIL).of(query.anchor, query.relation)
    teacher = view.score(query, everyone).softmax(1)
    found = {}
    for mode in ("co-trained", "distilled"):
        child = ChildProposal(dim=16, share=Constant(1.0), mode=mode, fresh=64).bind(GRAPH, CPU)
        before = child.log_q(asked, everyone)
        train(child, query, view, 80)
        odds = child.log_q(asked, everyone)
        found[mode] = (
            float(odds.exp()[tuple(answers)].sum() / 40),
            float((teacher * (teacher.log() - odds)).sum(1).mean()),
            float((teacher * (teacher.log() - before)).sum(1).mean()),
        )
    assert found["co-trained"][0] > 0.8 > found["distilled"][0]
    known, apart, at_first = found["distilled"]
    assert apart < 0.1 * at_first
    assert known < 0.5


def test_the_loss_of_a_child_stands_for_the_one_over_all_entities() -> None:
    """With as many even draws as it takes, the loss is that of a softmax over the target and all others."""
    query = questions(GRAPH)
    child = ChildProposal(dim=4, fresh=200_000).bind(GRAPH, CPU)
    random_start(child, 0.7)
    loss = child.learn(query, Candidates(torch.zeros(40, 1, dtype=torch.int64)), worlds.live(GRAPH), 0)
    scores = child.small.scores(child.small.vectors(query), torch.arange(11)[None])
    expected = -scores.log_softmax(1).gather(1, query.target[:, None]).mean()
    assert loss is not None
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=0.02)


def test_some_entities_change_after_every_step_and_are_distinct() -> None:
    sampler, query, view = Child(num=2, dim=4, of=5).bind(GRAPH, CPU), questions(GRAPH), worlds.live(GRAPH)
    seen = []
    for step in range(4):
        seen.append(sampler.proposer.some.tolist())
        sampler.learn(query, sampler.draw(query, step, view), view, step)
    assert all(len(set(each)) == 5 and each == sorted(each) for each in seen)
    assert len(set(map(tuple, seen))) > 1


# The generator


def gradient(proposer: Proposer) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in proposer.parameters()]


@pytest.mark.parametrize("extra", [{}, {"entropy": 0.3}, {"avoid": 2.0, "temperature": Constant(0.5)}])
def test_reinforce_follows_the_gradient_of_the_expected_reward(extra: dict[str, Any]) -> None:
    """On average over draws it is the exact one, by enumeration of all pairs of candidates and all choices."""
    g = worlds.graph(4, 1, sizes=(5, 0, 0))
    view = live(worlds.scoring("distmult", g), 0.0)
    single = questions(g).select(torch.tensor([2]))
    made = Generator("distmult", 2, of=2, **extra).bind(g, CPU)
    random_start(made)
    query = repeated(single, 60_000)
    loss = made.learn(query, Candidates(torch.zeros(len(query), 1, dtype=torch.int64)), view, 11)
    assert loss is not None
    loss.backward()
    sampled = gradient(made)
    made.zero_grad()

    reward = view.score(single, torch.arange(4)[None])[0].clone()
    known = g.answers(["train"], Side.TAIL).of(single.anchor, single.relation).entity
    reward[known] -= extra.get("avoid", 0.0)
    scores = made.small.scores(made.small.vectors(single), torch.arange(4)[None])[0]
    scores = scores / extra.get("temperature", Constant(1.0)).value
    total = torch.zeros(())
    for pair in itertools.product(range(4), repeat=2):
        odds = scores[list(pair)].softmax(0)
        total = total - (odds * reward[list(pair)]).sum() / 16
        total = total + extra.get("entropy", 0.0) * (odds * odds.log()).sum() / 16
    total.backward()
    size = torch.cat([x.flatten() for x in gradient(made)]).norm()
    assert size > 0.05
    apart = torch.cat([(a - b).flatten() for a, b in zip(sampled, gradient(made), strict=True)]).norm()
    assert float(apart / size) < 0.05


def odds_of(made: Proposer, query: Query, ids: Tensor) -> Tensor:
    """(b, n) the choice among all of ids (1, n)."""
    return made.small.scores(made.small.vectors(query), ids).softmax(1).detach()


@pytest.mark.parametrize("shield", ["avoid", "above"])
def test_a_generator_goes_for_known_answers_unless_it_is_told_not_to(shield: str) -> None:
    """Training answers score 3, all others between 0 and 2, but, for `above`, a hidden truth of every question, 4."""
    g = worlds.graph(12, 1, sizes=(12, 0, 0), seed=4)
    query = questions(g)
    answers = g.answers(["train"], Side.TAIL).of(query.anchor, query.relation)
    table = 2 * torch.rand(12, 12, generator=generator(0), dtype=torch.float64)
    table[g.splits["train"][:, 0], g.splits["train"][:, 2]] = 3.0
    if shield == "above":
        answers = Pairs(query.row, (table == 3).byte().argmin(1)[query.anchor])  # the first that is no answer
        table[query.anchor, answers.entity] = 4.0
    view = Live(lambda q, ids: table[q.anchor[:, None], ids.expand(len(q), -1)], lambda i: i, lambda q, r: r, 0.0)
    share = {}
    for told in (0.0, 5.0):
        made = Generator("complex", 16, of=6, **{shield: told}).bind(g, CPU)
        train(made, repeated(query, 4), view, 120)
        odds = odds_of(made, query, torch.arange(12)[None])
        share[told] = float(odds[tuple(answers)].sum() / 12)
    even = len(answers.row) / 144
    assert share[0.0] > 3 * even
    assert share[5.0] < 0.3 * even


def test_entropy_keeps_a_generator_diverse() -> None:
    query, view = questions(GRAPH), scores_by([float(i) for i in range(11)])
    spread = []
    for bonus in (0.0, 20.0):
        made = Generator("distmult", 8, of=5, entropy=bonus).bind(GRAPH, CPU)
        train(made, query, view, 60)
        odds = odds_of(made, query, torch.arange(11)[None])
        spread.append(float(-(odds * odds.clamp(min=1e-30).log()).sum(1).mean()))
    assert spread[0] < 0.7 * spread[1]
    assert spread[1] > 0.95 * math.log(11)


def test_the_baseline_is_the_mean_of_the_rewards_before_and_moves_with_every_batch() -> None:
    query = questions(GRAPH)
    made = Generator(dim=4, of=3, memory=0.75).bind(GRAPH, CPU)
    drawn = Candidates(torch.zeros(40, 1, dtype=torch.int64))
    assert float(made._baseline(torch.tensor([2.0, 6.0], dtype=torch.float64))) == 4.0
    assert float(made._baseline(torch.tensor([10.0], dtype=torch.float64))) == 4.0
    third = made._baseline(torch.tensor([0.0], dtype=torch.float64))
    assert float(third) == pytest.approx((4 * 3 / 16 + 10 / 4) / (7 / 16))
    # Equal rewards teach nothing once they are expected
    made = Generator(dim=4, of=3).bind(GRAPH, CPU)
    for step in range(2):
        loss = made.learn(query, drawn, scores_by([5.0] * 11), step)
        assert loss is not None
        loss.backward()
        assert all(float(grad.abs().max()) < 1e-6 for grad in gradient(made))


def test_candidates_of_one_question_are_chosen_by_the_softmax_and_never_barred_ones() -> None:
    """With all entities offered twice or more, the frequencies are near those over everyone; the filter is kept."""
    query = questions(GRAPH).select(torch.tensor([0]))
    made = Generator("distmult", 4, of=2).bind(GRAPH, CPU)
    random_start(made, 0.8)
    many = repeated(query, 40_000)
    ids = made.draw(request(many, 1, worlds.live(GRAPH)))
    scores = made.small.scores(made.small.vectors(query), torch.arange(11)[None])[0].detach()
    pair = torch.sigmoid(scores[:, None] - scores[None])  # of two offered, the first
    odds = 2 * pair.sum(1) / 121
    assert float(odds.sum()) == pytest.approx(1, rel=1e-5)
    assert abs(chi_square(counted(ids.T, 11), odds[None])) < 4
    barred = GRAPH.answers(["train"], Side.TAIL).of(many.anchor[:40], many.relation[:40])
    asked = dataclasses.replace(
        request(many.select(torch.arange(40)), 9, worlds.live(GRAPH)), filter=KnownAnswers(GRAPH, CPU)
    )
    offers = Generator("distmult", 4, of=60).bind(GRAPH, CPU).draw(asked)  # somebody is always left
    assert not bool(counted(offers, 11)[tuple(barred)].any())
    filtered = KBGAN(num=6, dim=4, of=4, filtered=True).bind(GRAPH, CPU)
    drawn = filtered.draw(questions(GRAPH), 0, worlds.live(GRAPH))
    left_out = torch.zeros_like(drawn.ids) if drawn.shift is None else drawn.shift == -torch.inf
    known = KnownAnswers(GRAPH, CPU).holds(questions(GRAPH), drawn.ids)
    assert torch.equal(known, known & left_out.bool())


LEARNERS: list[Proposal] = [
    Generator("tucker", 6, of=3, avoid=1.0, above=1.0, entropy=0.1),
    ChildProposal("tucker", 6, of=4),
    ChildProposal("rotate", 6, mode="distilled"),
    Mixture(Cached(cache=4, fresh=3, drawing=Constant(1.0)), Generator(dim=4), LiveGradient()),
]


@pytest.mark.parametrize("proposal", LEARNERS, ids=lambda p: type(p).__name__)
def test_learners_use_no_chance_but_their_seed_and_leave_the_model_alone(proposal: Proposal) -> None:
    """No global generator, no dropout in either mode, no gradient into the trained model; one seed, the same bits."""
    parts = worlds.scoring("complex", GRAPH)
    view, query = live(parts, 0.5), questions(GRAPH, Side.HEAD)
    ends = []
    for start in (1, 2):
        torch.manual_seed(start)
        before = torch.get_rng_state()
        proposer = proposal.bind(GRAPH, CPU).train(start == 1)
        drawn = proposer.draw(request(query, 5, view))
        assert not drawn.requires_grad
        loss = proposer.learn(query, Candidates(drawn), view, 9)
        assert loss is not None
        loss.backward()
        ends.append((drawn, loss.detach(), *gradient(proposer)))
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    assert parts.entities.weight.grad is None
    none = query.select(torch.zeros(0, dtype=torch.int64))
    assert proposal.bind(GRAPH, CPU).learn(none, Candidates(torch.zeros(0, 5).long()), view, 9) is None


# Caches


def test_caches_prefer_high_scores_by_the_drawing_temperature() -> None:
    query = repeated(questions(GRAPH).select(torch.tensor([0])), 3000)
    values = [0.3 * i for i in range(11)]
    view = scores_by(values)
    for power in (0.0, 0.8, -0.0):
        caches = Cached(cache=6, drawing=Constant(power)).bind(GRAPH, CPU)
        row = caches.get_buffer("tail")[caches.known.row(query)[0]].long()
        ids = caches.draw(request(query, 10, view)).flatten()
        weight = (power * torch.tensor(values)[row]).exp()
        odds = torch.zeros(11).index_add(0, row, weight / weight.sum())
        assert abs(chi_square(counted(ids[None], 11), odds[None])) < 4


def test_refreshing_at_zero_keeps_anyone_and_at_much_the_best() -> None:
    g = worlds.graph(40, 1, sizes=(60, 0, 0))
    query, view = questions(g), scores_by([float(i) for i in range(40)])
    means = {}
    for power in (0.0, 1.0, 100.0):
        caches = Cached(cache=4, fresh=12, refreshing=Constant(power)).bind(g, CPU)
        for step in range(30):
            caches.learn(query, Candidates(torch.zeros(60, 1).long()), view, step)
        held = caches.get_buffer("tail")
        assert all(len(set(row)) == 4 for row in held.tolist())  # an entity that stands twice competes once
        means[power] = float(held.float().mean())
    assert abs(means[0.0] - 19.5) < 2
    assert means[0.0] + 8 < means[1.0]
    assert means[100.0] > 36


def test_buckets_are_shared_within_relations_and_refreshed_once() -> None:
    g = worlds.graph(30, 3, sizes=(120, 0, 0))
    for graph, side in itertools.product((g, g.with_inverses()), BOTH_SIDES):
        caches, query = Cached(cache=5, fresh=6, buckets=12).bind(graph, CPU), questions(graph, side)
        rows = caches.buckets.row(query)
        assert caches.get_buffer(side.value).shape == (12, 5)
        assert set(rows.tolist()) <= set(range(12))
        assert len(set(rows.tolist())) > 9
        owners = {(int(row), int(r) % 3) for row, r in zip(rows, query.relation, strict=True)}
        assert len(owners) == len(set(rows.tolist()))  # a cache serves one relation
        # The first question of a bucket decides, as if it had been alone
        again = Cached(cache=5, fresh=6, buckets=12).bind(graph, CPU)
        firsts = torch.tensor([rows.tolist().index(row) for row in sorted(set(rows.tolist()))])
        view = worlds.live(graph)
        caches.learn(query, Candidates(torch.zeros(120, 1).long()), view, 3)
        firsts = firsts.sort().values
        again.learn(query.select(firsts), Candidates(torch.zeros(len(firsts), 1).long()), view, 3)
        assert torch.equal(caches.get_buffer(side.value), again.get_buffer(side.value))
    fewer = Cached(cache=2, buckets=2).bind(g, CPU)
    assert set(fewer.buckets.row(questions(g)).tolist()) <= {0, 1}


def test_buckets_serve_questions_that_training_does_not_ask() -> None:
    g = worlds.graph(30, 3, sizes=(40, 30, 0))
    caches = NSCaching(num=4, cache=5, buckets=7).bind(g, CPU)
    query = g.queries(g.splits["valid"], Side.TAIL, grouped=False)
    assert caches.draw(query, 0, worlds.live(g)).ids.shape == (30, 4)


# Steered curves


def test_live_gradients_are_kept_in_their_range() -> None:
    """By hand: P = 0.5, I = 0.1. 0.1 alive is 0.1 too few; 0.7 is 0.2 too many; 0.3 is well."""
    curve = LiveGradient(easy=2.0, hard=4.0, low=0.2, high=0.5, proportional=0.5, integral=0.1)
    state, values = curve.start, []
    for alive in (10, 10, 70, 30):
        state = curve.step(0.0, state, alive, 100)
        values.append(curve.value(0.0, state))
    # x: 0.01 + 0.05, 0.02 + 0.05, then max(0, 0.02 - 0.02) - 0.1 < 0, then 0
    assert values == pytest.approx([2.12, 2.14, 2.0, 2.0])
    assert curve.at(7.0) == 2.0
    assert curve.ends == (2.0, 4.0)
    for _ in range(1000):
        state = curve.step(0.0, state, 0, 100)
    assert curve.value(0.0, state) == 4.0
    assert state[0] == 1.0  # nothing winds up


def test_a_guarded_curve_waits_while_it_would_harden_and_never_while_it_softens() -> None:
    curve = Guarded(RiseFall(0.0, 1.0, wait=0.0, rise=10.0, fall=10.0), limit=2.0, memory=0.0)
    state = curve.start
    for epoch in (1.0, 2.0):
        state = curve.step(epoch, state, 1, 1)
    assert curve.value(2.0, state) == pytest.approx(0.2)
    for epoch in (3.0, 4.0, 5.0):
        state = curve.step(epoch, state, 3, 1)  # thrice as many as even draws hit
    assert curve.value(5.0, state) == pytest.approx(0.2)
    state = curve.step(6.0, state, 2, 1)
    assert curve.value(6.0, state) == pytest.approx(0.3)  # it goes on where it stood, without a leap
    for epoch in range(7, 30):
        state = curve.step(float(epoch), state, 1, 1)
    assert curve.value(30.0, state) == 0.0
    down = Guarded(Ramp(1.0, 0.0, epochs=10), limit=2.0)
    easing = down.step(5.0, down.start, 100, 1)
    assert down.value(5.0, easing) == pytest.approx(0.5)
    cooling = dataclasses.replace(down, hard="low")
    assert cooling.value(5.0, cooling.step(5.0, cooling.start, 100, 1)) == 1.0
    with pytest.raises(ValueError, match="steered"):
        Guarded(LiveGradient())


def steps(curve: Curve, view: Live, times: int) -> Dial:
    """A mixture of even and best-of-8 draws whose share follows the curve, after so many batches."""
    mixed = Mixture(Even(), Best(8), curve).bind(GRAPH, CPU)
    query = questions(GRAPH)
    for step in range(times):
        at = dataclasses.replace(view, epoch=step / 10)
        mixed.learn(query, Candidates(torch.zeros(40, 1).long()), at, step)
    return mixed.share


def test_a_share_rises_until_enough_draws_are_alive() -> None:
    """Two of eleven scores are alive: even draws are so 2/11 of the time, best-of-8 draws nearly always."""
    view = scores_by([9.0, 9.0] + [-9.0] * 9)
    dial = steps(LiveGradient(low=0.45, high=0.55, integral=0.1), view, 60)
    best = 1 - (9 / 11) ** 8
    alive = 2 / 11 + dial.at(6.0) * (best - 2 / 11)
    assert 0.42 < alive < 0.58
    assert steps(LiveGradient(), scores_by([0.0] * 11), 20).at(2.0) == 0.0  # all are alive: as easy as can be
    assert steps(LiveGradient(), scores_by([-9.0] * 11), 300).at(2.0) == 1.0
    assert steps(LiveGradient(offset=9.0), scores_by([-9.0] * 11), 20).at(2.0) == 0.0
    # Of a softmax: of equal scores every one is near the largest
    assert steps(LiveGradient(gradient="softmax"), scores_by([-9.0] * 11), 20).at(2.0) == 0.0


def test_known_answers_among_unfiltered_draws_hold_a_curve() -> None:
    """A model that ranks the known answers first stops the rise; one that ranks them last does not."""
    g, query = GRAPH, questions(GRAPH)
    answers = g.answers(["train"], Side.TAIL)

    def view(sign: float) -> Live:
        def score(asked: Query, ids: range | Tensor) -> Tensor:
            table = torch.zeros(len(asked), 11)
            table[tuple(answers.of(asked.anchor, asked.relation))] = sign
            return table.gather(1, ids) if isinstance(ids, Tensor) else table

        return Live(score, lambda ids: ids, lambda asked, rows: rows, 0.0)

    curve = Guarded(Ramp(0.0, 1.0, epochs=6), limit=1.5)
    assert steps(curve, view(-1.0), 61).at(6.0) == pytest.approx(1.0)
    held = steps(curve, view(1.0), 61).at(6.0)
    assert 0.05 < held < 0.6
    assert len(query)


def test_an_open_loop_costs_nothing() -> None:
    def refuse(asked: Request) -> Tensor:
        raise AssertionError

    dial = Dial(RiseFall(0.0, 1.0), GRAPH, CPU)
    dial.learn(refuse, questions(GRAPH), worlds.live(GRAPH), 0)
    assert bytes_of(dial) == 0
    assert bytes_of(Dial(LiveGradient(), GRAPH, CPU)) == 16
    with pytest.raises(AssertionError):
        Dial(LiveGradient(), GRAPH, CPU).learn(refuse, questions(GRAPH), worlds.live(GRAPH), 0)


def test_a_share_of_nothing_asks_no_model() -> None:
    view = dataclasses.replace(worlds.live(GRAPH), score=lambda query, ids: pytest.fail("no score is needed"))
    assert Curriculum(num=5).bind(GRAPH, CPU).draw(questions(GRAPH), 0, view).ids.shape == (40, 5)


@pytest.mark.parametrize("curve", [LiveGradient(), Guarded()], ids=lambda c: type(c).__name__)
def test_steered_curves_say_what_they_are_before_anything_is_seen(curve: Steered) -> None:
    assert curve.at(3.0) == curve.value(3.0, curve.start) == Dial(curve, GRAPH, CPU).at(3.0)
    assert curve.ends[0] <= curve.at(3.0) <= curve.ends[1]


# Stated false triples


def stating(**false: list[list[int]]) -> Graph:
    return dataclasses.replace(GRAPH, false={split: torch.tensor(triples) for split, triples in false.items()})


def test_stated_false_answers_are_drawn_and_only_those_of_training() -> None:
    anchor, relation, _ = GRAPH.splits["train"][0].tolist()
    facts = set(map(tuple, GRAPH.splits["train"].tolist()))
    wrong = [e for e in range(11) if (anchor, relation, e) not in facts][:3]
    g = stating(train=[[anchor, relation, e] for e in wrong])
    for graph in (g, g.with_inverses()):
        query = questions(graph)
        ids = StatedFalse(num=400, share=Constant(1.0)).bind(graph, CPU).draw(query, 0, worlds.live(graph)).ids
        for i in range(len(query)):
            own = int(query.anchor[i]) == anchor and int(query.relation[i]) == relation
            assert set(ids[i].tolist()) == (set(wrong) if own else set(range(11)))
        asked = dataclasses.replace(questions(graph, Side.HEAD), anchor=torch.full((40,), wrong[0]))
        asked = dataclasses.replace(asked, relation=graph.ask(torch.full((40,), relation), Side.HEAD)[0])
        heads = StatedFalse(num=9, share=Constant(1.0)).bind(graph, CPU).draw(asked, 0, worlds.live(graph)).ids
        assert set(heads.flatten().tolist()) == {anchor}


def test_false_triples_of_validation_and_test_change_nothing() -> None:
    own = [[0, 0, 1], [2, 1, 3]]
    plain, more = stating(train=own), stating(train=own, valid=[[4, 0, 5], [0, 0, 9]], test=[[1, 2, 3], [0, 0, 8]])
    for side in BOTH_SIDES:
        one, other = (
            StatedFalse(num=50).bind(g, CPU).draw(questions(g, side), 3, worlds.live(g)) for g in (plain, more)
        )
        assert torch.equal(one.ids, other.ids)
    none = StatedFalse(num=2000, share=Constant(1.0)).bind(GRAPH, CPU).draw(questions(GRAPH), 3, worlds.live(GRAPH))
    assert abs(chi_square(counted(none.ids, 11), torch.full((40, 11), 1 / 11))) < 4


# Runs


def recipe(noise: dict[str, Any], **more: Any) -> Any:
    train = {"epochs": 2, "batch_size": 9, "precision": "fp32", "device": "cpu", "seed": 7}
    objective = {"name": "negative-sampling"}
    return read(
        {"model": {"name": "complex", "dim": 6}, "train": train, "objective": objective, "noise": noise, **more}
    )


RUNS: dict[str, dict[str, Any]] = {
    "kbgan": {"name": "kbgan", "num": 3, "dim": 4, "avoid": 1.0, "temperature": {"name": "live-gradient", "easy": 2.0}},
    "child": {"name": "child", "num": 3, "dim": 4, "of": 5, "mode": "distilled"},
    "curriculum": {"name": "curriculum", "num": 3, "share": {"name": "guarded", "curve": {"name": "ramp", "start": 0.0,
        "stop": 1.0, "epochs": 3}, "limit": 1.0}},
    "nscaching": {"name": "nscaching", "num": 3, "cache": 4, "fresh": 3, "buckets": 6, "drawing": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_learned_noises_resume_to_the_same_bits(name: str) -> None:
    settings = recipe(RUNS[name])
    whole = Trainer(assemble(settings, GRAPH))
    records = [(r.loss, r.learned) for r in whole.run()]
    for stop in (1, 6):
        first = Trainer(assemble(settings, GRAPH))
        told = [(r.loss, r.learned) for r in itertools.islice(first.run(), stop)]
        saved = {key: value.clone() for key, value in first.state()[0].items()}
        second = Trainer(assemble(settings, GRAPH))
        second.restore(saved, first.state()[1])
        told += [(r.loss, r.learned) for r in second.run()]
        assert told == records
        for key, value in whole.state()[0].items():
            assert torch.equal(value, second.state()[0][key]), key
    start = assemble(settings, GRAPH).sampler.state_dict()
    moved = whole.job.sampler.state_dict()
    assert any(not torch.equal(start[key], moved[key]) for key in start)


def test_records_show_what_is_steered_and_nothing_that_stands_still() -> None:
    shown = next(Trainer(assemble(recipe(RUNS["curriculum"]), GRAPH)).run())
    assert set(shown.learned) == {"noise.share"}
    assert next(Trainer(assemble(recipe({"name": "uniform"}), GRAPH)).run()).learned == {}


BOUND = [
    KBGAN(dim=4, avoid=1.0),
    KBGAN(model="tucker", dim=4, temperature=LiveGradient(1.0, 2.0)),
    Child(dim=6, of=5, filtered=False),
    Child(dim=6, model="rescal", filtered=False),
    Curriculum(share=Guarded(), filtered=False),
    NSCaching(buckets=20),
    NSCaching(buckets=20, filtered=True),
    NSCaching(),
    StatedFalse(),
]


@pytest.mark.parametrize("noise", BOUND, ids=lambda n: type(n).__name__)
def test_bytes_are_foretold(noise: Any) -> None:
    for g in (stating(train=[[0, 0, 1], [2, 1, 3], [2, 1, 4]]), GRAPH.with_inverses()):
        held, told = bytes_of(noise.bind(g, CPU)), noise.state_bytes(Size.of(g))
        assert held <= told <= 2 * held + 64


def test_settings_of_learners_that_mean_nothing_are_refused() -> None:
    for wrong in (
        lambda: Generator("nobody"),
        lambda: Generator("complex", 5),
        lambda: Generator(of=0),
        lambda: Generator(avoid=-1.0),
        lambda: Generator(temperature=Constant(0.0)),
        lambda: ChildProposal(share=Constant(1.5)),
        lambda: ChildProposal(temperature=LiveGradient()),
        lambda: Cached(buckets=-1),
        lambda: Cached(drawing=Ramp(-1.0, 1.0)),
        lambda: LiveGradient(low=0.6, high=0.5),
        lambda: Guarded(memory=1.0),
        lambda: KBGAN(correction="refined"),
        lambda: Curriculum(share=Ramp(0.0, 2.0)),
        lambda: Composed(proposal=ChildProposal(), shared="batch"),
    ):
        with pytest.raises(ValueError, match="must"):
            wrong()
