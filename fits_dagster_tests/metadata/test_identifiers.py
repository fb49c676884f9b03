"""Program identifiers and data labels in all the forms that the observatory has used."""

from __future__ import annotations

import pytest

from fits_dagster.metadata.identifiers import is_data_label, is_observation_id, parse_program_id


@pytest.mark.parametrize(
    ("text", "kind", "site", "semester"),
    [
        ("CAL20030105", "CAL", None, None),
        ("ENG20030105", "ENG", None, None),
        ("GN-CAL20120123", "CAL", "N", None),
        ("GS-ENG20120123", "ENG", "S", None),
        ("GS-2011A-Q-123", "Q", "S", "2011A"),
        ("GN-2006B-SV-101", "SV", "N", "2006B"),
        ("GN-2020A-CAL-191", "CAL", "N", "2020A"),
        ("GN-2020A-ENG-191", "ENG", "N", "2020A"),
        ("G-2025A-0123-Q", "Q", None, "2025A"),
        ("G-2025A-0123-V", "SV", None, "2025A"),
        ("G-2025B-MON-GMOSN-01", "MON", None, "2025B"),
        ("  GS-2011A-Q-123 ", "Q", "S", "2011A"),  # blanks at the ends do not count
    ],
)
def test_valid_forms_are_read(text, kind, site, semester):
    found = parse_program_id(text)
    assert found is not None
    assert (found.kind, found.site, found.semester) == (kind, site, semester)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GS-2011C-Q-123",  # no such semester
        "GS-2011A-X-123",  # no such kind
        "gs-2011A-Q-123",  # the pattern is upper case
        "GN-CAL20129123",  # no such month
        "GS-2011A-Q-123-4",  # an observation
        "G-2025B-MON-GMOS-N-01",  # the instrument part has no hyphen
        "SomeProgram",
    ],
)
def test_anything_else_is_not_valid(text):
    assert parse_program_id(text) is None


def test_observations_and_labels_build_on_programs():
    assert is_observation_id("GS-2010A-Q-36-5")
    assert not is_observation_id("GS-2010A-Q-36")
    assert is_data_label("GS-2010A-Q-36-5-246-RG")
    assert is_data_label("G-2025A-0123-Q-7-12")
    assert is_data_label("GN-CAL20120123-3-001-2")
    assert not is_data_label("GS-2010A-Q-36-5")
    assert not is_data_label("GS-2010A-Q-36-5-246-5x")
