"""Negatives from types and structure: sets against sets of Python, walks against distances, cardinalities."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import torch

import falsum
from falsum.errors import UserError
from falsum.graph.cardinality import cardinalities, kinds, largest_cardinalities
from falsum.graph.graph import BOTH_SIDES, Graph, Query, Side
from falsum.noise import NOISES, Noise, RandomWalk
from falsum.noise.base import Size, bytes_of
from falsum.noise.lists import Lists, distinct_keys, without
from falsum.noise.pools import Admitted, Ball, ByConcept, Difference, Everyone, Pool, Relational, SameType, worked
from falsum.noise.proposals import Chain, Even, Outside, Proposal, Walk
from falsum.noise.request import Request
from falsum.noise.slots import Bernoulli
from falsum.noise.suspects import TwoHop
from falsum.noise.typings import Typing
from falsum.recipe import parts
from falsum.seeds import generator
from laws import worlds

# Thin and thick, with entities that no triple has, with and without inverse relations.
PLAIN = [worlds.graph(12, 3, sizes=(size, 6, 6), seed=seed) for size, seed in ((9, 1), (25, 2), (60, 3))]
GRAPHS = [*PLAIN, *(g.with_inverses() for g in PLAIN)]
NAMED = ["type-constrained", "typed", "type-excluded", "relational", "concepts", "k-hop", "random-walk"]
CPU = worlds.CPU

Triple = tuple[int, int, int]
Slot = tuple[int, Side]


def train(g: Graph) -> list[Triple]:
    return worlds.triples_of(g, ["train"])


def questions(g: Graph, side: Side, *, grouped: bool = False) -> Query:
    return g.queries(g.splits["train"], side, grouped=grouped)


def sets_of(pool: Pool, g: Graph, query: Query) -> list[set[int]]:
    members = pool.bind(g, CPU).of(query)
    rows = [
        members.entity[s : s + n].tolist() for s, n in zip(members.start.tolist(), members.count.tolist(), strict=True)
    ]
    assert all(row == sorted(set(row)) for row in rows)
    return [set(row) for row in rows]


def drawn(proposal: Proposal, g: Graph, query: Query, num: int, seed: int = 0) -> torch.Tensor:
    request = Request(query, len(query), num, query.target, generator(seed), worlds.live(g))
    ids = proposal.bind(g, CPU).draw(request)
    assert ids.dtype == torch.int64
    assert ids.shape == (len(query), num)
    return ids


# Oracles


def fillers(g: Graph) -> dict[Slot, list[int]]:
    """Everyone that fills a slot, as often as it does."""
    found: dict[Slot, list[int]] = {(r, side): [] for side in BOTH_SIDES for r in range(g.num_base_relations)}
    for head, relation, tail in train(g):
        found[relation, Side.TAIL].append(tail)
        found[relation, Side.HEAD].append(head)
    return found


def types_of(g: Graph) -> dict[int, set[Slot]]:
    """The slot that tells most of each entity."""
    slots, types = fillers(g), {}
    for entity in range(g.num_entities):
        telling = {
            slot: own.count(entity) * math.log(g.num_entities / len(set(own)))
            for slot, own in slots.items()
            if entity in own
        }
        best = [slot for slot, value in telling.items() if math.isclose(value, max(telling.values()))]
        types[entity] = {best[0]} if best else set()
    return types


def admitted_types(g: Graph, types: dict[int, set], slot: Slot) -> set:
    return set().union(*(types[e] for e in fillers(g)[slot]))


def holders(types: dict[int, set], wanted: set) -> set[int]:
    return {e for e, own in types.items() if own & wanted}


def open_slots(g: Graph, query: Query) -> list[Slot]:
    return [(r % g.num_base_relations, query.slot) for r in query.relation.tolist()]


def first(query: Query, i: int) -> int:
    return worlds.targets_of(query, i)[0]


def related(g: Graph, anchor: int, slot: Slot) -> set[int]:
    relation, side = slot
    anchored = {r for h, r, t in train(g) if (h if side is Side.TAIL else t) == anchor and r != relation}
    return {(t if side is Side.TAIL else h) for h, r, t in train(g) if r in anchored}


def distances(g: Graph, start: int) -> dict[int, int]:
    """Hops to everyone that can be reached."""
    edges = {(h, t) for h, _, t in train(g)}
    far, edge = {start: 0}, [start]
    while edge:
        here = edge.pop(0)
        for h, t in edges:
            for one, other in ((h, t), (t, h)):
                if one == here and other not in far:
                    far[other] = far[here] + 1
                    edge.append(other)
    return far


def ball(g: Graph, anchor: int, settings: Ball) -> set[int]:
    least = 1 if settings.near else 2
    near = {e for e, far in distances(g, anchor).items() if least <= far <= settings.hops}
    return near | ({anchor} if settings.anchor else set())


def concepts(g: Graph, types: dict[int, set], slot: Slot, target: int, threshold: float) -> set[int]:
    relation, side = slot
    of_relation = [t for t in set(train(g)) if t[1] == relation]
    ends = {t[0] if side is Side.TAIL else t[2] for t in of_relation}
    if len(of_relation) / max(1, len(ends)) < threshold:
        return holders(types, types[target])
    return holders(types, admitted_types(g, types, slot) - types[target])


# Sets


@pytest.fixture(params=["kept", "for each batch"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "kept":
        monkeypatch.setattr(worked, "KEPT_BYTES", 8)
    return request.param


@pytest.mark.parametrize("side", BOTH_SIDES)
@pytest.mark.parametrize("grouped", [False, True])
def test_sets_are_those_of_python(side: Side, grouped: bool, room: str) -> None:
    for g in GRAPHS:
        query, types = questions(g, side, grouped=grouped), types_of(g)
        slots, anchors = open_slots(g, query), query.anchor.tolist()
        targets = [first(query, i) for i in range(len(query))]
        assert sets_of(Admitted(), g, query) == [holders(types, admitted_types(g, types, slot)) for slot in slots]
        assert sets_of(SameType(), g, query) == [holders(types, types[target]) for target in targets]
        assert sets_of(Relational(), g, query) == [related(g, a, s) for a, s in zip(anchors, slots, strict=True)]
        for threshold in (1.0, 1.5, 3.0):
            assert sets_of(ByConcept(threshold=threshold), g, query) == [
                concepts(g, types, slot, target, threshold) for slot, target in zip(slots, targets, strict=True)
            ]
        for settings in (Ball(1), Ball(2), Ball(3), Ball(2, anchor=True), Ball(2, near=False), Ball(30)):
            assert sets_of(settings, g, query) == [ball(g, anchor, settings) for anchor in anchors]
        assert (Ball().bind(g, CPU).asked is not None) == (room == "kept")


def test_questions_that_training_never_asks_have_sets_too() -> None:
    """They are not among those kept, so the whole batch is worked out."""
    g = GRAPHS[1]
    asked = {(h, r) for h, r, _ in train(g)}
    odd = next((h, r) for h in range(12) for r in range(3) if (h, r) not in asked and related(g, h, (r, Side.TAIL)))
    query = questions(g, Side.TAIL)
    query = replace(query, anchor=query.anchor.clone(), relation=query.relation.clone())
    query.anchor[0], query.relation[0] = odd
    expected = [related(g, a, s) for a, s in zip(query.anchor.tolist(), open_slots(g, query), strict=True)]
    assert sets_of(Relational(), g, query) == expected


@pytest.mark.parametrize("pool", [Admitted(), SameType(), ByConcept(), Relational(), Ball()], ids=str)
def test_pools_know_nothing_of_held_out_triples(pool: Pool) -> None:
    for g in (PLAIN[1], GRAPHS[4]):
        other = replace(
            g, splits=g.splits | {s: worlds.graph(12, 3, (0, 6, 6), 9).splits[s] for s in ("valid", "test")}
        )
        for side in BOTH_SIDES:
            assert sets_of(pool, g, questions(g, side)) == sets_of(pool, other, questions(g, side))


def test_followed_lists_are_unions_of_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pieces, close together or far apart."""
    random = generator(3)
    for piece, size in ((1 << 19, 9), (1, 9), (7, 10**6)):
        monkeypatch.setattr("falsum.noise.lists.PIECE", piece)
        row, member = (torch.randint(high, (40,), generator=random) for high in (12, size))
        lists = Lists(row, member, 12, size, CPU)
        held = {i: {m for r, m in zip(row.tolist(), member.tolist(), strict=True) if r == i} for i in range(12)}
        asked = torch.unique(torch.randint(5 * 12, (25,), generator=random))
        wanted = {(k // 12, m) for k in asked.tolist() for m in held[k % 12]}
        assert [(k // size, k % size) for k in lists.follow(asked).tolist()] == sorted(wanted)
        assert len(lists.follow(asked[:0])) == 0


@pytest.mark.parametrize("spread", [30, 10**9])
def test_sets_of_keys_are_sets(spread: int) -> None:
    keys, others = (torch.randint(spread, (40,), generator=generator(i)) + 5 for i in (0, 1))
    others = torch.cat([others, keys[:3]])
    one, other = distinct_keys(keys), distinct_keys(others)
    assert one.tolist() == sorted(set(keys.tolist()))
    assert without(one, other).tolist() == sorted(set(keys.tolist()) - set(others.tolist()))


# Types from a file


def typed_graph() -> Graph:
    triples = torch.tensor([[0, 0, 1], [2, 0, 1], [3, 1, 4], [5, 1, 4]])
    return Graph("six", {"train": triples}, pl.Series([*"abcdef"]), pl.Series(["r", "s"]), 2)


LINES = [
    ("a", "x"),
    ("b", "y"),
    ("b", "z"),
    ("c", "x"),
    ("d", "z"),
    ("e", "y"),
    ("e", "w"),
    ("a", "x"),
    ("nobody", "x"),
]


@pytest.mark.parametrize("name", ["types.tsv", "types.csv", "types"])
def test_types_of_a_file(name: str, tmp_path: Path) -> None:
    """Several types per entity, lines that stand twice, labels that the graph has not; f has no type."""
    path = tmp_path / name
    path.write_text("".join(f"{entity}{',' if name.endswith('csv') else chr(9)}{kind}\n" for entity, kind in LINES))
    g = typed_graph()
    types = {e: {kind for label, kind in LINES if label == g.entities[e]} for e in range(6)}
    for side in BOTH_SIDES:
        query = questions(g, side)
        slots, targets = open_slots(g, query), query.target.tolist()
        assert sets_of(Admitted(str(path)), g, query) == [holders(types, admitted_types(g, types, s)) for s in slots]
        assert sets_of(SameType(str(path)), g, query) == [holders(types, types[t]) for t in targets]
        expected = [concepts(g, types, s, t, 1.5) for s, t in zip(slots, targets, strict=True)]
        assert sets_of(ByConcept(str(path)), g, query) == expected
    group = Typing(g, str(path), CPU).group.tolist()
    assert group[0] == group[2]
    assert len(set(group)) == 5
    for pool in (Admitted(str(path)), SameType(str(path)), ByConcept(str(path))):
        assert bytes_of(pool.bind(g, CPU)) <= pool.state_bytes(Size.of(g))


def test_files_of_types_that_cannot_be_used_are_explained(tmp_path: Path) -> None:
    g, path = typed_graph(), tmp_path / "types.tsv"
    with pytest.raises(UserError, match=r"missing.tsv.*entity<tab>type"):
        Admitted(str(tmp_path / "missing.tsv")).bind(g, CPU)
    path.write_text("u\tx\nv\tx\n")
    with pytest.raises(
        UserError, match=r"none of its 2 entities is in the graph, for instance 'u', 'v'.*'a', 'b', 'c'"
    ):
        SameType(str(path)).bind(g, CPU)
    path.write_text("a\tx\tmore\n")
    with pytest.raises(UserError, match="it has 3 columns, not 2"):
        ByConcept(str(path)).bind(g, CPU)
    path.write_text("a x\nb y\n")
    with pytest.raises(UserError, match="it has 1 columns, not 2"):
        ByConcept(str(path)).bind(g, CPU)
    path.write_text("")
    with pytest.raises(UserError, match="entity<tab>type"):
        Admitted(str(path)).bind(g, CPU)


def test_one_filler_means_tails_of_one_to_one_and_many_to_one() -> None:
    """Relations 0: 1-1, 1: 1-N, 2: N-1, 3: N-N, each on its own entities; the target's kind where there is one."""
    kinds_of = {0: [(0, 1)], 1: [(2, 3), (2, 4)], 2: [(5, 6), (7, 6)], 3: [(8, 9), (8, 10), (11, 9), (11, 10)]}
    triples = torch.tensor([[h, r, t] for r, ends in kinds_of.items() for h, t in ends])
    g = Graph("kinds", {"train": triples}, pl.Series([str(i) for i in range(12)]), pl.Series([*"0123"]), 4)
    assert kinds(*cardinalities(g)) == {"1-1": 1, "1-N": 1, "N-1": 1, "N-N": 1}
    for each in (g, g.with_inverses()):
        for side, one in ((Side.TAIL, {0, 2}), (Side.HEAD, {0, 1})):
            query = questions(each, side)
            for (relation, _), target, own in zip(
                open_slots(each, query), query.target.tolist(), sets_of(ByConcept(), each, query), strict=True
            ):
                assert (target in own) == (relation in one)


# Draws


@pytest.mark.parametrize("side", BOTH_SIDES)
@pytest.mark.parametrize("pool", [SameType(), Ball(1), Everyone()], ids=str)
def test_outside_draws_are_those_of_the_difference(pool: Pool, side: Side) -> None:
    for g in (PLAIN[1], GRAPHS[5]):
        query = questions(g, side)
        difference, outside = Even(Difference(Everyone(), pool)), Outside(pool)
        request = Request(query, len(query), 400, query.target, generator(0), worlds.live(g))
        ids, everyone = drawn(outside, g, query, 400), torch.arange(12)[None]
        odds = outside.bind(g, CPU).log_q(request, everyone).exp()
        torch.testing.assert_close(odds, difference.bind(g, CPU).log_q(request, everyone).exp())
        torch.testing.assert_close(odds.sum(1), torch.ones(len(query), dtype=odds.dtype))
        for row, likely in zip(ids.tolist(), odds, strict=True):
            assert set(row) == set(likely.nonzero().flatten().tolist())
        share = torch.stack([torch.bincount(row, minlength=12) for row in ids]) / 400
        torch.testing.assert_close(share.double(), odds.double(), rtol=0, atol=0.15)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_walks_stay_within_their_hops_and_reach_them_all(hops: int) -> None:
    """Nobody beyond, and never the anchor, which is no candidate of its own question."""
    for g in GRAPHS:
        for side in BOTH_SIDES:
            query = questions(g, side)
            for row, anchor in zip(drawn(Walk(hops), g, query, 300).tolist(), query.anchor.tolist(), strict=True):
                reached = {e for e, far in distances(g, anchor).items() if 1 <= far <= hops}
                # A loop is no way out: its end alone draws anybody else.
                assert set(row) <= (reached or set(range(12)) - {anchor})
    path = line(9)
    query = questions(path, Side.TAIL)
    ends = {1: {1}, 2: {1, 2}, 3: {1, 3}}  # a line has no odd circle
    for row, anchor in zip(drawn(Walk(hops), path, query, 400).tolist(), query.anchor.tolist(), strict=True):
        if 3 <= anchor <= 5:
            assert {abs(e - anchor) for e in row} == ends[hops]


def line(num: int) -> Graph:
    triples = torch.tensor([[a, 0, b] for a, b in pairwise(range(num))])
    return Graph("line", {"train": triples}, pl.Series([str(i) for i in range(num)]), pl.Series(["r"]), 1)


def test_walks_that_are_never_put_back_leave() -> None:
    """What the released code does: most draws are nowhere near. Put back, all are."""
    g = line(400)
    query = questions(g, Side.TAIL)
    shares = {}
    for restart in (True, False):
        noise = RandomWalk(num=100, hops=2, restart=restart, filtered=False)
        ids = noise.bind(g, CPU).draw(query, 0, worlds.live(g)).ids
        assert not (ids == query.anchor[:, None]).any()
        shares[restart] = ((ids - query.anchor[:, None]).abs() <= 2).double().mean().item()
        # The first stage begins at the anchor in either.
        assert ((ids[:, 0] - query.anchor).abs() <= 2).all()
    assert shares[True] == 1
    assert shares[False] < 0.5


def test_a_hop_of_a_walk_has_the_odds_of_its_neighbours() -> None:
    for g in (PLAIN[0], PLAIN[1]):
        query = questions(g, Side.HEAD)
        request = Request(query, len(query), 1, query.target, generator(0), worlds.live(g))
        walks = Walk(1).bind(g, CPU).log_q(request, torch.arange(12)[None]).exp()
        balls = Even(Ball(1)).bind(g, CPU).log_q(request, torch.arange(12)[None]).exp()
        torch.testing.assert_close(walks, balls)
    assert Walk(1).exact
    assert not Walk(2).exact
    assert not Chain(1).exact
    with pytest.raises(ValueError, match="odds of these draws"):
        RandomWalk(hops=2, correction="refined")


def lonely(query: Query) -> Query:
    """The same questions about somebody that no triple has, by a relation that no triple has."""
    return replace(query, anchor=torch.full_like(query.anchor, 7), relation=torch.full_like(query.relation, 2))


@pytest.mark.parametrize("side", BOTH_SIDES)
@pytest.mark.parametrize("num_triples", [0, 2])
def test_nobody_to_draw_from_leaves_everybody(side: Side, num_triples: int) -> None:
    """An anchor alone, a relation never seen, targets of no type, a graph without triples: draws go on, evenly."""
    train_ = torch.tensor([[0, 0, 1], [1, 0, 2]])[:num_triples]
    g = Graph("two", {"train": train_}, pl.Series([*"abcdefgh"]), pl.Series([*"rst"]), 3)
    query = lonely(g.queries(torch.tensor([[0, 0, 5], [5, 0, 0]]), side, grouped=False))
    query = replace(query, target=torch.full_like(query.target, 6))
    for proposal in (Even(Admitted()), Even(SameType()), Outside(SameType()), Even(Relational()), Even(ByConcept()),
                     Even(Ball()), Walk(2), Chain(2)):  # fmt: skip
        ids = set(drawn(proposal, g, query, 300).flatten().tolist())
        assert ids == (set(range(7)) if isinstance(proposal, Walk | Chain) else set(range(8)))
    request = Request(query, len(query), 1, query.target, generator(0), worlds.live(g))
    odds = Walk(1).bind(g, CPU).log_q(request, torch.arange(8)[None]).exp()
    torch.testing.assert_close(odds[0], torch.tensor([1 / 7] * 7 + [0], dtype=odds.dtype))
    assert TwoHop().bind(g, CPU).doubt(query, torch.arange(8)[None], worlds.live(g)).sum() == 1  # the anchor itself


@pytest.mark.parametrize("name", NAMED)
def test_both_slots_are_asked_alike_whatever_their_pools(name: str) -> None:
    """A star has one head and many tails; no slot counts more for that, and known answers never count."""
    star = torch.tensor([[0, 0, i] for i in range(1, 9)] + [[9, 1, i] for i in range(1, 4)])
    g = Graph("star", {"train": star}, pl.Series([str(i) for i in range(12)]), pl.Series(["r", "s"]), 2)
    sampler = NOISES[name](num=6).bind(g, CPU)
    for side in BOTH_SIDES:
        query = questions(g, side)
        candidates = sampler.draw(query, 0, worlds.live(g))
        assert candidates.share is None
        assert sampler.num(query) == 6 == candidates.ids.shape[1]
        for i, (anchor, relation) in enumerate(zip(query.anchor.tolist(), query.relation.tolist(), strict=True)):
            for e, _, _ in worlds.counted(query, candidates, i, 12):
                triple = (anchor, relation, e) if side is Side.TAIL else (e, relation, anchor)
                assert triple not in train(g)


@pytest.mark.parametrize("name", NAMED)
def test_structure_is_a_setting_of_recipes(name: str) -> None:
    resolved = parts.resolve("noise", {"name": name, "uniform": 0.25, "suspects": {"name": "two-hop", "share": 0.1}})
    noise: Noise = parts.build("noise", resolved)
    assert noise == NOISES[name](uniform=falsum.curves.Constant(0.25), suspects=TwoHop(0.1))
    assert parts.described("noise", noise) == resolved


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        lambda: Ball(0),
        lambda: Walk(0),
        lambda: Chain(0),
        lambda: ByConcept(threshold=0.5),
        lambda: TwoHop(2),
    ):
        with pytest.raises(ValueError, match="must lie in"):
            wrong()
    with pytest.raises(ValueError, match="near must be true"):
        Ball(1, near=False)


# Suspects


@pytest.mark.parametrize("rows", [1, 4, None])
def test_candidates_within_two_hops_are_doubted(rows: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falsum.noise.suspects.two_hop.PIECE", 5)
    for g in GRAPHS:
        for side in BOTH_SIDES:
            query = questions(g, side)
            many = len(query) if rows is None else rows
            ids = torch.randint(12, (many, 9), generator=generator(5))
            doubt = TwoHop(0.25).bind(g, CPU).doubt(query, ids, worlds.live(g))
            for i, anchor in enumerate(query.anchor.tolist()):
                near = distances(g, anchor)
                own = worlds.of_query(ids, query, i)
                assert doubt[i].tolist() == [0.25 * (near.get(e, 9) <= 2) for e in own]


def test_doubted_candidates_count_less() -> None:
    g = PLAIN[1]
    query = questions(g, Side.TAIL)
    candidates = (
        NOISES["k-hop"](num=5, filtered=False, suspects=TwoHop(0.25)).bind(g, CPU).draw(query, 0, worlds.live(g))
    )
    assert candidates.weight is not None
    assert (candidates.weight == 0.75).all()


# Cardinality


def test_a_head_with_many_tails_is_replaced_itself() -> None:
    """Bernoulli on a star: 9 tails per head and 1 head per tail, so the head counts 2 x 9/10 (an inverted one 2/10)."""
    star = torch.tensor([[0, 0, i] for i in range(1, 10)])
    g = Graph("star", {"train": star}, pl.Series([str(i) for i in range(10)]), pl.Series(["r"]), 1)
    for each in (g, g.with_inverses()):
        shares = {}
        for side in BOTH_SIDES:
            share = NOISES["bernoulli"](num=2).bind(each, CPU).draw(questions(each, side), 0, worlds.live(each)).share
            assert share is not None
            shares[side] = share[0].item()
        assert shares == {Side.TAIL: pytest.approx(0.2), Side.HEAD: pytest.approx(1.8)}
    assert Bernoulli().shares(g) is not None


def test_largest_cardinalities_are_counted_once_per_triple() -> None:
    for g in PLAIN:
        doubled = replace(g, splits={"train": torch.cat([g.splits["train"]] * 2)})
        for column, found in zip((0, 2), largest_cardinalities(doubled), strict=True):
            most = [max(Counter(t[column] for t in train(g) if t[1] == r).values(), default=1) for r in range(3)]
            assert found.tolist() == most
    bare = replace(PLAIN[0], splits={"train": torch.zeros(0, 3, dtype=torch.int64)})
    assert largest_cardinalities(bare)[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "averages", "strict", "shares"),
    [
        ("fb15k-237", (17, 26, 86, 108), (3, 4, 35, 195), (7.17, 10.97, 36.29, 45.57)),
        ("wn18rr", (2, 4, 3, 2), (0, 0, 0, 11), (18.18, 36.36, 27.27, 18.18)),
    ],
)
def test_cardinalities_of_the_field(
    name: str, averages: tuple[int, ...], strict: tuple[int, ...], shares: tuple[float, ...], falsum_data: Path
) -> None:
    """Of the training triples; with those held out FB15k-237 would have 17, 26, 81 and 113."""
    if not (falsum_data / name).is_dir():
        pytest.skip(f"no {name} in FALSUM_DATA")
    g = falsum.load(name)
    found = tuple(kinds(*cardinalities(g)).values())
    assert found == averages
    assert tuple(round(100 * n / sum(found), 2) for n in found) == shares
    assert tuple(kinds(*largest_cardinalities(g)).values()) == strict
