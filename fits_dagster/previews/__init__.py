"""Previews: small grey JPEG pictures of what is in a file."""

from __future__ import annotations

from fits_dagster.previews.errors import NoPreview, Reason
from fits_dagster.previews.names import preview_name
from fits_dagster.previews.rendering import Layout, PreviewInfo, PreviewRequest, render, rendered

__all__ = [
    "Layout",
    "NoPreview",
    "PreviewInfo",
    "PreviewRequest",
    "Reason",
    "preview_name",
    "render",
    "rendered",
]
