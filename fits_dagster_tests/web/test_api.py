"""``/api/v1``: pages that miss nothing, parameters understood or refused, tokens, events, ObsCore."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from astropy.io.votable import parse
from astropy.table import Table
from sqlalchemy import text

from fits_dagster.records.selection import GRAMMAR
from fits_dagster.sites import Site
from fits_dagster.web.accounts import Role
from fits_dagster.web.tokens import TokenNameError, add_token, revoke_token
from fits_dagster_tests.builders.records import insert_records, make_records
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer

RECORDS = make_records(120)
CURRENT = {r["name"]: r for r in RECORDS if r["canonical"]}


@pytest.fixture
def server(archive: Site, archive_http: HttpServer) -> HttpServer:
    """An archive with records that are made up."""
    remembered("api", [archive], lambda: insert_records(archive, RECORDS))
    return archive_http


def get(server: HttpServer, path: str, **given: Any) -> requests.Response:
    return requests.get(f"{server.url}/api/v1/{path}", timeout=20, **given)


def walk(server: HttpServer, path: str) -> list[dict[str, Any]]:
    """All entries of all pages."""
    found: list[dict[str, Any]] = []
    address: str | None = f"{server.url}/api/v1/{path}"
    while address is not None:
        page = requests.get(address, timeout=20).json()
        found += page["items"]
        address = page["next"]
    return found


@pytest.mark.parametrize(
    "order",
    ["", "filename_desc", "ut_datetime", "exposure_time_desc", "object", "ra_desc", "raw_iq", "local_time"],
)
def test_pages_hold_everything_once_in_any_order(server: HttpServer, order: str) -> None:
    found = walk(server, f"records?limit=17&orderby={order}" if order else "records?limit=17")
    names = [each["name"] for each in found]
    assert (len(names), set(names)) == (len(CURRENT), set(CURRENT))
    column, _, way = order.rpartition("_") if order.endswith("_desc") else (order, "", "")
    if column and column not in ("filename", "local_time"):
        values = [CURRENT[name].get(column) for name in names]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=way == "desc")
        assert values[len(known) :] == [None] * (len(values) - len(known))


def test_what_comes_between_two_pages_is_neither_missed_nor_told_twice(
    archive: Site, server: HttpServer
) -> None:
    first = get(server, "records?limit=50").json()
    with archive.engine.begin() as connection:
        connection.execute(
            text("update diskfile set canonical = false where filename like :name"),
            {"name": f"{first['items'][3]['name']}%"},
        )
    found = [each["name"] for each in first["items"]]
    address = first["next"]
    while address is not None:
        page = requests.get(address, timeout=20).json()
        found, address = found + [each["name"] for each in page["items"]], page["next"]
    assert sorted(found) == sorted(CURRENT)


@pytest.mark.parametrize(
    ("query", "is_wanted"),
    [
        ("inst=GMOS-N", lambda r: r["instrument"] == "GMOS-N"),
        ("instrument=gmos", lambda r: r["instrument"] in ("GMOS-N", "GMOS-S")),
        ("qa_state=Win", lambda r: r["qa_state"] in ("Pass", "Usable")),
        (
            "observation_type=ARC&engineering=false",
            lambda r: r["observation_type"] == "ARC" and not r["engineering"],
        ),
        ("present=true", lambda r: r["present"]),
        ("select=GMOS-N/Pass", lambda r: (r["instrument"], r["qa_state"]) == ("GMOS-N", "Pass")),
        ("object=NGC*", lambda r: (r["object"] or "").lower().startswith("ngc")),
        ("exposure_time=30", lambda r: 29.5 <= r["exposure_time"] <= 30.5),
        ("date=20251121", lambda r: r["ut_datetime"].day == 21),
    ],
)
def test_parameters_select_as_the_grammar_says(
    server: HttpServer, query: str, is_wanted: Callable[[dict[str, Any]], bool]
) -> None:
    found = {each["name"] for each in walk(server, f"records?{query}")}
    assert found == {name for name, record in CURRENT.items() if is_wanted(record)}


def test_every_row_of_the_grammar_is_a_parameter_and_described(server: HttpServer) -> None:
    described = requests.get(f"{server.url}/openapi.json", timeout=10).json()
    parameters = described["paths"]["/api/v1/records"]["get"]["parameters"]
    names = {each["name"] for each in parameters}
    for term in GRAMMAR:
        if term.key == "cols":
            continue
        assert (term.names[0] if term.names else term.key) in names
        if term.key not in ("orderby",):
            value = term.examples[0].rpartition("=")[2]
            name = term.names[0] if term.names and "=" in term.examples[0] else term.key
            answer = get(server, "records", params={"limit": 1, name: value})
            assert answer.status_code == 200, (term.key, answer.text)


@pytest.mark.parametrize(
    "query",
    [
        "nonesuch=1",
        "select=nonesuch",
        "inst=GMOS-N&present=perhaps",
        "observation_type=inst=GMOS-N",
        "ra=400",
        "limit=0",
        "limit=5000",
        "cursor=x",
        "cursor=%00",
        "cursor=bnVsbA",
        "cursor=WyJmaWxlbmFtZSIsZmFsc2UsIngiLC0xXQ",
        "orderby=nonesuch",
        "orderby=ra&orderby=dec",
    ],
)
@pytest.mark.parametrize("route", ["records", "events"])
def test_what_is_not_understood_is_refused(server: HttpServer, route: str, query: str) -> None:
    answer = get(server, f"{route}?{query}")
    if route == "events" and query.startswith("orderby"):
        return
    assert answer.status_code in (400, 422)
    assert answer.json().keys() == {"error"}


def test_one_file_is_told_with_its_versions(server: HttpServer) -> None:
    record = next(r for r in RECORDS if r["canonical"] and r["present"] and r["path"] == "a/b")
    answer = get(server, f"files/a/b/{record['name']}").json()
    assert answer["record"]["data_label"] == record["data_label"]
    links = answer["record"]["links"]
    assert links["file"] is None or links["file"].endswith(f"/file/a/b/{record['name']}.bz2")
    assert [version["path"] for version in answer["versions"]] == ["a/b"]
    told = requests.get(links["calibrations"], timeout=10).json()
    assert told["name"] == record["name"]
    assert all(each["chosen"] == [] for each in told["types"])
    assert get(server, "files/nonesuch").status_code == 404
    assert get(server, "calibrations/nonesuch").status_code == 404


def test_nights_with_data_are_found_over_gaps(archive: Site, server: HttpServer) -> None:
    with archive.engine.begin() as connection:
        connection.execute(
            text(
                "update header set ut_datetime = '1999-12-31 23:59Z' where id = (select min(id) from header)"
            )
        )
    found = walk(server, "nights?limit=2")
    counted = {each["night"]: each["files"] for each in found}
    assert list(counted) == sorted(counted, reverse=True)
    for label, files in counted.items():
        listed = walk(server, f"records?night={label}&limit=1000")
        assert len(listed) == files > 0
        one = requests.get(next(e["link"] for e in found if e["night"] == label), timeout=10).json()
        assert (one["files"], sum(one["by_instrument"].values()), one["stages"]) == (files, files, {})
    assert get(server, "nights/99999999").status_code == 404


# ---- tokens


def test_a_token_for_reading_shows_what_its_owner_may_see(
    archive: Site, server: HttpServer, signed_in: Callable[[Role | None], requests.Session]
) -> None:
    secret = next(r for r in RECORDS if r["canonical"] and r["ra"] is not None)
    with archive.engine.begin() as connection:
        connection.execute(
            text(
                "update header set proprietary_coordinates = true, release = '2999-01-01' "
                "where data_label = :l"
            ),
            {"l": secret["data_label"]},
        )
    signed_in("staff"), signed_in("reader")
    path = f"records?filename={secret['name']}"
    seen = {}
    for who in ("anna", "rita"):
        value = add_token(archive.engine, who, "read", days=1, who="test", owner=who)
        [record] = get(server, path, headers={"Authorization": f"Bearer {value}"}).json()["items"]
        seen[who] = record["ra"]
        asked = {"Authorization": f"Bearer {value}"}
        answer = requests.get(f"{server.url}/whoami", headers=asked, timeout=10).json()
        assert answer["username"] == who
    assert (seen["anna"], seen["rita"]) == (pytest.approx(secret["ra"]), None)
    [record] = get(server, path).json()["items"]
    assert record["ra"] is None


def test_a_token_for_reading_changes_nothing_and_ends(
    archive: Site, server: HttpServer, signed_in: Callable[[Role | None], requests.Session]
) -> None:
    signed_in("staff")
    value = add_token(archive.engine, "one", "read", days=1, who="test", owner="anna")
    shown = {"Authorization": f"Bearer {value}"}
    queue = f"{server.url}/queuestatus"
    assert requests.get(queue, headers=shown, timeout=10).status_code == 200
    assert requests.post(f"{queue}/iq/pause", headers=shown, timeout=10).status_code == 403
    upload = f"{server.url}/upload_file/N20251123S0001.fits"
    assert requests.post(upload, data=b"x", headers=shown, timeout=10).status_code == 403
    revoke_token(archive.engine, "one", who="test")
    answer = get(server, "records", headers=shown)
    assert (answer.status_code, answer.json()) == (403, {"error": "the token one was revoked"})
    other = {"Authorization": f"Bearer {add_token(archive.engine, 'up', 'upload', days=1, who='test')}"}
    assert requests.get(f"{server.url}/whoami", headers=other, timeout=10).json()["username"] is None
    for scope, owner in (("read", None), ("upload", "anna"), ("read", "nobody")):
        with pytest.raises(TokenNameError):
            add_token(archive.engine, "wrong", scope, days=1, who="test", owner=owner)  # type: ignore[arg-type]


# ---- events


def follow(
    server: HttpServer, headers: dict[str, str], query: str = "", begun: threading.Event | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Events of a stream: id and data."""
    asked = {"Accept": "text/event-stream", **headers}
    with requests.get(f"{server.url}/api/v1/events{query}", headers=asked, stream=True, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in answer.iter_lines(chunk_size=1):
            if begun is not None:
                begun.set()
            name, _, value = line.decode().partition(": ")
            if name:
                event[name] = value
            elif "data" in event:
                assert event["event"] == "arrived"
                yield event["id"], json.loads(event["data"])
                event = {}


def take(events: Iterator[tuple[str, dict[str, Any]]], count: int) -> list[tuple[str, dict[str, Any]]]:
    return [next(events) for _ in range(count)]


def arrivals(count: int, seed: int) -> list[dict[str, Any]]:
    records = make_records(count, seed)
    for number, record in enumerate(records):
        record["name"] = f"N20260101S{seed:02d}{number:02d}.fits"
        record["canonical"] = record["present"] = True
        del record["entrytime"]
    return records


def test_a_stream_tells_what_comes_and_goes_on_where_it_was(archive: Site, server: HttpServer) -> None:
    begun = threading.Event()

    def bring() -> None:
        begun.wait(10)
        for seed in (11, 12):
            insert_records(archive, arrivals(3, seed))

    thread = threading.Thread(target=bring)
    thread.start()
    events = follow(server, {}, begun=begun)
    told = take(events, 4)
    events.close()  # type: ignore[attr-defined]
    thread.join()
    # while nobody listened
    insert_records(archive, arrivals(2, 13))
    rest = take(follow(server, {"Last-Event-ID": told[-1][0]}), 4)
    names = [data["name"] for _, data in told + rest]
    wanted = [
        record["name"] for seed, count in ((11, 3), (12, 3), (13, 2)) for record in arrivals(count, seed)
    ]
    assert names == wanted
    [(_, one)] = take(follow(server, {}, "?cursor=0.0&inst=GMOS-S"), 1)
    assert one["instrument"] == "GMOS-S"


def test_a_page_of_events_goes_on_tomorrow(archive: Site, server: HttpServer) -> None:
    with archive.engine.begin() as connection:
        connection.execute(text("update diskfile set entrytime = entrytime - interval '1 year'"))
    found = walk(server, "events?limit=25")
    by_entry = sorted((r for r in RECORDS if r.get("entrytime")), key=lambda r: r["entrytime"])
    assert [each["name"] for each in found] == [r["name"] for r in by_entry]
    cursor = get(server, "events?limit=1000").json()["cursor"]
    assert get(server, f"events?cursor={cursor}").json()["items"] == []
    assert (
        requests.head(
            f"{server.url}/api/v1/events", headers={"Accept": "text/event-stream"}, timeout=10
        ).status_code
        == 200
    )
    wrong = get(server, "events?cursor=x", headers={"Accept": "text/event-stream"})
    assert (wrong.status_code, wrong.json().keys()) == (400, {"error"})


# ---- ObsCore


def test_the_table_of_obscore_holds_the_records(server: HttpServer) -> None:
    rows = Table.read(get(server, "obscore.csv?inst=GMOS-S").text, format="ascii.csv")
    votable = parse(io.BytesIO(get(server, "obscore.vot?inst=GMOS-S").content), verify="exception")
    table = votable.get_first_table().to_table()
    wanted = {r["name"]: r for r in CURRENT.values() if r["instrument"] == "GMOS-S"}
    for found in (rows, table):
        names = [url.rpartition("/")[2].removesuffix(".bz2") for url in found["access_url"]]
        assert set(names) == set(wanted)
        for name, row in zip(names, found, strict=True):
            record = wanted[name]
            assert row["s_ra"] == pytest.approx(record["ra"])
            begin = (record["ut_datetime"] - datetime(1858, 11, 17, tzinfo=UTC)).total_seconds() / 86400
            assert row["t_min"] == pytest.approx(begin, abs=1e-9)
            assert row["t_exptime"] == pytest.approx(record["exposure_time"] * record["coadds"])
            assert row["calib_level"] == (1 if record["reduction"] == "RAW" else 2)
    assert table["s_ra"].unit == "deg"
    assert rows.colnames == table.colnames


def test_a_table_that_is_cut_says_so(server: HttpServer) -> None:
    answer = get(server, "obscore.vot?maxrec=5")
    votable = parse(io.BytesIO(answer.content))
    status = {info.name: info.value for info in votable.resources[0].infos}
    assert (status["QUERY_STATUS"], len(votable.get_first_table().array)) == ("OVERFLOW", 5)
    assert answer.headers["X-Fits-Dagster-Truncated"] == "5"
    whole = get(server, "obscore.csv")
    assert "X-Fits-Dagster-Truncated" not in whole.headers
    assert len(whole.text.splitlines()) == len(CURRENT) + 1
    empty = parse(io.BytesIO(get(server, "obscore.vot?filename=nonesuch.fits").content))
    assert len(empty.get_first_table().array) == 0
