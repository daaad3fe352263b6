"""Files that are written whole or not at all, and read as what they ought to be."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import reprlib
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import polars as pl
import pydantic
import torch
from polars.exceptions import PanicException, PolarsError
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from falsum.errors import UserError

RESTORE = "Restore it from a copy, or train again."
# Where a file of tensors keeps the hash of its content, in its one JSON text: safetensors orders several at random.
CONTENT = "content"
# Seconds within which somebody must begin to write to a pipe that is read.
PATIENCE = 10.0
# Bytes that are hashed at a time, several at once.
CHUNK = 1 << 24

M = TypeVar("M", bound=BaseModel)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block ends well; otherwise `path` stays as it was.

    Raises UserError when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # as the umask wants it; safetensors would make the file private
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError, PolarsError) as error:
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UserError(
            f"{path} could not be written: {why}. What was there before is untouched. Free space or choose another "
            "folder, then try again; a run that has begun goes on with `falsum resume`."
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the system lets go of it however the process ends.

    Raises UserError while another holds it. Does nothing where folders cannot be locked (Windows, some network disks).
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"Another process is training in {folder}. Stop it first, or choose another folder."
                ) from None
        yield
    finally:
        os.close(handle)


def remove_parts(folder: Path) -> None:
    """Delete what a killed `whole` left in a folder. Nobody else may be writing there.

    Only files named as `whole` names them, and nothing behind a link: who else writes there is not known.
    """
    if folder.is_symlink():
        return
    for part in folder.glob(".*.part"):
        if re.fullmatch(r"\..+\.\d+\.part", part.name):
            part.unlink(missing_ok=True)


def opened(path: Path) -> IO[bytes]:
    """A file to read, or all that comes through a pipe.

    Raises OSError also for a pipe that nobody writes to within PATIENCE, and for a device, which may never end.
    """
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode):
        return io.BytesIO(_piped(path))
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
    return path.open("rb")


def _piped(path: Path) -> bytes:
    # Not blocking: opening a pipe without a writer would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb", buffering=0) as pipe:
        begun, deadline = b"", time.monotonic() + PATIENCE
        while not begun and time.monotonic() < deadline:
            try:
                begun = os.read(handle, 1 << 16)
            except BlockingIOError:
                break  # somebody is there, and has not written yet
            time.sleep(0 if begun else 0.05)
        else:
            if not begun:
                raise OSError(errno.ETIMEDOUT, f"nothing was written to the pipe within {PATIENCE:g} s")
        os.set_blocking(handle, True)
        return begun + pipe.readall()


def refuse_special(path: Path, remedy: str) -> None:
    """Raises UserError for a pipe, a socket or a device in the place of a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever opens it says why
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UserError(f"{path} is damaged: it is no file. {remedy}")


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, remedy: str = RESTORE) -> Any:
    """remedy: the sentence that tells what to do about a damaged file.

    Raises UserError when the file is missing, unreadable or no JSON.
    """
    refuse_special(path, remedy)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {path.parent} is no complete run folder.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}). {remedy}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def checked(value: Any, kind: type[M], where: str | Path, remedy: str = RESTORE) -> M:
    """A decoded JSON value as a model. where: the file, with a line if it has lines.

    Raises UserError that names the place, the key, what is legal there and what was found.
    """
    try:
        return kind.model_validate(value)
    except pydantic.ValidationError as error:
        wrong = "; ".join(_wrong(item["loc"], item["msg"], item["input"]) for item in error.errors())
        raise UserError(f"{where} is damaged: {wrong}. {remedy}") from None


def _wrong(key: tuple[int | str, ...], says: str, found: Any) -> str:
    name = ".".join(str(part) for part in key) or "its content"
    return f"{name}: {says[:1].lower()}{says[1:]}, got {reprlib.repr(found)}"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Tensors and a JSON-able mapping in one safetensors file, with the hash of the tensors; that hash."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = content_hash(plain)
    with whole(path) as temporary:
        save_file(plain, temporary, metadata={"falsum": json.dumps({**about, CONTENT: content})})
    return content


def read_tensors(path: Path, remedy: str = "Restore it from a copy.") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `write_tensors`; the mapping also holds the hash, under CONTENT. A file without one is not checked.

    Raises UserError when the file is missing, truncated, foreign, or holds other tensors than were written.
    """
    with _tensors(path, remedy) as (file, about):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if CONTENT in about and about[CONTENT] != content_hash(tensors):
        raise UserError(f"{path} is damaged: its numbers are not those that were written. {remedy}")
    return tensors, about


def read_about(path: Path, remedy: str = "Restore it from a copy.") -> dict[str, Any]:
    """The mapping of a file of tensors, which are not read. Raises UserError as `read_tensors`."""
    with _tensors(path, remedy) as (_, about):
        return about


@contextmanager
def _tensors(path: Path, remedy: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    refuse_special(path, remedy)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["falsum"])
            if not isinstance(about, dict):
                raise ValueError("it says nothing about itself")
            yield file, about
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. {remedy}") from None
    except (SafetensorError, KeyError, ValueError, RecursionError, OSError) as error:
        raise UserError(
            f"{path} cannot be read: it is truncated or not written by falsum ({error}). {remedy}"
        ) from None


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors on the CPU, whatever their order.

    The bytes enter as the hashes of their chunks, which threads share: a fifth of the time that writing takes.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for name, tensor in sorted(tensors.items()):
            data = tensor.contiguous().flatten().view(torch.uint8).numpy().data
            chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
            parts = [part.hex() for part in pool.map(lambda chunk: hashlib.sha256(chunk).digest(), chunks)]
            digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape), parts]).encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a small file. Raises UserError when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    with whole(path) as temporary:
        frame.write_parquet(temporary)


def read_parquet(
    path: Path,
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
    remedy: str,
    absent: Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """The columns of `schema`, of exactly these types and without nulls; other columns are left out.

    absent: what a column holds that an older file lacks.

    Raises UserError that names the file, and the column that is missing, of another type, or has nulls.
    """
    refuse_special(path, remedy)
    try:
        frame = pl.read_parquet(path, glob=False)
    except (OSError, PolarsError, PanicException) as error:
        raise UserError(f"{path} cannot be read: {str(error).rstrip('.')}. {remedy}") from None
    frame = frame.with_columns(pl.lit(v).alias(k) for k, v in (absent or {}).items() if k not in frame.columns)
    for name, dtype in schema.items():
        found = frame.schema.get(name)
        if found != dtype:
            what = "is missing" if found is None else f"is of type {found}"
            raise UserError(f"{path} is damaged: column {name!r} {what} and must be of type {dtype}. {remedy}")
        if frame[name].null_count():
            raise UserError(f"{path} is damaged: column {name!r} has empty places. {remedy}")
    return frame.select(schema.keys())
