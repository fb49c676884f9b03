"""The Dagster UI as an application that can be mounted in ours, behind our login."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["DAGSTER_PREFIX", "dagster_app"]

DAGSTER_PREFIX = "/dagster"


def dagster_app(workspace: Path) -> ASGIApp:
    """Make Dagster's web server for a workspace file.

    The instance is the one of ``DAGSTER_HOME``. Dagster's web server knows no login of its own; the caller
    must guard it.
    """
    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context

    instance = DagsterInstance.get()
    context = WorkspaceProcessContext(instance, WorkspaceFileTarget(paths=[str(workspace)])).__enter__()
    return create_app_from_workspace_process_context(context, path_prefix=DAGSTER_PREFIX)
