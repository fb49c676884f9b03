"""The public Python client, unmodified: the records that should come, found by other code, are what comes.

Its addresses are written into it; a transport adapter leads them to our server, as a name server would.
"""

from __future__ import annotations

import bz2
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster.web.accounts import add_user
from fits_dagster_tests.builders.records import START, insert_records, make_records
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.web.conftest import PASSWORD
from fits_dagster_tests.web.test_grammar import distance, on

try:
    from astropy import units
    from astropy.coordinates import SkyCoord
    from astroquery.gemini import Observations, ObservationsClass
except ImportError:
    if os.environ.get("CI"):
        raise
    pytest.skip("astroquery is not installed", allow_module_level=True)

RECORDS = make_records()
Record = dict[str, Any]
Belongs = Callable[[Record], Any]


class _ToOurs(requests.adapters.HTTPAdapter):
    """Sends what is meant for the public archive to our server."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        ours = request.copy()
        ours.url = request.url.replace("https://archive.gemini.edu", self.url, 1)
        return super().send(ours, *args, **kwargs)


@pytest.fixture
def client(archive_http: HttpServer, tmp_path: Path) -> Iterator[ObservationsClass]:
    """The client, which finds our server where it looks for the public one."""
    client = ObservationsClass()
    client.cache_location = tmp_path / "cache"
    client._session.mount("https://archive.gemini.edu", _ToOurs(archive_http.url))
    yield client
    client._session.close()


@pytest.fixture
def records(archive: Site) -> list[Record]:
    """Records in the archive's database."""
    remembered("astroquery", [archive], lambda: insert_all(archive))
    return RECORDS


def insert_all(archive: Site) -> None:
    insert_records(archive, RECORDS)
    with archive.engine.begin() as connection:
        connection.execute(
            text("insert into program values ('GN-2025B-Q-102', 'Vera Rubin', 'Rotation of spirals')")
        )


def expected(belongs: Belongs) -> set[str]:
    """What the client asks for by default: current versions, no engineering, no failures."""
    usual = (r for r in RECORDS if r["canonical"] and not r["engineering"] and r["qa_state"] != "Fail")
    return {r["name"] for r in usual if belongs(r)}


def names(table: Any) -> set[str]:
    return set(map(str, table["name"]))


CRITERIA: list[tuple[dict[str, Any], Belongs]] = [
    ({"program_id": "gn-2025b-q-101"}, lambda r: r["program_id"] == "GN-2025B-Q-101"),
    ({"pi_name": "Rubin"}, lambda r: r["program_id"] == "GN-2025B-Q-102"),
    ({"pi_name": "Nobody"}, lambda r: False),
    ({"program_text": "spirals rotation"}, lambda r: r["program_id"] == "GN-2025B-Q-102"),
    ({"utc_date": (date(2025, 11, 21), date(2025, 11, 22))}, on("20251121", "20251122")),
    # the client writes the letters YYYYMMdd for a single date
    ({"utc_date": date(2025, 11, 21)}, lambda r: True),
    *(
        ({"instrument": name}, lambda r, name=name: r["instrument"].lower() == name.lower())
        for name in ("GMOS-N", "GNIRS", "MICHELLE", "TRECS", "HOKUPAA+QUIRC")
    ),
    ({"instrument": "GMOS"}, lambda r: r["instrument"] in ("GMOS-N", "GMOS-S")),
    ({"observation_class": "dayCal"}, lambda r: r["observation_class"] == "dayCal"),
    ({"observation_type": "ARC"}, lambda r: r["observation_type"] == "ARC"),
    *(({"mode": mode}, lambda r, mode=mode: r["mode"] == mode) for mode in ("imaging", "LS", "MOS", "IFS")),
    ({"mode": "spectroscopy"}, lambda r: r["spectroscopy"]),
    ({"adaptive_optics": "NOTAO"}, lambda r: not r["adaptive_optics"]),
    ({"adaptive_optics": "AO"}, lambda r: r["adaptive_optics"]),
    ({"adaptive_optics": "NGS"}, lambda r: r["adaptive_optics"] and not r["laser_guide_star"]),
    ({"adaptive_optics": "LGS"}, lambda r: r["adaptive_optics"] and r["laser_guide_star"]),
    # a radius comes with the name; it means nothing without a position
    ({"objectname": "m31"}, lambda r: r["object"] == "M31"),
    *(
        ({"raw_reduced": state}, lambda r, state=state: r["reduction"] == state)
        for state in ("RAW", "PREPARED", "PROCESSED_FLAT", "PROCESSED_ARC")
    ),
    (
        {"coordinates": SkyCoord(0.1, -23.4, unit="deg"), "radius": 2 * units.deg},
        lambda r: distance(r, 0.1, -23.4) <= 2,
    ),
    ({"coordinates": SkyCoord(0.1, -23.4, unit="deg")}, lambda r: distance(r, 0.1, -23.4) <= 0.3),
    (
        {
            "instrument": "GMOS-N",
            "observation_type": "OBJECT",
            "observation_class": "science",
            "mode": "imaging",
        },
        lambda r: (
            (r["instrument"], r["observation_type"], r["observation_class"], r["mode"])
            == ("GMOS-N", "OBJECT", "science", "imaging")
        ),
    ),
]


@pytest.mark.parametrize(
    ("keywords", "belongs"),
    CRITERIA,
    ids=[" ".join(map(str, criteria.values()))[:50] for criteria, _ in CRITERIA],
)
def test_criteria_give_the_records_that_other_code_finds(
    client: ObservationsClass, records: list[Record], keywords: dict[str, Any], belongs: Belongs
) -> None:
    assert names(client.query_criteria(**keywords)) == expected(belongs)


def test_every_criterion_of_the_client_is_tried() -> None:
    import inspect

    keywords = set(inspect.signature(Observations.query_criteria).parameters)
    tried = {keyword for criteria, _ in CRITERIA for keyword in criteria} | {"orderby"}
    assert keywords - tried <= {"self", "rawqueryargs", "rawquerykwargs"}


@pytest.mark.parametrize("radius", [0.3, 1.0, 5.0])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, -23.0), (359.9, 89.5), (180.0, 89.9), (83.6, 22.0)])
def test_a_region_gives_what_lies_in_it(
    client: ObservationsClass, records: list[Record], ra: float, dec: float, radius: float
) -> None:
    found = client.query_region(SkyCoord(ra, dec, unit="deg"), radius=radius * units.deg)
    assert names(found) == expected(lambda r: distance(r, ra, dec) <= radius)


def test_raw_queries_and_orders(client: ObservationsClass, records: list[Record]) -> None:
    found = client.query_raw("GMOS-N", "2x2", "AnyQA", exposure_time="10-60", orderby="data_label_desc")
    wanted = [
        r
        for r in RECORDS
        if r["canonical"]
        and not r["engineering"]
        and r["instrument"] == "GMOS-N"
        and r["detector_binning"] == "2x2"
        and 10 <= r["exposure_time"] <= 60
    ]
    assert list(found["data_label"]) == sorted((r["data_label"] for r in wanted), reverse=True)
    everything = client.query_raw("includeengineering", "AnyQA")
    assert names(everything) == {r["name"] for r in RECORDS if r["canonical"]}
    for state in ("Pass", "Usable", "Lucky", "Win", "Fail"):
        assert 0 < len(client.query_raw(state)) < len(everything)


def test_the_table_has_the_values_of_the_records(client: ObservationsClass, records: list[Record]) -> None:
    wanted = next(r for r in RECORDS if r["name"] in expected(lambda r: r["spectroscopy"]))
    [row] = client.query_raw(filename=wanted["name"])
    for key in ("instrument", "object", "program_id", "data_label", "detector_binning", "qa_state"):
        assert str(row[key]) == str(wanted[key])
    for key in ("ra", "dec", "exposure_time", "central_wavelength", "airmass"):
        assert float(row[key]) == pytest.approx(float(wanted[key]))
    assert row["ut_datetime"] == str(wanted["ut_datetime"].replace(tzinfo=None))
    assert row["ut_datetime"] >= str(START.replace(tzinfo=None) - timedelta(days=1))


def test_signing_in_and_a_file_that_is_not_public(
    archive: Site, client: ObservationsClass, night: list[Path], tmp_path: Path
) -> None:
    assert archive.settings.store_directory is not None
    source, content = night[0], night[0].read_bytes()
    (archive.settings.store_directory / f"{source.name}.bz2").write_bytes(bz2.compress(content))
    with archive.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=f"{source.name}.bz2")])
    assert drain(archive, ingest.STAGE).done == 1
    with archive.engine.begin() as connection:
        connection.execute(text("update header set release = '2999-01-01', engineering = false"))
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    with pytest.raises(requests.HTTPError, match="403"):
        client.get_file(source.name, download_dir=str(tmp_path))
    for password, succeeds in ((f"{PASSWORD}x", False), (PASSWORD, True)):
        client.login("anna", password)
        assert client.authenticated() is succeeds
    for suffix in ("", ".bz2"):
        client.get_file(f"{source.name}{suffix}", download_dir=str(tmp_path))
        got = (tmp_path / f"{source.name}{suffix}").read_bytes()
        assert (bz2.decompress(got) if suffix else got) == content
    # asked again, it goes on where it was
    (tmp_path / f"{source.name}.bz2").write_bytes(bz2.compress(content)[:1000])
    client.get_file(f"{source.name}.bz2", download_dir=str(tmp_path))
    assert bz2.decompress((tmp_path / f"{source.name}.bz2").read_bytes()) == content
