"""Which stages each site has, in the order in which a file meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fits_dagster.dataflow import associate, copy, edit, export, ingest, preview, store
from fits_dagster.dataflow.stage import Stage
from fits_dagster.settings import SiteName

__all__ = ["SITE_STAGES"]

SITE_STAGES: Mapping[SiteName, Sequence[Stage[Any]]] = {
    "summit": (copy.STAGE, edit.STAGE, ingest.STAGE, export.STAGE),
    "archive": (store.STAGE, ingest.STAGE, preview.STAGE, associate.STAGE),
}
