"""A site at work: its settings, its database, its store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from fits_dagster.database.server import open_engine
from fits_dagster.settings import Settings, SiteName, SiteSettings, WorkSettings
from fits_dagster.storage import ObjectStore, open_store

__all__ = ["Site", "open_site", "opened_site"]

_MAX_DEFAULT_WORKERS = 4


@dataclass(frozen=True)
class Site:
    """Everything that a stage needs; made once per process."""

    name: SiteName
    settings: SiteSettings
    work: WorkSettings
    engine: Engine
    store: ObjectStore

    @property
    def workers(self) -> int:
        """Workers of one stage."""
        return self.work.workers or min(_MAX_DEFAULT_WORKERS, os.cpu_count() or 1)

    def close(self) -> None:
        """Let go of the database connections."""
        self.engine.dispose()


def open_site(settings: Settings, name: SiteName, *, s3_client: Any = None) -> Site:
    """Open a site: its database (which must be migrated) and its store.

    Raises
    ------
    FileNotFoundError
        There is no database server yet.
    ValueError
        The settings name no store.
    """
    site = settings.site(name)
    return Site(
        name=name,
        settings=site,
        work=settings.work,
        engine=open_engine(settings, name),
        store=open_store(site, s3_client),
    )


@contextmanager
def opened_site(settings: Settings, name: SiteName) -> Iterator[Site]:
    """Open a site for the time of the context; see :func:`open_site`."""
    site = open_site(settings, name)
    try:
        yield site
    finally:
        site.close()
