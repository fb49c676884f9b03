"""Real headers: what applies to them, and the ranked associations, agree with the reference system."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from fits_dagster.calibration import associate_headers
from fits_dagster.calibration.match_keys import applicable_types, load_facts
from fits_dagster.fits.reading import headers_from_text
from fits_dagster.metadata import Description, describe
from fits_dagster.metadata.photometry import load_standards
from fits_dagster_tests.builders.versions import Archive

CASES = "calibration-cases"


@pytest.fixture(scope="module")
def described(reference_data: Path) -> dict[str, Description]:
    """Descriptions of all files by name."""
    standards = load_standards(reference_data / "standards" / "photometric-standards.csv")
    found = {}
    for path in sorted((reference_data / CASES / "headers").glob("*/*.txt")):
        description = describe(headers_from_text(path.read_text()), f"{path.stem}.fits")
        if description.record["spectroscopy"] is False:
            description.record["phot_standard"] = standards.any_inside(description.footprints) or None
        found[path.stem] = description
    return found


@pytest.fixture(scope="module", params=["forward", "backward"])
def archive(
    engine: Engine, described: dict[str, Description], request: pytest.FixtureRequest
) -> Iterator[Any]:
    """All files in the database, ingested in either order."""
    from types import SimpleNamespace

    names = sorted(described, reverse=request.param == "backward")
    with engine.connect() as connection:
        archive = Archive(connection)
        ids = {}
        for name in names:
            d = described[name]
            ids[name], _ = archive.arrive(name, d.record, d.instrument_table, d.instrument_rows)
        counts = associate_headers(connection, list(ids.values()))
        yield SimpleNamespace(connection=connection, ids=ids, cached=archive.cached(), counts=counts)
        connection.rollback()


def test_the_types_that_apply_agree(archive: Any, reference_data: Path) -> None:
    expected = json.loads((reference_data / CASES / "applicable.json").read_text())
    facts = {each.header_id: each for each in load_facts(archive.connection, list(archive.ids.values()))}
    ours = {name: sorted(applicable_types(facts[header])) for name, header in archive.ids.items()}
    assert _differences(ours, {name: sorted(types) for name, types in expected.items()}) == {}


def test_the_ranked_associations_agree(archive: Any, reference_data: Path) -> None:
    expected = json.loads((reference_data / CASES / "associations.json").read_text())
    assert _differences(_by_target_and_type(archive.cached), _by_target_and_type(expected)) == {}


def test_the_counts_are_those_of_the_cache(archive: Any) -> None:
    for name, header in archive.ids.items():
        assert archive.counts[header] == sum(map(len, archive.cached.get(name, {}).values()))


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    names = sorted(set(ours) | set(theirs))
    return {n: (ours.get(n), theirs.get(n)) for n in names if ours.get(n) != theirs.get(n)}


def _by_target_and_type(associations: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[str]]:
    """Flatten the lists; bad pixel masks have no rank in the reference system."""
    return {
        f"{name} {caltype}": sorted(found) if caltype.endswith("bpm") else list(found)
        for name, types in associations.items()
        for caltype, found in types.items()
        if found
    }
