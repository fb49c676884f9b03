"""Sky positions: keywords, conversions, footprints, standards."""

from __future__ import annotations

from datetime import UTC, datetime

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import CIRS, SkyCoord
from astropy.time import Time
from astropy.wcs import WCS

from fits_dagster.fits.reading import headers_from_text
from fits_dagster.metadata import describe
from fits_dagster.metadata.coordinates import degrees_or_sexagesimal, target_with_offsets, to_icrs
from fits_dagster.metadata.footprints import footprint_of
from fits_dagster.metadata.spectrophotometric import standard_at
from fits_dagster_tests.builders.headers import cards

NOW = datetime(2009, 9, 18, 7, 43, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "hours", "degrees"),
    [
        (12.5, True, 12.5),
        ("12.5", True, 12.5),
        ("06:00:00", True, 90.0),
        ("-00:30:00.0", False, -0.5),  # the sign of a zero counts
        ("+19 30 36", False, 19.51),
        ("", False, None),
        ("north", False, None),
        (None, False, None),
        (True, False, None),
    ],
)
def test_coordinates_are_numbers_or_text(value, hours, degrees):
    found = degrees_or_sexagesimal(value, hours=hours)
    assert found == (None if degrees is None else pytest.approx(degrees))


def test_fk5_becomes_icrs_as_astropy_does_it():
    expected = SkyCoord(46.5, -22.3, unit="deg", frame="fk5").icrs
    assert to_icrs("FK5", 46.5, -22.3, None) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-7)


def test_the_apparent_place_becomes_icrs_as_astropy_does_it():
    import erfa

    time = Time(NOW)
    origins = erfa.apci13(time.jd1, time.jd2)[1]
    place = SkyCoord(355.1 + np.degrees(origins), -2.9, unit="deg", frame=CIRS(obstime=time)).icrs
    assert to_icrs("APPT", 355.1, -2.9, NOW) == pytest.approx((place.ra.deg, place.dec.deg), abs=1e-6)
    assert to_icrs("APPT", 355.1, -2.9, None) is None


def test_offsets_and_proper_motion_are_applied():
    header = cards(RA=46.0, DEC=60.0, DECOFFSE=36.0, RAOFFSET=18.0, PMDEC=3.6, EPOCH=2000.0, FRAME="FK5")
    ra, dec = target_with_offsets(header, datetime(2010, 1, 1, tzinfo=UTC))
    assert dec == pytest.approx(60.02, abs=1e-5)  # 36 arc seconds and ten years of 3.6
    assert ra == pytest.approx(46.01, abs=2e-5)  # 18 arc seconds over cos(dec)


def test_values_that_the_telescope_does_not_know_are_no_offsets():
    header = cards(RA=46.0, DEC=60.0, RAOFFSET=-9999.0, PMRA=-9999.0, EPOCH=-9999.0)
    assert target_with_offsets(header, NOW) == pytest.approx((46.0, 60.0), abs=1e-4)
    assert target_with_offsets(cards(RA=-9999.0, DEC=-9999.0), NOW) is None


def test_footprints_are_those_of_astropy(reference_files):
    compared = 0
    for file in reference_files:
        for hdu in file.hdus[1:4]:
            corners = footprint_of(hdu)
            if corners is None or "CD1_1" not in hdu.cards or "DATASEC" in hdu.cards:
                continue
            height, width = hdu.shape[-2:]
            wcs = WCS(naxis=2)
            wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
            wcs.wcs.crval = [hdu.cards["CRVAL1"], hdu.cards["CRVAL2"]]
            wcs.wcs.crpix = [hdu.cards["CRPIX1"], hdu.cards["CRPIX2"]]
            wcs.wcs.cd = [[hdu.cards.get(f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)]
            edges = [(0.5, 0.5), (0.5, height + 0.5), (width + 0.5, height + 0.5), (width + 0.5, 0.5)]
            sky = SkyCoord(wcs.wcs_pix2world(edges, 1), unit="deg")
            found = SkyCoord(np.array(corners), unit="deg")
            assert np.all(found.separation(sky) < 1e-6 * u.deg), file.stem
            compared += 1
    assert compared > 10


def test_footprint_labels_are_unique():
    extension = "\n".join(
        [
            "XTENSION= 'IMAGE   '",
            "BITPIX  = 16",
            "NAXIS   = 2",
            "NAXIS1  = 100",
            "NAXIS2  = 100",
            "EXTNAME = 'SCI'",
            "EXTVER  = 1",
            "CTYPE1  = 'RA---TAN'",
            "CTYPE2  = 'DEC--TAN'",
            "CRVAL1  = 0.0",
            "CRVAL2  = 89.9999",
            "CRPIX1  = 50",
            "CRPIX2  = 50",
            "CD1_1   = 1e-5",
            "CD2_2   = 1e-5",
        ]
    )
    hdus = headers_from_text("SIMPLE  = T\n" + f"{extension}\n" * 2 + extension.replace("'SCI'", "''"))
    found = describe(hdus, "a.fits").footprints
    assert [footprint.label for footprint in found] == ["SCI-1", "SCI-1x", "Unknown-1"]
    assert all(0 <= ra < 360 and -90 <= dec <= 90 for ra, dec in found[0].corners)


@pytest.mark.parametrize(
    ("position", "name", "star"),
    [
        ((308.591, 25.0639), "somewhere", None),  # Wolf 1346 has moved; 2 arc seconds are little
        ((308.591, 25.0639), "Wolf 1346", "wolf1346"),
        ((159.903, 43.1025), "Feige 34", "feige34"),
        ((159.91, 43.1025), "Feige 110", None),  # another star's name
        ((32.0146, 13.6069), "PG0205134", "pg0205+134"),
    ],
)
def test_standard_stars_are_known_by_place_and_name(position, name, star):
    assert standard_at(position, name, datetime(2015, 1, 1, tzinfo=UTC)) == star
