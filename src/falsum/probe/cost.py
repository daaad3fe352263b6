"""Cost: time and scores for a negative, and the memory that a sampler keeps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from falsum.graph.graph import Query
from falsum.noise.base import Live, Noise, Sampler, Size
from falsum.seeds import derive

REPEATS = 7


# A graph as large as the largest that people train on: Wikidata's order of magnitude.
LARGE = Size(triples=10**8, entities=2 * 10**7, relations=10**3, questions=9 * 10**7)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a negative costs, that is used: drawn, and not left out.

    microseconds: median over repeats, on this machine, with the model's scores that the draw asks for. scores: of the
    model, for the draw and what follows the step; rows: of the entity table. state: bytes that the sampler holds here;
    state_at_scale: at the size LARGE.
    """

    microseconds: float
    scores: float
    rows: float
    state: int
    state_at_scale: int


class Tally:
    """How many scores and rows a sampler asked for."""

    def __init__(self) -> None:
        self.scores = self.rows = 0

    def watch(self, live: Live) -> Live:
        """The same view of the model, counted."""

        def score(query: Query, ids: range | Tensor) -> Tensor:
            found = live.score(query, ids)
            self.scores += found.numel()
            return found

        def rows(ids: Tensor) -> Tensor:
            self.rows += ids.numel()
            return live.rows(ids)

        def against(query: Query, rows: Tensor) -> Tensor:
            found = live.against(query, rows)
            self.scores += found.numel()
            return found

        return replace(live, score=score, rows=rows, against=against)


def cost(noise: Noise, sampler: Sampler, query: Query, live: Live, used: float, seed: int) -> Cost:
    """used: share of the draws that count. Draws, and learns once: measure what depends on the state before."""
    times = []
    for turn in range(REPEATS):
        _wait(query.anchor.device)
        start = time.perf_counter()
        sampler.draw(query, derive(seed, turn, "time"), live)
        _wait(query.anchor.device)
        times.append(time.perf_counter() - start)
    tally = Tally()
    view = tally.watch(live)
    sampler.learn(query, sampler.draw(query, derive(seed, "count"), view), view, derive(seed, "learn"))
    num = max(1e-9, used * len(query) * sampler.num(query))
    held = sum(tensor.untyped_storage().nbytes() for tensor in storages(sampler))
    return Cost(
        1e6 * statistics.median(times) / num, tally.scores / num, tally.rows / num, held, noise.state_bytes(LARGE)
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def storages(sampler: Sampler) -> list[Tensor]:
    """One tensor of each storage that a sampler holds: parameters, buffers, and what stands in plain attributes."""
    found = [*sampler.parameters(), *sampler.buffers()]
    for part in sampler.modules():
        found += _tensors({key: value for key, value in vars(part).items() if not key.startswith("_")})
    return list({tensor.untyped_storage().data_ptr(): tensor for tensor in found}.values())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (tensor for each in value.values() for tensor in _tensors(each))
    elif isinstance(value, Sequence) and not isinstance(value, str | range):
        yield from (tensor for each in value for tensor in _tensors(each))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (tensor for field in fields(value) for tensor in _tensors(getattr(value, field.name)))
