"""Real headers and what the archive made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fits_dagster.fits.reading import HDU, headers_from_text


@dataclass(frozen=True)
class ReferenceFile:
    """One real header dump with the archive's record and tags."""

    instrument: str
    stem: str
    hdus: list[HDU]
    #: The archive's summary record.
    record: dict[str, Any]
    #: Where the archive's rules have changed since: field to the value of today's rules.
    today: dict[str, Any]
    #: Classification by today's rules; None where the reference system could not open the file.
    tags: frozenset[str] | None

    @property
    def filename(self) -> str:
        """Name of the file, plain."""
        return f"{self.stem}.fits"


@pytest.fixture(scope="session")
def reference_files(reference_data: Path) -> list[ReferenceFile]:
    """All real headers of the reference data."""
    root = reference_data / "gemini-headers"
    tags = json.loads((root / "tags.json").read_text())
    differences = json.loads((root / "differences.json").read_text())["fields"]
    files = []
    for dump in sorted((root / "headers").glob("*/*.txt")):
        stem = dump.stem
        files.append(
            ReferenceFile(
                instrument=dump.parent.name,
                stem=stem,
                hdus=headers_from_text(dump.read_text(errors="replace")),
                record=json.loads((root / "records" / f"{stem}.json").read_text()),
                today={field: names[stem]["today"] for field, names in differences.items() if stem in names},
                tags=frozenset(tags[stem]) if stem in tags else None,
            )
        )
    return files
