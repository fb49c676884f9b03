"""Selections that are not understood, or cannot be: told, refused, or without effect."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests

from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import HttpServer, serve
from fits_dagster_tests.web.selections import HEADER, ask, names


def test_what_is_not_understood_is_told_and_the_rest_counts(made_up: HttpServer) -> None:
    answer = ask(made_up, "GMOS-N/YYYYMMdd/nonsénse/camara=5")
    assert answer.headers[HEADER] == "YYYYMMdd, nons%C3%A9nse, camara=5"
    found = answer.json()
    assert found[-1]["not_understood"] == ["YYYYMMdd", "nonsénse", "camara=5"]
    assert {each["instrument"] for each in found} == {"GMOS-N"}
    assert all("not_understood" not in each for each in found[:-1])
    listed = ask(made_up, "nonsense", "xmlfilelist")
    assert "<not_understood>nonsense</not_understood>" in listed.text
    for feature in ("jsonfilelist", "jsonfilenames", "jsonqastate"):
        assert ask(made_up, "nonsense", feature).headers[HEADER] == "nonsense"
    order = requests.get(f"{made_up.url}/jsonsummary/GMOS-N?orderby=beauty", timeout=10)
    assert order.headers[HEADER] == "orderby=beauty"


def test_a_name_beside_a_position_is_told_to_have_no_effect(made_up: HttpServer) -> None:
    answer = ask(made_up, "ra=0/dec=-23/sr=2d/object=M31")
    assert answer.headers[HEADER] == "object=M31"
    assert {each["name"] for each in answer.json()} == names(made_up, "ra=0/dec=-23/sr=2d")


def test_pages_tell_it_on_top(made_up: HttpServer) -> None:
    answer = ask(made_up, "20251123/nonsense", "calibrations")
    assert answer.status_code == 200
    assert "without effect: <code>nonsense</code>" in answer.text


def test_a_setting_refuses_what_is_not_understood(archive: Site) -> None:
    strict = archive.settings.model_copy(update={"refuse_not_understood": True})
    server, stop = serve(create_app(replace(archive, settings=strict), session_hours=1))
    try:
        for selection in ("nonsense", "camara=5"):
            answer = ask(server, selection)
            assert answer.status_code == 400
            assert selection in answer.json()["error"]
        # the public client sends a radius with a name
        assert ask(server, "object=M31/sr=0.3d").status_code == 200
    finally:
        stop()


@pytest.mark.parametrize(
    "selection",
    [
        *(
            "coadds=abc",
            "coadds=99999999999",
            "object=%00",
            "%00",
            "filename=a%00b",
            "ra=abc",
            "ra=400",
            "dec=91",
        ),
        *(
            "dec=12:99:00",
            "ra=1/dec=1/sr=x",
            "sr=-1",
            "az=10",
            "exposure_time=x",
            "cenwlen=99",
            "raw_iq=good",
        ),
        *("date=20251399", "daterange=x", "entrytimedaterange=now", "orderby=beauty", "obsid=", "progid=%20"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_a_reason(archive_http: HttpServer, selection: str) -> None:
    for feature in ("jsonsummary", "jsonfilelist", "xmlfilelist", "jsonqastate", "download", "calibrations"):
        answer = requests.get(f"{archive_http.url}/{feature}/{selection}", timeout=10)
        assert answer.status_code == 400, (feature, answer.text)
        assert answer.json()["error"]


@pytest.mark.parametrize(
    "selection", ["camera=5", "gain=5", "filter=1", "object=", "mask=%5C", "object=%25", "PIname=%27%3A%26"]
)
def test_a_value_that_matches_nothing_gives_nothing(archive_http: HttpServer, selection: str) -> None:
    answer = requests.get(f"{archive_http.url}/jsonsummary/{selection}", timeout=10)
    assert (answer.status_code, answer.json()) == (200, [])


def test_a_selection_may_be_empty_with_or_without_a_slash(made_up: HttpServer) -> None:
    for feature in ("jsonsummary", "jsonfilelist", "xmlfilelist"):
        for path in (feature, f"{feature}/"):
            answer = requests.get(f"{made_up.url}/{path}?orderby=name", timeout=10, allow_redirects=False)
            assert (answer.status_code, answer.headers[HEADER]) == (200, "orderby=name")


def test_bad_names_of_files_are_not_found(archive_http: HttpServer) -> None:
    for feature in ("file", "fullheader", "fitsverify", "mdreport", "preview"):
        for name in ("%00", "a%00b.fits", "%FF%FE", "", "x" * 3000):
            answer = requests.get(f"{archive_http.url}/{feature}/{name}", timeout=10)
            assert answer.status_code == 404, (feature, name)
