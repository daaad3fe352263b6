"""What the files of a run folder say: one model per JSON text, one schema per table.

Types are exact: a number in quotes is damage and no number. Unknown keys are kept, since a later falsum of the same
format may say more. What has a default was not written by every falsum of this format.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

# Raised when a later falsum writes folders that this one cannot read.
FORMAT = 1
# More threads than any one machine has would end the process while they are made.
MOST_THREADS = 1024

Natural = Annotated[int, Field(ge=0)]
# JSON knows lists alone.
Strings = Annotated[tuple[str, ...], Field(strict=False)]
Settings = dict[str, Any]


class Content(BaseModel):
    """The JSON of a file."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


class Format(Content):
    """graph.json, as far as every falsum reads it: the format of the folder."""

    format: int


class GraphFacts(Format):
    """graph.json: what a graph is besides its labels and triples. sha256: see `Graph.sha256`."""

    name: str
    source: str
    notes: Strings
    sha256: str
    num_base_relations: Natural


class Environment(Content):
    """environment.json: what a run's numbers may depend on besides its recipe. command: what began the run."""

    falsum: str
    python: str
    torch: str
    platform: str
    processor: str
    threads: int = Field(ge=1, le=MOST_THREADS)
    device: str
    command: Strings = ()


class Line(Content):
    """A line of metrics.jsonl: see `training.Record`; what is empty or false is left out."""

    epoch: Natural
    step: Natural
    loss: float
    seconds: float
    steps_per_epoch: Natural = 0
    triples_per_second: float = 0.0
    step_seconds: float = 0.0
    lr: float = 0.0
    learned: dict[str, float] = {}
    metrics: dict[str, float] = {}
    best: bool = False
    done: str = ""


class Weights(Content):
    """What model.safetensors says about its tensors. content: their hash. fixed: see `run.fixed`."""

    format: int
    epoch: Natural
    metrics: dict[str, float]
    fixed: Settings = {}
    content: str = ""


class Start(Content):
    """What start.safetensors says: the folder that its rows came from, and how many of each table did."""

    format: int
    source: str
    rows: dict[str, Natural]


class Checkpoint(Content):
    """What checkpoint/last.safetensors says: the scalars of a training state (see `training.Position`), and `fixed`."""

    step: Natural
    history: list[float]
    epochs: list[Natural]
    loss_sum: float
    seconds: float
    step_seconds: float
    updates: Natural
    fixed: Settings = {}
    content: str = ""

    @model_validator(mode="after")
    def _an_epoch_each(self) -> Checkpoint:
        if len(self.history) != len(self.epochs):
            raise ValueError(f"{len(self.history)} validations at {len(self.epochs)} epochs")
        return self

    def scalars(self) -> dict[str, Any]:
        """What training goes on from."""
        return self.model_dump(exclude={"fixed", "content"})


class Card(Content):
    """The rules of an evaluation, and what they came to: see `evaluation.protocol`."""

    name: str
    tie: Literal["realistic", "optimistic", "pessimistic", "rounded"]
    tolerance: Annotated[tuple[float, float], Field(strict=False)]
    filtered: bool
    filter_test_in_valid: bool
    unseen: Literal["keep", "drop"]
    distinct: bool
    why: str
    split: str
    sides: Annotated[tuple[Literal["tail", "head"], ...], Field(strict=False, min_length=1)]
    filter_splits: Strings
    candidates: str
    triples: Annotated[int, Field(ge=1)]
    dropped_triples: Natural
    graph: str
    graph_sha256: str
    inverse_relations: bool
    precision: str


class Origin(Content):
    """What an evaluation was made from. weights: the content of model.safetensors. ranks: SHA-256 of its Parquet file.
    fixed: see `run.fixed`. All are empty in evaluations of folders that are older than these hashes.
    """

    weights: str = ""
    ranks: str = ""
    fixed: Settings = {}


class Result(Content):
    """protocol.json: an evaluation without its ranks."""

    protocol: Card
    metrics: dict[str, float]
    origin: Origin = Origin()


LABELS = {"id": pl.Int64, "label": pl.String}
TRIPLE = {"head": pl.Int64, "relation": pl.Int64, "tail": pl.Int64}
# Whether a triple is stated false: older folders hold facts alone, and no such column.
TRIPLES = {"split": pl.String, "false": pl.Boolean, **TRIPLE}
COUNTS = {"greater": pl.Int64, "equal": pl.Int64, "candidates": pl.Int64}
RANKS = {**TRIPLE, **COUNTS, "side": pl.String, "split": pl.String}
