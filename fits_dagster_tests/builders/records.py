"""Records that are made up at random, with everything in them that a selection can ask for."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from fits_dagster.records.tables import HEADER_COLUMNS, diskfile, file, header
from fits_dagster.sites import Site

Record = Mapping[str, Any]

START = datetime(2025, 11, 20, tzinfo=UTC)
ENTERED = datetime(2025, 12, 1, tzinfo=UTC)
INSTRUMENTS = ("GMOS-N", "GMOS-S", "GNIRS", "NIRI", "TReCS", "michelle", "F2")
OBJECTS = ("NGC 1234", "ngc 1277", "M31", "Twilight", "50%_off", "GCALflat", None)


def make_records(count: int = 400, seed: int = 1) -> list[dict[str, Any]]:
    """Make records, the same at each call; names are in the order of entry."""
    choice = random.Random(seed)
    return [_record(choice, number) for number in range(count)]


def _record(choice: random.Random, number: int) -> dict[str, Any]:
    instrument = choice.choice(INSTRUMENTS)
    south = instrument in ("GMOS-S", "TReCS", "F2")
    time = START + timedelta(seconds=choice.randrange(6 * 86400))
    program = choice.choice(("GN-2025B-Q-101", "GN-2025B-Q-102", "GS-2025B-FT-7", "GN-CAL20251123"))
    observation = f"{program}-{choice.randrange(1, 4)}"
    spectroscopy = choice.random() < 0.4
    # near the poles, and on both sides of zero, more often than chance would have it
    ra = choice.choice((choice.uniform(0, 360), choice.uniform(0, 1), choice.uniform(359, 360)))
    dec = choice.choice((choice.uniform(-90, 90), choice.uniform(88, 90), choice.uniform(-24.6, -22.1)))
    processing = choice.choice(("Raw", "Raw", "Science-Quality", "Quick-Look"))
    return {
        "name": f"{'S' if south else 'N'}{time:%Y%m%d}S{number:04d}.fits",
        "path": choice.choice(("", "", "a/b")),
        "present": choice.random() < 0.9,
        "canonical": choice.random() < 0.9,
        "mdready": choice.random() < 0.8,
        "lastmod": ENTERED - timedelta(hours=number),
        "entrytime": ENTERED + timedelta(minutes=number),
        "program_id": program,
        "observation_id": observation,
        "data_label": f"{observation}-{number:03d}",
        "engineering": choice.random() < 0.2,
        "science_verification": choice.random() < 0.1,
        "calibration_program": program.startswith("GN-CAL"),
        "processing": processing,
        "processing_tag": None if processing == "Raw" else choice.choice((None, "one", "two", "three")),
        "telescope": "Gemini-South" if south else "Gemini-North",
        "instrument": instrument,
        "ut_datetime": time,
        "observation_type": choice.choice(("OBJECT", "FLAT", "BIAS", "ARC")),
        "observation_class": choice.choice(("science", "dayCal", "acq")),
        "object": choice.choice(OBJECTS),
        "ra": round(ra, 9),
        "dec": round(dec, 9),
        "azimuth": round(choice.uniform(-180, 360), 4),
        "elevation": round(choice.uniform(15, 90), 4),
        "cass_rotator_pa": round(choice.uniform(-180, 180), 4),
        "airmass": round(choice.uniform(1, 3), 4),
        "filter_name": choice.choice(("r", "g", "J", "1")),
        "exposure_time": choice.choice((0.5, 10.0, 29.6, 30.0, 30.5, 60.0, 120.0)),
        "disperser": _disperser(choice, instrument),
        "camera": choice.choice(("LongRed", "LongBlue", "ShortRed", "f6", "5")),
        "central_wavelength": round(choice.uniform(0.4, 5), 6) if spectroscopy else None,
        "focal_plane_mask": choice.choice(
            ("Imaging", "1.0arcsec", "GN2025BQ101-01", "1.0arcsec_x", "x1.0arcsec")
        ),
        "pupil_mask": choice.choice((None, "NRM")),
        "detector_binning": choice.choice(("1x1", "2x2", "1x4")),
        "detector_gain_setting": choice.choice(("low", "high", "standard", None)),
        "detector_roi_setting": choice.choice(("Full Frame", "Fixed", "Central Spectrum", "Central768")),
        "detector_readspeed_setting": choice.choice(("slow", "fast", "red:fast,blue:slow")),
        "detector_welldepth_setting": choice.choice(("Deep", "Shallow", None)),
        "detector_readmode_setting": choice.choice(("Classic", "NodAndShuffle", "Very_Faint_Objects")),
        "coadds": choice.choice((1, 2, 5)),
        "spectroscopy": spectroscopy,
        "mode": choice.choice(("LS", "MOS", "IFS")) if spectroscopy else "imaging",
        "adaptive_optics": choice.random() < 0.4,
        "laser_guide_star": choice.random() < 0.3,
        "raw_iq": choice.choice((20, 70, 85, 100, None)),
        "raw_cc": choice.choice((50, 70, 100)),
        "raw_wv": choice.choice((20, 50, 100)),
        "raw_bg": choice.choice((20, 80, 100)),
        "qa_state": choice.choice(("Pass", "Usable", "Fail", "CHECK", "Undefined")),
        "release": date(2026, 1, 1),
        "reduction": "RAW" if processing == "Raw" else choice.choice(("PREPARED", "PROCESSED_FLAT")),
        "site_monitoring": choice.random() < 0.1,
        "types": ["RAW"],
        "phot_standard": choice.choice((True, False, None)),
        "proprietary_coordinates": False,
        "pre_image": choice.random() < 0.1,
    }


def _disperser(choice: random.Random, instrument: str) -> str:
    if instrument == "GNIRS":
        return choice.choice(("32_mm&SXD", "32_mm&LXD", "32_mm", "111_mm&LXD"))
    return choice.choice(("B600", "R400", "MIRROR", "R400_G5305"))


def insert_records(site: Site, records: Sequence[Record]) -> None:
    """Put records into a database, as if their files had been ingested."""
    with site.engine.begin() as connection:
        insert_in(connection, records)


def insert_in(connection: Connection, records: Sequence[Record]) -> None:
    """Put records into a database, as part of a transaction."""
    for record in records:
        file_id = connection.scalar(insert(file).values(name=record["name"]).returning(file.c.id))
        version = {name: record[name] for name in ("path", "present", "canonical", "mdready", "lastmod")}
        version |= {"entrytime": record["entrytime"]} if "entrytime" in record else {}
        diskfile_id = connection.scalar(
            insert(diskfile)
            .values(
                **version,
                file_id=file_id,
                filename=f"{record['name']}.bz2",
                file_md5="0" * 32,
                file_size=100,
                data_md5="1" * 32,
                data_size=200,
                compressed=True,
            )
            .returning(diskfile.c.id)
        )
        values = {name: record[name] for name in HEADER_COLUMNS if name in record}
        connection.execute(insert(header).values(diskfile_id=diskfile_id, **values))
