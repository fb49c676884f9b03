"""What Dagster does not call public stands in one module."""

from __future__ import annotations

import re
from pathlib import Path

import fits_dagster

PACKAGE = Path(fits_dagster.__path__[0])


def test_only_one_module_imports_what_is_not_public() -> None:
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(from|import) dagster[\w.]*\._", path.read_text(), re.MULTILINE)
    ]
    assert found == ["orchestration/private.py"]
