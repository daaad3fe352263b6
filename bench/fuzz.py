"""Hostile input through the command line: what ends in a traceback, an abort or a hang, and what is taken but wrong.

    python bench/fuzz.py --count 500 --seed 1 --out /tmp/fuzz     # a table, and a folder for each failure
    python bench/fuzz.py --replay 137 --seed 1 --out /tmp/fuzz    # number 137 again, its output shown

A try is a function of seed and number. It runs in a child that is forked from a process that has imported falsum, some
in a Python of their own, under limits of time and memory. Exit code 1 if there was a failure.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import resource
import shlex
import shutil
import signal
import socket
import sys
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

MEMORY = 8 << 30  # of address space: torch alone maps half of it
FAILURES = ("traceback", "abort", "hang", "wrong", "broken")
NOT_RUN = 99  # exit code of a child that could not prepare its try

TRAIN = ["train.epochs=1", "train.seconds=1", "model.dim=8", "train.batch_size=25", "validation.every=1"]
FACTS = [(f"e{i * 7 % 12}", f"r{i % 3}", f"e{(i * 5 + i // 12) % 12}") for i in range(60)]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 10**5, 2**31, 2**63 - 1, 2**63, 10**30, -(2**63), 0.5, -0.5, 1e5, 1e-320, 1e38,
    1e308, float("nan"), float("inf"), "", " ", "x", "cpu", "auto", "\x1b[2J", "\u202e", "a\nb", "1", "x" * 5000,
    [], [1], {}, [[]], [None], {"name": "x"}, {"name": None}, {"name": []}, {"": 1},
    [{"name": "lp", "weight": "x"}], [[[[[[1]]]]]],
)  # fmt: skip


@dataclass(frozen=True)
class Try:
    """A command in its folder. about: what was done to its input. refuse: whether taking it would be wrong.

    long: whether it may run into the time limit, since it asks for much work.
    """

    arguments: tuple[str, ...]
    about: str
    refuse: bool = False
    long: bool = False


@dataclass(frozen=True)
class Result:
    """What became of a try: a class, the end of its output, and how long it took."""

    number: int
    kind: str
    found: str
    last: str
    seconds: float


Generator = Callable[[random.Random, Path], Try]

# ------------------------------------------------------------------------------------------------------------ bytes

TOKENS = (
    b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\r\n", b"\n\n", b'"', b"'", b"\t", b",", b";", b"\xff", b"\xc3",
    b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\x85", b"\x1b[2J", b"\xe2\x80\xae", b"[" * 3000,
    b"{" * 3000, b"9" * 400, b"-1", b"1e999", b"NaN", b"null",
    b"a" * 100_000, b"<", b">", b"\\u", b"\\ud800", b"@prefix", b"#", b"_:b", b"^^", b"\x80\x04}.",
)  # fmt: skip


def flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, data: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:start], data[start:], data[:start] + data[end:], data[:end] + data[start:]))


def insert(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(TOKENS) + data[place:]


def shuffle(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def encode(rng: random.Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace") + "é日"
    return text.encode(rng.choice(("utf-16", "utf-32", "latin-1", "utf-7", "utf-8-sig")), "replace")


def mutated(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """Data after one to three mutations, and their names."""
    names = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutation = rng.choice((flip, cut, insert, insert, shuffle, encode))
        data = mutation(rng, data)
        names.append(mutation.__name__)
    return data, "+".join(names)


# ---------------------------------------------------------------------------------------------------------- readers


def table(separator: str, facts: list[tuple[str, str, str]], header: str = "") -> bytes:
    return (header + "".join(separator.join(fact) + "\n" for fact in facts)).encode()


def ids(facts: list[tuple[str, str, str]], order: tuple[int, int, int] = (0, 1, 2)) -> list[tuple[str, str, str]]:
    numbered = [(fact[0][1:], fact[1][1:], fact[2][1:]) for fact in facts]
    return [(fact[order[0]], fact[order[1]], fact[order[2]]) for fact in numbered]


def parquet() -> bytes:
    import io

    import polars as pl

    buffer = io.BytesIO()
    pl.DataFrame(FACTS, schema=["head", "relation", "tail"], orient="row").write_parquet(buffer)
    return buffer.getvalue()


def triples(mark: str, end: str) -> bytes:
    line = "<http://e/{0}> <http://e/{1}> <http://e/{2}>" + mark + " " + end
    return "\n".join(line.format(*fact) for fact in FACTS).encode() + b"\n"


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


def layouts() -> dict[str, dict[str, bytes]]:
    """Every format that `load` reads, as the files of a folder."""
    plain, size = table("\t", FACTS), str(len(FACTS))
    names = {kind: sorted({fact[at] for fact in FACTS for at in places}, key=lambda x: int(x[1:]))
             for kind, places in (("entity", (0, 2)), ("relation", (1,)))}  # fmt: skip
    numbers = {kind: [(label, label[1:]) for label in found] for kind, found in names.items()}
    turned = {kind: [(b, a) for a, b in pairs] for kind, pairs in numbers.items()}

    def pairs(found: list[tuple[str, str]], first: str = "") -> bytes:
        return (first + "".join(f"{a}\t{b}\n" for a, b in found)).encode()

    return {
        "tsv": {"train.tsv": plain[:400], "valid.tsv": plain[400:460], "test.tsv": plain[460:]},
        "csv": {"g.csv": table(",", FACTS, "head,relation,tail\n")},
        "semicolon": {"g.csv": table(";", FACTS)},
        "spaces": {"g.txt": table(" ", FACTS)},
        "gzip": {"g.tsv.gz": gzip.compress(plain)},
        "zstd": {"g.tsv.zst": zstd(plain)},
        "parquet": {"g.parquet": parquet()},
        "nt": {"g.nt": triples("", ".")},
        "nq": {"g.nq": triples(" <http://g>", ".")},
        "ttl": {"g.ttl": b"@prefix e: <http://e/> .\n"
                + b"".join(f"e:{h} e:{r} e:{t} .\n".encode() for h, r, t in FACTS)},
        "trig": {"g.trig": b"<http://g> {\n" + triples("", ".") + b"}"},
        "rdf": {"g.rdf": b'<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
                b'xmlns:e="http://e/">' + "".join(f'<rdf:Description rdf:about="http://e/{h}"><e:{r} rdf:resource='
                f'"http://e/{t}"/></rdf:Description>' for h, r, t in FACTS).encode() + b"</rdf:RDF>"},
        "openke": {"train2id.txt": f"{size}\n".encode() + table(" ", ids(FACTS, (0, 2, 1))),
                   "entity2id.txt": pairs(numbers["entity"], f"{len(names['entity'])}\n"),
                   "relation2id.txt": pairs(numbers["relation"], f"{len(names['relation'])}\n")},
        "rotate": {"train.txt": plain, "entities.dict": pairs(turned["entity"]),
                   "relations.dict": pairs(turned["relation"])},
        "libkge": {"train.del": table("\t", ids(FACTS)), "entity_ids.del": pairs(turned["entity"]),
                   "relation_ids.del": pairs(turned["relation"])},
    }  # fmt: skip


READ = ("columns=head,relation,tail", "columns=a,b,c", "columns=0,1,2", "separator=tab", "separator=x", "header=true",
        "header=false", "seed=-1", "seed=1e5", "valid=0", "valid=nan", "test=1", "test=-0.5", "layout=openke",
        "layout=x", "literals=keep", "=", "x=1", "header=")  # fmt: skip


def reader(rng: random.Random, folder: Path) -> Try:
    """A graph in one of the formats, one of its files mutated."""
    name, files = rng.choice(sorted(layouts().items()))
    victim = rng.choice(sorted(files))
    content, how = mutated(rng, files[victim])
    (folder / "g").mkdir()
    for file, data in files.items():
        (folder / "g" / file).write_bytes(content if file == victim else data)
    place = "g" if len(files) > 1 else f"g/{victim}"
    options = [part for text in rng.sample(READ, rng.choice((0, 0, 0, 1, 2))) for part in ("--read", text)]
    return Try(("graph", place, *options), f"{name}: {victim} {how} {' '.join(options)}")


# --------------------------------------------------------------------------------------------------------- settings


def toml(value: Any) -> str:
    """A value as TOML, or as text where TOML has none."""
    import tomli_w

    try:
        return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()
    except (TypeError, ValueError, AttributeError):
        return str(value)


def no_number(annotation: Any, value: Any) -> bool:
    """Whether a setting wants a number and the value is none that it may be: the oracle of wrong acceptance."""
    kinds = {annotation, *get_args(annotation)}
    if not kinds & {int, float}:
        return False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value != "1"
    return not math.isfinite(value) or abs(value) > 3.5e38 or (float not in kinds and isinstance(value, float))


def setting(rng: random.Random, folder: Path) -> Try:
    """One setting of one member of one family, or of the loop, with a value of any type."""
    from falsum.recipe.parts import FAMILIES, options
    from falsum.recipe.settings import Dropout, Recipe, Train, Validate

    write_graph(folder)
    value = rng.choice(VALUES)
    groups = {"train": Train, "validation": Validate, "dropout": Dropout, "": Recipe}
    group = rng.choice((*FAMILIES, *groups))
    if group in groups:
        fields = groups[group].model_fields
        key = rng.choice(sorted(fields))
        change = f"{group}.{key}".lstrip(".") + f"={toml(value)}"
    else:
        member = rng.choice(sorted(FAMILIES[group]))
        fields = options(group, member).model_fields
        key = rng.choice((*fields, "nonsense"))
        size = "dim=8, " if group == "model" and key != "dim" else ""
        part = f"{{name='{member}', {size}{key}={toml(value)}}}"
        change = {"penalty": f"penalty=[{part}]", "init": f"init.entity={part}"}.get(group, f"{group}={part}")
    sets = [part for text in (*TRAIN, change) for part in ("--set", text)]
    refuse = key == "nonsense" or no_number(fields[key].annotation, value)
    return Try(("train", "g", *sets, "--run", "run"), change[:200], refuse)


def recipe(rng: random.Random, folder: Path) -> Try:
    """A recipe file, mutated as bytes or as a tree."""
    write_graph(folder)
    content = (folder / ".." / "run" / "recipe.toml").read_bytes()
    data, how = mutated(rng, content) if rng.random() < 0.5 else tree(rng, "own.toml", content)
    (folder / "own.toml").write_bytes(data)
    return Try(("train", "g", "--recipe", "own.toml", "--run", "run"), f"recipe file {how}")


def write_graph(folder: Path) -> None:
    (folder / "g").mkdir(exist_ok=True)
    for split, part in (("train", FACTS[:40]), ("valid", FACTS[40:50]), ("test", FACTS[50:])):
        (folder / "g" / f"{split}.tsv").write_bytes(table("\t", part))


# ------------------------------------------------------------------------------------------------------ run folders


def replaced(rng: random.Random, value: Any) -> Any:
    """A tree with one of its nodes replaced, removed, or wrapped."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: replaced(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], replaced(rng, value[at]), *value[at + 1 :]]
    return rng.choice(VALUES)


def tree(rng: random.Random, name: str, data: bytes) -> tuple[bytes, str]:
    """A file of JSON, lines of JSON, TOML, Parquet or tensors that is well formed and says something else."""
    import tomli_w

    if name.endswith(".json"):
        return json.dumps(replaced(rng, json.loads(data))).encode(), "tree"
    if name.endswith(".jsonl"):
        lines = data.splitlines()
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(replaced(rng, json.loads(lines[at]))).encode()
        return b"\n".join(lines) + b"\n", f"tree of line {at + 1}"
    if name.endswith(".toml"):
        try:
            return tomli_w.dumps(replaced(rng, tomllib.loads(data.decode()))).encode(), "tree"
        except (TypeError, ValueError, AttributeError):
            return b"model = {name = [[[1]]]}", "tree of lists"
    return columns(rng, data) if name.endswith(".parquet") else tensors(rng, data)


def columns(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    import io

    import polars as pl

    frame = pl.read_parquet(io.BytesIO(data))
    name = rng.choice(frame.columns)
    column, rows = pl.col(name), len(frame)
    changes: dict[str, Callable[[], pl.DataFrame]] = {
        "dropped": lambda: frame.drop(name),
        "renamed": lambda: frame.rename({name: "other"}),
        "null": lambda: frame.with_columns(pl.lit(None).alias(name)),
        "one null": lambda: frame.with_columns(pl.when(pl.arange(rows) == 0).then(None).otherwise(column).alias(name)),
        "text": lambda: frame.with_columns(column.cast(pl.String)),
        "floats": lambda: frame.with_columns(pl.lit(0.5).alias(name)),
        "huge": lambda: frame.with_columns(pl.lit(2**62).alias(name)),
        "negative": lambda: frame.with_columns(pl.lit(-1).alias(name)),
        "lists": lambda: frame.with_columns(column.implode().over(pl.arange(rows))),
        "binary": lambda: frame.with_columns(pl.lit(b"\xff").alias(name)),
        "no rows": lambda: frame.clear(),
        "fewer rows": lambda: frame.head(rows // 2),
        "more rows": lambda: pl.concat([frame, frame]),
    }
    how = rng.choice(sorted(changes))
    buffer = io.BytesIO()
    changes[how]().write_parquet(buffer)
    return buffer.getvalue(), f"column {name} {how}"


def tensors(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    import torch
    from safetensors.torch import load, save

    found = load(data)
    about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    name = rng.choice(sorted(found))
    how = rng.choice(
        ("float64", "int64", "bool", "flat", "empty", "nan", "dropped", "renamed", "wider", "about", "about tree")
    )
    tensor = found[name]
    if how in ("dropped", "renamed"):
        del found[name]
        if how == "renamed":
            found["other"] = tensor
    elif how.startswith("about"):
        key = rng.choice(sorted(about)) if about else "falsum"
        value = json.dumps(replaced(rng, json.loads(about[key]))) if how == "about tree" and about else "[["
        about = {**about, key: value}
    else:
        found[name] = {
            "float64": lambda: tensor.double(), "int64": lambda: tensor.long(), "bool": lambda: tensor.bool(),
            "flat": lambda: tensor.reshape(-1).clone(), "empty": lambda: tensor.new_zeros(0),
            "nan": lambda: torch.full_like(tensor.float(), torch.nan), "wider": lambda: torch.cat([tensor, tensor]),
        }[how]() if tensor.dim() else torch.zeros(3)  # fmt: skip
    return save(found, metadata=about), f"tensor {name} {how}"


COMMANDS = (
    ("evaluate", "run"), ("evaluate", "run", "--by", "relation", "--intervals"),
    ("evaluate", "run", "--protocol", "libkge"),
    ("resume", "run"), ("predict", "run", "--head", "e0", "--relation", "r0"), ("report", "run"),
    ("train", "g", "--from", "run", "--run", "second", "--set", "train.epochs=1"),
)  # fmt: skip


def run_folder(rng: random.Random, folder: Path) -> Try:
    """One file of a run folder mutated as bytes, as a tree, or into something that is no file."""
    write_graph(folder)
    shutil.copytree(folder / ".." / "run", folder / "run")
    files = sorted(path for path in (folder / "run").rglob("*") if path.is_file() and path.suffix != ".html")
    victim = rng.choice(files)
    data, draw = victim.read_bytes(), rng.random()
    if draw < 0.1:
        how = odd(rng, victim)
    else:
        data, how = mutated(rng, data) if draw < 0.45 else tree(rng, victim.name, data)
        victim.write_bytes(data)
    return Try(rng.choice(COMMANDS), f"{victim.relative_to(folder)} {how}")


# ------------------------------------------------------------------------------------------------ commands and paths


def odd(rng: random.Random, path: Path) -> str:
    """Something at a path that is no file."""
    path.unlink(missing_ok=True)
    how = rng.choice(("nothing", "folder", "FIFO", "symlink loop", "socket", "unreadable", "broken link", "/dev/null"))
    if how == "folder":
        path.mkdir()
    elif how == "FIFO":
        os.mkfifo(path)
    elif how == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    elif how == "unreadable":
        path.write_bytes(b"a\tb\tc\n")
        path.chmod(0)
    elif how != "nothing":
        path.symlink_to({"symlink loop": path.name, "broken link": "nowhere"}.get(how, how))
    return how


def path(rng: random.Random, folder: Path) -> Try:
    """A path that is no file or folder, given to a command."""
    write_graph(folder)
    shutil.copytree(folder / ".." / "run", folder / "run")
    name = rng.choice(("x", "x.tsv", "x.parquet", "x.nt", "x.csv.gz", "x.toml"))
    how = odd(rng, folder / name)
    name = rng.choice((name, name, name, f"{name}/", "a" * 300, "~nobody/x", "", ".", "/", f"g/../{name}", "file:///x"))
    sets = [part for text in TRAIN for part in ("--set", text)]
    command = rng.choice((
        ("graph", name), ("train", name, *sets, "--run", "new"), ("train", "g", *sets, "--run", name),
        ("train", "g", "--recipe", name, "--run", "new"), ("train", "g", *sets, "--from", name, "--run", "new"),
        ("evaluate", name), ("resume", name), ("predict", name, "--head", "e0", "--relation", "r0"), ("report", name),
        ("recipes", "default", "--on", name),
        ("reproduce", "kamigaito2021", "--plan", "--ledger", name, "--cells", "x"),
    ))  # fmt: skip
    if name == "/" and "--run" not in command:
        return Try(("graph", "/"), "root folder", long=True)
    return Try(command, f"{how} as {' '.join(command[:1])} {name[:40]}")


WORDS = (
    "", " ", "x", "-1", "0", "1", "2", "nan", "inf", "1e400", "99999999999999999999", "e0", "r0", "g", "run",
    "test", "valid", "train", "falsum", "kbc", "relation", "side", "ns,sce", ",", "\x1b[31m", "[bold]", "a\nb",
    "--", "-", "*", "[", "é", "'", '"', "1epochs", "1e9steps", "0s", "model.dim=9", "=", "a.b.c=1", "columns=a",
    "default", "strong", "kamigaito2021",
)  # fmt: skip


def option(rng: random.Random, folder: Path) -> Try:
    """A command with options and values at random."""
    import typer

    from falsum.cli.commands import app

    write_graph(folder)
    shutil.copytree(folder / ".." / "run", folder / "run")
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = rng.choice(sorted(set(commands) - {"demo", "theory"}))
    arguments = [name]
    for parameter in commands[name].params:
        if parameter.param_type_name == "argument":
            if rng.random() < 0.9:
                likely = "g" if name in ("graph", "train", "compare") else "run"
                arguments.append(likely if rng.random() < 0.7 else rng.choice(WORDS))
        elif rng.random() < 0.3:
            arguments.append(rng.choice(parameter.opts))
            if not parameter.is_flag:
                arguments.append(rng.choice(WORDS))
    if rng.random() < 0.1:
        arguments.insert(rng.randrange(len(arguments) + 1), rng.choice(WORDS))
    return Try(tuple(arguments), "options", long=name in ("compare", "reproduce", "train"))


KINDS: dict[str, Generator] = {
    "reader": reader, "setting": setting, "recipe file": recipe, "run folder": run_folder, "path": path,
    "option": option,
}  # fmt: skip
TURNS = ("reader", "setting", "run folder", "reader", "setting", "run folder", "recipe file", "path", "option")

# ---------------------------------------------------------------------------------------------------------- running


def attempt(seed: int, number: int, folder: Path, limit: float, *, alone: bool) -> Result:
    """Run a try in a child of its own, and say what became of it."""
    kind = TURNS[number % len(TURNS)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    output = folder.with_suffix(".output")
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        become(seed, number, kind, folder, output, alone=alone)
    status = wait(child, start + limit)
    text = output.read_text(encoding="utf-8", errors="replace")
    told = json.loads((folder / "try.json").read_text()) if (folder / "try.json").exists() else {}
    found = classify(status, text, refuse=told.get("refuse", False), long=told.get("long", False))
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    return Result(number, kind, found, f"{told.get('about', '')!r}: {last[:160]}", time.monotonic() - start)


def become(seed: int, number: int, kind: str, folder: Path, output: Path, *, alone: bool) -> None:
    """In the child: lay out the input, then be `falsum ARGUMENTS`. Never returns."""
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(folder)
    try:
        chosen = KINDS[kind](random.Random(f"{seed}/{number}"), folder)
        command = shlex.join(("falsum", *chosen.arguments))
        (folder / "try.json").write_text(json.dumps(asdict(chosen) | {"command": command}))
    except BaseException:
        traceback.print_exc()
        os._exit(NOT_RUN)
    falsum(chosen.arguments, alone=alone)


def falsum(arguments: tuple[str, ...], *, alone: bool) -> None:
    """`falsum ARGUMENTS` in this process under the limit of memory, or in a Python of its own. Never returns."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if alone:
        os.execv(sys.executable, [sys.executable, "-m", "falsum", *arguments])
    from falsum.__main__ import main

    code = 1
    try:
        sys.argv = ["falsum", *arguments]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(child: int, until: float) -> int | None:
    """The wait status of a child, or None when it had to be killed."""
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def classify(status: int | None, text: str, *, refuse: bool, long: bool) -> str:
    """fine, refused, interrupted, long; or a failure: traceback, abort, hang, wrong (taken), broken (no try)."""
    if status is None:
        return "long" if long else "hang"
    if os.WIFSIGNALED(status):
        return "abort"
    code = os.WEXITSTATUS(status)
    if code == NOT_RUN:
        return "broken"
    if any(mark in text for mark in ("Traceback (most recent", "panicked at", "frame #1", "Exception ignored")):
        return "traceback"
    if code == 0:
        return "wrong" if refuse else "fine"
    return {2: "refused", 130: "interrupted"}.get(code, "traceback")


def prepare() -> None:
    """Import in this process what every child would import, without starting a thread, which a fork would lose."""
    import falsum.cli.comparison
    import falsum.cli.graphs
    import falsum.cli.program
    import falsum.cli.runs
    import falsum.cli.studies  # noqa: F401
    from falsum.recipe.settings import Recipe

    Recipe(model={"name": "complex", "dim": 8})  # checks sizes on torch's device "meta", which takes seconds to import


def train_once(out: Path) -> None:
    """The run folder that tries damage, made in a child: polars must not have threads when a process is forked."""
    if (out / "run" / "protocol.json").exists():
        return
    shutil.rmtree(out / "run", ignore_errors=True)
    write_graph(out)
    sets = [part for text in TRAIN for part in ("--set", text)]
    child = os.fork()
    if child == 0:
        os.chdir(out)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        falsum(("train", "g", *sets, "--run", "run"), alone=False)
    if os.waitpid(child, 0)[1]:
        sys.exit("The run to damage could not be trained.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="how many tries")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("/tmp/falsum-fuzz"), help="folder of tries and failures")
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds for a try; the first use of a kernel compiles it"
    )
    parser.add_argument("--alone", type=int, default=20, help="one try in so many has a Python of its own")
    parser.add_argument("--kind", choices=sorted(KINDS), help="only tries of this kind")
    parser.add_argument("--replay", type=int, help="the number of one try to run again and show")
    asked = parser.parse_args()
    os.environ |= {"FALSUM_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    os.environ.pop("FALSUM_DATA", None)

    prepare()
    out = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    train_once(out)
    numbers = range(asked.count) if asked.replay is None else [asked.replay]
    results = []
    for number in numbers:
        if asked.kind and TURNS[number % len(TURNS)] != asked.kind:
            continue
        alone = number % asked.alone == asked.alone - 1
        result = attempt(asked.seed, number, out / str(number), asked.limit, alone=alone)
        results.append(result)
        if result.found in FAILURES:
            print(f"{result.number:6d}  {result.kind:11s}  {result.found:9s}  {result.last}", flush=True)
        if asked.replay is not None:
            print((out / str(number) / "try.json").read_text(), (out / f"{number}.output").read_text(), sep="\n")
        elif result.found not in FAILURES:
            shutil.rmtree(out / str(number), ignore_errors=True)
            (out / f"{number}.output").unlink(missing_ok=True)
    tell(results)
    sys.exit(any(result.found in FAILURES for result in results))


def tell(results: list[Result]) -> None:
    """A table: kinds down, classes across."""
    counts = Counter((result.kind, result.found) for result in results)
    classes = ("fine", "refused", "interrupted", "long", *FAILURES)
    print(f"{'kind':12s}" + "".join(f"{name:>12s}" for name in classes))
    for kind in sorted({result.kind for result in results}):
        print(f"{kind:12s}" + "".join(f"{counts[kind, name] or '':>12}" for name in classes))
    print(f"{len(results)} tries, {sum(result.seconds for result in results):.0f} s")


if __name__ == "__main__":
    main()
