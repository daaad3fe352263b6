"""Fetch the files of a named graph: received, checked, then put in place whole."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from falsum.errors import UserError
from falsum.files import whole
from falsum.graph.named import CACHE_VARIABLE, DATA_VARIABLE, OFFLINE_VARIABLE, NamedGraph, digests

# Called with (file name, bytes so far, bytes in all or None), for a progress bar.
Progress = Callable[[str, int, int | None], None]
TIMEOUT_SECONDS = 30
BLOCK = 1 << 16


def fetch(graph: NamedGraph, root: Path, progress: Progress | None = None) -> Path:
    """Fetch what is missing of the graph into `root`/name and return that folder.

    Raises: UserError if a file cannot be fetched or is not the known one; it says where to put the files by hand.
    """
    folder = root / graph.name
    if not graph.url:
        raise UserError(f"{graph.name}: no address to fetch it from is known. {by_hand(graph, folder)}")
    if os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0"):
        raise UserError(f"{graph.name}: {OFFLINE_VARIABLE} forbids to fetch {graph.url}. {by_hand(graph, folder)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, digest in graph.files.items():
            if not (folder / name).exists():
                fetch_file(f"{graph.url}/{name}", folder / name, digest, progress)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if not any(folder.iterdir() if folder.is_dir() else ()):
            # An empty folder would look like a broken graph at the next start.
            folder.rmdir() if folder.is_dir() else None
        raise UserError(f"{graph.name}: could not fetch {graph.url} ({reason}). {by_hand(graph, folder)}") from None
    return folder


def by_hand(graph: NamedGraph, folder: Path) -> str:
    files = ", ".join(graph.files)
    return (
        f"Put {files} into {folder}, or into a folder {graph.name}/ inside a folder of graphs and set {DATA_VARIABLE} "
        f"to that folder of graphs ({CACHE_VARIABLE} moves the cache)."
    )


def fetch_file(url: str, path: Path, digest: str, progress: Progress | None) -> None:
    """Fetch one file to `path`. Raises: UserError if its SHA-256 is not `digest` ("" checks nothing); OSError."""
    data = received(url, path.name, progress)
    if digest and digest not in digests(data):
        raise UserError(
            f"{url}: the file is not the known one (its SHA-256 is not {digest}); it was thrown away. Try again, "
            f"or put a good {path.name} into {path.parent}."
        )
    with whole(path) as temporary:
        temporary.write_bytes(data)


def received(url: str, name: str, progress: Progress | None) -> bytes:
    """What an address sends. Raises: OSError if it cannot be reached, or the connection ends before the end."""
    blocks = []
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        done = 0
        while block := response.read(BLOCK):
            blocks.append(block)
            done += len(block)
            if progress is not None:
                progress(name, done, total)
    if total is not None and done != total:
        raise urllib.error.URLError(f"the connection ended after {done} of {total} bytes")
    return b"".join(blocks)
