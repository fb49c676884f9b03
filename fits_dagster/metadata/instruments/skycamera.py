"""The all-sky camera in the South. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.tags import TagRule, always
from fits_dagster.metadata.translator import Translator

__all__ = ["SkyCamera"]


class SkyCamera(Translator):
    """Rules of the all-sky camera: site monitoring, which belongs to no program."""

    instrume = ("GS_ALLSKYCAMERA",)
    constants: ClassVar = {"instrument": "GS_ALLSKYCAMERA", "object": "ZENITH", "site_monitoring": True}
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("GS_ALLSKYCAMERA",), always),
        TagRule(("SOUTH",), always),
    )

    def _engineering_by_program(self) -> bool:
        return self.to_program_id() is not None and super()._engineering_by_program()
