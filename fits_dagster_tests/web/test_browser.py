"""The pages in a real browser: tabs, keyboard, what changes while one looks, a failure mended there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork, new_lease
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster.web.accounts import Role, add_user
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.web.conftest import NAMES, PASSWORD

PHONE = {"width": 360, "height": 740}

OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(archive: Site, archive_http: HttpServer, chromium: Browser) -> Iterator[OpenPage]:
    """Open the queue status page as a person with a role, who signs in through the form."""
    contexts = []
    complaints: list[str] = []

    def open_as(role: Role, **options: object) -> Page:
        add_user(archive.engine, NAMES[role], PASSWORD, role=role)
        context = chromium.new_context(base_url=archive_http.url, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto("/queuestatus")
        page.get_by_label("User name").fill(NAMES[role])
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Archive (archive) - Queue Status Page")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []


def fail_one(site: Site, stage: str, name: str, reason: str = "not_fits") -> None:
    """Let a file fail in a stage."""
    with site.engine.begin() as connection:
        work.add_work(connection, [NewWork(stage=stage, filename=name, priority=9)])
        lease = new_lease("test", 60)
        [item] = work.claim(connection, stage, lease, limit=1)
        assert item.filename == name
        work.fail(connection, lease, item.id, reason=reason, message=f"{name}: no FITS", trace="Traceback")


def test_tabs_are_chosen_by_click_and_by_keys(open_page: OpenPage, queues: int) -> None:
    page = open_page("staff")
    ingest_tab, preview_tab = (page.get_by_role("tab", name=name) for name in ("Ingest", "Preview"))
    expect(ingest_tab).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name="Ingest")).to_be_visible()
    preview_tab.click()
    expect(page.get_by_role("tabpanel", name="Preview")).to_contain_text("nothing is waiting")
    expect(page.get_by_role("tabpanel", name="Ingest")).to_be_hidden()
    for key, name in (
        ("ArrowRight", "Calcache"),
        ("End", "Store"),
        ("ArrowRight", "Ingest"),
        ("ArrowLeft", "Store"),
        ("Home", "Ingest"),
    ):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
    page.reload()
    expect(ingest_tab).to_have_attribute("aria-selected", "true")
    preview_tab.click()
    page.reload()
    expect(preview_tab).to_have_attribute("aria-selected", "true")


def test_everything_is_reached_by_keyboard(open_page: OpenPage, queues: int) -> None:
    page = open_page("operator")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim().split('\\n')[0]"))
        if page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none":
            pytest.fail(f"no visible focus on {reached[-1]!r}")
        if reached[-1] == "N20251123S0029.fits":
            break
    wanted = ["Find", "Ingest (30/1)", "Pause Ingest", "N20251123S0000.fits", "Try again", "Try all again …"]
    assert [each for each in reached if each in wanted] == wanted


def test_a_new_failure_appears_and_tab_focus_and_rows_stay(
    open_page: OpenPage, archive: Site, queues: int
) -> None:
    fail_one(archive, "store", "N20251124S0001.fits")
    page = open_page("staff")
    page.get_by_role("tab", name="Store").click()
    panel = page.get_by_role("tabpanel", name="Store")
    first = panel.get_by_role("link", name="N20251124S0001.fits")
    first.focus()
    page.evaluate("window.stillHere = document.activeElement.closest('tr')")
    fail_one(archive, "store", "N20251124S0002.fits")
    expect(panel.get_by_role("link", name="N20251124S0002.fits")).to_be_visible()
    expect(page.get_by_role("tab", name="Store")).to_contain_text("(2/2)")
    expect(page.get_by_role("tab", name="Store")).to_have_attribute("aria-selected", "true")
    expect(first).to_be_focused()
    assert page.evaluate("window.stillHere.isConnected")
    expect(page.locator("#said")).to_contain_text("Store: 0 waiting, 2 failed")
    # when the row with the focus goes, the focus goes to the heading of its half, not to the top of the page
    with archive.engine.begin() as connection:
        connection.execute(text("delete from work_item where filename = 'N20251124S0001.fits'"))
    expect(first).to_have_count(0)
    expect(panel.get_by_role("heading", name="Errors")).to_be_focused()


def test_a_failure_is_read_repaired_and_tried_again(
    open_page: OpenPage, archive: Site, night: list[Path]
) -> None:
    assert archive.settings.store_directory is not None
    good, name = night[0].read_bytes(), night[0].name
    broken = archive.settings.store_directory / name
    broken.write_bytes(good[:-5000])
    with archive.engine.begin() as connection:
        work.add_work(connection, [NewWork(stage="ingest", filename=name)])
    assert [failure.reason for failure in drain(archive, ingest.STAGE).failures] == ["truncated"]

    page = open_page("operator")
    panel = page.get_by_role("tabpanel", name="Ingest")
    expect(panel.get_by_role("list").first).to_contain_text("1 failed")
    expect(panel.locator("figcaption")).to_contain_text("0 done, 1 failed")
    page.get_by_role("link", name=name).click()
    expect(page.get_by_text("5000 bytes missing").first).to_be_visible()
    expect(page.locator("pre.traceback")).to_contain_text("Traceback (most recent call last)")

    broken.write_bytes(good)
    page.get_by_role("button", name="Try again").click()
    expect(panel.get_by_role("row", name=name)).to_contain_text("due")
    assert drain(archive, ingest.STAGE).done == 1
    expect(panel.locator(".empty")).to_be_visible()
    expect(panel.locator("figcaption")).to_contain_text("1 done, 1 failed")

    with archive.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    page.get_by_label("Where is …?").fill(name.removesuffix(".fits"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("status")).to_contain_text(f"{name} is done: ingested at ")
    timeline = page.get_by_role("table").last.get_by_role("row")
    expect(timeline.nth(1)).to_contain_text("ingested")
    expect(timeline.nth(2)).to_contain_text("truncated")


def test_all_failures_are_tried_again_only_after_a_question(
    open_page: OpenPage, archive: Site, queues: int
) -> None:
    fail_one(archive, "ingest", "N20251124S0001.fits", "truncated")
    page = open_page("operator")
    page.get_by_role("button", name="Try the files with truncated again").click()
    expect(page.get_by_role("tab", name="Ingest")).to_contain_text("(31/1)")
    page.get_by_role("button", name="Try all again").click()
    expect(page.get_by_role("heading", name="Try all again?")).to_be_visible()
    page.get_by_role("link", name="No, leave them").click()
    expect(page.get_by_role("tab", name="Ingest")).to_contain_text("(31/1)")
    page.get_by_role("button", name="Try all again").click()
    page.get_by_role("button", name="Try all again").click()
    expect(page.get_by_role("tab", name="Ingest")).to_contain_text("(31/0)")
    page.get_by_role("button", name="Pause Ingest").click()
    expect(page.get_by_text("Ingest was paused by olga")).to_be_visible()
    page.get_by_role("button", name="Resume Ingest").click()
    expect(page.get_by_role("button", name="Pause Ingest")).to_be_visible()


def test_a_reader_sees_no_buttons_that_change_anything(open_page: OpenPage, queues: int) -> None:
    page = open_page("reader")
    expect(page.get_by_role("link", name="N20251123S0029.fits")).to_be_visible()
    assert page.get_by_role("button").all_inner_texts() == ["Find"]
    page.get_by_role("link", name="N20251123S0029.fits").click()
    expect(page.locator("pre.traceback")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(open_page: OpenPage, archive: Site, queues: int, scheme: str) -> None:
    fail_one(archive, "ingest", f"{'a-long-name-without-a-break' * 5}.fits")
    page = open_page("operator", viewport=PHONE, color_scheme=scheme)
    expect(page.get_by_role("tab", name="Ingest")).to_be_visible()
    addresses = ["/queuestatus", f"/queuestatus/iq/{queues}", "/queuestatus/file?name=long-name", "/login/"]
    for address in addresses:
        page.goto(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], address
