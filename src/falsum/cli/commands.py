"""What may be typed: every command, its options and its help. What a command does is imported when it runs.

So help, usage errors and `--version` answer at once: nothing here may import torch or polars.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import falsum
from falsum import cli

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

GraphName = Annotated[str, typer.Argument(help="A graph by name (world, fb15k-237, wn18rr ...), folder or file.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
ReadOptions = Annotated[
    list[str] | None,
    typer.Option("--read", help="How to read the file where it is not clear: --read columns=head,relation,tail."),
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: --set model.dim=256. Repeatable.")]

OtherGraph = Annotated[
    str | None, typer.Option("--graph", help="Ask about this graph instead, where the model keeps no entity rows.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"falsum {falsum.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Complete knowledge graphs. Start with: falsum demo"""


# ------------------------------------------------------------------------------------------------------------- runs


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/demo-TIME.")] = None,
) -> None:
    """Train on the bundled graph, evaluate, answer a question and write a report: a minute.

    Example: falsum demo
    """
    cli.runs.demo(folder)


@app.command()
def train(
    graph: GraphName,
    recipe: Annotated[str, typer.Option(help="A recipe by name (see `falsum recipes`) or a .toml file.")] = "default",
    settings: Settings = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Start from the weights of this run, matched by label.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/GRAPH-RECIPE-TIME.")] = None,
    read: ReadOptions = None,
) -> None:
    """Train a model and evaluate it.

    Example: falsum train world --recipe default --set train.epochs=20
    """
    cli.runs.train(graph, recipe, settings or [], source, folder, read or [])


@app.command()
def resume(run: RunFolder) -> None:
    """Go on with an interrupted run, to the same bits as if it had never stopped.

    Example: falsum resume runs/world-default
    """
    cli.runs.resume(run)


@app.command()
def evaluate(
    run: RunFolder,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    protocol: Annotated[str | None, typer.Option(help="Also as: raw, pykeen, libkge, kbc, rotate.")] = None,
    by: Annotated[str | None, typer.Option(help="Slice by relation, cardinality, direction, frequency, side.")] = None,
    intervals: Annotated[bool, typer.Option(help="Percentile bootstrap intervals.")] = False,
    other: OtherGraph = None,
) -> None:
    """Rank a split exactly; with --protocol, also the way another library would, side by side.

    Example: falsum evaluate runs/world-default --protocol pykeen --by cardinality
    """
    cli.runs.evaluate(run, split, protocol, by, other, intervals=intervals)


@app.command()
def predict(
    run: RunFolder,
    head: Annotated[str | None, typer.Option(help="Label of the head.")] = None,
    relation: Annotated[str | None, typer.Option(help="Label of the relation.")] = None,
    tail: Annotated[str | None, typer.Option(help="Label of the tail.")] = None,
    top_k: Annotated[int, typer.Option("-k", help="How many answers.", min=1)] = 10,
    new_only: Annotated[bool, typer.Option("--new", help="Leave out facts that the graph already has.")] = False,
    other: OtherGraph = None,
) -> None:
    """Answer a question by label: give two of head, relation and tail.

    Example: falsum predict runs/world-default --head Switzerland --relation speaks --new
    """
    cli.runs.predict(run, head, relation, tail, top_k, other, new_only=new_only)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
) -> None:
    """A Markdown table of runs, and one self-contained HTML page in each run folder.

    Example: falsum report runs/*
    """
    cli.runs.report(runs)


# ----------------------------------------------------------------------------------------------- graphs and recipes


@app.command()
def graph(
    name: Annotated[str | None, typer.Argument(help="A graph by name, folder or file; none lists the names.")] = None,
    read: ReadOptions = None,
) -> None:
    """What is in a graph, and what is odd about it: duplicates, leaks between splits, entities unseen in training.

    Example: falsum graph wn18rr
    """
    cli.graphs.graph(name, read or [])


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show as TOML; none lists the names.")] = None,
    on: Annotated[str, typer.Option(help="The graph that sizes follow.")] = "world",
) -> None:
    """List the recipes, or show one whole.

    Example: falsum recipes default --on wn18rr
    """
    cli.graphs.show_recipes(name, on)


# --------------------------------------------------------------------------------------------------------- negatives

Noises = Annotated[
    list[str] | None,
    typer.Option("--noise", help="NAME or NAME:key=value,key=value: best-of:of=8. Repeatable; default: all that fit."),
]
ReferenceRun = Annotated[
    Path | None, typer.Option("--run", help="The run whose model looks at the negatives; default: a small new one.")
]


@app.command()
def probe(
    graph: Annotated[str, typer.Argument(help="A graph by name, folder or file; or a run folder.")],
    noises: Noises = None,
    run: ReferenceRun = None,
    queries: Annotated[int, typer.Option(help="Training triples that are asked, from both sides.")] = 512,
    draws: Annotated[int, typer.Option(help="Negatives of each question.")] = 512,
    warm: Annotated[int, typer.Option(help="Passes that noises which learn make over the questions first.")] = 20,
    redraws: Annotated[int, typer.Option(help="Redraws of a minibatch, for the variance of its gradient.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of questions, planted truths and draws.")] = 0,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder; default runs/probe-GRAPH-TIME.")] = None,
    read: ReadOptions = None,
) -> None:
    """Measure what noises draw: how hard, how often true after all, how diverse, at what cost, with what gradient.

    One frozen model looks at the negatives of all. Validation and test triples are never shown to a noise: they tell
    which of its negatives are true. The null is the best of M uniform draws: a noise should be below it.

    Example: falsum probe world --noise uniform --noise best-of:of=8 --out runs/probed
    """
    cli.probe.probe(graph, noises or [], run, queries, draws, warm, redraws, seed, folder, read or [])


@app.command()
def negatives(
    graph: Annotated[str, typer.Argument(help="A graph by name, folder or file; or a run folder.")],
    relation: Annotated[str, typer.Option(help="Label of the relation.")],
    head: Annotated[str | None, typer.Option(help="Label of the head: negative tails are drawn.")] = None,
    tail: Annotated[str | None, typer.Option(help="Label of the tail: negative heads are drawn.")] = None,
    noises: Noises = None,
    run: ReferenceRun = None,
    num: Annotated[int, typer.Option("-n", help="How many of each noise.", min=1)] = 10,
    warm: Annotated[int, typer.Option(help="Passes that noises which learn make over the question first.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    read: ReadOptions = None,
) -> None:
    """Show the negatives of one training question by label, noises side by side, true ones marked.

    Example: falsum negatives world --head Switzerland --relation speaks --noise uniform --noise best-of
    """
    cli.probe.negatives(graph, relation, head, tail, noises or [], run, num, warm, seed, read or [])


# ------------------------------------------------------------------------------------------------ theory and studies


@app.command()
def theory(
    graphs: Annotated[
        list[str] | None, typer.Option("--graph", help="A graph whose shift from training to test to show. Repeatable.")
    ] = None,
    queries: Annotated[int, typer.Option(help="Test questions per side for that.", min=1)] = 1000,
    folder: Annotated[Path | None, typer.Option("--out", help="Also write figure-1.svg and figure-2.svg here.")] = None,
) -> None:
    """To what every loss and noise makes a model converge, predicted and measured (Kamigaito & Hayashi 2021).

    Example: falsum theory --graph wn18rr --out figures
    """
    cli.theory.theory(graphs or [], queries, folder)


@app.command()
def compare(
    graph: GraphName,
    model: Annotated[str, typer.Option(help="The score model of all losses.")] = "complex",
    losses: Annotated[
        str | None,
        typer.Option(
            help="Of ns, ns-freq, ns-all, sans, margin, soft-margin, bce, sce, sce-sampled, sce-ls, sce-tempered, "
            "sce-bc; default ns,sans,sce,sce-ls."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Pairs of losses by name: matched-pairs.")] = None,
    seeds: Annotated[int, typer.Option(help="Models per loss; 5 or more tell apart much better than 3.")] = 5,
    budget: Annotated[
        str,
        typer.Option(help="What each training may spend: a number and one of epochs, steps, scores, s, min, h."),
    ] = "30epochs",
    tune: Annotated[int, typer.Option(help="Learning rates to try for each loss, 1 to 7; each costs a training.")] = 3,
    dim: Annotated[int | None, typer.Option(help="Reals per entity; by default the graph's size decides.")] = None,
    settings: Settings = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of all runs; default runs/compare-GRAPH-MODEL-TIME.")
    ] = None,
    read: ReadOptions = None,
) -> None:
    """Compare losses on equal terms, and say which differences are real.

    Every training has the same budget. For each loss, learning rates are tried once and chosen on the validation split.
    Models of several seeds are ranked on the test split. Differences come with intervals over queries, and over queries
    and seeds. epochs and steps are those of the optimizer, scores the (query, candidate) scores computed in training;
    s, min and h time the steps alone, not the validations. The same command with the same --out goes on where it
    stopped.

    Example: falsum compare umls --losses ns,sce --seeds 5 --budget 2000steps
    """
    cli.comparison.compare(graph, model, losses, preset, seeds, budget, tune, dim, settings or [], folder, read or [])


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="kamigaito2021.")] = None,
    cells: Annotated[str, typer.Option(help="A glob of cells: 'wn18rr/complex/*'.")] = "*",
    budget: Annotated[float | None, typer.Option(help="Minutes after which to stop; go on later.", min=0)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the runs.")] = 0,
    runs: Annotated[Path, typer.Option(help="Folder of the run folders.")] = Path("runs"),
    ledger: Annotated[Path | None, typer.Option(help="CSV file; default results/EXPERIMENT.csv.")] = None,
    settings: Settings = None,
    again: Annotated[bool, typer.Option("--again", help="Also cells that are in the ledger.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be run.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only show the paper's tables, ours beside theirs.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The tables of --status as Markdown.")] = False,
) -> None:
    """Train the cells of a published table, one after another, and hold them against it in a ledger.

    What is in the ledger with this recipe and seed is left out. What was interrupted goes on.

    Example: falsum reproduce kamigaito2021 --cells 'wn18rr/complex/sce*' --budget 60
    """
    if status:
        cli.studies.status(name, ledger, markdown=markdown)
    else:
        cli.studies.reproduce(name, cells, budget, seed, runs, ledger, settings or [], again=again, plan=plan)
