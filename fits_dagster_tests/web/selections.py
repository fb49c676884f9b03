"""Selections asked for over HTTP, of records that are made up."""

from __future__ import annotations

from urllib.parse import quote

import requests

from fits_dagster_tests.builders.records import make_records
from fits_dagster_tests.builders.sites import HttpServer

#: What a request names that does not count.
HEADER = "X-Fits-Dagster-Not-Understood"
RECORDS = make_records()


def ask(server: HttpServer, selection: str, feature: str = "jsonsummary") -> requests.Response:
    path = "/".join(quote(element, safe="=:,+") for element in selection.split("/"))
    return requests.get(f"{server.url}/{feature}/{path}", timeout=20)


def names(server: HttpServer, selection: str) -> set[str]:
    answer = ask(server, selection)
    assert answer.status_code == 200, (selection, answer.text)
    assert HEADER not in answer.headers, selection
    return {each["name"] for each in answer.json()}
