"""What is not public yet is shown by no route; the routes are all those that the application has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from astropy.io import fits
from sqlalchemy import text

from fits_dagster.calibration.explain import Candidate, Explanation, Miss
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview
from fits_dagster.web.accounts import Role
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer

#: What must not be read anywhere.
SECRETS = ("SECRETOBJ", "123.456", "-12.3456", "12.3456", "1.2345", "65.4321", "77.7777")
NAME = "N20251123S0001.fits"


@pytest.fixture
def hidden(archive: Site, night: list[Path]) -> Path:
    """A science frame whose program hides where it points, and two usual ones."""
    science = next(path for path in night if fits.getheader(path).get("OBSCLASS") == "science")
    remembered("hidden", [archive], lambda: hide(archive, science, night[1:3]))
    return science


def hide(archive: Site, science: Path, usual: list[Path]) -> None:
    store = archive.settings.store_directory
    assert store is not None
    with fits.open(science) as hdus:
        header = hdus[0].header
        header["PROP_MD"] = (True, "Proprietary Metadata")
        header["RELEASE"] = "2999-01-01"
        header["OBSID"], header["DATALAB"] = "GN-2025B-Q-7-1", "GN-2025B-Q-7-1-001"
        header["GEMPRGID"], header["OBSTYPE"], header["OBSCLASS"] = "GN-2025B-Q-7", "OBJECT", "science"
        header["OBJECT"], header["RA"], header["DEC"] = "SECRETOBJ", 123.456, -12.3456
        header["AIRMASS"], header["ELEVATIO"], header["AZIMUTH"] = 1.2345, 65.4321, 77.7777
        for hdu in hdus:
            for name in ("CRVAL1", "CRVAL2"):
                if name in hdu.header:
                    hdu.header[name] = 123.456 if name == "CRVAL1" else -12.3456
        hdus.writeto(store / NAME)
    for source in usual:
        (store / source.name).write_bytes(source.read_bytes())
    with archive.engine.begin() as connection:
        add_work(
            connection,
            [NewWork(stage="ingest", filename=name) for name in (NAME, *(path.name for path in usual))],
        )
    assert drain(archive, ingest.STAGE).done == 3
    assert drain(archive, preview.STAGE).done == 3
    drain(archive, associate.STAGE)
    with archive.engine.begin() as connection:
        connection.execute(text("update diskfilereport set mdreport = 'ra: 123.456', fvreport = 'SECRETOBJ'"))
        record = connection.execute(text("select * from header where object = 'SECRETOBJ'")).one()
    assert record.proprietary_coordinates
    assert not record.engineering
    assert float(record.ra) == pytest.approx(123.456)


def get_routes(archive: Site) -> list[str]:
    """All paths that the application answers to GET, as it describes itself."""
    paths = create_app(archive, session_hours=1).openapi()["paths"]
    return sorted(path for path, methods in paths.items() if "get" in methods)


#: What stands for the rest of a path: the file by its name, by selections, with and without more.
RESTS = (
    NAME,
    f"{NAME}.bz2",
    NAME.removesuffix(".fits"),
    f"filename={NAME}",
    "20251123",
    "present/canonical/includeengineering/AnyQA",
    "entrytimedaterange=20200101-20990101",
    "object=SECRETOBJ",
    "object=*",
    "ra=123.456/dec=-12.3456/sr=1d",
    "GN-2025B-Q-7",
    f"{NAME}/bias",
)


def asked(archive: Site) -> Iterator[str]:
    for path in get_routes(archive):
        if "{rest}" in path:
            for rest in RESTS:
                filled = path.replace("{rest}", rest)
                yield filled
                yield f"{filled}?orderby=ra&cursor="
        else:
            yield path.replace("{short}", "iq").replace("{item_id}", "1") + f"?name={NAME}"


@pytest.mark.parametrize("role", ["nobody", None, "reader", "operator"])
def test_no_route_shows_where_a_hidden_frame_points(
    signed_in: Callable[[Role | None], requests.Session],
    archive: Site,
    archive_http: HttpServer,
    hidden: Path,
    role: Any,
) -> None:
    session = requests.Session() if role == "nobody" else signed_in(role)
    statuses = set()
    for path in asked(archive):
        if path.startswith("/logout"):
            continue
        answer = session.get(f"{archive_http.url}{path}", timeout=20)
        statuses.add(answer.status_code)
        # what was asked for may be repeated
        body = answer.content.decode("latin-1").replace("%3D", "=")
        body = body.replace("object=SECRETOBJ", "").replace("ra=123.456", "")
        body = body.replace("dec=-12.3456", "")
        # the fields of the form that asks for it
        body = re.sub(r'name="(?:object|ra|dec)" value="[^"]*"', "", body)
        for secret in SECRETS:
            assert secret not in body, (path, secret)
        assert b"SIMPLE  =" not in answer.content or NAME not in path, path
    assert statuses <= {200, 400, 403, 404, 405, 406}
    session.close()


def names(session: requests.Session, server: HttpServer, selection: str) -> set[str]:
    found = session.get(f"{server.url}/jsonsummary/{selection}", timeout=20).json()
    return {each["name"] for each in found}


@pytest.mark.parametrize(
    "selection",
    [
        "object=SECRETOBJ",
        "object=secret*",
        "ra=123.456/dec=-12.3456/sr=1d",
        "dec=-12.4--12.3",
        "az=77-78",
        "el=65-66",
    ],
)
def test_a_search_does_not_tell_it_either(
    staff: requests.Session, archive: Site, archive_http: HttpServer, hidden: Path, selection: str
) -> None:
    with requests.Session() as anonymous:
        assert names(anonymous, archive_http, selection) == set()
        for feature in ("jsonfilelist", "jsonqastate", "xmlfilelist", "jsonfilenames", "calmgr"):
            answer = anonymous.get(f"{archive_http.url}/{feature}/20251123/{selection}", timeout=20)
            assert NAME not in answer.text, feature
    assert names(staff, archive_http, selection) == {NAME}


def test_the_record_is_there_without_what_is_hidden_and_whole_for_staff(
    staff: requests.Session, archive_http: HttpServer, hidden: Path
) -> None:
    with requests.Session() as anonymous:
        [record] = anonymous.get(f"{archive_http.url}/jsonsummary/{NAME}", timeout=20).json()
    [whole] = staff.get(f"{archive_http.url}/jsonsummary/{NAME}", timeout=20).json()
    assert record["proprietary_coordinates"] is True
    assert {key for key in whole if record[key] != whole[key]} == {
        "ra",
        "dec",
        "azimuth",
        "elevation",
        "airmass",
        "object",
        "cass_rotator_pa",
    } - {key for key in whole if whole[key] is None}
    for feature in ("fullheader", "mdreport", "fitsverify", "file", "preview"):
        assert staff.get(f"{archive_http.url}/{feature}/{NAME}", timeout=20).status_code == 200


def test_with_the_release_everybody_sees_it(archive: Site, archive_http: HttpServer, hidden: Path) -> None:
    with archive.engine.begin() as connection:
        connection.execute(text("update header set release = current_date - 1"))
    with requests.Session() as anonymous:
        assert names(anonymous, archive_http, "object=SECRETOBJ") == {NAME}
        assert "SECRETOBJ" in anonymous.get(f"{archive_http.url}/fullheader/{NAME}", timeout=20).text


def test_the_order_of_a_list_does_not_tell_it(
    staff: requests.Session, archive: Site, archive_http: HttpServer, hidden: Path
) -> None:
    with archive.engine.begin() as connection:
        connection.execute(text("update header set ra = 100 where object is distinct from 'SECRETOBJ'"))

    def order(session: requests.Session, way: str) -> list[str]:
        url = f"{archive_http.url}/jsonsummary/20251123?orderby=ra_{way}"
        return [each["name"] for each in session.get(url, timeout=20).json()]

    with requests.Session() as anonymous:
        assert order(anonymous, "asc")[-1] == order(anonymous, "desc")[-1] == NAME
    assert order(staff, "desc")[0] == NAME


def test_an_explanation_does_not_tell_where_a_hidden_candidate_points(
    staff: requests.Session,
    archive_http: HttpServer,
    hidden: Path,
    night: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    misses = (Miss("elevation", "60", "65.4321", "5.4321"), Miss("filter_name", "r", "g"))
    explained = Explanation("bias", True, {}, (), (Candidate(NAME, 5.0, misses),))
    monkeypatch.setattr("fits_dagster.web.explained.explain_all", lambda *_: [explained])
    url = f"{archive_http.url}/calibrations/why/{night[1].name}"
    told = requests.get(url, timeout=10).json()["bias"]["nearest"][0]["misses"]
    assert told == [
        {"what": "elevation", "wanted": "60", "found": "not public yet", "by": ""},
        {"what": "filter_name", "wanted": "r", "found": "g", "by": ""},
    ]
    assert "65.4321" in staff.get(url, timeout=10).text
