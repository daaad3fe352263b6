"""The commit of falsum that a number was made by."""

from __future__ import annotations

import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def commit(package: Path = PACKAGE) -> str:
    """The short git commit that a package is checked out at, "-dirty" after it if its files differ; else "".

    package: its folder, by default that of this falsum.
    """

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(package), *arguments], capture_output=True, text=True, check=False)

    try:
        if git("ls-files", "--error-unmatch", "__init__.py").returncode:
            return ""  # no checkout, or one of something else that falsum is installed inside of
        clean = git("diff", "--quiet", "HEAD", "--", ".").returncode == 0
        return git("rev-parse", "--short", "HEAD").stdout.strip() + ("" if clean else "-dirty")
    except OSError:
        return ""
