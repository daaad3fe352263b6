"""Recipe: the typed settings of a run. Its file is TOML; its parts are named members of the families."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import tomli_w
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from falsum.errors import UserError
from falsum.graph.graph import Graph
from falsum.models import MODELS, ScoreModel
from falsum.models.base import dot
from falsum.noise import NOISES, All
from falsum.objectives import OBJECTIVES
from falsum.objectives.penalties import PENALTIES, Dura, TableLp
from falsum.optim import OPTIMIZERS, SCHEDULES, Adam
from falsum.scan import Scoring
from falsum.seeds import derive
from falsum.table import INITIALIZERS, Table
from falsum.training import Job, Validation
from falsum.weighting import WEIGHTINGS

Family = Mapping[str, Any]

FAMILIES: dict[str, Family] = {
    "model": MODELS,
    "noise": NOISES,
    "objective": OBJECTIVES,
    "weighting": WEIGHTINGS,
    "penalty": PENALTIES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "init": INITIALIZERS,
}

# Parameters that falsum passes itself: no settings.
GIVEN = {"self", "weight", "seed"}


@cache
def options(family: str, name: str) -> type[BaseModel]:
    """A pydantic model of the settings of one member of a family, read from its signature."""
    signature = inspect.signature(FAMILIES[family][name], eval_str=True)
    fields: dict[str, Any] = {
        key: (p.annotation, ... if p.default is p.empty else p.default)
        for key, p in signature.parameters.items()
        if key not in (GIVEN if family == "init" else {"self"})
    }
    return pydantic.create_model(name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


def _resolve(family: str, value: dict[str, Any]) -> dict[str, Any]:
    """A part with its defaults filled in: {"name": ..., option: ...}. Raises ValueError naming what is legal."""
    given = dict(value)
    name = given.pop("name", None)
    if not isinstance(name, str) or name not in FAMILIES[family]:
        raise ValueError(f"{name!r} is no {family}; legal names: {', '.join(FAMILIES[family])}")
    try:
        filled = options(family, name)(**given)
    except pydantic.ValidationError as error:
        raise ValueError(f"in {family} {name!r}: {explain(error, list(options(family, name).model_fields))}") from None
    resolved = {"name": name, **filled.model_dump()}
    if family != "init":
        with torch.device("meta"):  # a model of any size, in no memory
            FAMILIES[family][name](**{k: v for k, v in resolved.items() if k != "name"})  # ranges are its own business
    return resolved


def explain(error: pydantic.ValidationError, legal: list[str]) -> str:
    """A validation error as one line for people."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {where!r}; legal keys: {', '.join(legal)}")
        elif item["type"] == "missing":
            lines.append(f"{where!r} is required")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message}" + (f" (got {item['input']!r})" if item["type"] != "value_error" else ""))
    return "; ".join(lines)


def _part(family: str) -> Any:
    return Annotated[dict[str, Any], AfterValidator(lambda value: _resolve(family, value))]


class Section(BaseModel):
    """A group of settings: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Init(Section):
    """Initialisers of entity rows, relation rows and the model's own parameters (a Tucker core)."""

    entity: _part("init") = Field(default={"name": "xavier_normal"}, validate_default=True)  # type: ignore[valid-type]
    relation: _part("init") = Field(default={"name": "xavier_normal"}, validate_default=True)  # type: ignore[valid-type]
    parameters: _part("init") = Field(default={"name": "normal"}, validate_default=True)  # type: ignore[valid-type]


class Dropout(Section):
    """Rates on looked-up rows while training. entity acts on anchors, targets and candidates alike."""

    entity: float = Field(default=0.0, ge=0, lt=1)
    relation: float = Field(default=0.0, ge=0, lt=1)


class Train(Section):
    """The loop. batch_size counts triples per step; every step asks both sides.

    inverses: give every relation an inverse and ask head questions as tail questions of it (reciprocal relations).
    grouped: equal queries share a row where objective and noise allow it. precision: "auto" takes bf16 scores where
    the hardware is fast at them. seconds: stop at the end of the epoch in which the steps have taken so long,
    validations not counted (0: no limit); such a run ends elsewhere each time.
    """

    epochs: int = Field(default=100, ge=1)
    seconds: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=512, ge=1)
    inverses: bool = False
    grouped: bool = True
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    seed: int = 0


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
    """Everything that decides a run, except the graph's triples."""

    name: str = "custom"
    model: _part("model")  # type: ignore[valid-type]
    pretraining: Pretraining | None = None
    objective: _part("objective") = Field(default={"name": "softmax"}, validate_default=True)  # type: ignore[valid-type]
    noise: _part("noise") = Field(default={"name": "all"}, validate_default=True)  # type: ignore[valid-type]
    weighting: _part("weighting") = Field(default={"name": "equal"}, validate_default=True)  # type: ignore[valid-type]
    penalty: list[_part("penalty")] = []  # type: ignore[valid-type]
    optimizer: _part("optimizer") = Field(default={"name": "adagrad"}, validate_default=True)  # type: ignore[valid-type]
    schedule: _part("schedule") = Field(default={"name": "constant"}, validate_default=True)  # type: ignore[valid-type]
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
        return tomli_w.dumps(_without_none(self.model_dump()))

    def changed(self, /, **settings: Any) -> Recipe:
        """A copy with dotted settings changed: recipe.changed(**{"model.dim": 128}). Unknown keys are UserErrors."""
        values = self.model_dump()
        for key, value in settings.items():
            _assign(values, key, value)
        return read(values)


Pretraining.model_rebuild()  # it holds recipes, and recipes hold it


def read(values: Mapping[str, Any], where: str = "the recipe") -> Recipe:
    """A recipe from nested settings. Raises UserError that names the key and lists the legal ones."""
    try:
        return Recipe(**values)
    except pydantic.ValidationError as error:
        raise UserError(f"In {where}: {_explain_nested(error)}") from None


def read_file(path: Path) -> Recipe:
    """A recipe from a TOML file. Raises UserError when it is none, or cannot be read."""
    try:
        return read(tomllib.loads(path.read_text(encoding="utf-8")), where=str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {str(error).rstrip('.')}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def parse_setting(text: str) -> tuple[str, Any]:
    """ "model.dim=256" -> ("model.dim", 256): the value is read as TOML, or kept as text."""
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise UserError(f"--set takes key=value, for example --set model.dim=256; got {text!r}.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def build(family: str, part: Mapping[str, Any]) -> Any:
    """The object that a resolved part describes."""
    rest = {key: value for key, value in part.items() if key != "name"}
    return FAMILIES[family][part["name"]](**rest)


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    here: Any = values
    for part in path:
        if isinstance(here, list):
            here = here[int(part)] if part.isdigit() and int(part) < len(here) else None
        else:
            if part == "pretraining" and here.get(part) is None:
                here[part] = {}
            here = here.get(part) if isinstance(here, dict) else None
        if not isinstance(here, dict | list):
            legal = ", ".join(values)
            raise UserError(f"Unknown setting {key!r}: {part!r} is no group of settings; legal groups: {legal}.")
    if path and last == "name" and isinstance(here, dict):
        # Another member has other options: start from its defaults, but keep the size of the rows.
        kept = {"dim": here["dim"]} if path == ["model"] and "dim" in here else {}
        here.clear()
        here |= kept
    if isinstance(here, list):
        raise UserError(f"Unknown setting {key!r}: name an option, for example penalty.0.weight.")
    # "model" alone names the member: --set model=rotate
    if isinstance(here.get(last), dict) and isinstance(value, str) and path != ["pretraining"]:
        dim = here[last].get("dim") if last == "model" else None
        here[last] = {"name": value} | ({"dim": dim} if dim else {})
    else:
        here[last] = value


def _explain_nested(error: pydantic.ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {where!r}; legal keys here: {', '.join(_legal(item['loc'][:-1]))}")
        elif item["type"] == "missing":
            lines.append(f"{where!r} is required")
        else:
            message = item["msg"].removeprefix("Value error, ")
            got = "" if item["type"] == "value_error" else f" (got {item['input']!r})"
            lines.append(f"{where}: {message}{got}")
    return "; ".join(lines) + "."


def _legal(path: tuple[int | str, ...]) -> list[str]:
    here: type[BaseModel] = Recipe
    for part in path:
        annotation = here.model_fields[str(part)].annotation if str(part) in here.model_fields else None
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            break
        here = annotation
    return list(here.model_fields)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def assemble(recipe: Recipe, graph: Graph) -> Job:
    """Every part of the recipe built on `graph`, tables initialised from the recipe's seed.

    Raises UserError when parts cannot mean anything together.
    """
    device = pick_device(recipe.train.device)
    graph = graph.with_inverses() if recipe.train.inverses else graph
    model: ScoreModel = build("model", recipe.model)
    entities, relations = Table(graph.num_entities, model.dim), Table(graph.num_relations, model.relation_width)
    initialise(recipe, entities, relations, model)
    objective, noise = build("objective", recipe.objective), build("noise", recipe.noise)
    penalties = [build("penalty", part) for part in recipe.penalty]
    optimizer = build("optimizer", recipe.optimizer)
    if any(isinstance(p, Dura) for p in penalties) and model.compare is not dot:
        raise UserError(
            f"The dura penalty is for inner products; model {recipe.model['name']!r} is a distance. Use lp."
        )
    lazy = not isinstance(optimizer, Adam) or optimizer.lazy
    everywhere = isinstance(noise, All) or any(isinstance(p, TableLp) for p in penalties)
    grouped = objective.rows == "grouped" or (objective.rows == "either" and noise.groups and recipe.train.grouped)
    try:
        draw = noise.bind(graph, device)
    except ValueError as error:
        raise UserError(f"Noise {recipe.noise['name']!r} does not fit this graph: {error}.") from None
    return Job(
        graph=graph,
        scoring=Scoring(
            entities.to(device),
            relations.to(device),
            model.to(device),
            recipe.dropout.entity,
            recipe.dropout.relation,
            pick_dtype(recipe.train.precision, device),
        ),
        objective=objective,
        weighting=build("weighting", recipe.weighting),
        draw=draw,
        grouped=grouped,
        joined=graph.has_inverses and noise.groups,
        penalties=penalties,
        optimizer=optimizer,
        row_wise=frozenset() if everywhere or not lazy else frozenset({"entities", "relations"}),
        schedule=build("schedule", recipe.schedule),
        validation=Validation(**recipe.validation.model_dump()),
        epochs=recipe.train.epochs,
        seconds=recipe.train.seconds,
        batch_size=recipe.train.batch_size,
        seed=recipe.train.seed,
    )


@torch.no_grad()
def initialise(recipe: Recipe, entities: Table, relations: Table, model: ScoreModel) -> None:
    """Fill the tables and the model's matrices; norms and biases keep torch's defaults."""
    seed = recipe.train.seed
    matrices = {f"parameters.{name}": p for name, p in model.named_parameters() if p.dim() > 1}
    for key, weight in {"entity": entities.weight, "relation": relations.weight, **matrices}.items():
        part = getattr(recipe.init, key.split(".")[0])
        settings = {k: v for k, v in part.items() if k != "name"}
        INITIALIZERS[part["name"]](weight, derive(seed, "init", key), **settings)


def pick_device(device: str) -> torch.device:
    """ "auto" is CUDA where there is one, else the CPU. Raises UserError for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=device)
        probe.item()  # "meta" fails here
        return probe.device
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"Device {device!r} cannot be used: {why}. Try train.device=cpu.") from None


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of inner products. "auto" is bfloat16 where the hardware multiplies it faster than fp32."""
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32
