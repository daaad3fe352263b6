"""Recipe: the typed settings of a run. Its file is TOML; its parts are named members of the families."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
import tomli_w
from pydantic import ConfigDict, Field

from falsum.errors import UserError
from falsum.files import opened
from falsum.models import MODELS
from falsum.recipe.numbers import Settings
from falsum.recipe.parts import part
from falsum.recipe.text import assign, explain, without_none
from falsum.training.job import Order


class Section(Settings):
    """A group of settings: frozen."""

    model_config = ConfigDict(frozen=True)


class Init(Section):
    """Initialisers of entity rows, relation rows and the model's own parameters (a Tucker core)."""

    entity: part("init") = Field(default={"name": "xavier_normal"}, validate_default=True)  # type: ignore[valid-type]
    relation: part("init") = Field(default={"name": "xavier_normal"}, validate_default=True)  # type: ignore[valid-type]
    parameters: part("init") = Field(default={"name": "normal"}, validate_default=True)  # type: ignore[valid-type]


class ExtraTerm(Section):
    """A further summand of the loss. weight: what it counts. redraw: whether its candidates are drawn afresh; otherwise
    it shares those of the first term.
    """

    objective: part("objective") = Field(default={"name": "softmax"}, validate_default=True)  # type: ignore[valid-type]
    mutation: part("mutation") | None = None  # type: ignore[valid-type]
    weight: float = Field(default=1.0, gt=0, le=1e6)
    redraw: bool = False


class Dropout(Section):
    """Rates on looked-up rows while training. entity acts on anchors, targets and candidates alike."""

    entity: float = Field(default=0.0, ge=0, lt=1)
    relation: float = Field(default=0.0, ge=0, lt=1)


class Train(Section):
    """The loop. batch_size counts triples per step; every step asks both sides.

    inverses: give every relation an inverse and ask head questions as tail questions of it (reciprocal relations).
    grouped: equal queries share a row where objective and noise allow it. order: "apart", the questions of each side
    come in an order of their own; "together", both questions of a triple come in one step. precision: "auto" takes bf16
    scores where the hardware is fast at them. seconds: stop at the end of the epoch in which the steps have taken so
    long, validations not counted (0: no limit); such a run ends elsewhere each time.
    """

    epochs: int = Field(default=100, ge=1, le=10**9)
    seconds: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=512, ge=1, le=10**9)
    inverses: bool = False
    grouped: bool = True
    order: Order = "apart"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)


class Validate(Section):
    """Validation and early stopping. every: epochs between validations (0: none). times: so many validations at equal
    shares of the training instead, one an epoch at most (0: as `every` says). queries: how many validation triples, a
    fixed sample (0: all). patience: validations without a new best before stopping (0: never stop).
    filter_test: also filter known test answers, as LibKGE's defaults and Kamigaito & Hayashi 2021 do; it leaks.
    floor: stop after `floor_epochs` if the best metric is below it.
    """

    every: int = Field(default=5, ge=0)
    times: int = Field(default=0, ge=0)
    queries: int = Field(default=0, ge=0)
    metric: Literal["mrr", "hits@1", "hits@3", "hits@10", "amri"] = "mrr"
    patience: int = Field(default=10, ge=0)
    filter_test: bool = False
    floor: float = 0.0
    floor_epochs: int = 50


class Pretraining(Section):
    """Weights to start from instead of the initialisers; optimizer, schedule and epochs start afresh.

    source: the folder of a trained run, or a whole recipe that is trained first (in the folder `pretraining`). Rows are
    matched by label; what the source does not know keeps its initial row. parts: "all" also copies the model's own
    parameters, "rows" only entities and relations. inverses: False leaves out the rows of inverse relations, as the
    released code of Kamigaito & Hayashi 2021 does without saying so.
    """

    source: Recipe | str
    parts: Literal["all", "rows"] = "all"
    inverses: bool = True


class Recipe(Section):
    """Everything that decides a run, except the graph's triples.

    objective, mutation: the first term of the loss; terms: further ones.
    """

    name: str = "custom"
    model: part("model")  # type: ignore[valid-type]
    pretraining: Pretraining | None = None
    objective: part("objective") = Field(default={"name": "softmax"}, validate_default=True)  # type: ignore[valid-type]
    mutation: part("mutation") | None = None  # type: ignore[valid-type]
    terms: list[ExtraTerm] = []
    noise: part("noise") = Field(default={"name": "all"}, validate_default=True)  # type: ignore[valid-type]
    weighting: part("weighting") = Field(default={"name": "equal"}, validate_default=True)  # type: ignore[valid-type]
    penalty: list[part("penalty")] = []  # type: ignore[valid-type]
    optimizer: part("optimizer") = Field(default={"name": "adagrad"}, validate_default=True)  # type: ignore[valid-type]
    schedule: part("schedule") = Field(default={"name": "constant"}, validate_default=True)  # type: ignore[valid-type]
    init: Init = Init()
    dropout: Dropout = Dropout()
    train: Train = Train()
    validation: Validate = Validate()
    checkpoint_minutes: float = Field(default=10.0, gt=0)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _own_init(cls, values: Any) -> Any:
        """Relation rows start as the score model needs them (phases over the whole circle), unless the recipe says."""
        model = values.get("model") if isinstance(values, dict) else None
        name = model.get("name") if isinstance(model, dict) else None
        own = MODELS[name].relation_init if isinstance(name, str) and name in MODELS else None
        init = values.get("init", {}) if own else None
        if isinstance(init, dict) and "relation" not in init:
            return {**values, "init": {**init, "relation": own}}
        return values

    def to_toml(self) -> str:
        """The recipe as its file."""
        return tomli_w.dumps(without_none(self.model_dump()))

    def changed(self, /, **settings: Any) -> Recipe:
        """A copy with dotted settings changed: recipe.changed(**{"model.dim": 128}). Unknown keys are UserErrors."""
        values = self.model_dump()
        for key, value in settings.items():
            assign(values, key, value)
        return read(values)


Pretraining.model_rebuild()  # it holds recipes, and recipes hold it


def read(values: Mapping[str, Any], where: str = "the recipe") -> Recipe:
    """A recipe from nested settings. Raises UserError that names the key and lists the legal ones."""
    try:
        return Recipe(**values)
    except pydantic.ValidationError as error:
        raise UserError(f"In {where}: {explain(error, Recipe)}.") from None


def read_file(path: Path) -> Recipe:
    """A recipe from a TOML file. Raises UserError when it is none, or cannot be read."""
    try:
        with opened(path) as file:
            return read(tomllib.loads(file.read().decode()), where=str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {str(error).rstrip('.')}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
