"""Previews: small grey JPEG pictures of what is in a file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fits_dagster.previews.errors import NoPreview, Reason
from fits_dagster.previews.info import Layout, PreviewInfo
from fits_dagster.previews.names import preview_name

if TYPE_CHECKING:
    from fits_dagster.previews.rendering import PreviewRequest, render, rendered

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


def __getattr__(name: str) -> Any:
    """Import the rendering when it is asked for: numpy and Pillow are for those who render."""
    if name in __all__:
        return getattr(import_module("fits_dagster.previews.rendering"), name)
    raise AttributeError(name)
