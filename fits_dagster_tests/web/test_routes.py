"""The routes of the reference: each is served, or says in a line what serves instead; each is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import requests

from fits_dagster.destinations.fits_server import UPLOAD_COOKIE
from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster.web.left_out import LEFT_OUT
from fits_dagster_tests.builders.records import insert_records, make_records
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import COOKIE, HttpServer

RECORDS = make_records(60)
DOCUMENT = Path(__file__).parents[2] / "docs" / "http.md"
#: First elements of all paths of the reference, written down by hand.
REFERENCE = """
searchform summary ssummary lsummary diskfiles associated_cals jsonsummary jsonfilelist jsonfilenames
xmlfilelist jsonqastate nameresolver file fullheader fitsverify mdreport preview download history
calibrations calmgr xmlcalmgr jsoncalmgr processingtags programsobserved programinfo programinfojson
programs obslogs associated_obslogs logcomments miscfiles content stats curation usagereport usagestats
usagedetails downloadlog monitoring processinglog qareport qametrics qaforgui tape jsontapefile
standardobs gmoscal gmoscaljson gmoscaltwilightdetails gmoscalbiasfiles whoami login logout
request_account password_reset change_password my_programs user_list staff_access admin_change_password
notification queuestatus sitemap.xml robots.txt favicon.ico noirlabsso orcid upload_file update_headers
ingest_programs
"""


def get(server: HttpServer, path: str) -> requests.Response:
    return requests.get(f"{server.url}{path}", timeout=10)


def test_every_route_of_the_reference_is_served_or_says_what_serves(archive_http: HttpServer) -> None:
    served = {path.split("/")[1] for path in get(archive_http, "/openapi.json").json()["paths"]}
    small = {"robots.txt", "sitemap.xml", "favicon.ico", "ssummary", "lsummary", "searchform"}
    for name in REFERENCE.split():
        assert (name in LEFT_OUT) != (name in served | small), name
        for rest in ("", "/20251123/x"):
            answer = requests.get(f"{archive_http.url}/{name}{rest}", timeout=10, allow_redirects=False)
            if name in LEFT_OUT:
                assert answer.status_code == 404, name
                assert answer.json() == {"error": f"/{name} is not served here: {LEFT_OUT[name]}"}


def test_every_route_is_documented(archive_http: HttpServer) -> None:
    told = DOCUMENT.read_text()
    for path in get(archive_http, "/openapi.json").json()["paths"]:
        assert f"/{path.split('/')[1]}" in told, path
    for name in LEFT_OUT:
        assert f"`/{name}`" in told, name


@pytest.fixture
def server(archive: Site, archive_http: HttpServer) -> HttpServer:
    """An archive with records that are made up."""
    remembered("routes", [archive], lambda: insert_records(archive, RECORDS))
    return archive_http


def test_tables_for_people_hold_the_same_as_the_lists(server: HttpServer) -> None:
    names = {each["name"] for each in get(server, "/jsonsummary/GMOS-N").json()}
    assert names
    for path in ("/summary/GMOS-N", "/ssummary/GMOS-N", "/lsummary/GMOS-N"):
        page = get(server, path)
        assert page.url.endswith("/summary/GMOS-N")
        assert {r["name"] for r in RECORDS if f">{r['name']}<" in page.text} == names
    chosen = get(server, "/summary/GMOS-N/cols=FRS").text
    assert "<th>File</th><th>RA</th><th>Dec</th></tr>" in chosen
    versions = get(server, "/diskfiles/GMOS-N").text
    listed = {each["filename"] for each in get(server, "/jsonfilelist/GMOS-N").json()}
    assert all(name in versions for name in listed)
    assert get(server, "/associated_cals/GMOS-N").status_code == 200


def test_programs_with_data_are_told(server: HttpServer) -> None:
    page = get(server, "/programsobserved/20251121").text
    on_it = {r["observation_id"] for r in RECORDS if r["canonical"] and r["ut_datetime"].day == 21}
    assert {r["observation_id"] for r in RECORDS if f">{r['observation_id']}<" in page} == on_it
    assert get(server, "/programsobserved/GMOS-N").status_code == 406


def test_xml_lists_have_the_entries_of_json_lists(server: HttpServer) -> None:
    answer = get(server, "/xmlfilelist/NIRI/present")
    assert answer.headers["content-type"].startswith("text/xml")
    root = ElementTree.fromstring(answer.content)
    assert (root.tag, root.findtext("selection")) == ("file_list", "NIRI/present")
    listed = get(server, "/jsonfilelist/NIRI/present").json()
    assert [each.findtext("filename") for each in root.iter("file")] == [each["filename"] for each in listed]
    keys = "name filename path compressed size file_size data_size md5 file_md5 data_md5 lastmod mdready"
    assert " ".join(child.tag for child in root.find("file") or ()) == keys


def test_quality_is_told_to_the_observing_database(server: HttpServer) -> None:
    found = get(server, "/jsonqastate/Gemini-South/present/RAW/20251120-20251126").json()
    wanted = {
        (r["data_label"], r["name"], r["qa_state"])
        for r in RECORDS
        if r["canonical"] and r["present"] and r["telescope"] == "Gemini-South" and r["reduction"] == "RAW"
    }
    assert {(each["data_label"], each["filename"], each["qa_state"]) for each in found} == wanted
    assert list(found[0]) == ["data_label", "filename", "data_md5", "entrytime", "qa_state"]


def test_the_observing_database_tells_of_programs(archive_http: HttpServer) -> None:
    programs = [
        {
            "id": "gn-2025b-q-101",
            "title": "Comets & more",
            "investigator_names": "Caroline Herschel",
            "too": "None",
        },
        {"id": "GS-2025B-FT-7", "title": None},
    ]
    url = f"{archive_http.url}/ingest_programs"
    assert requests.post(url, json=programs, timeout=10).status_code == 403
    cookies = {UPLOAD_COOKIE: COOKIE}
    for _ in range(2):
        answer = requests.post(url, data=json.dumps(programs), cookies=cookies, timeout=10)
        assert answer.json() == {"programs": 2}
    assert get(archive_http, "/programinfojson/GN-2025B-Q-101").json() == {
        "program_id": "GN-2025B-Q-101",
        "pi_coi_names": "Caroline Herschel",
        "title": "Comets & more",
        "publications": [],
    }
    assert "Comets &amp; more" in get(archive_http, "/programinfo/GN-2025B-Q-101").text
    page = get(archive_http, "/programs/herschel").text
    assert ("GN-2025B-Q-101" in page, "GS-2025B-FT-7" in page) == (True, False)
    assert "GS-2025B-FT-7" in get(archive_http, "/programs").text
    assert get(archive_http, "/programinfojson/GN-1999A-Q-1").status_code == 404
    assert get(archive_http, "/programinfojson/a%00").status_code == 404


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"id": ""}]', b"[" * 100_000, b'[{"id": 5}]'])
def test_what_is_no_list_of_programs_is_refused(archive_http: HttpServer, body: bytes) -> None:
    url = f"{archive_http.url}/ingest_programs"
    assert requests.post(url, data=body, cookies={UPLOAD_COOKIE: COOKIE}, timeout=10).status_code == 400


def test_small_answers(archive_http: HttpServer, staff: requests.Session) -> None:
    assert get(archive_http, "/whoami").json() == {"username": None, "role": None}
    assert staff.get(f"{archive_http.url}/whoami/", timeout=10).json() == {
        "username": "anna",
        "role": "staff",
    }
    assert "Disallow: /" in get(archive_http, "/robots.txt").text
    assert f"{archive_http.url}/help" in get(archive_http, "/sitemap.xml").text
    assert get(archive_http, "/favicon.ico").status_code == 204
    assert "Processing tags" in get(archive_http, "/processingtags").text


#: Routes whose clients expect errors in another form, as docs/http.md says.
OTHER_ERRORS = ("/calmgr", "/jsoncalmgr", "/xmlcalmgr", "/download", "/login")


def test_errors_of_all_routes_have_one_shape(archive: Site, archive_http: HttpServer) -> None:
    described = create_app(archive, session_hours=1).openapi()["paths"]
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    routes |= {("GET", f"/{name}") for name in LEFT_OUT} | {("GET", "/no-such-route")}
    assert len(routes) > 50
    wrong = []
    for method, path in sorted(routes):
        if method == "HEAD" or path.startswith(OTHER_ERRORS):
            continue
        for value in ("no-such-thing", "date=99999999", "%00", ""):
            url = archive_http.url + re.sub(r"{\w+}", value, path)
            answer = requests.request(method, url, timeout=20, allow_redirects=False)
            if answer.status_code >= 400 and not has_the_shape(answer):
                wrong.append((method, url, answer.status_code, answer.text[:80]))
    assert wrong == [], "\n".join(map(str, wrong))


def has_the_shape(answer: requests.Response) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    return isinstance(body, dict) and body.keys() == {"error"} and isinstance(body["error"], str)
