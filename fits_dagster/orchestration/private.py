"""Everything of Dagster that we use and that Dagster does not call public; checked against 1.13.

There is a reason for each: where a public way appears, it takes the place of the line here. The daemon is
started by ``python -m dagster._daemon``, which is what Dagster's own command does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# a storage of our own, which keeps its connections, and a launcher of our own read our settings
# what a job of assets is, before it is resolved
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log import EventLogStorage

# events without a run are not pruned by Dagster
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.schedules import ScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

# a task carries the run's id in Dagster's own form
from dagster._serdes import ConfigurableClass, ConfigurableClassData, unpack_value

# ``dagster dev`` starts what it needs by itself
from dagster._utils.env import using_dagster_dev

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = [
    "WARM_MODULES",
    "AssetCheckExecutionsTable",
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "DagsterSqliteStorage",
    "DagsterStorage",
    "EventLogStorage",
    "LaunchRunContext",
    "RunStorage",
    "ScheduleStorage",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "UnresolvedAssetJobDefinition",
    "WorkerStatus",
    "remember_schema",
    "role_webserver",
    "unpack_value",
    "use_engine",
    "using_dagster_dev",
]

#: What a run imports, imported before a worker forks.
WARM_MODULES = ("dagster._core.execution.api",)


def use_engine(part: Any, engine: Engine) -> None:
    """Let a part of a PostgreSQL storage keep its connections, rather than make one for each statement."""
    part._engine = engine


#: What the parts of a storage ask the catalogue of the database, over and over: has a migration been made?
_SCHEMA_QUESTIONS: Final = (
    "has_run_stats_index_cols",
    "has_backfill_id_column",
    "has_bulk_actions_selector_cols",
    "has_bulk_action_job_name_column",
    "has_backfill_tags_table",
    "has_asset_key_col",
    "_has_asset_key_col_on_connection",
    "has_instigators_table",
    "_has_instigators_table",
    "has_secondary_index_table",
)


def remember_schema(part: Any, said: set[Any]) -> None:
    """Let a part of a storage ask each question about its tables until it has been answered with yes.

    No migration takes a column away again. Each question reads the catalogue: several for every event.

    Parameters
    ----------
    said
        The questions that this database has said yes to.
    """

    def once(name: str, ask: Callable[..., bool]) -> Callable[..., bool]:
        def answer(*about: Any) -> bool:
            # a connection is no part of the question
            question = (name, *(each for each in about if isinstance(each, str)))
            if question not in said and ask(*about):
                said.add(question)
            return question in said

        return answer

    for name in _SCHEMA_QUESTIONS:
        if (ask := getattr(part, name, None)) is not None:
            setattr(part, name, once(name, ask))


def role_webserver(workspace: Path, prefix: str, is_read_only: Callable[[Any], bool]) -> Any:
    """Make Dagster's web application for a workspace file, in which each request has a role.

    There is one web server for all roles: a second one would cost another schema and other code locations.

    Parameters
    ----------
    is_read_only
        Tells of a connection (of Starlette) whether it may only look.
    """
    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.webserver import DagsterWebserver

    class Webserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
        """The web server, with a context for each request."""

        def _make_request_context(self, conn: Any) -> WorkspaceRequestContext:
            process = self._process_context
            return WorkspaceRequestContext(
                instance=process.instance,
                current_workspace=process.get_current_workspace(),
                process_context=process,
                version=process.version,
                source=conn,
                read_only=is_read_only(conn),
            )

    target = WorkspaceFileTarget(paths=[str(workspace)])
    context = WorkspaceProcessContext(DagsterInstance.get(), target).__enter__()
    return Webserver(context, prefix).create_asgi_app()
