"""A file's page: picture, facts, headers, calibrations and why, uses, versions, history; for whom what is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect
from sqlalchemy import text

from fits_dagster.calibration.lookup import associations_of, current_header, uses_of
from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview
from fits_dagster.web.accounts import Role
from fits_dagster_tests.builders.flow import store_of
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.web.conftest import sign_in, visit

PHONE = {"width": 360, "height": 740}


@pytest.fixture
def server(archive: Site, archive_http: HttpServer, night: list[Path]) -> HttpServer:
    """An archive with a night: previews, associations, and a file that has failed."""

    def make() -> None:
        for path in night:
            (store_of(archive) / path.name).write_bytes(path.read_bytes())
        (store_of(archive) / "N20251123S0999.fits").write_bytes(b"no FITS")
        names = [*(path.name for path in night), "N20251123S0999.fits"]
        with archive.engine.begin() as connection:
            work.add_work(connection, [NewWork(stage="ingest", filename=name) for name in names])
        for stage in (ingest.STAGE, preview.STAGE, associate.STAGE):
            drain(archive, stage)
        with archive.engine.begin() as connection:
            connection.execute(text("update header set release = '2020-01-01'"))

    remembered("about", [archive], make)
    return archive_http


def science_of(site: Site) -> str:
    """A frame that has calibrations of several types."""
    with site.engine.connect() as connection:
        return str(
            connection.scalar(
                text(
                    "select f.name from calibration_answer a join header h on h.id = a.header_id "
                    "join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id "
                    "where h.observation_class = 'science' group by f.name order by count(*) desc, 1 limit 1"
                )
            )
        )


def get(server: HttpServer, name: str, session: requests.Session | None = None) -> requests.Response:
    asked = session or requests
    return asked.get(f"{server.url}/about/{name}", timeout=20)  # type: ignore[no-any-return,attr-defined]


def test_uses_are_the_associations_seen_from_the_other_side(archive: Site, server: HttpServer) -> None:
    with archive.engine.connect() as connection:
        names = connection.scalars(text("select name from file where name not like '%S0999%'")).all()
        wanted: dict[str, set[tuple[str, str, int]]] = {name: set() for name in names}
        for name in names:
            for each in associations_of(connection, name):
                for rank, calibration in enumerate(each.names):
                    wanted[calibration].add((name, each.caltype, rank))
        for name in names:
            found = uses_of(connection, current_header(connection, name), limit=1000)
            assert {(use.name, use.caltype, use.rank) for use in found} == wanted[name]
            assert [abs(use.seconds) for use in found] == sorted(abs(use.seconds) for use in found)
    assert any(wanted.values())


def test_a_page_shows_what_is_known_and_leads_to_the_rest(
    archive: Site, server: HttpServer, chromium: Browser
) -> None:
    name = science_of(archive)
    with archive.engine.connect() as connection:
        associations = [each for each in associations_of(connection, name) if each.names]
    page, complaints = visit(chromium, server)
    page.goto(f"/about/{name}")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator(".picture img")).to_have_js_property("complete", True)
    assert page.locator(".picture img").evaluate("image => image.naturalWidth") > 16
    for each in associations:
        section = page.locator(
            "section.caltype",
            has=page.get_by_role("heading", name=each.caltype.replace("_", " "), exact=True),
        )
        assert section.locator("ol li a").all_inner_texts() == list(each.names)
    # headers are searched while one types
    page.get_by_label("Lines with").fill("obstype")
    expect(page.locator("#cards")).to_contain_text("OBSTYPE =")
    assert all("obstype" in line.lower() for line in page.locator("#cards").inner_text().splitlines())
    calibration = associations[0].names[0]
    page.locator("ol").get_by_role("link", name=calibration).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(calibration)
    page.locator("#uses + p + ul").get_by_role("link", name=name).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    for link in page.locator("main a").evaluate_all("links => links.map(a => a.getAttribute('href'))"):
        if not link.startswith("#"):
            assert page.request.get(link).status == 200, link
    assert complaints == []


def test_headers_are_searched_without_a_script(archive: Site, server: HttpServer) -> None:
    page = get(server, f"{science_of(archive)}?find=obstype").text
    cards = page.partition('id="cards"')[2].partition(">")[2].partition("</pre>")[0]
    lines = [line for line in cards.splitlines() if line.strip()]
    assert lines
    assert all("OBSTYPE" in line for line in lines)
    assert "No line has it" in get(server, f"{science_of(archive)}?find=nonesuch").text


def test_why_is_readable_with_a_script_and_without(
    archive: Site, server: HttpServer, chromium: Browser
) -> None:
    with archive.engine.connect() as connection:
        name, found, missing = next(
            (name, found, missing)
            for name in connection.scalars(
                text("select name from file where name not like '%S0999%' order by 1")
            )
            for types in [[each for each in associations_of(connection, name) if each.applicable]]
            for found, missing in [
                (
                    next((each.caltype for each in types if each.names), ""),
                    next((each.caltype for each in types if not each.names), ""),
                )
            ]
            if found and missing
        )
    for script in (True, False):
        page, complaints = visit(chromium, server, java_script_enabled=script)
        page.goto(f"/about/{name}")
        for caltype in (found, missing):
            section = page.locator(f"#cal-{caltype}")
            if caltype == found or not script:
                section.get_by_role("link", name=re.compile("^Why")).click()
            expect(section).to_contain_text(re.compile("Passed over|passed over|is known|rule|file has"))
            expect(section.get_by_role("link", name=re.compile("^Why"))).to_have_count(0)
        assert complaints == []


def test_what_is_hidden_stays_hidden(
    archive: Site, server: HttpServer, signed_in: Callable[[Role | None], requests.Session]
) -> None:
    name = science_of(archive)
    with archive.engine.begin() as connection:
        connection.execute(
            text(
                "update header set release = '2999-01-01', proprietary_coordinates = true, "
                "object = 'SECRETOBJ' where diskfile_id = (select d.id from diskfile d join file f "
                "on f.id = d.file_id where f.name = :name)"
            ),
            {"name": name},
        )
    for session in (requests.Session(), signed_in("reader")):
        page = get(server, name, session).text
        assert "not public yet" in page
        assert "not released" in page
        for secret in ("SECRETOBJ", "OBSTYPE", "<img", 'id="calibrations"'):
            assert secret not in page, secret
    page = get(server, name, signed_in("staff")).text
    for shown in ("SECRETOBJ", "OBSTYPE", "<img", 'id="calibrations"'):
        assert shown in page, shown


def test_staff_mend_a_failure_from_the_page_of_its_file(
    archive: Site, server: HttpServer, chromium: Browser, night: list[Path]
) -> None:
    name = "N20251123S0999.fits"
    assert get(server, name).status_code == 404
    page, complaints = sign_in(chromium, archive, server, "operator")
    page.goto(f"/about/{name}")
    expect(page.get_by_role("status").first).to_contain_text("failed")
    (store_of(archive) / name).write_bytes(night[0].read_bytes())
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("status").first).to_contain_text(f"{name} waits for ingest again")
    assert drain(archive, ingest.STAGE).done == 1
    page.goto(f"/about/{name}")
    expect(page.locator(".picture")).to_be_visible()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(archive: Site, server: HttpServer, chromium: Browser, scheme: str) -> None:
    page, complaints = sign_in(chromium, archive, server, "staff", viewport=PHONE, color_scheme=scheme)
    for name in (science_of(archive), "N20251123S0999.fits"):
        page.goto(f"/about/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    assert complaints == []
