"""An instrument of another observatory: Kestrel, a camera at the telescope Skua."""

from typing import ClassVar

from fits_dagster.metadata.tags import TagRule, always, equals
from fits_dagster.metadata.translator import Translator


class Kestrel(Translator):
    """Rules of Kestrel."""

    observatory = "Skellig"
    telescopes = ("Skua",)
    instrume = ("KESTREL",)
    names = ("Kestrel",)
    keywords: ClassVar = {
        "exposure_time": ("EXPOSED",),
        "filters": ("FILTNAM",),
        "observation_type": ("IMAGETYP",),
        "program_id": ("PROPID",),
    }
    filter_wavelengths: ClassVar = {"wide": 0.62}
    # its programs have identifiers of their own, which do not say what is engineering
    constants: ClassVar = {"engineering": False}
    # the common rules read Gemini's keywords
    common_rules = ()
    tag_rules = (
        TagRule(("KESTREL", "RAW", "IMAGE"), always),
        TagRule(("BIAS", "CAL"), equals("IMAGETYP", "BIAS"), blocks=frozenset({"IMAGE"})),
    )
    table = "kestrel"
    column_kinds: ClassVar = {"filter_name": str, "shutter": bool}

    def column_shutter(self):
        """Return whether the shutter was open."""
        return self.primary.get("SHUTOPEN")
