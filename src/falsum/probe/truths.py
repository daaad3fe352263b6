"""Truths among negatives: known ones, those held out, those planted, and statements that are false."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.graph.graph import Answers, Graph, Pairs, Query, Side
from falsum.probe.estimates import Estimate, enrichment
from falsum.seeds import derive, generator

HELD_OUT = ("valid", "test")
# The share of the training triples that the planted test hides.
PLANTED = 0.1


@dataclass(frozen=True, slots=True)
class Truths:
    """What a noise drew of what is true. Shares are of the draws that count, by their weights, unless said otherwise.

    skipped: share of all draws that were left out, or made again. known: share that are training answers of their
    question before that, and known_counted after it. stated_false: share that the training split states to be false.
    false_negatives: share that are held out (validation or test, and not training). enrichment: how many times as often
    as uniform draws for the same questions, which leave training answers out if the noise does (filtered: it never
    counted one); against_null: as often as uniform draws of which the best of M is taken, M so that they are as hard.
    planted: as enrichment, of a tenth of the training triples, hidden from the sampler. None where there is nothing to
    find.
    """

    filtered: bool
    skipped: float
    known: float
    known_counted: float
    stated_false: float
    false_negatives: float
    held_out_hits: int
    enrichment: Estimate | None
    against_null: Estimate | None
    planted: Estimate | None
    planted_hits: int

    @property
    def verdict(self) -> str:
        """Held-out truths beside best-of-M uniform draws of the same hardness."""
        found = self.against_null
        if found is None:
            return ""
        if found.high < 1:
            return "below the null"
        return "above the null" if found.low > 1 else "at the null"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of b questions of one side: pairs (question, entity) by where they stand."""

    known: Pairs
    held_out: Pairs
    stated_false: Pairs

    @classmethod
    def of(cls, graph: Graph, query: Query, held_out: Answers | None = None) -> Facts:
        """The facts of a graph about questions; held_out: answers that take the place of those of valid and test."""
        device, slot = query.anchor.device, query.slot
        stated = replace(graph, splits={"false": torch.cat([torch.zeros(0, 3).long(), *graph.false.values()])})
        hidden = graph.answers(HELD_OUT, slot) if held_out is None else held_out
        known, held, false = (
            answers.to(device).of(query.anchor, query.relation)
            for answers in (graph.answers(["train"], slot), hidden, stated.answers(["false"], slot))
        )
        new = ~_within(known, held.row, held.entity)
        return cls(known, Pairs(held.row[new], held.entity[new]), false)

    def expected(self, counted: Tensor, num_entities: int, *, filtered: bool) -> Tensor:
        """(b,) held-out truths among `counted` (b,) uniform draws, of all entities or of those not known as answers."""
        held, known = (torch.bincount(p.row, minlength=len(counted)) for p in (self.held_out, self.known))
        return counted * held / (num_entities - (known if filtered else 0 * known)).clamp(min=1)


def training_part(graph: Graph) -> Graph:
    """All that a sampler may know: the training triples, and false triples that are stated with them."""
    return replace(
        graph,
        splits={"train": graph.splits["train"]},
        false={split: triples for split, triples in graph.false.items() if split == "train"},
    )


def planted(graph: Graph, seed: int) -> tuple[Graph, Tensor]:
    """The training part without a seeded tenth of its distinct triples, and that tenth (m, 3)."""
    train = graph.splits["train"]
    distinct, index = torch.unique(train, dim=0, return_inverse=True)
    order = torch.randperm(len(distinct), generator=generator(derive(seed, "planted")))
    hidden = torch.zeros(len(distinct), dtype=torch.bool)
    hidden[order[: round(PLANTED * len(distinct))]] = True
    return replace(training_part(graph), splits={"train": train[~hidden[index]]}), distinct[hidden]


def planted_answers(graph: Graph, hidden: Tensor, slot: Side) -> Answers:
    """The hidden triples as answers of questions with open `slot`."""
    return replace(graph, splits={"planted": hidden}).answers(["planted"], slot)


def base_rates(graph: Graph, slot: Side) -> tuple[float, float]:
    """How often one uniform draw for a training triple is another training answer of its question, and a held-out one.

    Exact expectations, for both of which the triple's own entity is none.
    """
    train = graph.splits["train"]
    query = graph.queries(train, slot, grouped=True)
    facts = Facts.of(graph, query)
    asked = torch.zeros(len(query), dtype=torch.float64).index_add(0, query.row, query.weight.double())
    known, held = (float(asked[pairs.row].sum()) for pairs in (facts.known, facts.held_out))
    return (known - len(train)) / (len(train) * graph.num_entities), held / (len(train) * graph.num_entities)


def contains(pairs: Pairs, ids: Tensor) -> Tensor:
    """(b, n) bool: whether (i, ids[i, j]) is one of the pairs."""
    row = torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids)
    return _within(pairs, row, ids)


def _within(pairs: Pairs, row: Tensor, entity: Tensor) -> Tensor:
    if len(pairs.row) == 0:
        return torch.zeros_like(entity, dtype=torch.bool)
    size = 1 + max(int(pairs.entity.max()), int(entity.max()) if entity.numel() else 0)
    keys = (pairs.row * size + pairs.entity).sort().values
    wanted = row * size + entity
    return keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted


def over_uniform(
    ids: Tensor, weight: Tensor, facts: Facts, num_entities: int, seed: int, *, filtered: bool
) -> Estimate | None:
    """Enrichment of held-out truths among draws ids (b, N), weight (b, N) float64, over uniform draws.

    filtered: whether the uniform draws leave training answers out, as the noise does.
    """
    counted, hits = weight.sum(1), hits_of(weight, contains(facts.held_out, ids))
    expected = facts.expected(counted, num_entities, filtered=filtered)
    return enrichment(hits, expected, counted, float(weight.square().sum()), seed)


def hits_of(weight: Tensor, hit: Tensor) -> Tensor:
    """(b,) weight of the draws (b, N) that hit something."""
    return weight.masked_fill(~hit, 0).sum(1)
