#!/usr/bin/env python3
"""Time PyKEEN on the workloads that the falsum benchmark measures.

Run this inside a virtual environment that has PyKEEN (see README.md beside this
file). It does not import falsum. Four subcommands:

``epoch``
    ComplEx, softmax cross-entropy against all entities, both directions.
``rank``
    Filtered test ranking of a ComplEx model with given weights.
``rotate-step``
    One RotatE training step with self-adversarial negative sampling.
``sample``
    Drawing negatives by each of PyKEEN's samplers.

The last line on standard output is one JSON object. PyKEEN is used through its
public interface only; timings are taken by a training callback.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import pathlib
import platform
import resource
import statistics
import sys
import tempfile
import time
import warnings

# PyKEEN creates folders under its data directory when imported and when trained:
# keep them out of the home directory.
_SCRATCH = tempfile.TemporaryDirectory(prefix="pykeen-bench-")
os.environ.setdefault("PYSTOW_HOME", _SCRATCH.name)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from pykeen.evaluation import RankBasedEvaluator  # noqa: E402
from pykeen.losses import CrossEntropyLoss, NSSALoss  # noqa: E402
from pykeen.models import ComplEx, RotatE  # noqa: E402
from pykeen.nn.init import PretrainedInitializer  # noqa: E402
from pykeen.sampling import negative_sampler_resolver  # noqa: E402
from pykeen.training import (  # noqa: E402
    LCWATrainingLoop,
    SLCWATrainingLoop,
    SymmetricLCWATrainingLoop,
    TrainingCallback,
)
from pykeen.triples import CoreTriplesFactory, TriplesFactory  # noqa: E402
from pykeen.version import get_version  # noqa: E402

LOOPS = {
    "lcwa": LCWATrainingLoop,
    "symmetric": SymmetricLCWATrainingLoop,
}


# --------------------------------------------------------------------- helpers


def note(message: str) -> None:
    """Write a progress message to standard error."""
    print(message, file=sys.stderr, flush=True)


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_rss_mib() -> float:
    """Return this process' peak resident memory in MiB (Linux unit: KiB)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def limit_memory(gib: float | None) -> float | None:
    """Bound this process' address space, so that too large a batch fails cleanly.

    Without a bound the kernel may kill this process, or another one, instead. The
    default is four fifths of the memory that is available now. Returns GiB.
    """
    if gib is None:
        try:
            lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        except OSError:
            return None
        available = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
        if not available:
            return None
        gib = 0.8 * available[0] / 2**20
    if gib <= 0:
        return None
    resource.setrlimit(resource.RLIMIT_AS, (int(gib * 2**30), resource.RLIM_INFINITY))
    return round(gib, 2)


def has_opt_einsum() -> bool:
    """Tell whether PyKEEN can contract through opt_einsum (its optional extra)."""
    try:
        import opt_einsum  # noqa: F401
    except ImportError:
        return False
    return True


def environment() -> dict:
    """Describe software and hardware."""
    return {
        "pykeen": get_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "opt_einsum": has_opt_einsum(),
        "threads": torch.get_num_threads(),
        "cpu_count": os.cpu_count(),
        "cpu_model": cpu_model(),
    }


def finish(result: dict) -> None:
    """Print the result as the last line of standard output."""
    result = {**result, "peak_rss_mib": peak_rss_mib(), **environment()}
    print(json.dumps(result, allow_nan=False), flush=True)


def read_split(folder: pathlib.Path, name: str) -> np.ndarray:
    """Read one tab-separated file of labels; CRLF line ends are accepted."""
    rows = []
    with open(folder / f"{name}.txt", encoding="utf-8", newline="") as handle:
        for number, line in enumerate(handle, start=1):
            line = line.rstrip("\r\n")
            if not line:
                continue
            fields = line.split("\t")
            if len(fields) != 3:
                raise SystemExit(f"{name}.txt, line {number}: expected 3 fields, got {len(fields)}")
            rows.append(fields)
    return np.asarray(rows, dtype=str)


def train_factory(folder: pathlib.Path, inverse: bool) -> TriplesFactory:
    """Load the training triples."""
    return TriplesFactory.from_labeled_triples(read_split(folder, "train"), create_inverse_triples=inverse)


# ---------------------------------------------------------------------- timing


class Enough(Exception):
    """Raised by the timer to leave the training loop."""


class BatchTimer(TrainingCallback):
    """Time whole training steps, from the end of one batch to the end of the next.

    Such an interval holds everything that a batch costs: fetching (and, with
    negative sampling, drawing) it, forward, backward and one optimizer update.
    PyKEEN runs user callbacks before its own optimizer callback, so the update
    inside the interval is the one of the batch before: still one for each.
    """

    def __init__(self, warmup: int, count: int) -> None:
        super().__init__()
        if warmup < 1:
            raise SystemExit("at least one warm-up batch is needed")
        self.warmup = warmup
        self.count = count
        self.seen = 0
        self.marks: list[float] = []
        self.losses: list[float] = []

    def pre_batch(self, **kwargs) -> None:
        self.losses.append(0.0)

    def on_batch(self, epoch: int, batch, batch_loss: float, **kwargs) -> None:
        # with sub-batches this is called several times in a batch
        self.losses[-1] += float(batch_loss)

    def post_batch(self, epoch: int, batch, **kwargs) -> None:
        self.seen += 1
        if self.seen >= self.warmup:
            self.marks.append(time.perf_counter())
        if self.seen >= self.warmup + self.count:
            raise Enough

    @property
    def intervals(self) -> list[float]:
        """Return the measured seconds of each batch."""
        return [b - a for a, b in zip(self.marks, self.marks[1:], strict=False)]

    @property
    def total(self) -> float:
        """Return the measured seconds of all batches."""
        return self.marks[-1] - self.marks[0]


def run_timed(loop, factory, timer: BatchTimer, epochs: int, **kwargs) -> float:
    """Train until the timer has seen enough; return the seconds until the first batch."""
    started = time.perf_counter()
    first = FirstBatch()
    with tempfile.TemporaryDirectory(prefix="pykeen-bench-") as folder:
        try:
            loop.train(
                triples_factory=factory,
                num_epochs=epochs,
                use_tqdm=False,
                checkpoint_directory=folder,
                callbacks=[first, timer],
                pin_memory=False,
                **kwargs,
            )
        except Enough:
            pass
        else:
            raise SystemExit("training ended before enough batches were timed")
    return first.at - started


class FirstBatch(TrainingCallback):
    """Note when the first batch was ready."""

    at: float = math.nan

    def pre_batch(self, **kwargs) -> None:
        if math.isnan(self.at):
            self.at = time.perf_counter()


# ----------------------------------------------------------------- subcommands


def command_epoch(args: argparse.Namespace) -> None:
    """Time (part of) a ComplEx epoch with cross-entropy against all entities."""
    torch.manual_seed(args.seed)
    grouped = args.mode == "lcwa"
    # lcwa: inverse triples bring head prediction in, as tail prediction of r^-1.
    # symmetric: heads and tails of each triple are scored, no inverses needed.
    factory = train_factory(args.data, inverse=grouped)
    model = ComplEx(
        triples_factory=factory,
        embedding_dim=args.dim_complex,
        loss=CrossEntropyLoss(),
        regularizer=None,
        random_seed=args.seed,
    )
    loop = LOOPS[args.mode](
        model=model,
        triples_factory=factory,
        optimizer=args.optimizer,
        optimizer_kwargs={"lr": args.lr},
        automatic_memory_optimization=False,
    )
    if grouped:
        pairs = factory.mapped_triples.numpy()
        rows = len(np.unique(pairs[:, [0, 1]], axis=0)) + len(np.unique(pairs[:, [1, 2]], axis=0))
        queries_per_row = 1
    else:
        rows = factory.num_triples
        queries_per_row = 2
    sub_batch = args.sub_batch
    if sub_batch is None and not grouped:
        # Head scores need a (batch, entities, dim) complex intermediate: keep it under 512 MiB.
        fits = 2**29 // (factory.num_entities * args.dim_complex * 8)
        sub_batch = min(args.batch, 2 ** max(0, fits.bit_length() - 1))
    batches = math.ceil(rows / args.batch)
    count = min(args.max_batches or batches, batches)
    timer = BatchTimer(warmup=args.warmup, count=count)
    note(f"{args.mode}: {rows} rows, {batches} batches per epoch, timing {count}")
    # enough epochs that warm-up plus count batches fit, whatever the sizes
    epochs = math.ceil((args.warmup + count) / batches)
    setup = run_timed(
        loop,
        factory,
        timer,
        epochs=epochs,
        batch_size=args.batch,
        num_workers=args.num_workers,
        sub_batch_size=sub_batch,
    )
    # complete batches only: the smaller last one of an epoch would distort the extrapolation
    full = count == batches
    epoch_seconds = timer.total if full else timer.total / count * (rows / args.batch)
    finish(
        {
            "memory_limit_gib": args.memory_gib,
            "command": "epoch",
            "model": "ComplEx",
            "data": args.data.name,
            "mode": args.mode,
            "training_loop": type(loop).__name__,
            "loss": "CrossEntropyLoss (softmax against all entities)",
            "optimizer": type(loop.optimizer).__name__,
            "lr": args.lr,
            "dim_complex": args.dim_complex,
            "entities": factory.num_entities,
            "relations": factory.real_num_relations,
            "train_triples": factory.num_triples,
            "inverse_triples": grouped,
            "grouped": grouped,
            "rows_per_epoch": rows,
            "batch": args.batch,
            "sub_batch": sub_batch,
            "batches_per_epoch": batches,
            "queries_per_batch": args.batch * queries_per_row,
            "queries_per_epoch": rows * queries_per_row,
            "num_workers": args.num_workers,
            "warmup_batches": args.warmup,
            "measured_batches": count,
            "measured_seconds": timer.total,
            "median_batch_seconds": statistics.median(timer.intervals),
            "queries_per_second": rows * queries_per_row / epoch_seconds,
            "epoch_seconds": epoch_seconds,
            "extrapolated": not full,
            "setup_seconds": setup,
            "first_loss": timer.losses[0],
            "last_loss": timer.losses[-1],
        }
    )


def to_complex(array: np.ndarray) -> np.ndarray:
    """Turn rows of [real half | imaginary half] into complex64."""
    half = array.shape[1] // 2
    if array.shape[1] != 2 * half:
        raise SystemExit(f"weights have an odd number of columns: {array.shape}")
    array = np.asarray(array, dtype=np.float32)
    return (array[:, :half] + 1j * array[:, half:]).astype(np.complex64)


def pretrained(array: np.ndarray) -> PretrainedInitializer:
    """Wrap complex weights; PyKEEN stores a complex embedding as real pairs."""
    return PretrainedInitializer(torch.view_as_real(torch.from_numpy(np.ascontiguousarray(array))))


def by_label(mapping, labels: np.ndarray, weights: np.ndarray, what: str) -> np.ndarray:
    """Order the rows of weights by PyKEEN's ids."""
    row_of = {str(label): row for row, label in enumerate(labels)}
    if len(row_of) != len(labels) or len(labels) != len(weights):
        raise SystemExit(f"{what}: labels are not unique, or not as many as weight rows")
    missing = [label for label in mapping if label not in row_of]
    if missing:
        raise SystemExit(f"{what}: {len(missing)} labels have no weights, for example {missing[0]!r}")
    rows = np.empty(len(mapping), dtype=np.int64)
    for label, index in mapping.items():
        rows[index] = row_of[label]
    return weights[rows]


def check_scores(model, factory, entity: np.ndarray, relation: np.ndarray) -> float:
    """Compare PyKEEN's predictions with Re<h, r, conj t>; return the largest difference."""
    sample = factory.mapped_triples[:: max(1, factory.num_triples // 8)][:8]
    with torch.inference_mode():
        got = [
            model.predict_hrt(sample).squeeze(-1).numpy(),
            model.predict(sample, target="tail").numpy(),
            model.predict(sample, target="head").numpy(),
        ]
    h, r, t = (sample[:, i].numpy() for i in range(3))
    wide = entity.astype(np.complex128)
    wide_r = relation.astype(np.complex128)
    want = [
        np.einsum("nd,nd,nd->n", wide[h], wide_r[r], wide[t].conj()).real,
        ((wide[h] * wide_r[r]) @ wide.conj().T).real,
        ((wide_r[r] * wide[t].conj()) @ wide.T).real,
    ]
    scale = max(1.0, *(float(np.abs(x).max()) for x in want))
    difference = max(float(np.abs(x - y).max()) for x, y in zip(got, want, strict=True))
    if not difference <= 1e-4 * scale:
        raise SystemExit(f"PyKEEN's scores differ from Re<h, r, conj t> by {difference}")
    return difference


def command_rank(args: argparse.Namespace) -> None:
    """Time filtered ranking of the test triples with given weights."""
    with np.load(args.weights, allow_pickle=False) as data:
        entity = to_complex(data["entity"])
        relation = to_complex(data["relation"])
        entity_labels = data["entity_labels"]
        relation_labels = data["relation_labels"]
    if entity.shape[1] != relation.shape[1]:
        raise SystemExit("entity and relation weights differ in their width")

    triples = {name: read_split(args.data, name) for name in ("train", "valid", "test")}
    maps: dict = {}
    if args.entities == "weights":
        maps["entity_to_id"] = {str(label): i for i, label in enumerate(entity_labels)}
        maps["relation_to_id"] = {str(label): i for i, label in enumerate(relation_labels)}
    train = TriplesFactory.from_labeled_triples(
        triples["train"], create_inverse_triples=args.heads == "inverse", **maps
    )
    maps = {"entity_to_id": train.entity_to_id, "relation_to_id": train.relation_to_id}
    valid = TriplesFactory.from_labeled_triples(triples["valid"], **maps)
    test = TriplesFactory.from_labeled_triples(triples["test"], **maps)

    entity = by_label(train.entity_to_id, entity_labels, entity, "entities")
    relation = by_label(train.relation_to_id, relation_labels, relation, "relations")
    relation_weights = relation
    if args.heads == "inverse":
        # <h, r, conj t> and <t, conj r, conj h> have the same real part, so the inverse
        # of r is conj(r). PyKEEN puts relation r at 2r and its inverse at 2r + 1.
        relation_weights = np.stack([relation, relation.conj()], axis=1).reshape(-1, relation.shape[1])
    model = ComplEx(
        triples_factory=train,
        embedding_dim=entity.shape[1],
        entity_initializer=pretrained(entity),
        relation_initializer=pretrained(relation_weights),
        regularizer=None,
        random_seed=args.seed,
    )
    difference = check_scores(model, test, entity, relation)

    # default: every rank-based metric of PyKEEN; --few-metrics: only the two that are reported
    choice: dict = {}
    if args.few_metrics:
        choice = {
            "metrics": ["inverseharmonicmeanrank", "hitsatk"],
            "metrics_kwargs": [None, {"k": 10}],
            "add_defaults": False,
        }

    def evaluate(mapped: torch.Tensor) -> tuple[object, float]:
        evaluator = RankBasedEvaluator(filtered=True, **choice)
        begin = time.perf_counter()
        result = evaluator.evaluate(
            model=model,
            mapped_triples=mapped,
            additional_filter_triples=known,
            batch_size=args.batch,
            use_tqdm=False,
        )
        return result, time.perf_counter() - begin

    mapped = test.mapped_triples
    # PyKEEN adds the ranked triples to the filter itself
    known = [train.mapped_triples, valid.mapped_triples]
    if args.max_triples and args.max_triples < len(mapped):
        order = torch.randperm(len(mapped), generator=torch.Generator().manual_seed(args.seed))
        mapped = mapped[order[: args.max_triples]]
        known.append(test.mapped_triples)
    evaluate(mapped[: min(len(mapped), 2 * args.batch)])  # warm-up
    result, seconds = evaluate(mapped)

    finish(
        {
            "memory_limit_gib": args.memory_gib,
            "command": "rank",
            "model": "ComplEx",
            "data": args.data.name,
            "dim_complex": int(entity.shape[1]),
            "entities": train.num_entities,
            "relations": train.real_num_relations,
            "heads": args.heads,
            "weights_entities": len(entity_labels),
            "entity_set": args.entities,
            "train_triples_kept": train.num_triples,
            "valid_triples_in_file": len(triples["valid"]),
            "valid_triples_kept": valid.num_triples,
            "test_triples_in_file": len(triples["test"]),
            "test_triples_kept": test.num_triples,
            "test_triples_ranked": len(mapped),
            "queries": 2 * len(mapped),
            "batch": args.batch,
            "few_metrics": args.few_metrics,
            "seconds": seconds,
            "queries_per_second": 2 * len(mapped) / seconds,
            "mrr": float(result.get_metric("both.realistic.inverse_harmonic_mean_rank")),
            "hits_at_10": float(result.get_metric("both.realistic.hits_at_10")),
            "max_score_difference": difference,
        }
    )


def synthetic(entities: int, relations: int, triples: int, seed: int) -> CoreTriplesFactory:
    """Draw distinct random triples."""
    rng = np.random.default_rng(seed)
    total = entities * relations * entities
    codes = np.unique(rng.integers(0, total, size=triples))
    tail = codes % entities
    rest = codes // entities
    mapped = np.stack([rest // relations, rest % relations, tail], axis=1)
    return CoreTriplesFactory(
        mapped_triples=torch.from_numpy(np.ascontiguousarray(mapped)),
        num_entities=entities,
        num_relations=relations,
    )


def command_rotate(args: argparse.Namespace) -> None:
    """Time single RotatE steps with self-adversarial negative sampling."""
    torch.manual_seed(args.seed)
    if args.data is not None:
        factory: CoreTriplesFactory = train_factory(args.data, inverse=False)
    else:
        factory = synthetic(args.entities, args.relations, args.triples, args.seed)
    model = RotatE(
        triples_factory=factory,
        embedding_dim=args.dim_complex,
        loss=NSSALoss(margin=args.margin, adversarial_temperature=1.0),
        random_seed=args.seed,
    )
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer="adam",
        optimizer_kwargs={"lr": args.lr},
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": args.negatives},
        automatic_memory_optimization=False,
    )
    batches = math.ceil(factory.num_triples / args.batch)
    timer = BatchTimer(warmup=args.warmup, count=args.steps)
    setup = run_timed(
        loop,
        factory,
        timer,
        epochs=math.ceil((args.warmup + args.steps) / batches),
        batch_size=args.batch,
        sub_batch_size=args.sub_batch,
        drop_last=True if batches > 1 else None,
        num_workers=0,
    )
    finish(
        {
            "memory_limit_gib": args.memory_gib,
            "command": "rotate-step",
            "model": "RotatE",
            "data": args.data.name if args.data is not None else "synthetic",
            "training_loop": type(loop).__name__,
            "loss": "NSSALoss (self-adversarial)",
            "negative_sampler": "BasicNegativeSampler, unfiltered",
            "negatives_per_positive": args.negatives,
            "negatives_shared": False,
            "optimizer": type(loop.optimizer).__name__,
            "lr": args.lr,
            "margin": args.margin,
            "dim_complex": args.dim_complex,
            "entities": factory.num_entities,
            "relations": factory.num_relations,
            "train_triples": factory.num_triples,
            "batch": args.batch,
            "sub_batch": args.sub_batch,
            "warmup_steps": args.warmup,
            "steps": args.steps,
            "step_seconds": timer.intervals,
            "median_step_seconds": statistics.median(timer.intervals),
            "setup_seconds": setup,
            "first_loss": timer.losses[0],
            "last_loss": timer.losses[-1],
        }
    )


# ------------------------------------------------------------------------ main


def positive(text: str) -> int:
    """Parse a positive integer."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--threads", type=positive, help="torch threads (default: torch's own choice)")
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument(
        "--memory-gib",
        type=float,
        help="bound on the address space; 0 for none (default: 80%% of the available memory)",
    )

    one = commands.add_parser("epoch", parents=[shared], help="ComplEx, cross-entropy against all entities")
    one.add_argument("--data", type=pathlib.Path, required=True)
    one.add_argument("--batch", type=positive, default=512)
    one.add_argument("--dim-complex", type=positive, default=128)
    one.add_argument("--max-batches", type=positive, help="time so many batches and extrapolate")
    one.add_argument(
        "--mode",
        choices=sorted(LOOPS),
        default="lcwa",
        help="lcwa: unique (h, r) pairs of triples and inverse triples (grouped, KvsAll); "
        "symmetric: each triple, heads and tails (1vsAll; two queries per row)",
    )
    one.add_argument("--optimizer", choices=["adagrad", "adam"], default="adagrad")
    one.add_argument("--lr", type=float, default=0.1)
    one.add_argument("--num-workers", type=int, default=0, help="data loader processes")
    one.add_argument("--sub-batch", type=positive, help="accumulate gradients over parts of this size")
    one.add_argument("--warmup", type=positive, default=3)
    one.set_defaults(function=command_epoch)

    two = commands.add_parser("rank", parents=[shared], help="filtered test ranking with given weights")
    two.add_argument("--data", type=pathlib.Path, required=True)
    two.add_argument("--weights", type=pathlib.Path, required=True)
    two.add_argument("--batch", type=positive, default=64)
    two.add_argument(
        "--entities",
        choices=["train", "weights"],
        default="train",
        help="train: PyKEEN's way, triples with entities unseen in training are dropped; "
        "weights: all entities that have weights are known and are candidates",
    )
    two.add_argument(
        "--heads",
        choices=["plain", "inverse"],
        default="plain",
        help="plain: score heads directly; inverse: the same scores as tail scores of the "
        "inverse relation conj(r), which PyKEEN computes faster and in less memory",
    )
    two.add_argument("--max-triples", type=positive, help="rank only a random sample of the test triples")
    two.add_argument("--few-metrics", action="store_true", help="compute only MRR and hits@10, not all metrics")
    two.set_defaults(function=command_rank)

    three = commands.add_parser("rotate-step", parents=[shared], help="RotatE step, self-adversarial negatives")
    three.add_argument("--data", type=pathlib.Path, help="dataset folder (default: synthetic triples)")
    three.add_argument("--batch", type=positive, default=1024)
    three.add_argument("--negatives", type=positive, default=256)
    three.add_argument("--dim-complex", type=positive, default=1000)
    three.add_argument("--entities", type=positive, default=14541)
    three.add_argument("--relations", type=positive, default=237)
    three.add_argument("--triples", type=positive, default=272115, help="number of synthetic triples")
    three.add_argument("--steps", type=positive, default=3)
    three.add_argument("--warmup", type=positive, default=1)
    three.add_argument("--margin", type=float, default=9.0)
    three.add_argument("--lr", type=float, default=5e-5)
    three.add_argument("--sub-batch", type=positive, help="accumulate gradients over parts of this size")
    three.set_defaults(function=command_rotate)

    four = commands.add_parser("sample", parents=[shared], help="drawing negatives, with and without the filter")
    four.add_argument("--data", type=pathlib.Path, required=True)
    four.add_argument("--batch", type=positive, default=1024)
    four.add_argument("--negatives", type=positive, default=256)
    four.add_argument("--repeats", type=positive, default=5)
    four.set_defaults(function=command_sample)
    return parser.parse_args(argv)


def command_sample(args: argparse.Namespace) -> None:
    """Time negative samplers: milliseconds for batch x negatives, medians; a filter flags known positives."""
    torch.manual_seed(args.seed)
    factory = train_factory(args.data, inverse=False)
    triples = factory.mapped_triples
    found = {}
    for name in ("basic", "bernoulli", "pseudotyped"):
        for filtered in (False, True):
            sampler = negative_sampler_resolver.make(
                name, mapped_triples=triples, num_negs_per_pos=args.negatives, filtered=filtered
            )
            spent = []
            for _ in range(args.repeats + 1):
                batch = triples[torch.randint(len(triples), (args.batch,))]
                begun = time.perf_counter()
                sampler.sample(batch)
                spent.append(1000 * (time.perf_counter() - begun))
            found[f"{name}{' filtered' if filtered else ''}"] = round(statistics.median(spent[1:]), 2)
    finish({"command": "sample", "milliseconds": found, "batch": args.batch, "negatives": args.negatives})


def main() -> None:
    """Run one subcommand."""
    args = parse()
    logging.getLogger("pykeen").setLevel(logging.WARNING)
    # torch_max_mem says that it only shrinks batches safely on CUDA: sizes are given here
    logging.getLogger("torch_max_mem").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Training instances are always shuffled")
    if args.threads:
        torch.set_num_threads(args.threads)
    args.memory_gib = limit_memory(args.memory_gib)
    args.function(args)


if __name__ == "__main__":
    main()
