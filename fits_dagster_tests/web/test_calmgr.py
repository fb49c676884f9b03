"""The calibration manager: the client of the reduction software, older clients, and explanations."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
import requests
from sqlalchemy import text

from fits_dagster.calibration import CALTYPES
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest
from fits_dagster.web.descriptions import DescriptionError, read_description
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer

NAMESPACE = "{http://www.gemini.edu/xml/gsaCalibrations/v1.0}"
CLIENT = {"User-Agent": "GeminiDRAGONS 4.0", "Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def stored(archive: Site, night: list[Path]) -> Site:
    """The whole night in the archive, associated."""
    remembered("whole_night", [archive], lambda: store_night(archive, night))
    return archive


def store_night(archive: Site, night: list[Path]) -> None:
    assert archive.settings.store_directory is not None
    with archive.engine.begin() as connection:
        for source in night:
            (archive.settings.store_directory / source.name).hardlink_to(source)
            add_work(connection, [NewWork(stage="ingest", filename=source.name, no_defer=True)])
    assert drain(archive, ingest.STAGE).done == len(night)
    drain(archive, associate.STAGE)


def cached(site: Site, table: str) -> tuple[int, str, str, list[str]]:
    """Return a science frame of an instrument: header, name, a type, and the names in its list."""
    with site.engine.connect() as connection:
        row = connection.execute(
            text(f"""
            select c.obs_hid, f.name, c.caltype,
                   array(select g.name from calcache e join header k on k.id = e.cal_hid
                         join diskfile v on v.id = k.diskfile_id join file g on g.id = v.file_id
                         where e.obs_hid = c.obs_hid and e.caltype = c.caltype order by e.rank)
            from calcache c join header h on h.id = c.obs_hid join {table} t on t.header_id = h.id
            join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
            where h.observation_class = 'science' order by c.obs_hid, c.caltype limit 1
            """)
        ).one()
    return tuple(row)  # type: ignore[return-value]


def description(site: Site, header: int, table: str) -> dict[str, Any]:
    """Describe a file as the reduction software does: descriptors of the record and its tags."""
    with site.engine.connect() as connection:
        record = dict(
            connection.execute(text("select * from header where id = :id"), {"id": header}).mappings().one()
        )
        row = dict(
            connection.execute(text(f"select * from {table} where header_id = :id"), {"id": header})
            .mappings()
            .one()
        )
    values = {**record, **row}
    for name in ("engineering", "id", "diskfile_id", "header_id", "reduction", "spectroscopy", "types"):
        values.pop(name, None)
    values["ut_datetime"] = values["ut_datetime"].replace(tzinfo=None)
    return {"tags": record["types"], "descriptors": {name: _plain(value) for name, value in values.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def post(server: HttpServer, path: str, body: Any) -> requests.Response:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return requests.post(f"{server.url}{path}", data=data, headers=CLIENT, timeout=10)


@pytest.mark.parametrize("table", ["gmos", "niri"])
def test_the_reduction_software_gets_what_the_archive_associates(
    stored: Site, archive_http: HttpServer, table: str
) -> None:
    header, _, caltype, names = cached(stored, table)
    answer = post(
        archive_http,
        f"/jsoncalmgr/{caltype}/sq/tmp123_flatCorrected.fits",
        description(stored, header, table),
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    [entry] = answer.json()
    assert (entry["filename"], entry["md5"]) == (None, None)
    [info] = entry["cal_info"]
    assert (info["error"], info["type"]) == (False, caltype)
    assert [each["name"] for each in info["cals"]] == names
    best = info["cals"][0]
    # anybody can fetch it, and the digest is that of the bytes
    fetched = requests.get(best["url"], headers={"User-Agent": "GeminiDRAGONS 4.0"}, timeout=10)
    assert fetched.status_code == 200
    assert hashlib.md5(fetched.content).hexdigest() == best["md5"]


def test_files_of_the_archive_are_told_with_every_type(stored: Site, archive_http: HttpServer) -> None:
    _, name, caltype, names = cached(stored, "gmos")
    [entry] = requests.get(f"{archive_http.url}/jsoncalmgr/{name}", timeout=10).json()
    assert (entry["filename"], len(entry["md5"])) == (name, 32)
    assert [each["type"] for each in entry["cal_info"]] == list(CALTYPES)
    found = {each["type"]: [one["name"] for one in each["cals"]] for each in entry["cal_info"]}
    assert found[caltype] == names
    [one] = requests.get(f"{archive_http.url}/jsoncalmgr/{caltype}/{name}", timeout=10).json()
    assert [each["type"] for each in one["cal_info"]] == [caltype]


def test_a_night_is_told_newest_first(stored: Site, archive_http: HttpServer) -> None:
    told = requests.get(f"{archive_http.url}/jsoncalmgr/processed_bpm/20251123", timeout=20).json()
    with stored.engine.connect() as connection:
        expected = connection.scalars(
            text("""select f.name from header h join diskfile d on d.id = h.diskfile_id
                    join file f on f.id = d.file_id where h.ut_datetime::date = '2025-11-23'
                    order by h.ut_datetime desc, h.id desc""")
        ).all()
    assert [entry["filename"] for entry in told] == expected


@pytest.mark.parametrize("feature", ["calmgr", "xmlcalmgr"])
def test_the_answer_as_xml(stored: Site, archive_http: HttpServer, feature: str) -> None:
    _, name, caltype, names = cached(stored, "gmos")
    answer = requests.get(f"{archive_http.url}/{feature}/{caltype}/{name}", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/xml")
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{NAMESPACE}calibration_associations"
    [dataset] = root
    assert dataset.findtext(f"{NAMESPACE}filename") == name
    found = dataset.findall(f"{NAMESPACE}calibration")
    assert [each.findtext(f"{NAMESPACE}filename") for each in found] == names
    assert {each.findtext(f"{NAMESPACE}caltype") for each in found} == {caltype}
    empty = requests.get(f"{archive_http.url}/{feature}/qh_flat/{name}", timeout=10)
    assert "<!-- qh_flat: none found -->" in empty.text


def test_the_older_form_of_a_description_gives_the_same(stored: Site, archive_http: HttpServer) -> None:
    header, _, caltype, names = cached(stored, "gmos")
    known = description(stored, header, "gmos")
    moment = datetime.fromisoformat(known["descriptors"]["ut_datetime"])
    literal = repr({**known["descriptors"], "ut_datetime": "@time", "data_section": "@section"})
    literal = literal.replace("'@time'", repr(moment)).replace(
        "'@section'", "Section(x1=0, x2=1, y1=0, y2=1)"
    )
    body = urlencode({"descriptors": literal, "types": repr(known["tags"])})
    [entry] = post(archive_http, f"/jsoncalmgr/{caltype}", body).json()
    assert [each["name"] for each in entry["cal_info"][0]["cals"]] == names


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/jsoncalmgr/sq/N1.fits", {"tags": [], "descriptors": {}}, 405),  # no type
        ("/jsoncalmgr/bias/N1.fits", b"", 400),
        ("/jsoncalmgr/bias/N1.fits", b"{", 400),
        ("/jsoncalmgr/bias/N1.fits", b"\xff{}", 400),
        ("/jsoncalmgr/bias/N1.fits", {"descriptors": {}}, 400),
        ("/jsoncalmgr/bias/N1.fits", {"tags": "BIAS", "descriptors": {}}, 400),
        ("/jsoncalmgr/bias/N1.fits", {"tags": [], "descriptors": {"instrument": "NIRI"}}, 400),
        ("/jsoncalmgr/bias/N1.fits", "descriptors=__import__('os').getpid()&types=[]", 400),
        ("/jsoncalmgr/bias/N1.fits", "descriptors={'a': [].__class__}&types=[]", 400),
        ("/jsoncalmgr/bias/N1.fits", "descriptors=" + "(" * 5000 + "&types=[]", 400),
        ("/jsoncalmgr/bias/N1.fits", b" " * 1_000_001, 413),
    ],
)
def test_what_is_no_description_is_refused(
    archive_http: HttpServer, path: str, body: Any, status: int
) -> None:
    assert post(archive_http, path, body).status_code == status


def test_an_open_selection_is_refused(archive_http: HttpServer) -> None:
    assert requests.get(f"{archive_http.url}/jsoncalmgr/GMOS-N", timeout=10).status_code == 406


MINIMAL = {"data_label": "GN-1", "ut_datetime": "2025-11-23T05:00:00"}


@pytest.mark.parametrize(
    ("descriptors", "error"),
    [
        # an instrument without rules, or none
        (MINIMAL | {"instrument": "TReCS"}, False),
        (MINIMAL | {"instrument": None}, False),
        # a rule that lacks a descriptor, or the time, cannot be evaluated
        (MINIMAL | {"instrument": "NIFS", "observation_type": "FLAT", "gcal_lamp": None}, True),
        (MINIMAL | {"instrument": "IGRINS-2", "observation_type": "OBJECT", "ut_datetime": None}, True),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_marked(
    archive_http: HttpServer, descriptors: dict[str, Any], error: bool
) -> None:
    body = {"tags": ["SPECT"], "descriptors": descriptors}
    [entry] = post(archive_http, "/jsoncalmgr/arc/N1.fits", body).json()
    expected = {"error": error, "type": "arc", "cals": None if error else []}
    assert (entry["label"], entry["cal_info"]) == ("GN-1", [expected])


@pytest.mark.parametrize(
    "odd",
    ["\x00", "\ud800", 10**400, -1e308, float("nan"), float("inf"), [1, [2]], {"a": 1}, True, "1e999", ""],
)
def test_odd_values_never_break_an_answer(archive_http: HttpServer, odd: Any) -> None:
    names = ("observation_type", "observation_class", "filter_name", "camera", "focal_plane_mask")
    numbers = ("exposure_time", "coadds", "central_wavelength", "read_mode", "well_depth_setting")
    descriptors = {name: odd for name in (*names, *numbers, "disperser", "data_section", "gcal_lamp")}
    body = {"tags": [], "descriptors": MINIMAL | {"instrument": "NIRI"} | descriptors}
    for caltype in ("dark", "flat", "arc"):
        answer = post(archive_http, f"/jsoncalmgr/{caltype}/N1.fits", body)
        assert answer.status_code == 200
        assert not answer.json()[0]["cal_info"][0]["cals"]


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("{'a': -1.5, 'b': (1, 'x', None)}", {"a": -1.5, "b": [1, "x", None]}),
        (
            "{'t': datetime.datetime(2013, 2, 1, 3, 4, 5, 600000), 'd': datetime.date(2013, 2, 1)}",
            {"t": datetime.fromisoformat("2013-02-01T03:04:05.6"), "d": date(2013, 2, 1)},
        ),
        ("{'s': Section(x1=0, x2=1024, y1=0, y2=512)}", {"s": "[0, 1024, 0, 512]"}),
        ("{'n': [NonlinCoeffs(1, 2, 3)], 'm': 1}", {"m": 1}),
    ],
)
def test_literals_of_older_clients_are_read(literal: str, value: dict[str, Any]) -> None:
    body = urlencode({"descriptors": literal, "types": "['A', 'B']"}).encode()
    found = read_description(body)
    assert (found.descriptors, found.tags) == (value, {"A", "B"})


@pytest.mark.parametrize(
    "literal", ["open('x')", "1 + 1", "[x for x in y]", "{**{}}", "f'{1}'", "datetime(1)"]
)
def test_code_is_no_literal(literal: str) -> None:
    with pytest.raises(DescriptionError):
        read_description(urlencode({"descriptors": literal, "types": "[]"}).encode())


def test_explanations_are_told_over_http(stored: Site, archive_http: HttpServer) -> None:
    _, name, caltype, names = cached(stored, "gmos")
    every = requests.get(f"{archive_http.url}/calibrations/why/{name}", timeout=10).json()
    one = requests.get(f"{archive_http.url}/calibrations/why/{name}/{caltype}", timeout=10).json()
    assert one == {caltype: every[caltype]}
    assert [each["name"] for each in one[caltype]["chosen"]] == names
    assert one[caltype]["key"]
    assert requests.get(f"{archive_http.url}/calibrations/why/nothing", timeout=10).status_code == 404


def test_a_file_without_a_time_has_an_error_where_something_is_looked_for(
    stored: Site, archive_http: HttpServer
) -> None:
    header, name, caltype, _ = cached(stored, "gmos")
    with stored.engine.begin() as connection:
        connection.execute(text("update header set ut_datetime = null where id = :id"), {"id": header})
    [entry] = requests.get(f"{archive_http.url}/jsoncalmgr/{name}", timeout=10).json()
    marks = {each["type"]: (each["error"], each["cals"]) for each in entry["cal_info"]}
    assert marks[caltype] == (True, None)
    # no rule, nothing to fail
    assert marks["qh_flat"] == marks["ronchi_mask"] == (False, [])
    answer = requests.get(f"{archive_http.url}/xmlcalmgr/{caltype}/{name}", timeout=10)
    assert f"<!-- {caltype}: could not be worked out -->" in answer.text
    [dataset] = ElementTree.fromstring(answer.content)
    assert dataset.findall(f"{NAMESPACE}calibration") == []


def test_an_odd_value_is_an_error_of_the_types_that_need_it_in_either_form(
    stored: Site, archive_http: HttpServer
) -> None:
    header, *_ = cached(stored, "gmos")
    known = description(stored, header, "gmos")
    known["descriptors"] |= {"gain_setting": "medium", "data_label": "GN\x01\ud800"}
    answer = post(archive_http, "/jsoncalmgr/bias/N1.fits", known)
    assert answer.status_code == 200
    assert answer.json()[0]["cal_info"] == [{"error": True, "type": "bias", "cals": None}]
    assert post(archive_http, "/jsoncalmgr/mask/N1.fits", known).json()[0]["cal_info"] == [
        {"error": False, "type": "mask", "cals": []}
    ]
    [dataset] = ElementTree.fromstring(post(archive_http, "/calmgr/bias/N1.fits", known).content)
    assert dataset.findtext(f"{NAMESPACE}datalabel") == "GN\ufffd?"
    assert [child.tag for child in dataset] == [f"{NAMESPACE}datalabel"]


def test_the_calibrations_of_a_night_with_those_that_they_need(
    stored: Site, archive_http: HttpServer
) -> None:
    with stored.engine.connect() as connection:
        uses = connection.execute(
            text("""select a.name, c.caltype, c.rank, b.name as calibration from calcache c
                    join header h on h.id = c.obs_hid join diskfile d on d.id = h.diskfile_id
                    join file a on a.id = d.file_id
                    join header k on k.id = c.cal_hid join diskfile v on v.id = k.diskfile_id
                    join file b on b.id = v.file_id""")
        ).all()
        science = connection.scalars(
            text("""select f.name from header h join diskfile d on d.id = h.diskfile_id
                    join file f on f.id = d.file_id
                    where h.observation_class = 'science' and h.ut_datetime::date = '2025-11-23'""")
        ).all()
    levels: dict[str, int] = {}
    asked = set(science)
    for level in range(5):
        asked = {use.calibration for use in uses if use.name in asked} - set(levels)
        levels |= dict.fromkeys(asked, level)
    assert max(levels.values()) > 0
    address = f"{archive_http.url}/associatedcals/20251123/science"
    answer = requests.get(address, timeout=20)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    found = answer.json()
    assert {entry["name"]: entry["level"] for entry in found} == levels
    assert len(found) == len(levels)
    assert [entry["primary"] for entry in found] == [entry["level"] == 0 for entry in found]
    types = [(entry["level"], CALTYPES.index(entry["caltype"]), entry["rank"]) for entry in found]
    assert types == sorted(types)
    # an entry is that of the list of files
    [same] = requests.get(f"{archive_http.url}/jsonfilelist/present/{found[0]['name']}", timeout=10).json()
    assert {key: found[0][key] for key in same} == same
    first = requests.get(f"{address}?levels=1", timeout=20).json()
    assert first == [entry for entry in found if entry["primary"]]
    caltype = found[0]["caltype"]
    of_type = requests.get(f"{address}/{caltype}", timeout=20).json()
    assert of_type
    assert {(entry["caltype"], entry["level"]) for entry in of_type} == {(caltype, 0)}


def test_associated_calibrations_are_told_of_closed_selections(archive_http: HttpServer) -> None:
    assert requests.get(f"{archive_http.url}/associatedcals/GMOS-N", timeout=10).status_code == 406
    assert requests.get(f"{archive_http.url}/associatedcals/20000101", timeout=10).json() == []
    refused = requests.get(f"{archive_http.url}/associatedcals/20000101?levels=6", timeout=10)
    assert refused.status_code == 422


def test_operators_see_what_a_night_needs(stored: Site, archive_http: HttpServer) -> None:
    with stored.engine.begin() as connection:
        shown = connection.execute(
            text("""select f.name, g.name from calcache c join header h on h.id = c.obs_hid
                    join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
                    join header k on k.id = c.cal_hid join diskfile v on v.id = k.diskfile_id
                    join file g on g.id = v.file_id
                    where c.caltype = 'arc' and c.rank = 0 and h.ut_datetime::date = '2025-11-23'
                      and not h.engineering and h.observation_class = 'science' order by f.name""")
        ).all()
        (target, arc), (hidden, _) = shown[0], shown[-1]
        assert target != hidden
        connection.execute(
            text("""update header set program_id = 'GN-2025B-SV-101' where diskfile_id =
                    (select d.id from diskfile d join file f on f.id = d.file_id where f.name = :name)"""),
            {"name": hidden},
        )
    answer = requests.get(f"{archive_http.url}/calibrations/20251123", timeout=20)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f"/about/{target}#calibrations" in answer.text
    assert re.search(rf">{arc}</a> \(", answer.text)
    assert f"/about/{hidden}" not in answer.text
    assert (
        "No file of the selection"
        in requests.get(f"{archive_http.url}/calibrations/20000101", timeout=9).text
    )
    assert requests.get(f"{archive_http.url}/calibrations/GMOS-N", timeout=10).status_code == 406
