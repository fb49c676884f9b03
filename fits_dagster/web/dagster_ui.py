"""The Dagster UI as an application that can be mounted in ours, behind our login."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fits_dagster.web.access import PERSON_KEY
from fits_dagster.web.errors import refusal

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["DAGSTER_PREFIX", "dagster_app"]

DAGSTER_PREFIX = "/dagster"


def dagster_app(workspace: Path) -> ASGIApp:
    """Make Dagster's web server for a workspace file; each request may do what its person may.

    The instance is the one of ``DAGSTER_HOME``. Dagster's web server knows no login of its own; the caller
    must guard it, and tell it who asks (:class:`fits_dagster.web.access.RoleGuard`). Everything but looking
    is refused by Dagster itself to requests of readers, and to those of nobody: they get a read-only context.
    """
    from fits_dagster.orchestration.private import role_webserver

    def is_read_only(connection: HTTPConnection) -> bool:
        person = connection.scope.get(PERSON_KEY)
        return person is None or not person.may("operator")

    return _PostOnly(role_webserver(workspace, DAGSTER_PREFIX, is_read_only))


class _PostOnly:
    """Takes GraphQL by POST alone: a link must not be able to start anything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse queries in addresses."""
        is_query = scope["type"] == "http" and scope["path"] == f"{DAGSTER_PREFIX}/graphql"
        if is_query and scope["method"] != "POST" and b"query" in scope["query_string"]:
            answer = refusal(405, "GraphQL by POST only", {"Allow": "POST"})
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)
