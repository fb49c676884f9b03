"""The night page: files as they come, how far each has come, what is wrong, for whom, and as a text."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import requests
from playwright.sync_api import Browser, expect
from sqlalchemy import text

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import ingest, preview
from fits_dagster.web.accounts import Role
from fits_dagster_tests.builders.flow import carry, dhs_of, put_on_dhs, store_of
from fits_dagster_tests.builders.sites import HttpServer, served
from fits_dagster_tests.web.conftest import sign_in

#: A page that stands open is told of what comes within a second or two.
SOON_MS = 15_000
NIGHT = "20251123"
BROKEN = "N20251123S0999.fits"


def bring(site: Site, files: list[Path]) -> None:
    """Ingest files at an archive, and make their previews."""
    for path in files:
        (store_of(site) / path.name).write_bytes(path.read_bytes())
    with site.engine.begin() as connection:
        work.add_work(connection, [NewWork(stage="ingest", filename=path.name) for path in files])
    drain(site, ingest.STAGE)
    drain(site, preview.STAGE)


def fail(site: Site) -> None:
    (store_of(site) / BROKEN).write_bytes(b"no FITS")
    with site.engine.begin() as connection:
        work.add_work(connection, [NewWork(stage="ingest", filename=BROKEN)])
    assert len(drain(site, ingest.STAGE).failures) == 1


def test_files_appear_while_the_page_stands_open(
    archive: Site, archive_http: HttpServer, chromium: Browser, night: list[Path]
) -> None:
    bring(archive, night[:2])
    page, complaints = sign_in(chromium, archive, archive_http, "reader")
    page.goto(f"/night/{NIGHT}")
    expect(page.locator("#live")).to_have_text("live", timeout=SOON_MS)
    expect(page.locator("#frames article")).to_have_count(2)
    page.evaluate("window.stillHere = true")
    bring(archive, night[2:5])
    expect(page.locator("#frames article")).to_have_count(5, timeout=SOON_MS)
    newest = page.locator(f"#frames article[id='{night[4].name}']")
    expect(newest.locator("img")).to_have_js_property("complete", True, timeout=SOON_MS)
    expect(newest).to_contain_text("Preview", timeout=SOON_MS)
    expect(page.locator(".figures li").first).to_have_text("5 arrived")
    fail(archive)
    broken = page.locator(f"#frames article[id='{BROKEN}']")
    expect(broken).to_contain_text("not_fits", timeout=SOON_MS)
    expect(page.locator(".figures .bad")).to_have_text("1 failed")
    assert page.evaluate("window.stillHere")
    times = page.locator("#frames article:not(.coming) > p").all_inner_texts()
    assert [each[:8] for each in times] == sorted((each[:8] for each in times), reverse=True)
    broken.get_by_role("link", name="Ingest").click()
    expect(page.locator("pre.traceback")).to_be_visible()
    assert complaints == []


def test_the_nights_before_and_after_are_one_key_away(
    archive: Site, archive_http: HttpServer, chromium: Browser
) -> None:
    page, complaints = sign_in(chromium, archive, archive_http, "reader")
    page.goto("/night/20251101")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", level=1)).to_have_text("Night 20251031")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=1)).to_have_text("Night 20251101")
    page.get_by_role("link", name="Tonight", exact=True).last.click()
    tonight = str(archive.settings.night_clock.tonight())
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Tonight, night {tonight}")
    assert complaints == []


def test_a_summit_shows_what_it_expects_and_the_link(
    connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    carry(connected_summit, archive, night[:3])
    put_on_dhs(connected_summit, night[3:4])
    for path in night[:3]:
        os.utime(dhs_of(connected_summit) / path.name, (time.time() - 30,) * 2)
    with served(connected_summit) as server:
        with requests.Session() as visitor:
            page = visitor.get(f"{server.url}/night/{NIGHT}", timeout=20).text
            assert night[3].name not in page
        session = signed_in_at(connected_summit, server)
        page = session.get(f"{server.url}/night/{NIGHT}", timeout=20).text
        assert re.search(rf'id="{night[3].name}".*?expected', page, re.DOTALL)
        [url] = connected_summit.settings.export_destinations
        assert f"{url}: up; 0 waiting, 0 failed" in page
        assert page.count("<circle") > 6
        checked = session.get(f"{server.url}/night/{NIGHT}?check=yes", timeout=20).text
        assert "3 where they should be" in checked
        told = session.get(f"{server.url}/night/{NIGHT}?format=text&check=yes", timeout=20).text
    assert "3 files have arrived of 4 that are expected" in told
    assert re.search(r"Copy +3 done", told)
    assert "At the destinations: 3 of 4" in told
    assert f"{night[3].name}  not_copied" in told


def signed_in_at(site: Site, server: HttpServer) -> requests.Session:
    from fits_dagster.web.accounts import add_user
    from fits_dagster_tests.web.conftest import PASSWORD

    add_user(site.engine, "rita", PASSWORD, role="reader")
    session = requests.Session()
    answer = session.post(f"{server.url}/login/", data={"username": "rita", "password": PASSWORD}, timeout=10)
    assert "Welcome" in answer.text
    return session


def test_who_has_no_role_sees_files_and_nothing_of_the_queues(
    archive: Site,
    archive_http: HttpServer,
    night: list[Path],
    signed_in: Callable[[Role | None], requests.Session],
) -> None:
    bring(archive, night[:2])
    fail(archive)
    with archive.engine.begin() as connection:
        connection.execute(
            text("insert into alert (subject, kind, message) values ('a', 'failed', 'the sky falls')")
        )
        connection.execute(text("update header set release = '2999-01-01', engineering = false"))
    url = f"{archive_http.url}/night/{NIGHT}"
    for session in (requests.Session(), signed_in(None)):
        page = session.get(url, timeout=20).text
        assert page.count("<article") == 2
        assert "not released" in page
        for secret in (BROKEN, "not_fits", "the sky falls", "free of", "<img"):
            assert secret not in page, secret
        assert session.get(f"{url}?check=yes", allow_redirects=False, timeout=20).status_code in (302, 403)
        assert "sky" not in session.get(f"{url}?format=text", timeout=20).text
    page = signed_in("reader").get(url, timeout=20).text
    assert all(shown in page for shown in (BROKEN, "not_fits", "the sky falls", "free of"))
    assert "<img" not in page
    staff = signed_in("staff")
    assert staff.get(url, timeout=20).text.count("<img") == 2


def test_what_is_no_night_is_not_found(archive_http: HttpServer) -> None:
    for label in ("99999999", "2025", "tomorrow", "00010101", "20251123/x"):
        assert requests.get(f"{archive_http.url}/night/{label}", timeout=10).status_code == 404
    assert requests.get(f"{archive_http.url}/night/events?night=x", timeout=10).status_code == 404
    assert requests.get(f"{archive_http.url}/night", timeout=10).status_code == 200


def test_a_preview_comes_as_small_as_it_is_asked_for(
    archive: Site, archive_http: HttpServer, night: list[Path]
) -> None:
    import io

    from PIL import Image

    bring(archive, night[:1])
    with archive.engine.begin() as connection:
        connection.execute(text("update header set engineering = true"))
    url = f"{archive_http.url}/preview/{night[0].name}"
    whole, small = (requests.get(each, timeout=10) for each in (url, f"{url}?width=64"))
    widths = [Image.open(io.BytesIO(each.content)).width for each in (whole, small)]
    assert widths[1] <= 64 < widths[0]
    assert len(small.content) < len(whole.content)
    assert (
        requests.get(
            f"{url}?width=64", headers={"If-None-Match": small.headers["ETag"]}, timeout=10
        ).status_code
        == 304
    )
    assert requests.get(f"{url}?width=1", timeout=10).status_code == 422


def test_a_night_is_made_again_by_a_choice_that_says_what_it_means(
    archive: Site, archive_http: HttpServer, chromium: Browser, night: list[Path]
) -> None:
    bring(archive, night[:3])
    with archive.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    page, complaints = sign_in(chromium, archive, archive_http, "operator")
    page.goto(f"/night/{NIGHT}")
    page.get_by_role("link", name="make again").click()
    counts = {
        row.locator("input").get_attribute("value"): row.locator("td").last.inner_text()
        for row in page.locator("tbody tr").all()
    }
    assert (counts["ingest"], counts["ingest:force"], counts["preview"]) == ("0", "3", "3")
    expect(page.locator("input[value=ingest]")).to_be_disabled()
    page.locator("input[value='preview']").check()
    page.get_by_role("button", name="Queue these files").click()
    expect(page.get_by_role("status").first).to_have_text(
        f"3 files of night {NIGHT} wait for preview, behind all other work."
    )
    with archive.engine.connect() as connection:
        rows = connection.execute(
            text("select stage, priority < 0 as last, count(*) from work_item group by 1, 2")
        )
        assert rows.all() == [("preview", True, 3)]
        assert connection.scalar(text("select who from audit where action = 'again'")) == "olga"
    assert complaints == []
    reader, _ = sign_in(chromium, archive, archive_http, "reader")
    answer = reader.goto(f"/night/again?night={NIGHT}")
    assert answer is not None and answer.status == 403
