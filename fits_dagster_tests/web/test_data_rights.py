"""A principal of a program sees its data before the release, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result

from fits_dagster.cli import cli
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.web.accounts import Role, list_users
from fits_dagster.web.tokens import add_token
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.web.test_visibility import NAME, hide

RIGHTS = {"program": "GN-2025B-Q-7", "observation": "GN-2025B-Q-7-1", "file": NAME}
OTHERS = {"program": "GN-2025B-Q-8", "observation": "GN-2025B-Q-7-2", "file": "N20251123S0002.fits"}


@pytest.fixture
def hidden(archive: Site, night: list[Path]) -> None:
    from astropy.io import fits

    science = next(path for path in night if fits.getheader(path).get("OBSCLASS") == "science")
    hide(archive, science, night[1:3])


@pytest.fixture
def principal(signed_in: Callable[[Role | None], requests.Session]) -> requests.Session:
    """Somebody who has an account and no role."""
    return signed_in(None)


def change(verb: str, name: str, kind: str, value: str) -> Result:
    return CliRunner().invoke(cli, ["user", verb, name, f"--{kind}", value])


def statuses(session: requests.Session, server: HttpServer) -> set[int]:
    routes = ("file", "preview", "fullheader", "mdreport", "fitsverify")
    return {session.get(f"{server.url}/{route}/{NAME}", timeout=20).status_code for route in routes}


@pytest.fixture(autouse=True)
def _databases(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fits_dagster.cli.user.load_settings", lambda home: settings)


def username(archive: Site) -> str:
    with archive.engine.connect() as connection:
        [person] = list_users(connection)
    return person.username


@pytest.mark.usefixtures("hidden")
@pytest.mark.parametrize("kind", RIGHTS)
def test_who_has_a_program_an_observation_or_a_file_sees_it(
    archive: Site, archive_http: HttpServer, principal: requests.Session, kind: str
) -> None:
    name, url = username(archive), f"{archive_http.url}/jsonsummary/object=SECRETOBJ"
    assert statuses(principal, archive_http) == {403}
    assert change("grant", name, kind, OTHERS[kind]).exit_code == 0
    assert statuses(principal, archive_http) == {403}
    assert principal.get(url, timeout=20).json() == []
    assert change("grant", name, kind, RIGHTS[kind]).exit_code == 0
    assert statuses(principal, archive_http) == {200}
    [record] = principal.get(url, timeout=20).json()
    assert (record["name"], record["object"]) == (NAME, "SECRETOBJ")
    tar = principal.get(f"{archive_http.url}/download/{NAME}", timeout=20)
    assert NAME.encode() in tar.content and b"denied" not in tar.content.lower().split(b"md5sums")[0]
    assert statuses(requests.Session(), archive_http) == {403}, "nobody else"
    with requests.Session() as program:
        token = add_token(archive.engine, "pipeline", "read", days=1, who="tests", owner=name)
        program.headers["Authorization"] = f"Bearer {token}"
        assert statuses(program, archive_http) == {200}, "a program that reads as the principal"
    listed = CliRunner().invoke(cli, ["user", "list"])
    assert f"{kind} {RIGHTS[kind]}" in listed.output
    assert change("withdraw", name, kind, RIGHTS[kind]).exit_code == 0
    assert statuses(principal, archive_http) == {403}


@pytest.mark.usefixtures("principal")
def test_what_cannot_be_granted_is_told(archive: Site) -> None:
    name = username(archive)
    unknown = change("grant", "nobody-of-this-name", "program", "GN-2025B-Q-7")
    assert unknown.exit_code == 1
    assert "there is no user nobody-of-this-name" in unknown.output
    never = change("withdraw", name, "program", "GN-2025B-Q-7")
    assert f"{name} has no such right" in never.output
    nothing = CliRunner().invoke(cli, ["user", "grant", name])
    assert nothing.exit_code == 2
    assert "say which data" in nothing.output
