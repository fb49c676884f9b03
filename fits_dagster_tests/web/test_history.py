"""Where a file is, and what has happened to it: the page, the JSON, the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.cli import cli
from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork, new_lease
from fits_dagster.ledger.loop import drain
from fits_dagster.records.history import SearchTooWideError, find_file, find_names
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster.stages.whereabouts import answer_sentence
from fits_dagster_tests.builders.flow import copy_in, put_on_dhs
from fits_dagster_tests.builders.sites import HttpServer

NAME = "N20251123S0042.fits"
RUN = "0123abcd-0123-4567-89ab-0123456789ab"


def sentence(site: Site, name: str = NAME) -> str:
    with site.engine.connect() as connection:
        return answer_sentence(find_file(connection, name))


def change(site: Site, statement: str, **values: object) -> None:
    with site.engine.begin() as connection:
        connection.execute(text(statement), values)


def ask(session: requests.Session, server: HttpServer, name: str) -> dict[str, Any]:
    answer = session.get(f"{server.url}/queuestatus/file.json", params={"name": name}, timeout=10)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def add(site: Site, stage: str, name: str = NAME) -> None:
    with site.engine.begin() as connection:
        work.add_work(connection, [NewWork(stage=stage, filename=name)])


@pytest.fixture
def ingested(archive: Site, night: list[Path]) -> str:
    """A file in the archive; returns its name."""
    assert archive.settings.store_directory is not None
    name = night[0].name
    (archive.settings.store_directory / name).write_bytes(night[0].read_bytes())
    add(archive, "ingest", name)
    assert drain(archive, ingest.STAGE, run_id=RUN).done == 1
    change(archive, "delete from work_item")
    return name


# ---- the sentence


def test_a_file_that_nobody_knows(archive: Site) -> None:
    assert sentence(archive) == f"{NAME} was never seen here."


def test_a_file_that_waits_and_has_been_tried(archive: Site) -> None:
    add(archive, "export")
    change(
        archive,
        "update work_item set added_at = '2026-11-23 14:02:33+00', attempts = 3, "
        "reason = 'destination_down', not_before = now() - interval '1 s'",
    )
    assert sentence(archive) == (
        f"{NAME} has waited for export since 2026-11-23 14:02 (destination_down), 3 attempts."
    )
    change(archive, "update work_item set not_before = '2099-01-01 05:06:07+00'")
    assert sentence(archive).endswith("3 attempts, again at 05:06:07.")


def test_a_failure_comes_before_what_waits(archive: Site) -> None:
    add(archive, "preview")
    add(archive, "associate")
    with archive.engine.begin() as connection:
        lease = new_lease("test", 60)
        [item] = work.claim(connection, "preview", lease, limit=1)
        work.fail(connection, lease, item.id, reason="unreadable", message="no pixels", trace="")
    change(archive, "update work_item set failed_at = '2026-11-23 14:02:33+00' where state = 'failed'")
    assert sentence(archive) == (
        f"{NAME} failed in its preview at 2026-11-23 14:02 (unreadable), 1 attempt, "
        "and it is in 1 more queue."
    )


def test_a_file_at_work(archive: Site) -> None:
    add(archive, "ingest")
    with archive.engine.begin() as connection:
        work.claim(connection, "ingest", new_lease("test", 60), limit=1)
    assert sentence(archive).startswith(f"{NAME} is at work in ingest, in the queue since ")


def test_a_file_that_is_done(archive: Site, ingested: str) -> None:
    change(archive, "update event set at = '2026-11-23 14:02:33+00'")
    change(
        archive,
        "insert into event (stage, outcome, filename, night) values ('ingest', 'unchanged', :name, ''), "
        "('preview', 'rendered', :name, '')",
        name=ingested,
    )
    assert sentence(archive, ingested) == f"{ingested} is done: ingested at 2026-11-23 14:02."
    change(archive, "delete from event")
    assert sentence(archive, ingested).startswith(f"{ingested} is done: in the database since ")
    change(archive, "update diskfile set present = false, canonical = false")
    assert sentence(archive, ingested).startswith(f"{ingested} is not here any more; ")


def test_a_file_of_which_only_the_past_is_known(archive: Site) -> None:
    change(
        archive,
        "insert into event (at, stage, outcome, filename, night) "
        "values ('2026-11-23 14:02:33+00', 'ingest', 'failed', :name, '')",
        name=NAME,
    )
    told = sentence(archive)
    assert told.startswith(f"{NAME} is in no queue and has no version here; ")
    assert told.endswith("the last that happened: ingest failed at 2026-11-23 14:02.")


# ---- what is shown


@pytest.mark.parametrize("form", ["{}", "{}.fits", "{}.fits.bz2", "some/path/{}.fits", " {} "])
def test_a_file_is_found_by_any_form_of_its_name(
    staff: requests.Session, archive_http: HttpServer, ingested: str, form: str
) -> None:
    found = ask(staff, archive_http, form.format(ingested.removesuffix(".fits")))
    assert (found["name"], found["state"]) == (ingested, "done")
    [version] = found["versions"]
    assert (version["present"], version["canonical"], len(version["data_md5"])) == (True, True, 32)
    [event] = found["events"]
    assert (event["stage"], event["outcome"], event["run_id"]) == ("ingest", "ingested", RUN)
    assert event["seconds"] > 0


def test_the_page_shows_everything_with_links(
    staff: requests.Session, archive_http: HttpServer, archive: Site, ingested: str
) -> None:
    add(archive, "preview", ingested)
    change(
        archive,
        "insert into header_edit (path, filename, request, cards, asked_by) "
        "values ('', :name, '{}', '[[\"OBJECT\", \"<M 31>\"]]', 'olga')",
        name=ingested,
    )
    page = staff.get(f"{archive_http.url}/queuestatus/file", params={"name": ingested}, timeout=10).text
    assert f"{ingested} has waited for its preview since" in page
    assert f'href="/dagster/runs/{RUN}"' in page
    assert 'href="/queuestatus/pq/' in page
    assert "canonical" in page
    assert "olga" in page
    assert "<M 31>" not in page


def test_a_part_of_a_name_gives_the_names_that_hold_it(
    staff: requests.Session, archive_http: HttpServer, archive: Site, ingested: str
) -> None:
    add(archive, "ingest")
    add(archive, "preview", f"{NAME}.bz2")
    found = ask(staff, archive_http, "n20251123s00")
    assert found["state"] == "several"
    assert found["candidates"] == [ingested, NAME]
    page = staff.get(f"{archive_http.url}/queuestatus/file?name=n20251123s00", timeout=10).text
    assert f'<a href="/queuestatus/file?name={NAME}">' in page
    # one name alone is shown at once
    assert ask(staff, archive_http, "S0042")["name"] == NAME
    assert ask(staff, archive_http, "S9%")["state"] == "unknown"


def test_a_part_that_is_too_short_or_takes_too_long_is_refused(
    staff: requests.Session, archive_http: HttpServer, archive: Site
) -> None:
    url = f"{archive_http.url}/queuestatus/file"
    short = staff.get(f"{url}.json?name=S0", timeout=10)
    assert (short.status_code, "more of the name" in short.json()["error"]) == (400, True)
    assert "more of the name" in staff.get(f"{url}?name=S0", timeout=10).text
    assert 'role="alert"' not in staff.get(url, timeout=10).text
    change(
        archive,
        "insert into event (stage, outcome, filename, night) "
        "select 'ingest', 'ingested', repeat('x', 200) || n, '' from generate_series(1, 50000) n",
    )
    with archive.engine.connect() as connection, pytest.raises(SearchTooWideError):
        find_names(connection, "no such name", limit=1, longest_s=0.001)


def test_a_file_that_was_copied_in_has_its_whole_way_in_its_history(
    connected_summit: Site, night: list[Path]
) -> None:
    summit, name = connected_summit, night[0].name
    put_on_dhs(summit, night[:1])
    assert copy_in(summit).done == 1
    assert sentence(summit, name).startswith(f"{name} has waited for ingest since ")
    assert drain(summit, ingest.STAGE).done == 1
    with summit.engine.connect() as connection:
        found = find_file(connection, name).history
    assert found is not None
    assert found.dhs is not None
    assert found.dhs.md5 == found.versions[0].data_md5
    assert [(item.stage, item.destination) for item in found.items] == [
        ("export", summit.settings.export_destinations[0])
    ]
    assert [(event.stage, event.outcome) for event in reversed(found.events)] == [
        ("copy", "copied"),
        ("ingest", "ingested"),
    ]


# ---- the command


def where(settings: Settings, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setattr("fits_dagster.cli.history.load_settings", lambda _: settings)
    monkeypatch.setattr("fits_dagster.database.session.start_embedded_server", lambda _: None)
    return CliRunner().invoke(cli, ["where", *words])


def test_the_command_asks_all_sites(
    settings: Settings, summit: Site, ingested: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = where(settings, monkeypatch, ingested)
    assert told.exit_code == 0, told.output
    assert f"summit: {ingested} was never seen here." in told.output
    assert f"archive: {ingested} is done: ingested at " in told.output
    assert "present, canonical, MD5 " in told.output


def test_the_command_prints_json_and_fails_for_an_unknown_file(
    settings: Settings, ingested: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = where(settings, monkeypatch, ingested, "--site", "archive", "--json")
    [found] = json.loads(told.output)
    assert (found["site"], found["name"], found["state"]) == ("archive", ingested, "done")
    unknown = where(settings, monkeypatch, "S9999", "--site", "archive")
    assert (unknown.exit_code, unknown.output) == (1, "archive: S9999 was never seen here.\n")
