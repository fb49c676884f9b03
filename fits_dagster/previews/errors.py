"""Why a file has no preview."""

from __future__ import annotations

from typing import Literal

__all__ = ["NoPreview", "Reason"]

Reason = Literal[
    "not_fits",
    "unreadable",
    "truncated",
    "no_image",
    "empty_image",
    "one_dimensional",
    "no_finite_pixels",
]

_TEXTS: dict[Reason, str] = {
    "not_fits": "the file is not FITS",
    "unreadable": "the file cannot be read",
    "truncated": "the file ends before its pixels do",
    "no_image": "the file holds no image",
    "empty_image": "the image has no pixels",
    "one_dimensional": "the data are one-dimensional",
    "no_finite_pixels": "no pixel is a number",
}


class NoPreview(Exception):
    """A file of which no preview can be made; never worth a retry.

    Attributes
    ----------
    reason : str
        A code of `Reason`.
    detail : str
        Where, or what; may be empty.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(f"{_TEXTS[reason]}: {detail}" if detail else _TEXTS[reason])

    def __reduce__(self) -> tuple[type[NoPreview], tuple[Reason, str]]:
        """Travel between processes."""
        return type(self), (self.reason, self.detail)
