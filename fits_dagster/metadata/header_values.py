"""What the headers of one file say, instrument by instrument: keywords, tags, descriptive values.

This is the lower half of an instrument's rules; `Translator` makes the record of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Final

from fits_dagster.fits.cards import Cards, Value
from fits_dagster.fits.hdu import HDU

from . import coordinates, times
from .common_tags import COMMON_RULES
from .observing import joined_filters
from .tags import TagRule, compute_tags, merged
from .values import as_number, number, text, whole, without_id

__all__ = ["HeaderValues"]

#: Image extensions that hold no exposure of their own.
_COMPANIONS: Final = frozenset({"VAR", "DQ", "OBJMASK", "TIME"})


class HeaderValues:
    """Values of Gemini data in general.

    Parameters
    ----------
    hdus : sequence of HDU
        Primary first.
    filename : str
        Name of the file; the last resort for date and site.
    """

    #: Where plain values are found: name of the value to keywords of the primary header, first wins.
    keywords: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "airmass": ("AIRMASS",),
        "camera": ("CAMERA",),
        "central_wavelength": ("CWAVE",),
        "coadds": ("COADDS",),
        "disperser": ("DISPERSR",),
        "exposure_time": ("EXPTIME",),
        "filters": ("FILTER1", "FILTER2"),
        "focal_plane_mask": ("FPMASK",),
        "gain_setting": ("GAINSET",),
        "object": ("OBJECT",),
        "observation_class": ("OBSCLASS",),
        "observation_type": ("OBSTYPE",),
        "program_id": ("GEMPRGID",),
        "pupil_mask": ("PUPILMSK",),
        "read_mode": ("READMODE",),
        "read_speed": ("RDSPDSET",),
        "well_depth": ("WELDEPTH",),
    }
    #: Factor from the unit of ``central_wavelength`` to micron.
    wavelength_unit: ClassVar[float] = 1.0
    #: Whether the exposure time of one coadd is multiplied by the coadds (unless prepared).
    sums_coadds: ClassVar[bool] = True
    #: Tag rules of the whole observatory.
    common_rules: ClassVar[Sequence[TagRule]] = COMMON_RULES
    #: Tag rules of this instrument.
    tag_rules: ClassVar[Sequence[TagRule]] = ()
    #: Purposes of common tag rules that do not apply.
    without_rules: ClassVar[frozenset[str]] = frozenset()
    _all_rules: ClassVar[tuple[TagRule, ...]] = COMMON_RULES

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        parents: list[Mapping[str, tuple[str, ...]]] = [
            vars(parent).get("keywords", {}) for parent in reversed(cls.__mro__)
        ]
        cls.keywords = {name: keys for parent in parents for name, keys in parent.items()}
        cls._all_rules = merged(cls.common_rules, cls.tag_rules, cls.without_rules)

    def __init__(self, hdus: Sequence[HDU], filename: str) -> None:
        self.hdus = hdus
        self.filename = filename.rpartition("/")[2]
        self.primary: Cards = hdus[0].cards
        #: What was odd about values that were found nevertheless, or why they were not.
        self.findings: list[str] = []

    # -- access -------------------------------------------------------------

    @cached_property
    def images(self) -> list[HDU]:
        """Extensions with exposures, in file order; a lone primary with pixels counts as one."""
        if len(self.hdus) == 1:
            return [self.hdus[0]] if self.hdus[0].has_pixels else []
        return [hdu for hdu in self.hdus[1:] if hdu.is_image and hdu.name not in _COMPANIONS]

    @cached_property
    def extensions(self) -> list[Cards]:
        """Headers of `images`."""
        return [hdu.cards for hdu in self.images]

    @property
    def first_extension(self) -> Cards | None:
        """Header of extension 0, if there is one."""
        return self.extensions[0] if self.extensions else None

    def keyword_text(self, name: str) -> str | None:
        """Return the text of the keyword(s) that hold a value of this name."""
        return text(self.primary, *self.keywords[name])

    def keyword_number(self, name: str) -> float | int | None:
        """Return the number of the keyword(s) that hold a value of this name."""
        return number(self.primary, *self.keywords[name])

    def tag_value(self, key: str) -> Value:
        """Return the value of a keyword for the tag rules."""
        return self.primary.get(key)

    @cached_property
    def tags(self) -> frozenset[str]:
        """The tag set."""
        return compute_tags(self._all_rules, self)

    @cached_property
    def is_prepared(self) -> bool:
        """Whether reduction software has rewritten descriptive values into their own keywords."""
        return "PREPARED" in self.tags

    # -- descriptive values, in raw form unless pretty --------------------------

    def component(self, name: str, *, pretty: bool) -> str | None:
        """Return the text of a component, without its id if pretty."""
        found = self.keyword_text(name)
        return without_id(found) if pretty and found is not None else found

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the effective filter(s)."""
        names = [text(self.primary, key) for key in self.keywords["filters"]]
        present = [name for name in names if name is not None]
        return joined_filters(present, pretty=pretty) if len(present) == len(names) else None

    def disperser(self, *, pretty: bool) -> str | None:
        """Return the dispersing element."""
        return self.component("disperser", pretty=pretty)

    def focal_plane_mask(self, *, pretty: bool) -> str | None:
        """Return the slit or mask."""
        return self.component("focal_plane_mask", pretty=pretty)

    def pupil_mask(self, *, pretty: bool) -> str | None:
        """Return the pupil mask."""
        return self.component("pupil_mask", pretty=pretty)

    def camera(self, *, pretty: bool) -> str | None:
        """Return the camera."""
        return self.component("camera", pretty=pretty)

    def central_wavelength(self) -> float | None:
        """Return the central wavelength in micron."""
        found = self.keyword_number("central_wavelength")
        return None if found is None or found < 0 else found * self.wavelength_unit

    def coadds(self) -> int | None:
        """Return the number of coadds, by default one."""
        found = self.keyword_number("coadds")
        return 1 if found is None else int(found)

    def single_exposure(self) -> float | None:
        """Return the exposure time in the header, seconds."""
        return self.keyword_number("exposure_time")

    def exposure_time(self) -> float | None:
        """Return the exposure time in seconds, of all coadds where they are summed."""
        seconds = self.single_exposure()
        if seconds is None or seconds < 0:
            return None
        if self.sums_coadds and not self.is_prepared:
            coadds = self.coadds()
            return None if coadds is None else seconds * coadds
        return seconds

    def x_bin(self) -> int | None:
        """Return the binning in x."""
        return self._binning("XBIN")

    def y_bin(self) -> int | None:
        """Return the binning in y."""
        return self._binning("YBIN")

    def _binning(self, key: str) -> int | None:
        return whole(self.primary, key) if key in self.primary else 1

    def read_mode(self) -> str | None:
        """Return the read mode."""
        return self.keyword_text("read_mode")

    def read_speed(self) -> str | None:
        """Return the read speed."""
        return self.keyword_text("read_speed")

    def gain_setting(self) -> str | None:
        """Return the gain setting."""
        return self.keyword_text("gain_setting")

    def well_depth(self) -> str | None:
        """Return the well depth setting."""
        return self.keyword_text("well_depth")

    def airmass(self) -> float | None:
        """Return the airmass in the header if it is one."""
        found = self.keyword_number("airmass")
        return float(found) if found is not None and found >= 1 else None

    def position(self) -> tuple[float | None, float | None]:
        """Return RA and Dec in degrees, ICRS."""
        if not self.images:
            return None, None  # the archive gives no position to headers without pixels
        celestial = self.wcs_position()
        return coordinates.keyword_position(self.primary) if celestial is None else celestial

    def wcs_position(self) -> tuple[float | None, float | None] | None:
        """Return the sky position of the reference point, or None without a celestial WCS."""
        for cards in (self.first_extension, self.primary):
            if cards is None or "CTYPE1" not in cards or "CTYPE2" not in cards:
                continue
            found = coordinates.celestial_reference(cards)
            if found is None:
                return None
            ra, dec = found
            if "NON_SIDEREAL" in self.tags and ra is not None and dec is not None:
                return coordinates.to_icrs("APPT", ra, dec, self.instant) or found
            return found
        return None

    @cached_property
    def instant(self) -> datetime | None:
        """UTC start of the observation."""
        return self.find_instant()

    def find_instant(self) -> datetime | None:
        """Find the UTC start of the observation."""
        return times.ut_datetime(self.primary, self.extensions, self.filename, self.findings)

    def extension_numbers(self, key: str) -> list[float | int | None]:
        """Return a keyword of every extension as numbers."""
        return [as_number(cards.get(key)) for cards in self.extensions]
