"""Standard stars in footprints: inside, on the edge, across the zero of right ascension."""

from __future__ import annotations

from pathlib import Path

import pytest

from fits_dagster.metadata import Footprint
from fits_dagster.metadata.photometry import PhotometricStandards, contains, load_standards

SQUARE = ((10.0, -1.0), (10.0, 1.0), (11.0, 1.0), (11.0, -1.0))
ZERO = ((359.9, 20.0), (359.9, 20.2), (0.1, 20.2), (0.1, 20.0))
LINE = ((30.0, 5.0), (30.0, 6.0), (30.0, 6.0), (30.0, 5.0))
POINT = ((30.0, 5.0),) * 4


@pytest.mark.parametrize(
    ("corners", "star", "inside"),
    [
        (SQUARE, (10.5, 0.0), True),
        (SQUARE, (11.5, 0.0), False),
        (SQUARE, (10.5, 1.1), False),
        (SQUARE, (10.0, 0.5), True),  # on an edge
        (SQUARE, (10.0, 1.0), True),  # on a corner
        (SQUARE, (10.5, 1.0000005), True),  # nearer to the edge than a milliarcsecond or so
        (SQUARE, (10.5, 1.00001), False),
        (ZERO, (0.05, 20.1), True),
        (ZERO, (359.95, 20.1), True),
        (ZERO, (180.0, 20.1), False),
        (LINE, (30.0, 5.5), True),
        (LINE, (30.0, 6.5), False),
        (LINE, (30.1, 5.5), False),
        (POINT, (30.0, 5.0), True),
        (POINT, (30.0, 5.1), False),
    ],
)
def test_a_star_is_inside_or_on_the_edge_or_outside(corners, star, inside):
    assert contains(corners, star) is inside
    stars = PhotometricStandards(sorted([(star[1], star[0]), (-80.0, 3.0), (80.0, 3.0)]))
    assert stars.any_inside([Footprint("SCI-1", corners)]) is inside


def test_right_ascensions_of_a_catalogue_are_in_hours(tmp_path: Path):
    catalogue = tmp_path / "standards.csv"
    catalogue.write_text("#Name,Field,RA,DEC,j_mag\nfs35,35,18.4538,4.05261,12.188\n")
    assert load_standards(catalogue).positions == [(4.05261, pytest.approx(276.807))]


@pytest.mark.parametrize("content", ["#Name,RA\nx,1\n", "#Name,RA,DEC\nx,1\n", "#Name,RA,DEC\nx,1,north\n"])
def test_a_catalogue_without_positions_is_refused_with_the_line(tmp_path: Path, content: str):
    catalogue = tmp_path / "standards.csv"
    catalogue.write_text(content)
    with pytest.raises(ValueError, match="line 2"):
        load_standards(catalogue)
