"""Fixtures shared by all tests: a real PostgreSQL server, sites on it, an archive that answers over HTTP."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, Error, Playwright, expect, sync_playwright
from sqlalchemy import URL, create_engine, text

from fits_dagster.database.server import start_embedded_server, stop_embedded_server
from fits_dagster.schema.migrate import migrate
from fits_dagster.settings import S3Settings, Settings, SiteName, load_settings
from fits_dagster.sites import Site, open_site
from fits_dagster.storage import S3Store, open_store
from fits_dagster_tests.builders.sites import HttpServer, brisk_settings, served

#: Files that take longest, which several processes begin with: whole systems, which wait for the most part,
#: and then what is busy all the while.
LONGEST = (
    "system/test_up.py",
    "system/test_runs.py",
    "system/test_upgrade.py",
    "benchmarks/test_bench.py",
    "web/test_pages.py",
    "web/test_openapi.py",
    "web/test_visibility.py",
    "headers/test_header_export.py",
    "orchestration/test_definitions.py",
    "storage/test_s3_harm.py",
    "requeue/test_rebuild.py",
    "web/test_browser.py",
    "web/test_grammar.py",
    "web/test_update_headers.py",
    "web/test_api.py",
)


def pytest_sessionstart() -> None:
    """Collect no garbage while thousands of tests are collected, all of which stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect it from now on, but not among what is there already."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left with one of them at the end."""
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make the report of a test one that can travel between processes, whatever names it has logged."""
    report = yield
    report.sections = [
        (name, content.encode(errors="backslashreplace").decode()) for name, content in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Directory of real headers and archive records, or skip where it is absent."""
    named = os.environ.get("FITS_DAGSTER_REFERENCE_DATA")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no reference data (set FITS_DAGSTER_REFERENCE_DATA)")
    return path


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """Let passwords cost next to nothing in this process: people sign in for most tests of pages."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr("fits_dagster.web.accounts.HASHER", cheap)
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A PostgreSQL server of these tests alone."""
    settings = load_settings(tmp_path_factory.mktemp("server"))
    url = start_embedded_server(settings).set(drivername="postgresql+psycopg")
    # these databases need not survive a power cut
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        _administer(url, f"alter system set {name} = off")
    _administer(url, "select pg_reload_conf()")
    yield url
    stop_embedded_server(settings)


@pytest.fixture(scope="session")
def migrated_databases(postgres_server: URL) -> list[URL]:
    """Two migrated databases that tests share, one after the other."""
    made = []
    for name in ("site_one", "site_two"):
        _administer(postgres_server, f"create database {name}")
        url = postgres_server.set(database=name)
        engine = create_engine(url)
        migrate(engine)
        engine.dispose()
        made.append(url)
    return made


@pytest.fixture
def postgres_url(migrated_databases: list[URL]) -> Callable[[], URL]:
    """Give migrated, empty databases: a different one at each call, two at most."""
    left = iter(migrated_databases)

    def give() -> URL:
        url = next(left)
        _empty(url)
        return url

    return give


def _empty(url: URL) -> None:
    """Empty the tables that hold anything, and begin ids anew."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            tables = connection.scalars(
                text(
                    "select tablename from pg_tables where schemaname = 'public' "
                    "and tablename !~ 'alembic|compatibility'"
                )
            ).all()
            question = " union all ".join(f"select '{t}' where exists (select 1 from {t})" for t in tables)
            used = connection.scalars(text(question)).all()
            if used:
                connection.execute(text(f"truncate {', '.join(used)} restart identity cascade"))
    finally:
        engine.dispose()


def _administer(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


@pytest.fixture
def settings(tmp_path: Path, postgres_url: Callable[[], URL]) -> Settings:
    """Settings of both sites in a temporary home, each with a database of its own, and brisk times."""
    return brisk_settings(tmp_path / "home", summit=postgres_url(), archive=postgres_url())


@pytest.fixture
def sites(settings: Settings) -> Iterator[Callable[[SiteName], Site]]:
    """Open sites; they are closed after the test."""
    opened: dict[SiteName, Site] = {}

    def get(name: SiteName) -> Site:
        if name not in opened:
            opened[name] = open_site(settings, name)
        return opened[name]

    yield get
    for site in opened.values():
        site.close()


@pytest.fixture
def summit(sites: Callable[[SiteName], Site]) -> Site:
    """The summit, open."""
    return sites("summit")


@pytest.fixture
def archive(sites: Callable[[SiteName], Site]) -> Site:
    """The archive, open."""
    return sites("archive")


@pytest.fixture
def with_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Site], Site]]:
    """Give a site a fresh bucket for its store, on an S3 server on the loop-back interface."""
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()

    def give(site: Site) -> Site:
        # servers of one process share their buckets
        s3 = S3Settings(bucket=f"fits-archive-{os.getpid()}-{port}", endpoint_url=f"http://{host}:{port}")
        settings = site.settings.model_copy(update={"store": "s3", "s3": s3})
        opened = open_store(settings)
        assert isinstance(opened, S3Store)
        place = {"LocationConstraint": s3.region}
        opened.client.create_bucket(Bucket=s3.bucket, CreateBucketConfiguration=place)
        return replace(site, settings=settings, store=opened)

    yield give
    server.stop()


@pytest.fixture
def archive_http(archive: Site) -> Iterator[HttpServer]:
    """The archive's web application on a real port."""
    with served(archive) as server:
        yield server


@pytest.fixture
def connected_summit(summit: Site, archive_http: HttpServer) -> Site:
    """A summit that exports to the archive over HTTP."""
    from dataclasses import replace

    changed = summit.settings.model_copy(update={"export_destinations": (archive_http.url,)})
    return replace(summit, settings=changed)


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A simulated night, in order; files must not be changed."""
    from fits_dagster.simulator import simulate_night

    return simulate_night(tmp_path_factory.mktemp("night"), night="20251123")


def _launch(playwright: Playwright) -> Browser:
    """Start the Chromium of this machine, else the one that came with playwright.

    Where there is none, the tests are skipped; but on a continuous-integration machine they fail.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for found in map(shutil.which, names) if found), None)
    try:
        return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
    except Error as error:
        if os.environ.get("CI") or os.environ.get("FITS_DAGSTER_REQUIRE_BROWSER") == "1":
            raise
        pytest.skip(f"no Chromium here: {str(error).splitlines()[0]}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser without a window, whose pages look for changes every five seconds while other tests run."""
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        started = _launch(playwright)
        yield started
        started.close()
