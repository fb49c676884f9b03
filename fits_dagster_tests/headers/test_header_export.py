"""After an edit only header cards travel; both ends hold the same bytes; whatever fails sends the file."""

from __future__ import annotations

import bz2
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import SecretStr
from sqlalchemy import text

from fits_dagster.destinations.fits_server import API_COOKIE, UPLOAD_COOKIE
from fits_dagster.fits.reading import inspect_file
from fits_dagster.fits.verify import check_structure
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import edit, export, ingest, preview, store
from fits_dagster.web.app import create_app
from fits_dagster.web.tokens import add_token
from fits_dagster_tests.builders.sites import COOKIE, serve
from fits_dagster_tests.headers.two_sites import (
    API,
    PASS,
    arrived,
    ask,
    connected,
    edited,
    exported,
    have,
    present_md5,
    staged,
    with_settings,
)


@pytest.mark.parametrize("name", [None, "N20251123S0001.fits.bz2"])
def test_only_cards_travel_and_both_ends_hold_the_same_bytes(
    sending: Site, receiving: Site, frame: Path, name: str | None
) -> None:
    path = have(sending, frame, name)
    full = exported(sending)
    assert full.outcomes == {"exported": 1}
    arrived(receiving)
    ask(
        sending, path, {**PASS, "generic": {"NEWKEY": 1.5, "LONGTEXT": "it's " * 50}, "release": "2027-01-01"}
    )
    edited(sending)
    report = exported(sending)
    assert report.outcomes == {"header_exported": 1}
    assert report.bytes < 1000 < full.bytes
    # nothing is there before it is stored and ingested, and everything is afterwards
    assert present_md5(receiving, frame.name) != present_md5(sending, frame.name)
    arrived(receiving)
    assert present_md5(receiving, frame.name) == present_md5(sending, frame.name) is not None
    with receiving.store.local(f"{frame.name}.bz2") as stored:
        content = bz2.decompress(stored.read_bytes())
        assert check_structure(stored, verify_checksums=True) == []
    assert content == (bz2.decompress(path.read_bytes()) if name else path.read_bytes())
    assert staged(receiving) == []
    with receiving.engine.connect() as connection:
        query = "select h.qa_state, h.release::text from header h join diskfile d on d.id = h.diskfile_id "
        record = connection.execute(text(f"{query} where d.present")).one()
        stages = connection.scalars(text("select distinct stage from work_item order by 1")).all()
        assert connection.scalar(text("select count(*) from upload")) == 2
    assert tuple(record) == ("Pass", "2027-01-01")
    assert stages == ["associate", "preview"]


@pytest.mark.parametrize("with_edits", [True, False])
def test_tokens_serve_as_well_and_the_one_for_uploads_allows_no_edit(
    sending: Site, receiving: Site, frame: Path, with_edits: bool
) -> None:
    uploads, edits = (
        add_token(receiving.engine, f"to-{scope}", scope, days=1, who="anna") for scope in ("upload", "edit")
    )
    tokens = {"export_token": SecretStr(uploads), "export_cookie": SecretStr("")}
    for_edits = {"export_edit_token": SecretStr(edits if with_edits else uploads)}
    site = with_settings(sending, **tokens, **for_edits, export_api_cookie=SecretStr(""))
    path = have(site, frame)
    assert exported(site).outcomes == {"exported": 1}
    arrived(receiving)
    ask(site, path, PASS)
    edited(site)
    assert exported(site).outcomes == {"header_exported" if with_edits else "exported": 1}
    arrived(receiving)
    assert present_md5(receiving, frame.name) == present_md5(site, frame.name) is not None


def test_a_second_edit_waits_until_the_first_has_been_ingested_there(
    sending: Site, receiving: Site, frame: Path
) -> None:
    path = have(sending, frame)
    exported(sending)
    arrived(receiving)
    ask(sending, path, PASS)
    edited(sending)
    assert exported(sending).outcomes == {"header_exported": 1}
    ask(sending, path, {"qa_state": "fail"})
    edited(sending)
    report = exported(sending)
    assert (report.done, report.deferred > 0) == (0, True)
    arrived(receiving)
    with sending.engine.begin() as connection:
        connection.execute(text("update work_item set not_before = now()"))
    assert exported(sending).outcomes == {"header_exported": 1}
    arrived(receiving)
    assert present_md5(receiving, frame.name) == present_md5(sending, frame.name)


def test_a_destination_that_lacks_the_version_before_gets_the_file(
    sending: Site, receiving: Site, frame: Path
) -> None:
    path = have(sending, frame)
    ask(sending, path, PASS)
    edited(sending)
    assert exported(sending).outcomes == {"exported": 1}
    arrived(receiving)
    fits.setval(path, "OBJECT", value="by hand")
    with sending.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=path.name)])
    edited(sending)
    ask(sending, path, {"qa_state": "fail"})
    edited(sending)
    assert exported(sending).outcomes == {"exported": 1}
    arrived(receiving)
    assert present_md5(receiving, frame.name) == present_md5(sending, frame.name)


@pytest.mark.parametrize("cookie", ["", "wrong"])
def test_without_an_accepted_cookie_the_file_is_sent(
    sending: Site, receiving: Site, frame: Path, cookie: str
) -> None:
    site = with_settings(sending, export_api_cookie=SecretStr(cookie))
    path = have(site, frame)
    exported(site)
    arrived(receiving)
    ask(site, path, PASS)
    edited(site)
    assert exported(site).outcomes == {"exported": 1}
    arrived(receiving)
    assert present_md5(receiving, frame.name) == present_md5(site, frame.name)


@pytest.fixture
def on_s3(receiving: Site, with_bucket: Callable[[Site], Site]) -> Site:
    """The receiving archive with a bucket."""
    return with_bucket(receiving)


def shown(site: Site) -> None:
    """Let what was sent arrive, its preview included, after which no stage wants the file any more."""
    arrived(site)
    assert drain(site, preview.STAGE).failures == []


def test_an_archive_on_s3_takes_header_edits(summit: Site, on_s3: Site, frame: Path) -> None:
    server, stop = serve(create_app(on_s3, session_hours=1))
    try:
        site = connected(summit, server.url)
        path = have(site, frame)
        exported(site)
        shown(on_s3)
        ask(site, path, PASS)
        edited(site)
        assert exported(site).outcomes == {"header_exported": 1}
        shown(on_s3)
        with on_s3.store.local(f"{frame.name}.bz2") as stored:
            assert bz2.decompress(stored.read_bytes()) == path.read_bytes()
    finally:
        stop()
    assert present_md5(on_s3, frame.name) == present_md5(site, frame.name)
    assert staged(on_s3) == []


class Partner:
    """A destination with one file, that keeps what it is asked and answers as it is told."""

    def __init__(self, data_md5: str) -> None:
        self.data_md5 = data_md5
        self.edits: list[dict[str, Any]] = []
        self.uploads = 0
        self.cookies: dict[str, str] = {}
        self.answer: Callable[[dict[str, Any]], Response] = lambda item: JSONResponse([])
        self.app = FastAPI()

        @self.app.get("/jsonfilelist/{rest:path}")
        def listing(rest: str) -> Response:
            return JSONResponse([{"data_md5": self.data_md5}])

        @self.app.post("/update_headers")
        async def edit_headers(request: Request) -> Response:
            body = await request.json()
            self.edits.append(body)
            self.cookies = dict(request.cookies)
            return self.answer(body["request"][0])

        @self.app.post("/upload_file/{rest:path}")
        async def upload(rest: str, request: Request) -> Response:
            body = await request.body()
            self.uploads += 1
            md5 = hashlib.md5(body).hexdigest()
            return JSONResponse([{"filename": rest, "path": "", "size": len(body), "md5": md5}])


@pytest.fixture
def partner(frame: Path) -> Partner:
    return Partner(inspect_file(frame).data_md5)


@pytest.fixture
def summit_of_partner(summit: Site, partner: Partner) -> Iterator[Site]:
    server, stop = serve(partner.app)
    yield connected(summit, server.url)
    stop()


def edited_frame(site: Site, frame: Path) -> Path:
    """Have a file whose export with a hint is due."""
    path = have(site, frame)
    with site.engine.begin() as connection:
        connection.execute(text("delete from work_item where stage = 'export'"))
    ask(site, path, PASS)
    edited(site)
    return path


def test_the_request_has_the_form_that_partners_know(
    summit_of_partner: Site, partner: Partner, frame: Path
) -> None:
    partner.answer = lambda item: JSONResponse([{"id": f"{item['filename']}.bz2", "md5": item["md5_after"]}])
    path = edited_frame(summit_of_partner, frame)
    assert exported(summit_of_partner).outcomes == {"header_exported": 1}
    [body] = partner.edits
    assert list(body) == ["request", "batch"] and body["batch"] is False
    assert body["request"] == [
        {
            "filename": frame.name,
            "values": {"generic": [["RAWGEMQA", "USABLE"], ["RAWPIREQ", "YES"]]},
            "reject_new": False,
            "path": "",
            "md5_before": partner.data_md5,
            "md5_after": inspect_file(path).data_md5,
        }
    ]
    assert partner.cookies == {API_COOKIE: API, UPLOAD_COOKIE: COOKIE}
    assert partner.uploads == 0


@pytest.mark.parametrize(
    ("answer", "asked_again"),
    [
        (lambda item: Response(status_code=404), False),
        (lambda item: Response(status_code=405), False),
        (lambda item: JSONResponse({"error": "no"}, 403), False),
        (lambda item: Response(status_code=503), False),
        (lambda item: Response("<html>thanks</html>"), False),
        (lambda item: JSONResponse({"error": "no"}), False),
        (lambda item: JSONResponse([]), False),
        (lambda item: JSONResponse(["yes"]), False),
        # a partner that queues the edit cannot tell what comes of it
        (lambda item: JSONResponse([{"result": True, "id": item["filename"]}]), False),
        (lambda item: JSONResponse([{"id": item["filename"], "md5": "0" * 32}]), False),
        (lambda item: JSONResponse([{"id": "other.fits", "md5": item["md5_after"]}]), False),
        # it refuses this one; another may do
        (lambda item: JSONResponse([{"result": False, "id": item["filename"], "error": "no"}]), True),
    ],
)
def test_any_other_answer_sends_the_file_at_once(
    summit_of_partner: Site,
    partner: Partner,
    frame: Path,
    answer: Callable[[dict[str, Any]], Response],
    asked_again: bool,
) -> None:
    partner.answer = answer
    edited_frame(summit_of_partner, frame)
    stage = export.ExportStage()
    [row] = _exports(summit_of_partner)
    assert exported(summit_of_partner, stage).outcomes == {"exported": 1}
    assert (len(partner.edits), partner.uploads) == (1, 1)
    with summit_of_partner.engine.begin() as connection:
        work = NewWork(
            stage="export", filename=row.filename, destination=row.destination, payload=row.payload
        )
        add_work(connection, [work])
    assert exported(summit_of_partner, stage).outcomes == {"exported": 1}
    assert (len(partner.edits), partner.uploads) == (2 if asked_again else 1, 2)


def _exports(site: Site) -> list[Any]:
    with site.engine.connect() as connection:
        query = "select filename, destination, payload from work_item where stage = 'export'"
        return list(connection.execute(text(query)))


def test_a_destination_that_does_not_answer_gets_the_file(
    summit_of_partner: Site, partner: Partner, frame: Path
) -> None:
    settings = summit_of_partner.settings.model_copy(update={"edit_timeout_seconds": 0.2})
    impatient = replace(summit_of_partner, settings=settings)

    def slowly(item: dict[str, Any]) -> Response:
        time.sleep(1)
        return JSONResponse([])

    partner.answer = slowly
    edited_frame(impatient, frame)
    assert exported(impatient).outcomes == {"exported": 1}


KEYWORDS = ("RAWGEMQA", "OBJECT", "AIRMASS", "NOTE", "LONG1", "LONG2", "NUMBER", "FLAG")


def any_value(chance: random.Random) -> str | int | float | bool | None:
    """Make a value that is hard on whoever writes it twice."""
    text_of = "".join(chance.choices("ab '&/=x", k=chance.choice([0, 3, 20, 70, 200]))).rstrip()
    numbers = (chance.randint(-(2**62), 2**62), chance.uniform(-1, 1), 1e22, -1.5e-7, 5.0, 10.0**16)
    return chance.choice([text_of, text_of, text_of, *numbers, True, False, None])


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_edited_in_whatever_order_the_archive_ends_as_the_summit(
    sending: Site, receiving: Site, frame: Path, seed: int
) -> None:
    chance = random.Random(seed)
    path = have(sending, frame, f"{frame.name}.bz2" if seed % 2 else None)
    stage = export.ExportStage()
    outcomes: dict[str, int] = {}

    def export_now() -> None:
        with sending.engine.begin() as connection:
            connection.execute(text("update work_item set not_before = now()"))
        for outcome, count in exported(sending, stage).outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count

    export_now()
    arrived(receiving)
    steps: list[Callable[[], object]] = [
        lambda: drain(sending, edit.STAGE),
        lambda: drain(sending, ingest.STAGE),
        export_now,
        lambda: drain(receiving, store.STAGE),
        lambda: drain(receiving, ingest.STAGE),
    ]
    for _ in range(25):
        for _ in range(chance.randint(0, 2)):
            chosen = chance.sample(KEYWORDS, chance.randint(1, 3))
            ask(sending, path, {"generic": [[keyword, any_value(chance)] for keyword in chosen]})
        for _ in range(chance.randint(0, 4)):
            chance.choice(steps)()
    for _ in range(2):
        edited(sending)
        export_now()
        arrived(receiving)
    assert present_md5(receiving, frame.name) == present_md5(sending, frame.name)
    with receiving.store.local(f"{frame.name}.bz2") as stored:
        assert inspect_file(stored).data_md5 == inspect_file(path).data_md5
    assert outcomes["header_exported"] > 0, outcomes
    assert outcomes["exported"] == 1, "only the first transfer was of the file"
