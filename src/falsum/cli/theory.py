"""The commands about theory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsum.cli.console import load_graph
from falsum.cli.tables import frame_table
from falsum.cli.terminal import out, say, show
from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES
from falsum.probe import chosen
from falsum.probe.mutated import by_negatives, look
from falsum.report import emu as shown
from falsum.report.theory import divergences, table_1, write_figures
from falsum.reproduce import read
from falsum.run.run import Run
from falsum.theory import emu as laws
from falsum.theory.geometry import Seen
from falsum.theory.mutation import nearer_and_lower
from falsum.theory.shift import shift, single_answers


def theory(graphs: Sequence[str], queries: int, folder: Path | None) -> None:
    """Print Table 1 and the shapes of the divergences, the shift of graphs, and write the figures."""
    out.print("One query whose answers have shares p = .40 .25 .15 .10 .07 .03 in training, and frequencies")
    out.print("q = .05 .10 .30 .25 .20 .10 over all queries. Scores are free numbers, trained to the optimum.\n")
    show(frame_table(table_1(), title="Table 1, measured through the library's own objectives and noises"))
    out.print()
    lines = divergences().lines
    at = [0, 18, 48, 98, 148, 178, 196]
    for line in lines:
        out.print(f"d(0.5, p), {line.name:3s}: " + "  ".join(f"p={line.x[i]:.2f} {line.y[i]:.4f}" for i in at))
    values = {}
    for name in graphs:
        loaded = load_graph(name)
        if not len(loaded.splits.get("test", ())):
            raise UserError(f"Graph {loaded.name!r} has no test split, so there is no shift from training to test.")
        tails, heads = (f"{100 * single_answers(loaded, side):.1f} %" for side in BOTH_SIDES)
        say(f"{loaded.name}: training triples that alone answer their question: {tails} of tails, {heads} of heads")
        values[loaded.name] = shift(loaded, queries=queries)
        found = values[loaded.name]
        say(f"{loaded.name}: D(train || test) {found.mean():.3f} nats on average, {len(found):,} test questions")
    if folder is not None:
        for path in write_figures(folder, values):
            say(f"figure: {path}")


# What is drawn beside uniform and mutated negatives: structure-aware ones.
USUAL = ("k-hop",)


def emu(
    run: Path | None,
    take_positive: float | None,
    noises: Sequence[str],
    queries: int,
    ledger: Path | None,
    seed: int,
    folder: Path | None,
) -> None:
    """Print what holds of embedding mutation, and what a run shows of it; write the page and the figures."""
    if run is None and (take_positive is not None or noises):
        raise UserError("--take-positive and --noise say what to look at in a trained run: name it by --run.")
    curves = _curves(ledger)
    seen = None if run is None else _seen(run, take_positive, noises or USUAL, queries, seed)
    found = shown.Theory(
        laws.laws(seed), laws.ranks(seed), nearer_and_lower(), laws.mask_gradients(seed=seed), seen, curves
    )
    show(frame_table(shown.laws_frame(found.laws), title="Laws of mutated negatives, and of unbounded label smoothing"))
    say(shown.nearer_words(found.nearer))
    show(
        frame_table(
            shown.gradients_frame(found.gradients),
            title="Mean gradients: standard errors from those of a mask per pair",
        )
    )
    say(shown.smoothing_words(laws.LABEL, shown.NEGATIVES))
    show(
        frame_table(shown.margins_frame(), title="Equilibrium margins of the paper's settings, n_P/d read in two ways")
    )
    show(frame_table(shown.tuning_frame(), title="The label beta for a margin of ln n + 1, 256 negatives"))
    if seen is not None:
        _tell(seen)
    if folder is not None:
        for path in shown.write(found, folder):
            say(f"{'page' if path.suffix == '.html' else 'figure'}: {path}")


def _curves(ledger: Path | None) -> shown.Curves:
    """MRR by number of negatives, of the latest line of each cell."""
    if ledger is None:
        return {}
    if not ledger.exists():
        raise UserError(f"There is no ledger {ledger}: give the CSV file that `falsum reproduce` wrote.")
    curves = by_negatives({entry.cell: entry.mrr for entry in read(ledger)})
    if not curves:
        raise UserError(f"No cell of {ledger} is named by its number of negatives, like NAME/n-64.")
    return curves


def _seen(run: Path, take_positive: float | None, noises: Sequence[str], queries: int, seed: int) -> Seen:
    wanted = [chosen(text) for text in dict.fromkeys(noises)]
    return look(Run.open(run), wanted, take_positive, queries, seed)


def _tell(seen: Seen) -> None:
    say(
        f"{seen.run}: {seen.model} on {seen.graph}, {seen.questions} training questions, q = {seen.take_positive:g}, "
        f"{seen.negatives} uniform negatives each"
    )
    for title, frame in shown.seen_tables(seen).items():
        show(frame_table(frame, title=title))
    first, second = seen.axes.explained
    say(f"Two main axes of tails and negatives explain {100 * first:.1f} and {100 * second:.1f} % of the variance.")
    say(shown.margin_words(seen))
    for note in seen.notes:
        say(note)
