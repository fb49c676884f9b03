"""Names of objects become positions, where a service of names is configured, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fits_dagster.sites import Site
from fits_dagster_tests.builders.sites import HttpServer, serve, served

#: As Sesame of the CDS writes it.
ANSWER = """# {name}\t#Q1
#=S=Simbad (via url):    1
%@ 123
%C.0 GiG
%J 047.2187500 -07.7988611 = 03 08 52.5 -07 47 56
#====Done====
"""
UNKNOWN = "# {name}\t#Q1\n#!Si Nothing found\n#====Done====\n"


@pytest.fixture
def sesame() -> Iterator[tuple[str, list[str]]]:
    """A service of names that knows one object; its address, and what it was asked."""
    asked: list[str] = []

    def answer(request: Request) -> PlainTextResponse:
        name = unquote(request.url.query)
        asked.append(f"{request.path_params['letters']} {name}")
        if name == "slow":
            time.sleep(6)
        if name == "broken":
            return PlainTextResponse("no", 500)
        if name == "odd":
            return PlainTextResponse("%J 1.2.3 somewhere\n")
        return PlainTextResponse((ANSWER if name == "NGC 1234" else UNKNOWN).format(name=name))

    server, stop = serve(Starlette(routes=[Route("/sesame/{letters}", answer)]))
    yield f"{server.url}/sesame/", asked
    stop()


@pytest.fixture
def archive_with_names(archive: Site, sesame: tuple[str, list[str]]) -> Iterator[HttpServer]:
    with served(archive, name_resolver_url=sesame[0]) as server:
        yield server


def get(server: HttpServer, path: str) -> requests.Response:
    return requests.get(f"{server.url}{path}", timeout=20, headers={"Accept": "text/html"})


def test_a_name_becomes_a_position_and_is_asked_for_once(
    archive_with_names: HttpServer, sesame: tuple[str, list[str]]
) -> None:
    for _ in range(2):
        answer = get(archive_with_names, "/nameresolver/simbad/NGC%201234").json()
        assert answer == {"success": True, "message": "", "ra": 47.21875, "dec": -7.7988611}
    assert sesame[1] == ["S NGC 1234"]


@pytest.mark.parametrize(
    ("name", "word"),
    [("no%20such", "known"), ("odd", "known"), ("broken", "did not answer"), ("slow", "did not answer")],
)
def test_what_gives_no_position_says_why(archive_with_names: HttpServer, name: str, word: str) -> None:
    answer = get(archive_with_names, f"/nameresolver/sesame/{name}").json()
    assert (answer["success"], answer["ra"], answer["dec"]) == (False, None, None)
    assert word in answer["message"]


def test_a_service_that_is_not_known_is_refused(archive_with_names: HttpServer) -> None:
    assert get(archive_with_names, "/nameresolver/nonesuch/M31").status_code == 404


def test_the_search_form_looks_a_name_up(archive_with_names: HttpServer) -> None:
    page = get(archive_with_names, "/searchform/?search=yes&target=NGC+1234&sr=60")
    assert page.url.endswith("/searchform/ra=47.218750/dec=-7.798861/sr=60")
    page = get(archive_with_names, "/searchform/?search=yes&target=no+such&program=GN-2025B-Q-101")
    assert page.status_code == 400
    assert "no object called &#39;no such&#39; is known" in page.text
    assert 'value="no such"' in page.text
    assert 'value="GN-2025B-Q-101"' in page.text


def test_nobody_is_asked_unless_that_is_configured(
    archive_http: HttpServer, sesame: tuple[str, list[str]]
) -> None:
    answer = get(archive_http, "/nameresolver/simbad/M31")
    assert answer.status_code == 404
    assert "name_resolver_url" in answer.text
    page = get(archive_http, "/searchform/?search=yes&target=M31&object=M31")
    assert page.url.endswith("/searchform/object=M31")
    assert 'name="target"' not in page.text
    assert sesame[1] == []
