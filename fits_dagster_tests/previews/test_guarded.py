"""A preview that is made in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ASKING = """
import sys
from pathlib import Path
from fits_dagster.fits.guarded import Guard
from fits_dagster.previews.guarded import rendered_for
with Guard() as guard:
    info, jpeg = guard.call(rendered_for, Path(sys.argv[1]), "GMOS-N", frozenset())
assert info.size == len(jpeg)
print(*sorted({"numpy", "PIL"} & set(sys.modules)))
"""


def test_who_asks_for_it_needs_nothing_of_what_makes_it(night: list[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKING, str(night[0])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
