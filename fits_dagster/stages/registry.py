"""Which stages each site has, in the order in which a file meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fits_dagster.ledger.stage import Stage
from fits_dagster.settings import SiteName
from fits_dagster.stages import associate, copy, edit, export, ingest, preview, store

__all__ = ["SITE_STAGES"]

SITE_STAGES: Mapping[SiteName, Sequence[Stage[Any]]] = {
    "summit": (copy.STAGE, edit.STAGE, ingest.STAGE, export.STAGE),
    "archive": (store.STAGE, ingest.STAGE, preview.STAGE, associate.STAGE),
}
