"""Every reason with which a file can fail has its place in the operators' table, to which pages can link."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import fits_dagster

PACKAGE = Path(fits_dagster.__file__).parent
TABLE = PACKAGE.parent / "docs" / "operations.md"
#: Reasons of the base classes: whoever raises them names a better one.
OF_BASE_CLASSES = {"bad_file", "failed", "lease_lost", "unavailable"}

_RAISED = re.compile(r'(?:reason=|reason = |refuse\(\s*|EditError\([^)]*, |return )"([a-z0-9_]+)"')


def raised() -> set[str]:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for match in _RAISED.finditer(path.read_text()):
            if not match[0].startswith("return") or path.name == "errors.py":
                found.add(match[1])
    return found - OF_BASE_CLASSES


def test_every_reason_is_in_the_table_once() -> None:
    anchors = Counter(re.findall(r'id="reason-([a-z0-9_]+)"', TABLE.read_text()))
    assert raised() - set(anchors) == set()
    assert [reason for reason, count in anchors.items() if count > 1] == []
