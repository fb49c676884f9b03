"""The search page: the form becomes an address, the address a table, and what is chosen a tar."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from playwright.sync_api import Browser, expect
from sqlalchemy import text

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork
from fits_dagster.ledger.loop import drain
from fits_dagster.records.selection import GRAMMAR
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest
from fits_dagster.web.search_fields import FIELDS, fields_of, selection_of
from fits_dagster_tests.builders.flow import store_of
from fits_dagster_tests.builders.records import insert_records, make_records
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.web.conftest import visit

RECORDS = make_records(150)
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def server(archive: Site, archive_http: HttpServer) -> HttpServer:
    """An archive with records that are made up."""
    remembered("search", [archive], lambda: insert_records(archive, RECORDS))
    return archive_http


def get(server: HttpServer, path: str, **given: Any) -> requests.Response:
    return requests.get(f"{server.url}{path}", timeout=20, **given)


def listed(page: str) -> list[str]:
    return [r["name"] for r in RECORDS if f">{r['name']}<" in page]


@pytest.mark.parametrize("each", FIELDS, ids=lambda field: field.name)
def test_every_field_writes_what_the_grammar_understands_and_reads_it_back(each: Any) -> None:
    term = next(term for term in GRAMMAR if term.key == each.key)
    example = next((e for e in term.examples if e.startswith(each.prefix)), term.examples[0])
    values = [value for value, _ in each.options()] or [example.removeprefix(each.prefix)]
    for value in values:
        elements = selection_of({each.name: value})
        assert len(elements) == 1
        assert any(term.understand(element) is not None for element in elements), elements
        assert fields_of(elements) == {each.name: value}


@pytest.mark.parametrize(
    ("form", "element"),
    [
        ({"from": "2025-11-23", "to": ""}, "date=20251123"),
        ({"from": "2025-11-20", "to": "2025-11-23", "days": "night"}, "nightrange=20251120-20251123"),
        ({"from": "", "to": "2025-11-23", "days": "night"}, "night=20251123"),
    ],
)
def test_days_are_dates_or_nights(form: dict[str, str], element: str) -> None:
    assert selection_of(form) == [element]
    assert selection_of(fields_of([element])) == [element]


def test_nothing_of_a_selection_is_lost_by_the_form() -> None:
    elements = ["inst=GMOS-N", "LGS", "notengineering", "20251123-20251125", "today", "nonesuch", "az=1-2"]
    again = selection_of(fields_of([*elements, "cols=FT", "orderby=ra"]))
    assert sorted(again) == sorted([*elements[:3], "daterange=20251123-20251125", *elements[4:]])


def test_the_address_is_the_selection(server: HttpServer) -> None:
    form = {"search": "yes", "object": "NGC 1/2", "instrument": "GMOS-N", "qa": "Win", "ra": ""}
    page = get(server, "/searchform/", params=form)
    assert page.history[0].status_code == 302
    assert unquote(page.url).endswith("/searchform/object=NGC 1=slash=2/Win/inst=GMOS-N")
    found = get(server, "/searchform/inst=GMOS-N/Win?show=500")
    names = {
        r["name"]
        for r in RECORDS
        if r["canonical"] and r["instrument"] == "GMOS-N" and r["qa_state"] in ("Pass", "Usable")
    }
    assert set(listed(found.text)) == names
    assert f"{len(names)} file" in found.text
    assert '<option value="GMOS-N" selected>' in found.text
    assert "B600" in found.text
    assert "<datalist" in found.text


def test_pages_and_order_go_through_everything_once(server: HttpServer) -> None:
    path: str | None = "/searchform/includeengineering?show=25&orderby=exposure_time_desc"
    found: list[str] = []
    while path:
        page = get(server, path).text
        found += listed(page)
        pages = page.partition('<nav class="pages"')[2]
        link = pages.partition('" rel="next"')[0].rpartition('href="')[2] if 'rel="next"' in pages else ""
        path = link.replace("&amp;", "&") or None
    assert sorted(found) == sorted(r["name"] for r in RECORDS if r["canonical"])
    assert 'aria-sort="descending"' in page


def test_what_cannot_be_is_said_beside_the_form(server: HttpServer) -> None:
    html = {"Accept": "text/html"}
    for path in ("/searchform/ra=400", "/searchform/M31/?orderby=nonesuch", "/searchform/GMOS-N?after=x"):
        page = get(server, path, headers=html)
        assert page.status_code == 400
        assert 'class="problem"' in page.text
        assert 'name="object"' in page.text
        assert get(server, path).json().keys() == {"error"}
    assert "Not understood" in get(server, "/searchform/nonesuch/GMOS-N", headers=html).text


def test_columns_are_chosen_by_a_form(server: HttpServer) -> None:
    page = get(server, "/searchform/GMOS-N?columns=yes&col=F&col=R&show=100&orderby=ra")
    assert page.url.endswith("/searchform/GMOS-N/cols=FR?orderby=ra&show=100")
    head = page.text.partition("<thead>")[2].partition("</thead>")[0]
    assert [title for title in ("File", "RA", "Dec", "Object") if f">{title}" in head] == ["File", "RA"]


@pytest.fixture
def associated(archive: Site, archive_http: HttpServer, night: list[Path]) -> HttpServer:
    """An archive with a night, its files public, and their associations."""

    def make() -> None:
        for path in night:
            (store_of(archive) / path.name).write_bytes(path.read_bytes())
        with archive.engine.begin() as connection:
            work.add_work(connection, [NewWork(stage="ingest", filename=path.name) for path in night])
        drain(archive, ingest.STAGE)
        drain(archive, associate.STAGE)
        with archive.engine.begin() as connection:
            connection.execute(
                text(
                    "update header set object = 'NGC 1234' "
                    "where observation_class = 'science' and instrument = 'GMOS-N'"
                )
            )
            connection.execute(text("update header set release = '2020-01-01'"))

    remembered("associated", [archive], make)
    return archive_http


def in_tar(content: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name for member in tar} - {"md5sums.txt", "README.txt"}


def test_science_frames_and_their_flats_with_four_clicks(
    archive: Site, associated: HttpServer, chromium: Browser, tmp_path: Path
) -> None:
    with archive.engine.connect() as connection:
        rows = connection.execute(
            text(
                "select d.filename, h.filter_name from header h join diskfile d on d.id = h.diskfile_id "
                "where h.object = 'NGC 1234' and h.qa_state != 'Fail'"
            )
        ).all()
    filter_name = rows[0].filter_name
    science = {row.filename for row in rows if row.filter_name == filter_name}
    page, complaints = visit(chromium, associated, accept_downloads=True)
    page.goto("/")
    page.get_by_role("link", name="Search").click()  # 1
    page.get_by_label("Object, as the observer wrote it").fill("NGC 1234")
    page.get_by_role("combobox", name="Instrument").select_option("GMOS-N")
    page.get_by_label("Filter").fill(filter_name)
    page.get_by_role("combobox", name="Class").select_option("science")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Search").click()  # 2
    expect(page.get_by_role("heading", level=1)).to_have_text(
        f"{len(science)} file" + ("s" if len(science) > 1 else "")
    )
    page.get_by_label("Choose all of this page").check()  # 3
    expect(page.locator("#chosen")).to_have_text(f"{len(science)} chosen:")
    with page.expect_download() as download:
        page.get_by_role("button", name="with their calibrations").click()  # 4
    download.value.save_as(tmp_path / "chosen.tar")
    got = in_tar((tmp_path / "chosen.tar").read_bytes())
    assert science < got
    same = f"object=NGC 1234/GMOS-N/science/NotFail/filter={filter_name}/20251123"
    listing = requests.get(f"{associated.url}/associatedcals/{same}", timeout=20).json()
    assert got == science | {each["filename"] for each in listing}
    assert any("flat" in each["caltype"] for each in listing)
    assert complaints == []


def test_what_is_chosen_is_sent_without_a_script(
    associated: HttpServer, chromium: Browser, night: list[Path]
) -> None:
    page, complaints = visit(chromium, associated, java_script_enabled=False, accept_downloads=True)
    page.goto("/searchform/20251123?as=pictures")
    page.get_by_label(f"Choose {night[0].name}").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert in_tar(Path(download.value.path()).read_bytes()) == {night[0].name}
    url = f"{associated.url}/download/"
    for what, is_in in (("files", True), ("both", True), ("calibrations", False)):
        answer = requests.post(url, data={"files": [night[0].name], "what": what}, timeout=20)
        if answer.headers["content-type"].startswith("application"):
            assert (night[0].name in in_tar(answer.content)) == is_in
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_search_fits_a_phone_and_is_used_by_keys(
    associated: HttpServer, chromium: Browser, scheme: str
) -> None:
    page, complaints = visit(chromium, associated, viewport=PHONE, color_scheme=scheme)
    for address in ("/searchform/", "/searchform/20251123", "/searchform/20251123?as=pictures"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
    page.goto("/searchform/")
    page.get_by_label("Object, as the observer wrote it").focus()
    page.keyboard.type("NGC*")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("file")
    assert "object=NGC*" in page.url
    assert complaints == []
