"""A session of training in a run folder: from the start or the checkpoint on, until the end or a request to stop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from falsum.errors import Interrupted, UserError
from falsum.files import alone, checked, read_tensors, remove_parts, write_tensors
from falsum.graph.graph import Graph
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import Recipe
from falsum.run import folder as files
from falsum.run import weights
from falsum.run.contents import Checkpoint
from falsum.run.fixed import changes, fixed
from falsum.run.machine import stop_requests
from falsum.run.pretraining import take_start
from falsum.run.trained import opener
from falsum.training.job import Job
from falsum.training.loop import Position, Record, Trainer

ROW_WISE = "the list of tables updated by rows (see noise, penalty, optimizer.lazy)"


def train(
    folder: Path,
    recipe: Recipe,
    graph: Graph,
    rank_progress: Callable[[int], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Train, or go on from the checkpoint, writing the folder and yielding a record per step and validation.

    stop: asked after every step; once true, training ends as after Ctrl-C. Raises Interrupted then and after Ctrl-C or
    SIGTERM (a checkpoint is written first, if there was a step), training.Diverged on a non-finite loss, UserError
    when a file cannot be read or written, or a checkpoint does not fit the recipe.
    """
    with alone(folder), _threads(folder), stop_requests() as stopped:
        trainer = Trainer(assemble(recipe, graph, opener(graph)), rank_progress=rank_progress)
        checkpoint = folder / "checkpoint" / "last.safetensors"
        if checkpoint.exists():
            _restore(trainer, folder, recipe, graph)
        elif recipe.pretraining:
            take_start(folder, recipe.pretraining, trainer.job)
        _trim(folder, trainer.position)
        for place in (folder, checkpoint.parent):
            remove_parts(place)
        if stopped():  # while all of this was made ready
            raise Interrupted(f"Stopped before the next step. Go on with `falsum resume {folder}`.")
        yield from _steps(trainer, folder, recipe, graph, lambda: stopped() or stop())


def _steps(
    trainer: Trainer, folder: Path, recipe: Recipe, graph: Graph, stopped: Callable[[], bool]
) -> Iterator[Record]:
    saved_at = time.monotonic()
    for record in trainer.run():
        ended = record.metrics or record.done or record.step % record.steps_per_epoch == 0
        if record.best or (record.done and not trainer.position.history):
            trainer.state()  # which raises Diverged rather than let weights that are not finite be written
            files.write_weights(folder, trainer.job.scoring.tensors(), recipe, graph, record)
        if ended:
            files.append(folder, record)
        due = time.monotonic() - saved_at > 60 * recipe.checkpoint_minutes
        stop = stopped()  # asked once: a signal that comes while the record is shown waits for the next
        if record.metrics or record.done or due or stop:
            _save(trainer, folder, recipe, graph)
            saved_at = time.monotonic()
        yield record
        if stop and not record.done:
            raise Interrupted(f"Stopped at epoch {record.epoch}. Go on with `falsum resume {folder}`.")


# ---------------------------------------------------------------------------------------------------------- checkpoints


def _save(trainer: Trainer, folder: Path, recipe: Recipe, graph: Graph) -> None:
    tensors, scalars = trainer.state()
    about = {**scalars, "fixed": _fixed(recipe, graph, trainer.job)}
    write_tensors(folder / "checkpoint" / "last.safetensors", tensors, about)


def _restore(trainer: Trainer, folder: Path, recipe: Recipe, graph: Graph) -> None:
    """Take up the checkpoint. Settings such as the learning rate may have changed, those of `run.fixed` may not."""
    path = folder / "checkpoint" / "last.safetensors"
    start_over = f"delete {path.parent} to train from the start with `falsum resume {folder}`"
    remedy = f"Restore it from a copy; or {start_over}, to the same bits."
    tensors, about = read_tensors(path, remedy)
    then = checked(about, Checkpoint, path, remedy)
    changed = changes(then.fixed, _fixed(recipe, graph, trainer.job)) + _misfits(trainer, tensors)
    if changed:
        raise UserError(
            f"{path} does not fit {folder / 'recipe.toml'}, which was changed since: {'; '.join(changed)}. "
            f"Change it back; or {start_over}; or train the new recipe into a new folder."
        )
    if then.history:
        files.read_weights(folder, recipe)  # they are only there: the checkpoint holds the last
    trainer.restore(tensors, then.scalars())


def _fixed(recipe: Recipe, graph: Graph, job: Job) -> dict[str, object]:
    """What a checkpoint cannot be continued without."""
    return {**fixed(recipe, graph.sha256), ROW_WISE: sorted(job.row_wise)}


def _misfits(trainer: Trainer, tensors: dict[str, Tensor]) -> list[str]:
    """Where the tensors of a checkpoint are none of this training, in words."""
    wanted = trainer.state()[0]
    # Some optimizers make their state at the first step: what is not there yet has the shape of its parameter, or none.
    owners = {f"{name}.{own}": p for name, updater in trainer.updaters.items() for own, p in updater.whole.items()}
    for name, tensor in tensors.items():
        owner = owners.get(name.rpartition(".")[0])
        if name not in wanted and owner is not None:
            wanted[name] = torch.zeros(()) if tensor.dim() == 0 else owner.detach()
    strange = [f"{name} is of no part of it" for name in tensors if name not in wanted]
    return weights.misfits(tensors, wanted) + strange


# -------------------------------------------------------------------------------------------------------------- the log


def _trim(folder: Path, position: Position) -> None:
    """Forget what was logged after the checkpoint: it will be logged again."""
    past = [line for line in files.history(folder) if line.step <= position.step]
    again = [line for line in past if line.done and line.step == position.step]
    again += [line for line in past if line.metrics and line.epoch not in position.epochs]
    files.rewrite(folder, (line for line in past if line not in again))


# -------------------------------------------------------------------------------------------------------------- threads


@contextmanager
def _threads(folder: Path) -> Iterator[None]:
    """As many threads as the run began with, however many cores there are here: sums depend on how they are split.

    A lost environment.json is written anew, for this machine.
    """
    if not (folder / "environment.json").exists():
        files.write_environment(folder)
    threads = files.read_environment(folder).threads
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def caution(folder: Path) -> str:
    """What a person should know before training goes on here; "" where there is nothing.

    More threads than cores give the same bits as before, and slowly: whether that is worth it, a person decides.
    """
    if not (folder / "environment.json").exists():
        return ""  # it will be written anew, for this machine
    threads = files.read_environment(folder).threads
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or threads
    if threads <= cores:
        return ""
    return (
        f"The run was begun with {threads} threads and goes on with them, to the same bits; here are {cores} cores, so "
        f'that is slow. For speed instead, set "threads" to {cores} in {folder / "environment.json"}.'
    )
