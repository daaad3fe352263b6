"""Budget: what every training of a comparison may spend, and what an epoch of a recipe costs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES
from falsum.training.job import Job

# What may follow the number: the unit that it is counted in, and how many of that unit it is.
UNITS: dict[str, tuple[str, float]] = {
    "epochs": ("epochs", 1),
    "steps": ("steps", 1),
    "scores": ("scores", 1),
    "s": ("seconds", 1),
    "min": ("seconds", 60),
    "h": ("seconds", 3600),
}
# Every training has as many chances to find its best weights.
VALIDATIONS = 10
# A training by the clock is not ended by its epochs.
ENDLESS = 10**9


@dataclass(frozen=True, slots=True)
class Cost:
    """What one epoch takes. steps: of the optimizer. scores: (query, candidate) pairs that are scored, targets too."""

    steps: int
    scores: int


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of epochs, optimizer steps, scores, or seconds of training steps (validations not counted)."""

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{self.amount:,g} {self.unit}" if self.amount >= 1e9 else f"{self.amount:,.15g} {self.unit}"

    def settings(self, cost: Cost) -> dict[str, Any]:
        """The dotted recipe settings that spend the budget, in whole epochs, with equally many validations.

        Raises UserError when it buys less than half an epoch.
        """
        fixed = {"validation.every": 1, "validation.times": VALIDATIONS, "validation.patience": 0}
        if self.unit == "seconds":
            return {**fixed, "train.seconds": self.amount, "train.epochs": ENDLESS}
        each = {"epochs": 1, "steps": cost.steps, "scores": cost.scores}[self.unit]
        epochs = round(self.amount / each)
        if epochs < 1:
            raise UserError(
                f"A budget of {self} buys less than half an epoch, which takes {each:,} {self.unit} here: give more."
            )
        return {**fixed, "train.epochs": epochs, "train.seconds": 0.0}


def parse_budget(text: str) -> Budget:
    """ "2000steps", "30epochs", "1e9scores", "60s", "5min" or "2h" as a budget. Raises UserError otherwise."""
    found = re.fullmatch(r"\s*(\d+\.?\d*(?:e\+?\d+)?)\s*([a-z]+)\s*", text.lower())
    unit, factor = UNITS.get(found[2], (None, 0.0)) if found else (None, 0.0)
    amount = float(found[1]) * factor if found else 0.0
    if unit is None or not 0 < amount < float("inf"):
        raise UserError(
            f"A budget is a positive number and a unit, for example 2000steps or 60s; got {text!r}. Legal units: "
            f"{', '.join(UNITS)}."
        )
    return Budget(amount, unit)


def epoch_cost(job: Job) -> Cost:
    """What an epoch of a job takes: equal queries that share a row are scored once, and for mutated terms never do."""
    triples = job.graph.splits["train"]
    scores = 0
    for side in BOTH_SIDES:
        queries = job.graph.queries(triples, side, grouped=job.grouped)
        num = job.sampler.num(queries)
        for term in job.terms:
            scores += (len(queries) if term.mutation is None else len(triples)) * num + len(triples)
    return Cost(-(-len(triples) // job.batch_size), scores)
