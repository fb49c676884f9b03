"""People who are signed in to the archive, and work for them to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork, new_lease
from fits_dagster.sites import Site
from fits_dagster.web.accounts import Role, add_user
from fits_dagster_tests.builders.records import insert_records
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer, serve
from fits_dagster_tests.web.selections import RECORDS

PASSWORD = "A-long-passw0rd-for-tests"
#: One person for each role.
NAMES: dict[Role | None, str] = {
    "staff": "anna",
    "operator": "olga",
    "reader": "rita",
    None: "visitor",
}


@pytest.fixture
def signed_in(archive: Site, archive_http: HttpServer) -> Iterator[Callable[[Role | None], requests.Session]]:
    """Make the browser of a person with a role, signed in."""
    sessions = []

    def sign_in(role: Role | None) -> requests.Session:
        add_user(archive.engine, NAMES[role], PASSWORD, role=role)
        session = requests.Session()
        sessions.append(session)
        answer = session.post(
            f"{archive_http.url}/login/", data={"username": NAMES[role], "password": PASSWORD}, timeout=10
        )
        assert "Welcome, you are sucessfully logged in" in answer.text
        return session

    yield sign_in
    for session in sessions:
        session.close()


@pytest.fixture
def staff(signed_in: Callable[[Role | None], requests.Session]) -> requests.Session:
    """A browser of a staff member who is signed in."""
    return signed_in("staff")


@pytest.fixture
def queues(archive: Site) -> int:
    """Thirty files for ingest, one of which has failed; returns the id of the failure."""
    with archive.engine.begin() as connection:
        names = [f"N20251123S{n:04d}.fits" for n in range(30)]
        work.add_work(connection, [NewWork(stage="ingest", filename=n) for n in names])
        lease = new_lease("test", 60)
        [item] = work.claim(connection, "ingest", lease, limit=1)
        message, trace = f"{item.filename}: no FITS", "Traceback: <here>"
        work.fail(connection, lease, item.id, reason="not_fits", message=message, trace=trace)
    return item.id


def sign_in(
    chromium: Browser, site: Site, server: HttpServer, role: Role | None, **options: object
) -> tuple[Page, list[str]]:
    """Open a browser of a person with a role, signed in; returns its page, and what it complains of."""
    add_user(site.engine, NAMES[role], PASSWORD, role=role)
    page, complaints = visit(chromium, server, **options)
    page.goto("/login/")
    page.get_by_label("User name").fill(NAMES[role])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("main")).to_contain_text("Welcome")
    return page, complaints


def visit(chromium: Browser, server: HttpServer, **options: object) -> tuple[Page, list[str]]:
    """Open a browser of a visitor; returns its page, and a list of what it complains of."""
    complaints: list[str] = []
    page = chromium.new_context(base_url=server.url, **options).new_page()  # type: ignore[arg-type]
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    return page, complaints


def form_token(session: requests.Session, url: str) -> str:
    """The token of the forms of a page."""
    found = re.search(r'name="token" value="([0-9a-f]+)"', session.get(url, timeout=10).text)
    assert found is not None
    return found.group(1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Dagster instance with a workspace that holds nothing."""
    home = tmp_path_factory.mktemp("dagster")
    path = home / "workspace.yaml"
    path.write_text("load_from: []\n")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        yield path


@pytest.fixture
def dagster_http(archive: Site, workspace: Path) -> Iterator[str]:
    """The archive with the Dagster UI behind its login."""
    from fits_dagster.web.app import create_app

    server, stop = serve(create_app(archive, session_hours=1, dagster_workspace=workspace))
    yield server.url
    stop()


@pytest.fixture
def made_up(archive: Site, archive_http: HttpServer) -> HttpServer:
    """An archive with records that are made up."""
    remembered("grammar", [archive], lambda: insert_records(archive, RECORDS))
    return archive_http
