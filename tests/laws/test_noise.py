"""Draws: in range, distinct where promised, never a known answer that counts, uniform, and a function of the seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from falsum.graph.graph import BOTH_SIDES, Graph, Pairs, Query, Side
from falsum.noise import NOISES, Candidates, Expected, Frequency, Uniform
from falsum.noise.draws import distinct
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


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
@pytest.mark.parametrize("side", BOTH_SIDES)
def test_draws_stay_in_range_and_drop_what_is_known(noise: tuple[str, dict], side: Side) -> None:
    for g in GRAPHS:
        query = query_of(g, side)
        for seed in range(5):
            candidates = worlds.make_noise(noise).bind(g, worlds.CPU)(query, seed)
            if isinstance(candidates.ids, range):
                assert candidates.ids == range(g.num_entities)
            else:
                assert candidates.ids.dtype == torch.int64
                assert ((candidates.ids >= 0) & (candidates.ids < g.num_entities)).all()
            assert pairs(candidates.drop) == (known_to(g, query) if noise[1].get("filtered") else set())


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_equal_seeds_draw_alike_and_others_do_not(noise: tuple[str, dict]) -> None:
    query = query_of(GRAPHS[0], Side.TAIL)
    draw = worlds.make_noise(noise).bind(GRAPHS[0], worlds.CPU)
    again = worlds.make_noise(noise).bind(GRAPHS[0], worlds.CPU)
    torch.manual_seed(0)
    one = draw(query, 3)
    torch.manual_seed(1)
    two, other = again(query, 3), draw(query, 4)
    if isinstance(one.ids, range):
        assert one.ids == two.ids == other.ids
    else:
        assert torch.equal(one.ids, two.ids)
        assert torch.equal(one.ids, other.ids) == (noise[0] == "expected")


@pytest.mark.parametrize("name", NOISES)
def test_noises_that_group_give_equal_queries_equal_candidates(name: str) -> None:
    for noise in worlds.settings_of({name: NOISES[name]}, worlds.NOISE_SETTINGS):
        built = worlds.make_noise(noise)
        if built.groups:
            g = GRAPHS[0]
            draw = built.bind(g, worlds.CPU)
            grouped = g.queries(g.splits["train"], Side.TAIL, grouped=True)
            assert draw(grouped, 0) == draw(query_of(g, Side.TAIL), 1) == Candidates(range(g.num_entities))


def test_own_draws_are_never_known_answers() -> None:
    for g in GRAPHS:
        for side in BOTH_SIDES:
            query = query_of(g, side)
            for seed in range(20):
                ids = Uniform(num=30, filtered=True).bind(g, worlds.CPU)(query, seed).ids
                drawn = {(i, e) for i, row in enumerate(ids.tolist()) for e in row}
                assert not drawn & known_to(g, query)


@given(num_entities=st.integers(2, 40), share=st.floats(0.01, 1), filtered=st.booleans(), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_draws_without_replacement_are_distinct(num_entities: int, share: float, filtered: bool, seed: int) -> None:
    """Up to all entities; known answers fill up a row only where nothing else is left, and then do not count."""
    g = worlds.graph(num_entities, 1, sizes=(min(20, num_entities**2), 0, 0), seed=seed)
    num = max(1, int(share * num_entities))
    query = query_of(g, Side.TAIL)
    draw = Uniform(num=num, replacement=False, filtered=filtered).bind(g, worlds.CPU)
    known = known_to(g, query) if filtered else set()
    for i, row in enumerate(draw(query, seed).ids.tolist()):
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
    draw = Uniform(num=num, shared=shared, chunk=7, replacement=replacement).bind(g, worlds.CPU)
    counts = torch.zeros(20)
    for seed in range(300):
        counts += torch.bincount(draw(query, seed).ids.flatten(), minlength=20)
    expected = counts.sum() / 20
    assert ((counts - expected) ** 2 / expected).sum() < 63


def test_filtered_draws_are_uniform_over_what_is_left() -> None:
    g = worlds.graph(20, 1, sizes=(200, 0, 0))
    query = query_of(g, Side.TAIL)
    left = sorted(set(range(20)) - {e for i, e in known_to(g, query) if i == 0})
    query = query.select(torch.tensor([0]))
    for replacement in (True, False):
        draw = Uniform(num=3, filtered=True, replacement=replacement).bind(g, worlds.CPU)
        counts = torch.zeros(20)
        for seed in range(1500):
            counts += torch.bincount(draw(query, seed).ids[0], minlength=20)
        expected = counts.sum() / len(left)
        assert counts[left].sum() == counts.sum()
        assert ((counts[left] - expected) ** 2 / expected).sum() < 63


@pytest.mark.parametrize("exponent", [0.5, 1.0])
@pytest.mark.parametrize("slot", BOTH_SIDES)
@pytest.mark.parametrize("filtered", [False, True])
def test_frequency_draws_follow_the_counts_of_the_slot(exponent: float, slot: Side, filtered: bool) -> None:
    g = worlds.graph(20, 1, sizes=(60, 0, 0))
    query = query_of(g, slot)
    draw = Frequency(num=5, exponent=exponent, filtered=filtered).bind(g, worlds.CPU)
    odds = torch.bincount(g.splits["train"][:, 2 if slot is Side.TAIL else 0], minlength=20).double() ** exponent
    if filtered:
        odds[[e for i, e in known_to(g, query) if i == 0]] = 0
    counts = torch.zeros(20, dtype=torch.float64)
    for seed in range(1500):
        counts += torch.bincount(draw(query, seed).ids[0], minlength=20)
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
    exact = Expected(num=6, num_head=3, exponent=exponent).bind(g, worlds.CPU)(query, 0)
    draw = Frequency(num=6, num_head=3, exponent=exponent).bind(g, worlds.CPU)
    counts = torch.zeros(12, dtype=torch.float64)
    for seed in range(400):
        counts += torch.bincount(draw(query, seed).ids.flatten(), minlength=12)
    assert exact.weight is not None
    torch.testing.assert_close(counts / 400 / len(query), exact.weight[0], rtol=0, atol=0.05)


def test_the_test_of_uniformity_can_fail() -> None:
    counts = torch.full((20,), 300.0)
    counts[0] += 150
    expected = counts.sum() / 20
    assert ((counts - expected) ** 2 / expected).sum() > 63


def test_sides_may_differ_in_number_also_through_inverse_relations() -> None:
    for g in GRAPHS:
        draw = Uniform(num=3, num_head=5).bind(g, worlds.CPU)
        assert draw(query_of(g, Side.TAIL), 0).ids.shape == (12, 3)
        assert draw(query_of(g, Side.HEAD), 0).ids.shape == (12, 5)


@pytest.mark.parametrize(("chunk", "rows"), [(1, 12), (5, 3), (6, 2), (7, 2), (12, 1), (64, 1)])
def test_chunks_share_a_row(chunk: int, rows: int) -> None:
    g = GRAPHS[0]
    assert Uniform(num=4, shared="chunk", chunk=chunk).bind(g, worlds.CPU)(query_of(g, Side.TAIL), 0).ids.shape == (
        rows,
        4,
    )
    assert Uniform(num=4, shared="batch").bind(g, worlds.CPU)(query_of(g, Side.TAIL), 0).ids.shape == (1, 4)


def test_settings_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Uniform(num=0)
    with pytest.raises(ValueError, match="at least 1"):
        Uniform(num_head=0)
    with pytest.raises(ValueError, match="at least 1"):
        Frequency(num=0)
    with pytest.raises(ValueError, match="must be positive"):
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
