"""The one resource: a site, opened once per process."""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

import os
from typing import Any, cast

import dagster as dg
from pydantic import PrivateAttr

from fits_dagster.dataflow.site import Site, open_site
from fits_dagster.logs import configure_logging
from fits_dagster.settings import SiteName, load_settings

__all__ = ["SiteResource"]


class SiteResource(dg.ConfigurableResource[Any]):
    """A site's database, store and settings. Nothing is opened before it is asked for."""

    site: str
    _opened: dict[int, Site] = PrivateAttr(default_factory=dict)

    def open(self, log: str) -> Site:
        """Return the site; a forked process gets connections of its own.

        Parameters
        ----------
        log
            What this process does, for the name of its log file.
        """
        pid = os.getpid()
        if pid not in self._opened:
            settings = load_settings()
            name = cast(SiteName, self.site)
            configure_logging(settings, f"{name}-{log}")
            self._opened[pid] = open_site(settings, name, s3_client=self._s3_client(settings.site(name)))
        return self._opened[pid]

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
