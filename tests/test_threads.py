"""What falsum asks of torch's threads, told by the OpenMP runtime itself."""

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("given", "sleeps"), [(None, True), ("ACTIVE", False)])
def test_idle_threads_sleep_unless_the_user_says_otherwise(given: str | None, sleeps: bool) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    asked = {"OMP_DISPLAY_ENV": "verbose"} | ({"OMP_WAIT_POLICY": given} if given else {})
    done = subprocess.run(
        [sys.executable, "-c", "import falsum; falsum.Run"], env=kept | asked, capture_output=True, text=True
    )
    assert done.returncode == 0
    spins = re.findall(r"GOMP_SPINCOUNT\s*=\s*'(\w+)'", done.stderr)
    if not spins:
        pytest.skip("torch's threads are not those of GNU OpenMP here")
    assert {int(count) == 0 for count in spins} == {sleeps}
