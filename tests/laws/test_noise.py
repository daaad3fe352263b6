"""Draws: in range, distinct where promised, never a known answer that counts, uniform, and a function of the seed."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from falsum.evaluation.ranks import score_matrix
from falsum.graph.graph import BOTH_SIDES, Graph, Pairs, Query, Side
from falsum.models import MODELS
from falsum.noise import NOISES, BestOf, Candidates, Expected, Frequency, Live, NSCaching, Sampler, Uniform
from falsum.noise.counts import Rarer
from falsum.noise.drawing import distinct
from falsum.scan.loss import live
from laws import worlds

GRAPHS = [worlds.graph(), worlds.graph().with_inverses()]


def query_of(g: Graph, side: Side) -> Query:
    return g.queries(g.splits["train"], side, grouped=False)


def known_to(g: Graph, query: Query) -> set[tuple[int, int]]:
    """(query row, entity) of every known training answer, from the triples and not from the index."""
    found = set()
    for i, (anchor, relation) in enumerate(zip(query.anchor.tolist(), query.relation.tolist(), strict=True)):
        base = relation % g.num_base_relations
        for head, r, tail in g.splits["train"].tolist():
            given, wanted = (head, tail) if query.slot is Side.TAIL else (tail, head)
            if r == base and given == anchor:
                found.add((i, wanted))
    return found


def pairs(drop: Pairs | None) -> set[tuple[int, int]]:
    return set() if drop is None else set(zip(drop.row.tolist(), drop.entity.tolist(), strict=True))


def counted(query: Query, candidates: Candidates) -> set[tuple[int, int]]:
    """(query row, entity) of every drawn candidate that counts."""
    rows = range(len(query))
    return {(i, e) for i in rows for e, w, up in worlds.counted(query, candidates, i, 0) if w and up > -math.inf}


def barred(noise: tuple[str, dict], g: Graph, query: Query) -> set[tuple[int, int]]:
    """The pairs that must never count."""
    filtered = getattr(worlds.make_noise(noise), "filtered", False)
    if filtered == "target":
        return set(zip(query.row.tolist(), query.target.tolist(), strict=True))
    return known_to(g, query) if filtered else set()


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_draws_stay_in_range_and_drop_what_is_known(noise: tuple[str, dict]) -> None:
    for g, side in itertools.product(GRAPHS, BOTH_SIDES):
        query = query_of(g, side)
        never, sampler, view = barred(noise, g, query), worlds.make_noise(noise).bind(g, worlds.CPU), worlds.live(g)
        for seed in range(5):
            candidates = sampler.draw(query, seed, view)
            if isinstance(candidates.ids, range):
                assert candidates.ids == range(g.num_entities)
                assert pairs(candidates.drop) == never
            else:
                assert candidates.ids.dtype == torch.int64
                assert ((candidates.ids >= 0) & (candidates.ids < g.num_entities)).all()
                assert not counted(query, candidates) & never


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_equal_seeds_draw_alike_and_others_do_not(noise: tuple[str, dict]) -> None:
    query = query_of(GRAPHS[0], Side.TAIL)
    torch.manual_seed(0)
    one = worlds.draw(noise, GRAPHS[0], query, 3)
    torch.manual_seed(1)
    two, other = worlds.draw(noise, GRAPHS[0], query, 3), worlds.draw(noise, GRAPHS[0], query, 4)
    if isinstance(one.ids, range):
        assert one.ids == two.ids == other.ids
    else:
        assert torch.equal(one.ids, two.ids)
        assert torch.equal(one.ids, other.ids) == (noise[0] == "expected")


def seen_of(query: Query, candidates: Candidates) -> set[tuple[int, int]]:
    """What counts of drawn candidates, or what is left out of all."""
    return pairs(candidates.drop) if isinstance(candidates.ids, range) else counted(query, candidates)


@pytest.mark.parametrize("name", NOISES)
def test_noises_that_group_give_equal_queries_equal_candidates(name: str) -> None:
    for noise in worlds.settings_of({name: NOISES[name]}, worlds.NOISE_SETTINGS):
        built = worlds.make_noise(noise)
        if built.groups:
            for g in GRAPHS:
                single, grouped = (g.queries(g.splits["train"], Side.HEAD, grouped=each) for each in (False, True))
                of_single, of_grouped = worlds.draw(noise, g, single, 4), worlds.draw(noise, g, grouped, 4)
                if isinstance(of_single.ids, torch.Tensor):
                    assert len(of_single.ids) == 1
                    assert torch.equal(of_single.ids, of_grouped.ids)
                key = grouped.anchor * g.num_relations + grouped.relation
                row = torch.searchsorted(key, single.anchor * g.num_relations + single.relation)
                rest = seen_of(grouped, of_grouped)
                assert seen_of(single, of_single) == {
                    (i, e) for i, r in enumerate(row.tolist()) for q, e in rest if q == r
                }


def test_own_draws_are_never_known_answers() -> None:
    for g in GRAPHS:
        for side in BOTH_SIDES:
            query = query_of(g, side)
            for seed in range(20):
                drawn = worlds.draw(Uniform(num=30, filtered=True), g, query, seed)
                assert not counted(query, drawn) & known_to(g, query)


@given(num_entities=st.integers(2, 40), share=st.floats(0.01, 1), filtered=st.booleans(), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_draws_without_replacement_are_distinct(num_entities: int, share: float, filtered: bool, seed: int) -> None:
    """Up to all entities; known answers fill up a row only where nothing else is left, and then do not count."""
    g = worlds.graph(num_entities, 1, sizes=(min(20, num_entities**2), 0, 0), seed=seed)
    num = max(1, int(share * num_entities))
    query = query_of(g, Side.TAIL)
    noise = Uniform(num=num, replacement=False, filtered=filtered)
    known = known_to(g, query) if filtered else set()
    for i, row in enumerate(worlds.draw(noise, g, query, seed).ids.tolist()):
        assert len(set(row)) == num
        own = {e for j, e in known if j == i}
        assert len(set(row) & own) == max(0, num - (num_entities - len(own)))


@pytest.mark.parametrize("shared", ["query", "batch", "chunk"])
@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("num", [4, 17])
def test_draws_are_uniform(shared: str, replacement: bool, num: int) -> None:
    """Chi-square with 19 degrees of freedom: 63 is passed by chance 1 in 10^6 times."""
    g = worlds.graph(20, 1, sizes=(30, 0, 0))
    query = query_of(g, Side.TAIL)
    noise = Uniform(num=num, shared=shared, chunk=7, replacement=replacement)
    counts = torch.zeros(20)
    for seed in range(300):
        counts += torch.bincount(worlds.draw(noise, g, query, seed).ids.flatten(), minlength=20)
    expected = counts.sum() / 20
    assert ((counts - expected) ** 2 / expected).sum() < 63


def first_of(drawn: Candidates) -> torch.Tensor:
    """The first question's draws that count."""
    return drawn.ids[0] if drawn.shift is None else drawn.ids[0][drawn.shift[0] > -torch.inf]


def test_filtered_draws_are_uniform_over_what_is_left() -> None:
    g = worlds.graph(20, 1, sizes=(200, 0, 0))
    query = query_of(g, Side.TAIL)
    left = sorted(set(range(20)) - {e for i, e in known_to(g, query) if i == 0})
    query = query.select(torch.tensor([0]))
    for replacement in (True, False):
        noise = Uniform(num=3, filtered=True, replacement=replacement)
        counts = torch.zeros(20)
        for seed in range(400):
            counts += torch.bincount(first_of(worlds.draw(noise, g, query, seed)), minlength=20)
        expected = counts.sum() / len(left)
        assert counts[left].sum() == counts.sum()
        assert ((counts[left] - expected) ** 2 / expected).sum() < 63


@pytest.mark.parametrize("exponent", [0.5, 1.0])
@pytest.mark.parametrize("slot", BOTH_SIDES)
@pytest.mark.parametrize("filtered", [False, True])
def test_frequency_draws_follow_the_counts_of_the_slot(exponent: float, slot: Side, filtered: bool) -> None:
    g = worlds.graph(20, 1, sizes=(60, 0, 0))
    query = query_of(g, slot)
    noise = Frequency(num=20, exponent=exponent, filtered=filtered)
    odds = torch.bincount(g.splits["train"][:, 2 if slot is Side.TAIL else 0], minlength=20).double() ** exponent
    if filtered:
        odds[[e for i, e in known_to(g, query) if i == 0]] = 0
    counts = torch.zeros(20, dtype=torch.float64)
    for seed in range(400):
        counts += torch.bincount(first_of(worlds.draw(noise, g, query, seed)), minlength=20)
    expected = counts.sum() * odds / odds.sum()
    assert ((counts - expected) ** 2 / expected.clamp(min=1e-9)).sum() < 63
    wrong = counts.sum() * odds**2 / (odds**2).sum()
    assert ((counts - wrong) ** 2 / wrong.clamp(min=1e-9)).sum() > 63


def test_distinct_draws_follow_the_odds_one_after_the_other() -> None:
    """Two of three with odds 3, 2, 1: {0, 1} has 3/6 2/3 + 2/6 3/4, {0, 2} 3/6 1/3 + 1/6 3/5, {1, 2} the rest."""
    random = torch.Generator().manual_seed(0)
    drawn = distinct(20000, 2, torch.tensor([3.0, 2.0, 1.0]), None, random).sum(1)
    share = torch.bincount(drawn, minlength=4)[1:].double() / 20000
    expected = torch.tensor([7 / 12, 4 / 15, 3 / 20], dtype=torch.float64)
    torch.testing.assert_close(share, expected, rtol=0, atol=0.015)


@pytest.mark.parametrize("exponent", [0.0, 0.75])
@pytest.mark.parametrize("slot", BOTH_SIDES)
def test_expected_weights_are_the_mean_counts_of_draws(exponent: float, slot: Side) -> None:
    g = worlds.graph(12, 1, sizes=(40, 0, 0))
    query = query_of(g, slot)
    exact = worlds.draw(Expected(num=6, num_head=3, exponent=exponent), g, query, 0)
    noise = Frequency(num=6, num_head=3, exponent=exponent)
    counts = torch.zeros(12, dtype=torch.float64)
    for seed in range(400):
        counts += torch.bincount(worlds.draw(noise, g, query, seed).ids.flatten(), minlength=12)
    assert exact.weight is not None
    torch.testing.assert_close(counts / 400 / len(query), exact.weight[0], rtol=0, atol=0.05)


def test_the_test_of_uniformity_can_fail() -> None:
    counts = torch.full((20,), 300.0)
    counts[0] += 150
    expected = counts.sum() / 20
    assert ((counts - expected) ** 2 / expected).sum() > 63


def test_sides_may_differ_in_number_also_through_inverse_relations() -> None:
    for g in GRAPHS:
        noise = Uniform(num=3, num_head=5)
        assert worlds.draw(noise, g, query_of(g, Side.TAIL), 0).ids.shape == (12, 3)
        assert worlds.draw(noise, g, query_of(g, Side.HEAD), 0).ids.shape == (12, 5)


@pytest.mark.parametrize(("chunk", "rows"), [(1, 12), (5, 3), (6, 2), (7, 2), (12, 1), (64, 1)])
def test_chunks_share_a_row(chunk: int, rows: int) -> None:
    g = GRAPHS[0]
    query = query_of(g, Side.TAIL)
    assert worlds.draw(Uniform(num=4, shared="chunk", chunk=chunk), g, query, 0).ids.shape == (rows, 4)
    assert worlds.draw(Uniform(num=4, shared="batch"), g, query, 0).ids.shape == (1, 4)


def test_settings_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        Uniform(num=0)
    with pytest.raises(ValueError, match="must lie in"):
        Uniform(num_head=0)
    with pytest.raises(ValueError, match="must lie in"):
        Frequency(num=0)
    with pytest.raises(ValueError, match="must lie in"):
        Expected(num=0.0)
    with pytest.raises(ValueError, match="drawn candidates"):
        Candidates(range(3), weight=torch.ones(1, 3))
    one = worlds.graph(4, 1, sizes=(1, 0, 0))
    with pytest.raises(ValueError, match="cannot draw 2 of 1"):
        Frequency(num=2, replacement=False).bind(one, worlds.CPU)
    with pytest.raises(ValueError, match="without replacement"):
        Uniform(num=8, replacement=False).bind(GRAPHS[0], worlds.CPU)
    with pytest.raises(ValueError, match="cannot draw 9 of 7"):
        Uniform(num=3, num_head=9, replacement=False).bind(GRAPHS[0], worlds.CPU)


# Noises that ask the model, or keep a cache


def test_live_scores_are_those_of_evaluation_and_leave_no_trace() -> None:
    """No gradient, no dropout, no batch norm statistics, and the mode is put back."""
    g = GRAPHS[0]
    query = query_of(g, Side.TAIL)
    ids = torch.arange(7).expand(len(query), 7)
    for model in MODELS:
        parts = worlds.scoring(model, g, dropout_entity=0.5, dropout_relation=0.5)
        expected = score_matrix(parts, query)
        parts.model.train()
        before = {name: buffer.clone() for name, buffer in parts.model.named_buffers()}
        view = live(parts, 2.5)
        for asked in (ids, ids[:1]):
            scores = view.score(query, asked)
            torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9)
            assert not scores.requires_grad
        assert parts.model.training
        assert view.epoch == 2.5
        assert torch.equal(view.rows(torch.tensor([3])), parts.entities.values[3:4])
        for name, buffer in parts.model.named_buffers():
            assert torch.equal(buffer, before[name])


def test_the_best_of_m_is_the_best_of_every_m() -> None:
    g = GRAPHS[1]
    query = query_of(g, Side.HEAD)
    view = worlds.live(g)
    ids = Uniform(num=12).bind(g, worlds.CPU).draw(query, 9, view).ids
    best = BestOf(num=3, of=4, filtered=False).bind(g, worlds.CPU)
    drawn = best.draw(query, 9, view).ids
    scores = view.score(query, ids)
    for i, group in itertools.product(range(len(query)), range(3)):
        own = slice(4 * group, 4 * group + 4)
        assert drawn[i, group] == ids[i, own][scores[i, own].argmax()]
    assert best.num(query) == 3 == drawn.shape[1]
    with pytest.raises(ValueError, match="shared"):
        BestOf(shared="batch")


def mean_score(sampler: Sampler, query: Query, view: Live) -> float:
    return view.score(query, sampler.draw(query, 0, view).ids).mean().item()


def test_caches_grow_hard_and_each_question_has_its_own() -> None:
    """On a frozen model the candidates of a cache score higher and higher; equal questions share a row."""
    g = worlds.graph(60, 2, sizes=(80, 5, 5))
    parts = worlds.scoring("distmult", g, dim=8)
    parts.entities.values.mul_(1.5)
    view = live(parts, 0.0)
    for side in BOTH_SIDES:
        query = query_of(g, side)
        caches = NSCaching(num=8, cache=8, fresh=8).bind(g, worlds.CPU)
        means = [mean_score(caches, query, view)]
        for step in range(12):
            caches.learn(query, caches.draw(query, step, view), view, step)
            means.append(mean_score(caches, query, view))
        assert means[0] < means[3] < means[-1]
        quantile = (view.score(query, torch.arange(60)[None]).mean(1)).mean().item()
        assert means[-1] > quantile + 1
        other = query_of(g, BOTH_SIDES[side is BOTH_SIDES[0]])
        untouched = NSCaching(num=8, cache=8, fresh=8).bind(g, worlds.CPU)
        assert torch.equal(caches.draw(other, 0, view).ids, untouched.draw(other, 0, view).ids)


def test_a_question_that_training_never_asks_has_no_known_answer_and_still_gets_draws() -> None:
    """A part of the triples is hidden from a sampler that is asked about them: the last question is past all keys."""
    g = worlds.graph(7, 2, sizes=(30, 0, 0))
    whole = query_of(g, Side.TAIL)
    key = whole.anchor * g.num_relations + whole.relation
    rest = replace(g, splits={"train": g.splits["train"][key < key.max()]})
    query = whole.select((key == key.max()).nonzero().flatten())
    for noise in (Uniform(num=20, filtered=True), NSCaching(num=20, filtered=True), Uniform(num=20, count=Rarer())):
        drawn = noise.bind(rest, worlds.CPU).draw(query, 0, worlds.live(g))
        assert drawn.ids.shape == (len(query), 20)
        assert drawn.shift is None


def test_a_question_that_stands_twice_is_refreshed_once() -> None:
    g, view = GRAPHS[0], worlds.live(GRAPHS[0])
    query = query_of(g, Side.TAIL)
    once, again = (NSCaching(num=2, cache=4, fresh=4).bind(g, worlds.CPU) for _ in range(2))
    distinct_rows = torch.tensor(sorted({(a, r): i for i, (a, r) in reversed(list(enumerate(zip(
        query.anchor.tolist(), query.relation.tolist(), strict=True))))}.values()))  # fmt: skip
    once.learn(query.select(distinct_rows), once.draw(query, 0, view), view, 5)
    again.learn(query, again.draw(query, 0, view), view, 5)
    assert len(distinct_rows) < len(query)
    assert torch.equal(once.proposer.tail, again.proposer.tail)


def test_filtered_caches_hold_no_known_answer_and_lazy_ones_wait() -> None:
    g = worlds.graph(30, 2, sizes=(60, 2, 2))
    query, parts = query_of(g, Side.TAIL), worlds.scoring("distmult", g)
    caches = NSCaching(num=20, cache=5, fresh=12, filtered=True).bind(g, worlds.CPU)
    for step in range(30):
        caches.learn(query, caches.draw(query, step, worlds.live(g)), live(parts, step), step)
    ids = caches.draw(query, 0, worlds.live(g)).ids
    assert not {(i, e) for i, row in enumerate(ids.tolist()) for e in row} & known_to(g, query)
    lazy = NSCaching(cache=5, every=3).bind(g, worlds.CPU)
    start = lazy.proposer.tail.clone()
    for epoch in (1.0, 2.9):
        lazy.learn(query, lazy.draw(query, 0, worlds.live(g)), live(parts, epoch), 0)
        assert torch.equal(lazy.proposer.tail, start)
    lazy.learn(query, lazy.draw(query, 0, worlds.live(g)), live(parts, 3.2), 0)
    assert not torch.equal(lazy.proposer.tail, start)


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_the_number_of_candidates_is_known_without_drawing(noise: tuple[str, dict]) -> None:
    for g, side in itertools.product(GRAPHS, BOTH_SIDES):
        sampler, query = worlds.make_noise(noise).bind(g, worlds.CPU), query_of(g, side)
        ids = sampler.draw(query, 0, worlds.live(g)).ids
        assert sampler.num(query) == (len(ids) if isinstance(ids, range) else ids.shape[1])


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_blind_noises_see_neither_question_nor_slot(noise: tuple[str, dict]) -> None:
    built, g = worlds.make_noise(noise), GRAPHS[1]
    one, other = (worlds.draw(noise, g, query_of(g, side), 3) for side in BOTH_SIDES)
    same = one.drop is None and (
        one.ids == other.ids
        if isinstance(one.ids, range)
        else one.ids.shape == other.ids.shape and torch.equal(one.ids, other.ids) and len(one.ids) == 1
    )
    if one.weight is not None:
        same = same and torch.equal(one.weight, other.weight)
    assert not built.blind or same
