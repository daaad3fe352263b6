"""What is in a graph, and what is odd about it: counts that a table of results should be read with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import polars as pl
import torch
from torch import Tensor

from falsum.graph.graph import Graph
from falsum.graph.keys import distinct

PAIR_SHARE = 0.8
CARDINALITY_THRESHOLD = 1.5
TRIPLE = ["head", "relation", "tail"]


@dataclass(frozen=True, slots=True)
class RelationInfo:
    """One relation in train. cardinality: from the averages, "N" at 1.5 or more; "" if train does not have it."""

    label: str
    train: int
    tails_per_head: float
    heads_per_tail: float
    cardinality: str


@dataclass(frozen=True, slots=True)
class RelationPair:
    """Two relations of train that say nearly the same.

    shared: distinct triples of `first` whose mirror image ("inverse", "symmetric") or copy ("duplicate") `second`
    has; share_first, share_second: its share of either. revealed: for each other split, the triples of both
    relations whose counterpart stands in train.
    """

    first: str
    second: str
    kind: Literal["inverse", "symmetric", "duplicate"]
    shared: int
    share_first: float
    share_second: float
    revealed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Degrees:
    """Triples of train per entity that train has."""

    smallest: int
    median: float
    mean: float
    largest: int
    largest_label: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """Plain data about a graph. Triples are counted as rows of the files unless "distinct" is said.

    duplicates: rows beyond the first of equal triples, by split. overlaps: distinct triples that two splits share.
    unseen_entities, unseen_relations: how many train does not have, by split; unseen_triples: triples that hold one.
    false: rows stated false, by the split that they were stated with. contradictions: distinct triples that are stated
    true in any split and false too, as labels. false_entities: entities of false triples alone.
    unused_entities, unused_relations: labels in no triple, true or false. loops: facts whose head is their tail.
    revealed: triples of a split whose counterpart by any of `pairs` stands in train (each triple once).
    """

    name: str
    source: str
    notes: tuple[str, ...]
    sha256: str
    num_entities: int
    num_relations: int
    triples: Mapping[str, int]
    duplicates: Mapping[str, int]
    overlaps: Mapping[tuple[str, str], int]
    unseen_entities: Mapping[str, int]
    unseen_relations: Mapping[str, int]
    unseen_triples: Mapping[str, int]
    false: Mapping[str, int]
    contradictions: tuple[tuple[str, str, str], ...]
    false_entities: int
    unused_entities: int
    unused_relations: int
    loops: int
    degrees: Degrees
    relations: tuple[RelationInfo, ...]
    pairs: tuple[RelationPair, ...]
    revealed: Mapping[str, int]


def inspect(graph: Graph, *, pair_share: float = PAIR_SHARE) -> Inspection:
    """Count everything in `Inspection`.

    pair_share: two relations are a pair if they share at least this part of both. Inverse relations that
    `with_inverses` added are not counted.
    """
    splits, others = graph.splits, [split for split in graph.splits if split != "train"]
    sets = {split: distinct(triples)[0] for split, triples in splits.items()}
    train = sets["train"]
    seen_entities = mark(train[:, [0, 2]], graph.num_entities)
    seen_relations = mark(train[:, 1], graph.num_base_relations)
    facts = torch.cat(list(sets.values()))
    every = torch.cat([facts, *graph.false.values()])
    used, of_facts = mark(every[:, [0, 2]], graph.num_entities), mark(facts[:, [0, 2]], graph.num_entities)
    pairs, revealed = relation_pairs(graph, sets, pair_share)
    seen = {s: seen_entities[t[:, [0, 2]]].all(1) & seen_relations[t[:, 1]] for s, t in splits.items()}
    return Inspection(
        name=graph.name,
        source=graph.source,
        notes=graph.notes,
        sha256=graph.sha256,
        num_entities=graph.num_entities,
        num_relations=graph.num_base_relations,
        triples={split: len(triples) for split, triples in splits.items()},
        duplicates={split: len(splits[split]) - len(sets[split]) for split in splits},
        overlaps={(a, b): shared(sets[a], sets[b]) for a, b in combinations(splits, 2)},
        unseen_entities={s: int((~seen_entities[torch.unique(sets[s][:, [0, 2]])]).sum()) for s in others},
        unseen_relations={s: int((~seen_relations[torch.unique(sets[s][:, 1])]).sum()) for s in others},
        unseen_triples={split: int((~seen[split]).sum()) for split in others},
        false={split: len(triples) for split, triples in graph.false.items()},
        contradictions=tuple(
            (graph.entities[head], graph.relations[relation], graph.entities[tail])
            for head, relation, tail in contradictions(graph).tolist()
        ),
        false_entities=int((used & ~of_facts).sum()),
        unused_entities=int((~used).sum()),
        unused_relations=int((~mark(every[:, 1], graph.num_base_relations)).sum()),
        loops=sum(int((triples[:, 0] == triples[:, 2]).sum()) for triples in splits.values()),
        degrees=degrees(graph, splits["train"]),
        relations=relation_infos(graph, train),
        pairs=pairs,
        revealed=revealed,
    )


def contradictions(graph: Graph) -> Tensor:
    """(c, 3) int64: the distinct triples that are stated true in any split and false too, ascending."""
    none = torch.zeros(0, 3, dtype=torch.int64)
    false = distinct(torch.cat([none, *graph.false.values()]))[0]
    facts = frame(torch.cat([none, *graph.splits.values()]))
    at = frame(false).with_row_index("at").join(facts, on=TRIPLE, how="semi")["at"].sort()
    return false[torch.from_numpy(at.cast(pl.Int64).to_numpy(writable=True))]


def mark(ids: Tensor, size: int) -> Tensor:
    """(size,) bool: which ids occur."""
    marked = torch.zeros(size, dtype=torch.bool)
    marked[ids.flatten()] = True
    return marked


def shared(one: Tensor, other: Tensor) -> int:
    """The number of triples in both of two sets of distinct triples."""
    both = torch.cat([one, other])
    return len(both) - len(distinct(both)[0])


def degrees(graph: Graph, train: Tensor) -> Degrees:
    counts = torch.bincount(train[:, [0, 2]].flatten(), minlength=graph.num_entities)
    present = counts[counts > 0].double()
    hub = int(counts.argmax())
    return Degrees(
        smallest=int(present.min()),
        median=float(present.quantile(0.5)) if len(present) < 1 << 24 else float(present.median()),
        mean=float(present.mean()),
        largest=int(counts[hub]),
        largest_label=str(graph.entities[hub]),
    )


def relation_infos(graph: Graph, train: Tensor) -> tuple[RelationInfo, ...]:
    """One RelationInfo per relation, from the distinct triples of train (m, 3)."""
    size = graph.num_base_relations
    count = torch.bincount(train[:, 1], minlength=size)
    heads = distinct_ends(train[:, 0], train[:, 1], size)
    tails = distinct_ends(train[:, 2], train[:, 1], size)
    rows = zip(graph.relations[:size], count.tolist(), heads.tolist(), tails.tolist(), strict=True)
    return tuple(
        RelationInfo(label, n, n / max(h, 1), n / max(t, 1), cardinality(n / h, n / t) if n else "")
        for label, n, h, t in rows
    )


def distinct_ends(ends: Tensor, relation: Tensor, size: int) -> Tensor:
    """(size,) int64: how many different entities stand at one end of each relation."""
    return torch.bincount(torch.unique(ends * size + relation) % size, minlength=size)


def cardinality(tails_per_head: float, heads_per_tail: float) -> str:
    """ "1-1", "1-N", "N-1" or "N-N", written head side first."""
    head, tail = (value >= CARDINALITY_THRESHOLD for value in (heads_per_tail, tails_per_head))
    return f"{'N' if head else '1'}-{'N' if tail else '1'}"


def relation_pairs(
    graph: Graph, sets: Mapping[str, Tensor], pair_share: float
) -> tuple[tuple[RelationPair, ...], dict[str, int]]:
    """Pairs of relations of train that share enough, and how many triples of the other splits they reveal."""
    train = frame(sets["train"])
    sizes = train.group_by("relation").len()
    found = [
        meet(train, counterpart(train, mirrored), sizes).with_columns(pl.lit(mirrored).alias("mirrored"))
        for mirrored in (True, False)
    ]
    table = (
        pl.concat(found)
        .filter((pl.col("share_first") >= pair_share) & (pl.col("share_second") >= pair_share))
        .filter((pl.col("first") < pl.col("second")) | (pl.col("mirrored") & (pl.col("first") == pl.col("second"))))
        .sort(["shared", "first", "second"], descending=[True, False, False])
    )
    others = {split: frame(triples) for split, triples in sets.items() if split != "train"}
    hits = {split: reveal(triples, train, table) for split, triples in others.items()}
    names = graph.relations
    pairs = []
    for first, second, count, share_first, share_second, mirrored in table.iter_rows():
        kind: Literal["inverse", "symmetric", "duplicate"]
        kind = "duplicate" if not mirrored else "symmetric" if first == second else "inverse"
        of_pair = (pl.col("first") == first) & (pl.col("second") == second) & (pl.col("mirrored") == mirrored)
        revealed = {split: hit.filter(of_pair).select(TRIPLE).unique().height for split, hit in hits.items()}
        pairs.append(RelationPair(names[first], names[second], kind, count, share_first, share_second, revealed))
    return tuple(pairs), {split: hit.select(TRIPLE).unique().height for split, hit in hits.items()}


def frame(triples: Tensor) -> pl.DataFrame:
    return pl.DataFrame({name: column.numpy() for name, column in zip(TRIPLE, triples.unbind(1), strict=True)})


def counterpart(triples: pl.DataFrame, mirrored: bool) -> pl.DataFrame:
    """The triples as counterparts to look up: columns head, tail (swapped if mirrored) and other, their relation."""
    ends = ("tail", "head") if mirrored else ("head", "tail")
    return triples.select(head=pl.col(ends[0]), tail=pl.col(ends[1]), other=pl.col("relation"))


def meet(train: pl.DataFrame, other: pl.DataFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """For each two relations that share a triple: first, second, shared, share_first, share_second."""
    counts = train.join(other, on=["head", "tail"]).group_by("relation", "other").len("shared")
    counts = counts.join(sizes, on="relation").join(sizes, left_on="other", right_on="relation", suffix="_other")
    return counts.select(
        pl.col("relation").alias("first"),
        pl.col("other").alias("second"),
        "shared",
        (pl.col("shared") / pl.col("len")).alias("share_first"),
        (pl.col("shared") / pl.col("len_other")).alias("share_second"),
    )


def reveal(triples: pl.DataFrame, train: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The triples with a counterpart in train by one of the pairs: TRIPLE, first, second, mirrored."""
    key = pairs.select("first", "second", "mirrored")
    ways = pl.concat([
        key.with_columns(pl.col("first").alias("relation"), pl.col("second").alias("other")),
        key.with_columns(pl.col("second").alias("relation"), pl.col("first").alias("other")),
    ]).unique()  # fmt: skip
    asked = triples.join(ways, on="relation")
    return pl.concat([
        asked.filter(pl.col("mirrored") == mirrored).join(
            counterpart(train, mirrored), on=["head", "tail", "other"], how="semi"
        )
        for mirrored in (True, False)
    ]).select(*TRIPLE, "first", "second", "mirrored")  # fmt: skip
