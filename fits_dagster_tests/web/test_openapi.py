"""``/openapi.json`` is true: whatever is asked for, statuses, types and shapes are those described.

Requests are made up from the document itself and sent over HTTP to a site of each profile, by visitors and by
who has every credential there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from pydantic import SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fits_dagster.destinations.fits_server import API_COOKIE, UPLOAD_COOKIE
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.records.programs import Program, save_program
from fits_dagster.sites import Site
from fits_dagster.web.accounts import add_user
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.records import insert_records, make_records
from fits_dagster_tests.builders.sites import COOKIE, HttpServer, serve
from fits_dagster_tests.web.conftest import PASSWORD

RECORDS = make_records(60)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
#: Made-up requests of each kind of client to each route, besides those below.
EXAMPLES = 3
#: Paths that mean something, and such as somebody tries who means harm; as they stand in the request.
PATHS = (
    "20251121",
    "GMOS-N/RAW/NotFail",
    "present/entrytimedaterange=20200101-20300101",
    RECORDS[0]["name"],
    f"{RECORDS[1]['name']}/cols=FRS",
    "processed_bias/GMOS-N/20251121",
    "ra=10/dec=-20/sr=5",
    "ra=400",
    "GN-2025B-Q-1",
    "",
    "%00",
    "%ff%fe",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "a%0d%0aSet-Cookie:%20a=b",
    "%F0%9F%94%AD" * 60,
)
BODIES: dict[str | None, Any] = {
    "application/json": json.dumps({"tags": ["GMOS", "RAW"], "descriptors": {"instrument": "GMOS-N"}}),
    "application/x-www-form-urlencoded": f"files={RECORDS[0]['name']}.bz2&username=%00&password=%ff",
    "application/octet-stream": b"no FITS",
    None: None,
}


@pytest.mark.parametrize("profile", ["summit", "archive"])
def test_every_answer_is_as_it_is_described(profile: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(profile)
    secrets = (SecretStr(COOKIE),)
    known = site.settings.model_copy(update={"upload_cookies": secrets, "api_cookies": secrets})
    site = replace(site, settings=known)
    insert_records(site, RECORDS)
    with site.engine.begin() as connection:
        save_program(connection, Program(program_id="GN-2025B-Q-1", title="Comets"))
        add_work(connection, [NewWork(stage="ingest", filename="N20251123S0001.fits")])
    application = create_app(site, session_hours=1)
    schema = schemathesis.openapi.from_dict(application.openapi())
    server, stop = serve(application)
    wrong = []
    try:
        with session_of("visitor", site, server) as visitor, session_of("trusted", site, server) as trusted:
            for result in schema.get_all_operations():
                operation = result.ok()
                # it ends the session that the others need
                clients = [visitor] if operation.path == "/logout" else [visitor, trusted]
                wrong += failures_of(operation, server, clients)
    finally:
        stop()
    assert wrong == [], "\n\n".join(wrong)


@contextmanager
def session_of(client: str, site: Site, server: HttpServer) -> Iterator[requests.Session]:
    """What a client shows with every request."""
    with requests.Session() as session:
        if client == "trusted":
            add_user(site.engine, "anna", PASSWORD, role="staff")
            fields = {"username": "anna", "password": PASSWORD}
            assert "Welcome" in session.post(f"{server.url}/login/", data=fields, timeout=10).text
            session.cookies.update({UPLOAD_COOKIE: COOKIE, API_COOKIE: COOKIE})
        yield session


def failures_of(
    operation: schemathesis.schemas.APIOperation, server: HttpServer, clients: Sequence[requests.Session]
) -> list[str]:
    """What of a route's answers to clients, each of whom asks the same, is not as described."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def made_up(case: schemathesis.Case) -> None:
        for session in clients:
            answer = case.call(base_url=server.url, session=session, allow_redirects=False, timeout=20)
            case.validate_response(answer, checks=CHECKS)

    def chosen(path: str) -> None:
        body = next(iter(operation.definition.raw.get("requestBody", {}).get("content", {})), None)
        headers = {"Content-Type": body} if body else {}
        asked = requests.Request(operation.method, server.url, data=BODIES[body], headers=headers)
        case = operation.Case(path_parameters=dict.fromkeys(parameters, path or "x"))
        for session in clients:
            prepared = session.prepare_request(asked)
            prepared.url = server.url + re.sub(r"{\w+}", path, operation.path)
            answer = session.send(prepared, allow_redirects=False, timeout=20)
            case.validate_response(answer, checks=CHECKS)

    parameters = re.findall(r"{(\w+)}", operation.path)
    if "rest" in parameters:
        paths: Sequence[str] = PATHS
    else:
        # one element, and no other route
        paths = [each for each in PATHS if each and "/" not in each] if parameters else [""]
    failures = []
    for check, values in [(made_up, ()), *((chosen, (path,)) for path in paths)]:
        try:
            check(*values)
        except Exception as error:
            failures.append(f"{operation.label} {values}: {type(error).__name__}: {error}")
    return failures
