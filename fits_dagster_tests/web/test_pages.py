"""All pages for people in a real browser: axe finds nothing, the console is silent, no page is too wide.

With ``PICTURES_DIRECTORY`` the pictures of the documents are made on the way, in the directory it names.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page
from sqlalchemy import text

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork
from fits_dagster.ledger.loop import drain
from fits_dagster.records.programs import Program, save_program
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview
from fits_dagster_tests.builders.flow import store_of
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.web.conftest import sign_in, visit

BROKEN = "N20251123S0999.fits"
SIZES = {"desk": {"width": 1180, "height": 820}, "phone": {"width": 360, "height": 740}}
AXE = Axe().axe_script
#: What axe looks for: of another scheme only the colours are other ones.
RULES: dict[Any, dict[str, Any]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast", "link-in-text-block"]},
}
#: Pages of visitors, and of those with a role besides; names in braces are of files and items.
PUBLIC = (
    "/searchform/",
    "/searchform/20251123",
    "/searchform/20251123?as=pictures",
    "/searchform/nonesuch/ra=400",
    "/searchform/object=nonesuch",
    "/about/{science}",
    "/about/{flat}",
    "/about/nonesuch",
    "/night/20251123",
    "/night/20010101",
    "/calibrations/20251123",
    "/calibrations/",
    "/summary/20251123",
    "/associated_cals/20251123",
    "/programs",
    "/programinfo/GN-2025B-Q-1",
    "/processingtags",
    "/obslogs",
    "/help",
    "/login/",
)
OF_STAFF = (
    "/queuestatus",
    "/queuestatus/iq/{item}",
    "/queuestatus/file?name={science}",
    "/queuestatus/file?name=N2025",
    "/night/20251123",
    "/night/20251123?check=yes",
    "/night/again?night=20251123",
    "/about/{science}?why=bias",
    f"/about/{BROKEN}",
)
#: Pictures for the documents: name and page.
PICTURES = {
    "search.png": "/searchform/inst=GMOS-N/notengineering/NotFail",
    "file.png": "/about/{science}",
    "night.png": "/night/20251123",
}


@pytest.fixture
def names(archive: Site, night: list[Path]) -> dict[str, Any]:
    """An archive with a night, a failure and a program; what the pages are about."""

    def make() -> None:
        for path in night:
            (store_of(archive) / path.name).write_bytes(path.read_bytes())
        (store_of(archive) / BROKEN).write_bytes(b"no FITS")
        with archive.engine.begin() as connection:
            files = [*(path.name for path in night), BROKEN]
            work.add_work(connection, [NewWork(stage="ingest", filename=name) for name in files])
            save_program(connection, Program(program_id="GN-2025B-Q-1", title="Comets"))
        for stage in (ingest.STAGE, preview.STAGE, associate.STAGE):
            drain(archive, stage)
        with archive.engine.begin() as connection:
            connection.execute(text("update header set release = '2020-01-01'"))

    remembered("pages", [archive], make)
    frames = (
        "select f.name from header h join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id"
    )
    with archive.engine.connect() as connection:
        return {
            "science": connection.scalar(
                text(f"{frames} where observation_class = 'science' and instrument = 'GMOS-N' order by 1")
            ),
            "flat": connection.scalar(text(f"{frames} where observation_type = 'FLAT' order by 1")),
            "item": connection.scalar(text("select id from work_item where state = 'failed'")),
        }


@pytest.mark.parametrize("role", [None, "staff"])
def test_no_page_has_anything_that_axe_finds_or_is_too_wide(
    archive: Site, archive_http: HttpServer, chromium: Browser, names: dict[str, Any], role: Any
) -> None:
    wrong = []
    options = {"color_scheme": "light", "viewport": SIZES["desk"]}
    if role is None:
        page, complaints = visit(chromium, archive_http, **options)
    else:
        page, complaints = sign_in(chromium, archive, archive_http, role, **options)
    for address in PUBLIC if role is None else OF_STAFF:
        answer = page.goto(address.format(**names))
        assert answer is not None and answer.status < 500
        if answer.status >= 400:
            # the browser says so itself
            complaints[:] = [each for each in complaints if "Failed to load resource" not in each]
        page.evaluate(AXE)
        for scheme, rules in RULES.items():
            page.emulate_media(color_scheme=scheme)
            for place, size in SIZES.items():
                page.set_viewport_size(size)  # type: ignore[arg-type]
                if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
                    wrong.append(f"{address} is too wide for a {place}")
                # colours are the same on a phone
                if place == "desk" or scheme == "light":
                    found = violations(page, rules)
                    wrong += [f"{address}, {scheme}, at the {place}: {each}" for each in found]
    assert complaints == []
    assert wrong == [], "\n".join(wrong)


def violations(page: Page, rules: dict[str, Any]) -> list[str]:
    """What axe, which the page holds already, finds there."""
    found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **rules})
    return [
        f"{each['id']}: {node['html'][:120]}" for each in found["violations"] for node in each["nodes"][:2]
    ]


@pytest.mark.skipif("PICTURES_DIRECTORY" not in os.environ, reason="no pictures are asked for")
def test_pictures_of_the_documents_are_made(
    archive: Site, archive_http: HttpServer, chromium: Browser, names: dict[str, Any]
) -> None:
    page, complaints = sign_in(chromium, archive, archive_http, "staff", viewport=SIZES["desk"])
    directory = Path(os.environ["PICTURES_DIRECTORY"])
    for name, address in PICTURES.items():
        page.goto(address.format(**names))
        page.wait_for_load_state("load")
        picture = Image.open(io.BytesIO(page.screenshot()))
        picture.convert("RGB").quantize(96).save(directory / name, optimize=True)
        assert (directory / name).stat().st_size < 150_000
    assert complaints == []
