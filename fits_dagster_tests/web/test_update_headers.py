"""``POST /update_headers``: both forms, what is refused and in which words, what an accepted item leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from pydantic import SecretStr
from sqlalchemy import text

from fits_dagster.cli import cli
from fits_dagster.destinations.fits_server import API_COOKIE
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import COOKIE, HttpServer, serve

LABEL = "GN-CAL20251123-1-001"
PASS = {"qa_state": "Pass"}


def with_api_cookies(site: Site, *values: str) -> Site:
    cookies = tuple(SecretStr(value) for value in values)
    return replace(site, settings=site.settings.model_copy(update={"api_cookies": cookies}))


@pytest.fixture
def summit_http(summit: Site) -> Iterator[HttpServer]:
    """The summit's web application on a real port."""
    server, stop = serve(create_app(with_api_cookies(summit, COOKIE), session_hours=1))
    yield server
    stop()


def have(site: Site, source: Path, *, path: str = "", name: str | None = None) -> str:
    """Put a file into the dataflow directory and ingest it."""
    assert site.settings.store_directory is not None
    target = site.settings.store_directory / path / (name or source.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", path=path, filename=target.name)])
    assert drain(site, ingest.STAGE).done == 1
    return target.name


def post(server: HttpServer, body: object, cookie: str | None = COOKIE) -> requests.Response:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    cookies = {API_COOKIE: cookie} if cookie is not None else {}
    return requests.post(f"{server.url}/update_headers", data=data, cookies=cookies, timeout=10)


def edits(site: Site) -> list[Any]:
    with site.engine.connect() as connection:
        return list(connection.execute(text("select * from header_edit order by id")))


def waiting(site: Site) -> list[Any]:
    with site.engine.connect() as connection:
        query = "select path, filename, state from work_item where stage = 'edit' order by id"
        return [tuple(row) for row in connection.execute(text(query))]


def test_what_the_observing_database_sends_is_queued_with_who_asked(
    summit: Site, summit_http: HttpServer, night: list[Path]
) -> None:
    name = have(summit, night[0])
    response = post(summit_http, [{"data_label": LABEL, "values": PASS}])
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == [{"result": True, "id": LABEL}]
    [edit] = edits(summit)
    assert (edit.filename, edit.path, edit.applied_at, edit.error) == (name, "", None, None)
    assert edit.cards == [["RAWGEMQA", "USABLE"], ["RAWPIREQ", "YES"]]
    assert (edit.request["values"], edit.asked_by) == (PASS, "127.0.0.1")
    assert waiting(summit) == [("", name, "waiting")]
    with summit.engine.connect() as connection:
        audit = connection.execute(text("select who, action, detail from audit")).one()
    assert (audit.who, audit.action) == ("127.0.0.1", "update_headers")
    assert name in audit.detail and "RAWPIREQ = 'YES'" in audit.detail


def test_items_are_answered_in_order_and_a_refused_one_stops_nobody(
    summit: Site, summit_http: HttpServer, night: list[Path]
) -> None:
    name = have(summit, night[0])
    items = [
        {"filename": f"{name}.bz2", "values": {"raw_site": ["iq70", "WVany"], "release": "2026-11-23"}},
        {"filename": "N20251123S9999.fits", "values": PASS},
        {"values": PASS},
        {"filename": name, "values": {"generic": {"object": "M 31", "AIRMASS": 1.5}, "qa_state": "CHECK"}},
        {"filename": name, "values": {"generic": [["RELEASE", "2026-01-01"], ["NOTE", None]]}},
    ]
    response = post(summit_http, {"request": items, "batch": False})
    assert response.json() == [
        {"result": True, "id": f"{name}.bz2"},
        {
            "result": False,
            "id": "N20251123S9999.fits",
            "error": "No present file found for filename or datalabel",
        },
        {"result": False, "error": "No filename or data_label given"},
        {"result": True, "id": name},
        {"result": True, "id": name},
    ]
    assert [edit.cards for edit in edits(summit)] == [
        [["RAWIQ", "70-percentile"], ["RAWWV", "Any"], ["RELEASE", "2026-11-23"]],
        # qa_state before generic, whatever the order in the request
        [["RAWGEMQA", "CHECK"], ["RAWPIREQ", "CHECK"], ["OBJECT", "M 31"], ["AIRMASS", 1.5]],
        [["RELEASE", "2026-01-01"], ["NOTE", None]],
    ]
    assert len(waiting(summit)) == 1


@pytest.mark.parametrize("cookie", [None, "", "wrong", "null"])
def test_without_the_right_cookie_nothing_is_queued(
    summit: Site, summit_http: HttpServer, night: list[Path], cookie: str | None
) -> None:
    name = have(summit, night[0])
    response = post(summit_http, [{"filename": name, "values": PASS}], cookie)
    assert response.status_code == 403
    assert list(response.json()) == ["error"] and isinstance(response.json()["error"], str)
    assert edits(summit) == []


def test_a_site_without_accepted_values_refuses_everything(summit: Site) -> None:
    server, stop = serve(create_app(summit, session_hours=1))
    try:
        assert post(server, [], "").status_code == 403
        assert post(server, []).status_code == 403
    finally:
        stop()


def test_a_value_may_be_a_list_of_values(summit: Site) -> None:
    changed = with_api_cookies(summit, json.dumps(["old", "new"]))
    server, stop = serve(create_app(changed, session_hours=1))
    try:
        assert post(server, [], "new").json() == []
        assert post(server, [], json.dumps(["old", "new"])).status_code == 403
    finally:
        stop()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        (b"\xff\xfe", 400),
        ("[" * 100_000, 400),
        ("1" * 5000, 400),
        ('"text"', 400),
        ({}, 400),
        ({"items": []}, 400),  # an object without request
        ({"request": {"filename": "x"}}, 400),
        ([{"values": {}}] * 100_000, 413),
        ([], 200),
    ],
)
def test_a_body_that_is_not_a_request_is_refused(summit_http: HttpServer, body: object, status: int) -> None:
    response = post(summit_http, body)
    assert response.status_code == status
    if status != 200:
        assert list(response.json()) == ["error"] and isinstance(response.json()["error"], str)


def test_other_methods_are_refused(summit_http: HttpServer) -> None:
    assert requests.get(f"{summit_http.url}/update_headers", timeout=5).status_code == 405


LONG = "x" * 2001


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (None, "values is not an object"),
        ([], "values is not an object"),
        ({}, "values asks for nothing"),
        ({"reject_new": True}, "values asks for nothing"),
        ({"qa_state": "good"}, "qa_state 'good'"),
        ({"qa_state": None}, "qa_state None"),
        ({"raw_site": "iq50"}, "raw_site 'iq50'"),  # 50 is a percentile of others
        ({"raw_site": ["iq20", "iq70"]}, "both 20-percentile and 70-percentile"),
        ({"raw_site": [["iq20"]]}, "raw_site ['iq20']"),
        ({"release": "2026-02-30"}, "no date"),
        ({"release": "20260201"}, "no date"),
        ({"release": 2026}, "no date"),
        ({"qa-state": "Pass"}, "Unknown values: 'qa-state'"),
        ({"generic": "OBJECT"}, "neither an object nor a list"),
        ({"generic": [["OBJECT"]]}, "not a keyword and a value"),
        ({"generic": [[5, 5]]}, "not a keyword and a value"),
        ({"generic": {"TOOLONGKEY": 1}}, "at most 8 characters"),
        ({"generic": {"": 1}}, "at most 8 characters"),
        ({"generic": {"A B": 1}}, "at most 8 characters"),
        ({"generic": {"ß": 1}}, "at most 8 characters"),
        ({"generic": {"HIERARCH": 1}}, "at most 8 characters"),
        ({"generic": {"NAXIS2": 1}}, "may change"),
        ({"generic": {"simple": True}}, "may change"),
        ({"generic": {"CHECKSUM": "x"}}, "may change"),
        ({"generic": {"HISTORY": "x"}}, "may change"),
        ({"generic": {"OBJECT": "two\nlines"}}, "characters that a header cannot hold"),
        ({"generic": {"OBJECT": "M\u00fcnchen"}}, "characters that a header cannot hold"),
        ({"generic": {"OBJECT": "\ud800"}}, "characters that a header cannot hold"),
        ({"generic": {"OBJECT": LONG}}, "longer than 2000 characters"),
        ({"generic": {"OBJECT": ["M31"]}}, "is no text"),
        ({"generic": {"AIRMASS": float("nan")}}, "cannot be written"),
        ({"generic": {"NUMBER": 2**63}}, "too large"),
        ({"generic": {"OBJECT": "M31"}, "qa_state": "good"}, "qa_state 'good'"),  # all or nothing
        ({"qa_state": "Pass", "reject_new": "yes"}, "reject_new"),
    ],
)
def test_an_item_that_cannot_be_done_is_refused_as_a_whole(
    summit: Site, summit_http: HttpServer, night: list[Path], values: object, error: str
) -> None:
    name = have(summit, night[0])
    [answer] = post(summit_http, [{"filename": name, "values": values}]).json()
    assert (answer["result"], answer["id"]) == (False, name)
    assert error in answer["error"]
    assert edits(summit) == []
    assert waiting(summit) == []


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ("N20251123S0001.fits", "An item is an object"),
        ({"filename": "a.fits", "data_label": LABEL, "values": PASS}, "Both filename and data_label given"),
        ({"filename": "", "data_label": None, "values": PASS}, "No filename or data_label given"),
        ({"filename": ["a.fits"], "values": PASS}, "not a text"),
        ({"filename": "a\u0000.fits", "values": PASS}, "not a text"),
        ({"filename": "\ud800.fits", "values": PASS}, "not a text"),
        ({"data_label": "GN-2025B-Q-1-1-001", "values": PASS}, "No present file found"),
    ],
)
def test_an_item_that_names_no_file_is_refused(summit_http: HttpServer, item: object, error: str) -> None:
    [answer] = post(summit_http, [item]).json()
    assert answer["result"] is False
    assert error in answer["error"]


def test_what_is_ambiguous_is_refused_unless_the_path_says_which(
    summit: Site, summit_http: HttpServer, night: list[Path]
) -> None:
    name = have(summit, night[0])
    have(summit, night[0], path="copies")
    items = [
        {"filename": name, "values": PASS},
        {"data_label": LABEL, "values": PASS},
        {"filename": name, "path": "copies", "values": PASS},
        {"filename": name, "path": "elsewhere", "values": PASS},
    ]
    answers = post(summit_http, items).json()
    assert [answer["result"] for answer in answers] == [False, False, True, False]
    assert "Ambiguous" in answers[0]["error"] and "Ambiguous" in answers[1]["error"]
    assert [edit.path for edit in edits(summit)] == ["copies"]


def test_a_label_that_reduced_files_share_means_the_raw_one(
    summit: Site, summit_http: HttpServer, night: list[Path]
) -> None:
    raw = have(summit, night[0])
    have(summit, night[0], name="N20251123S0001_bias.fits")
    with summit.engine.begin() as connection:
        connection.execute(
            text(
                "update header set processing = 'Science-Quality' where diskfile_id = "
                "(select id from diskfile where filename like '%bias%')"
            )
        )
    assert post(summit_http, [{"data_label": LABEL.lower(), "values": PASS}]).json()[0]["result"]
    assert [edit.filename for edit in edits(summit)] == [raw]


def test_what_is_no_fits_file_is_refused(summit: Site, summit_http: HttpServer, tmp_path: Path) -> None:
    log = tmp_path / "20251123_GN-2025B-Q-1_obslog.txt"
    log.write_text("a log")
    name = have(summit, log)
    [answer] = post(summit_http, [{"filename": name, "values": PASS}]).json()
    assert answer == {"result": False, "id": name, "error": f"{name} is no FITS file"}


def test_new_keywords_are_rejected_where_the_item_says_so(
    summit: Site, summit_http: HttpServer, night: list[Path]
) -> None:
    name = have(summit, night[0])
    generic = {"generic": {"OBJECT": "x", "NEWKEY": 1}}
    post(summit_http, [{"filename": name, "values": generic, "reject_new": True}])
    post(summit_http, [{"filename": name, "values": {**generic, "reject_new": True, **PASS}}])
    post(summit_http, [{"filename": name, "values": generic, "reject_new": False}])
    assert [edit.request["required"] for edit in edits(summit)] == [
        ["OBJECT", "NEWKEY"],
        ["OBJECT", "NEWKEY"],
        [],
    ]


def test_the_archive_refuses_edits_of_its_own(archive: Site, night: list[Path]) -> None:
    server, stop = serve(create_app(with_api_cookies(archive, COOKIE), session_hours=1))
    try:
        name = have(archive, night[0])
        [answer] = post(server, [{"filename": name, "values": PASS}]).json()
    finally:
        stop()
    assert (answer["result"], answer["id"]) == (False, name)
    assert "at the summit" in answer["error"]
    assert edits(archive) == []


def test_the_command_queues_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings, summit: Site, night: list[Path]
) -> None:
    from fits_dagster.cli import headers

    monkeypatch.setattr(headers, "load_settings", lambda home: settings)
    name = have(summit, night[0])

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["update-headers", *arguments, "--home", str(tmp_path)])
        return result.exit_code, result.output

    options = ("--qa-state", "usable", "--raw-site", "iq20", "--set", "AIRMASS=1.5", "--set", "OBJECT=M=31")
    code, output = run(LABEL, *options, "--dry-run")
    assert code == 0 and "AIRMASS = 1.5" in output and "not queued" in output
    assert edits(summit) == []
    assert run(name, *options)[0] == 0
    assert edits(summit)[0].cards[-2:] == [["AIRMASS", 1.5], ["OBJECT", "M=31"]]
    assert edits(summit)[0].asked_by.endswith("(command line)")
    code, output = run(name, "N20251123S9999.fits", "--release", "2026-11-23")
    assert code == 1 and "N20251123S9999.fits: No present file found" in output
    assert len(edits(summit)) == 2
    assert run(name, "--set", "NOSIGN")[0] == 2


def test_summit_and_archive_of_one_machine_share_a_secret_and_tell_it_nobody_else(tmp_path: Path) -> None:
    from fits_dagster.settings import load_settings
    from fits_dagster.system.up import _with_shared_secret

    def secrets(settings: Settings) -> tuple[str, list[str], list[str]]:
        summit, archive = settings.summit, settings.archive
        return (
            summit.export_api_cookie.get_secret_value(),
            [value.get_secret_value() for value in summit.api_cookies],
            [value.get_secret_value() for value in archive.api_cookies],
        )

    assert secrets(load_settings(tmp_path)) == ("", [], [])
    sent, here, there = secrets(_with_shared_secret(load_settings(tmp_path)))
    assert sent and here == there == [sent]
    # it is known from now on, but not where exports go elsewhere
    assert secrets(load_settings(tmp_path)) == (sent, here, there)
    elsewhere = {"export_destinations": ["https://archive.example"], "export_cookie": "x"}
    assert secrets(_with_shared_secret(load_settings(tmp_path, summit=elsewhere)))[0] == ""
    # and what is configured stays
    chosen = _with_shared_secret(
        load_settings(tmp_path, summit={"export_api_cookie": "mine"}, archive={"api_cookies": ["theirs"]})
    )
    assert (secrets(chosen)[0], secrets(chosen)[2]) == ("mine", ["theirs"])
