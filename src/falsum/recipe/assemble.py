"""Every part of a recipe built on a graph: a Job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES, Graph
from falsum.graph.weighting import Weighting, untrained
from falsum.models import Network, ScoreModel
from falsum.mutations import Mutation
from falsum.noise import Live, Noise, Sampler
from falsum.noise.proposals.frozen import FrozenDraws
from falsum.objectives import OBJECTIVES
from falsum.objectives.penalties import Penalty
from falsum.recipe.memory import refuse_too_large
from falsum.recipe.parts import build
from falsum.recipe.rules import row_wise, share_rows
from falsum.recipe.settings import Dropout, Init, Recipe
from falsum.rows.initialisers import INITIALISERS
from falsum.rows.table import Table
from falsum.scan.network import Facts, NetworkScorer
from falsum.scan.scoring import Scoring
from falsum.seeds import derive
from falsum.training.job import Job, Term, Validation
from falsum.training.optimizers import Optimizer


def assemble(recipe: Recipe, graph: Graph, trained: Callable[[str], Live] = untrained) -> Job:
    """Every part of the recipe built on `graph`, tables initialised from the recipe's seed.

    trained: opens the run folders that parts name, as `falsum.run.trained.opener` does. Raises UserError when parts
    cannot mean anything together, or need more memory than there is.
    """
    device = pick_device(recipe.train.device)
    graph = graph.with_inverses() if recipe.train.inverses else graph
    with torch.device("meta"):  # its sizes, in no memory
        shape: ScoreModel | Network = build("model", recipe.model)
    noise: Noise = build("noise", recipe.noise)
    penalties: list[Penalty] = [build("penalty", part) for part in recipe.penalty]
    optimizer: Optimizer = build("optimizer", recipe.optimizer)
    if isinstance(shape, Network):
        refuse_rowless(recipe)
    elif any(penalty.linear_only for penalty in penalties) and not shape.compare.linear:
        raise UserError(
            f"The dura penalty is for inner products; model {recipe.model['name']!r} is a distance. Use lp."
        )
    by_rows = row_wise(optimizer, noise, penalties)
    if isinstance(shape, Network):
        kept = _made(recipe, graph, shape, optimizer, noise)
    else:
        kept = _kept(graph, shape, optimizer, by_rows=by_rows)
    refuse_too_large(kept, device)
    try:
        sampler = noise.bind(graph, device).to(device)
    except ValueError as error:
        raise UserError(f"Noise {recipe.noise['name']!r} does not fit this graph: {error}.") from None
    for part in sampler.modules():
        if isinstance(part, FrozenDraws):
            part.take(trained)
    planned = kept | _drawn(recipe, graph, noise, sampler)
    refuse_too_large(planned, device)
    terms, weighting = terms_of(recipe), build("weighting", recipe.weighting)
    refuse_inseparable(recipe, terms, weighting)
    return Job(
        graph=graph,
        scoring=scoring_of(recipe, graph, by_rows=by_rows),
        terms=terms,
        weighting=weighting,
        sampler=sampler,
        grouped=share_rows(terms, noise, wanted=recipe.train.grouped),
        joined=graph.has_inverses and noise.blind,
        penalties=penalties,
        optimizer=optimizer,
        schedule=build("schedule", recipe.schedule),
        validation=Validation(**recipe.validation.model_dump()),
        epochs=recipe.train.epochs,
        seconds=recipe.train.seconds,
        batch_size=recipe.train.batch_size,
        order=recipe.train.order,
        seed=recipe.train.seed,
        trained=trained,
        planned=planned,
    )


def scoring_of(recipe: Recipe, graph: Graph, *, by_rows: bool = False) -> Scoring | NetworkScorer:
    """Model and tables, or network and graph, on the recipe's device, fresh. graph: with inverse relations where the
    recipe wants them.
    """
    device = pick_device(recipe.train.device)
    model: ScoreModel | Network = build("model", recipe.model)
    if isinstance(model, Network):
        module = model.built(graph.num_base_relations)
        module.reset(recipe.train.seed)
        own = torch.arange(graph.num_base_relations, device=device)
        return NetworkScorer(module.to(device), Facts.of(graph, own, len(own), model.hides))
    entities = Table(graph.num_entities, model.dim, row_wise=by_rows)
    relations = Table(graph.num_relations, model.relation_width, row_wise=by_rows)
    initialise(recipe, entities, relations, model)
    return Scoring(
        entities.to(device),
        relations.to(device),
        model.to(device),
        recipe.dropout.entity,
        recipe.dropout.relation,
        pick_dtype(recipe.train.precision, device),
    )


def refuse_rowless(recipe: Recipe) -> None:
    """Raises UserError where a recipe says something about rows and its model keeps none."""
    said = {
        "penalty": bool(recipe.penalty),
        "dropout": recipe.dropout != Dropout(),
        "init": recipe.init != Init(),
        "pretraining": recipe.pretraining is not None,
    }
    for name, given in said.items():
        if given:
            raise UserError(
                f"Setting {name} is about rows of entities and relations, and model {recipe.model['name']!r} keeps "
                f"none: it makes rows for each question. Leave {name} out, or take a model that keeps rows, such as "
                "complex."
            )


def refuse_inseparable(recipe: Recipe, terms: Sequence[Term], weighting: Weighting) -> None:
    """Raises UserError where rivals are weighted by themselves and a loss has no part that is theirs alone."""
    mixed = [name for name, cls in OBJECTIVES.items() if any(type(t.objective) is cls for t in terms)]
    mixed = [name for name in mixed if not OBJECTIVES[name].separable]
    if weighting.separates and mixed:
        legal = ", ".join(name for name, cls in OBJECTIVES.items() if cls.separable)
        raise UserError(
            f"Weighting {recipe.weighting['name']!r} weighs answers and their rivals apart, and objective {mixed[0]!r} "
            f"does not split into a part of each. Objectives that do: {legal}. Or take a weighting with one weight, "
            "such as subsampling with variant base or uniq."
        )


def terms_of(recipe: Recipe) -> tuple[Term, ...]:
    """The summands of the loss."""

    def mutation(part: dict[str, Any] | None) -> Mutation | None:
        return None if part is None else build("mutation", part)

    first = Term(build("objective", recipe.objective), mutation(recipe.mutation))
    more = [Term(build("objective", t.objective), mutation(t.mutation), t.weight, t.redraw) for t in recipe.terms]
    return (first, *more)


def _kept(graph: Graph, model: ScoreModel, optimizer: Optimizer, *, by_rows: bool) -> dict[str, int]:
    """Bytes that a training keeps or makes at every step, at least, by what they are for."""
    # Weights, the state of the optimizer, and a gradient where it is dense.
    per_entry = 4 * (1 + len(optimizer.slots(torch.empty(0))) + (not by_rows))
    num = graph.num_entities
    own = sum(parameter.numel() for parameter in model.parameters())
    return {
        f"{num:,} entities of {model.dim:,} reals": per_entry * num * model.dim,
        f"{graph.num_relations:,} relations of {model.relation_width:,} reals": (
            per_entry * graph.num_relations * model.relation_width
        ),
        f"the {own:,} parameters of the score model": per_entry * own,
    }


def _made(recipe: Recipe, graph: Graph, network: Network, optimizer: Optimizer, noise: Noise) -> dict[str, int]:
    """Bytes that a training of a network keeps or makes at every step, at most."""
    with torch.device("meta"):
        own = sum(parameter.numel() for parameter in network.built(graph.num_base_relations).parameters())
    train = graph.splits["train"]
    questions = min(recipe.train.batch_size, len(train)) * (2 if graph.has_inverses and noise.blind else 1)
    pairs = sum(len(torch.unique(train[:, [end, 1]], dim=0)) for end in (0, 2))
    working = network.working(2 * len(train), pairs, graph.num_entities, questions)
    return {
        f"the {own:,} parameters of the network": 4 * (2 + len(optimizer.slots(torch.empty(0)))) * own,
        f"rows of {graph.num_entities:,} entities, made for {questions:,} questions at a time": working,
    }


def _drawn(recipe: Recipe, graph: Graph, noise: Noise, sampler: Sampler) -> dict[str, int]:
    """Bytes of the candidates of a batch: scores, twice, their gradient, and ids where queries have their own."""
    train = graph.splits["train"]
    batch = min(recipe.train.batch_size, len(train))
    num = noise.looks * max(sampler.num(graph.queries(train[:1], side, grouped=False)) for side in BOTH_SIDES)
    return {
        f"{batch:,} x {num:,} drawn candidates": 0 if noise.everyone else batch * num * (12 if noise.groups else 20)
    }


@torch.no_grad()
def initialise(recipe: Recipe, entities: Table, relations: Table, model: ScoreModel) -> None:
    """Fill the tables and the model's matrices; norms and biases keep torch's defaults."""
    seed = recipe.train.seed
    matrices = {f"parameters.{name}": p for name, p in model.named_parameters() if p.dim() > 1}
    for key, weight in {"entity": entities.values, "relation": relations.values, **matrices}.items():
        part = getattr(recipe.init, key.split(".")[0])
        settings = {k: v for k, v in part.items() if k != "name"}
        INITIALISERS[part["name"]](weight, derive(seed, "init", key), **settings)


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
