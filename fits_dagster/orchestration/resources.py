"""The one resource: a site, opened once per process and run."""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

import os
from typing import Any

import dagster as dg

from fits_dagster.logs import configure_logging
from fits_dagster.settings import load_settings
from fits_dagster.sites import Site, open_site

__all__ = ["SiteResource", "close_sites"]


#: Sites that are open, by process, name and settings: a tick of a sensor finds that of the one before.
_opened: dict[tuple[int, str, str], Site] = {}


def close_sites() -> None:
    """Let go of the database connections of this process; the next run opens its own."""
    for key in [key for key in _opened if key[0] == os.getpid()]:
        _opened.pop(key).close()


class SiteResource(dg.ConfigurableResource[Any]):
    """A site's database, store and settings. Nothing is opened before it is asked for."""

    site: str

    def open(self, log: str) -> Site:
        """Return the site; a forked process gets connections of its own.

        Parameters
        ----------
        log
            What this process does, for the name of its log file.
        """
        settings = load_settings()
        name = self.site
        configure_logging(settings, f"{name}-{log}")
        key = (os.getpid(), name, settings.model_dump_json())
        if key not in _opened:
            _opened[key] = open_site(settings, name, s3_client=self._s3_client(settings.site(name)))
        return _opened[key]

    @staticmethod
    def _s3_client(site: Any) -> Any:
        """Make the S3 client with dagster-aws, where the site's store is S3."""
        if site.store != "s3":
            return None
        from dagster_aws.s3 import S3Resource

        return S3Resource(
            region_name=site.s3.region,
            endpoint_url=site.s3.endpoint_url or None,
            max_attempts=site.s3.max_attempts,
        ).get_client()
