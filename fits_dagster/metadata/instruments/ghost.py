"""GHOST. Source: Gemini header conventions.

A raw file is a bundle: exposures of the blue and the red camera and of the slit viewer in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Final, TypeVar

from fits_dagster.fits.cards import Cards
from fits_dagster.metadata import times
from fits_dagster.metadata.header_values import HeaderValues
from fits_dagster.metadata.instrument_table import fill_row
from fits_dagster.metadata.pictures import Picture
from fits_dagster.metadata.tags import TagRule, all_of, always, equals, keyword, starts
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import as_text, number, text, whole

__all__ = ["Ghost"]

_T = TypeVar("_T")

_BLUE, _RED, _SLITV = "blue", "red", "slitv"
_READ_SPEEDS: Final = {0: "slow", 1: "medium", 2: "fast"}
_READ_MODES: Final = {
    # (read speed, gain setting)
    ("slow", "low"): "slow",
    ("medium", "low"): "medium",
    ("fast", "low"): "rapid",
    ("fast", "high"): "bright",
    ("standard", "standard"): "standard",
}
_RESOLUTIONS: Final = (("HI_ONLY", "HR"), ("LO_ONLY", "SR"), ("STD_ONLY", "SR"))
_LOW_GAIN_UP_TO: Final = 1.0
#: Where the header has no central wavelength, micron.
_CENTRAL_WAVELENGTHS: Final = {_RED: 0.75, _BLUE: 0.44}

_SLIT_CAMERA = starts("CAMERA", "slit", any_case=True)
_ARM_CAMERA = equals("CAMERA", "BLUE", "RED", any_case=True)
_FLAT = equals("OBSTYPE", "FLAT")


def _arm_tag(subject: HeaderValues) -> tuple[str, ...]:
    return ((as_text(subject.tag_value("CAMERA")) or "").upper(),)


def _arm_of(camera: str | None) -> str | None:
    word = (camera or "").lower()
    if word.startswith("slit"):
        return _SLITV
    return word if word in (_BLUE, _RED) else None


@dataclass
class _Exposure:
    """One exposure of an arm: the header that acts as its primary, and its amplifiers."""

    header: Cards
    amplifiers: list[Cards] = field(default_factory=list)


class Ghost(Translator):
    """Rules of GHOST."""

    instrume = ("GHOST",)
    picture = Picture.BUNDLE
    table = "ghost"
    columns = (
        "arm",
        "want_before_arc",
        "detector_name",
        "detector_x_bin",
        "detector_y_bin",
        "exposure_time",
        "gain_setting",
        "read_speed_setting",
        "focal_plane_mask",
        "prepared",
        "overscan_subtracted",
        "overscan_trimmed",
    )
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("GHOST",), always),
        TagRule(("BUNDLE",), always),
        TagRule(("CAL", "BIAS"), equals("OBSTYPE", "BIAS"), blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(("CAL", "DARK"), equals("OBSTYPE", "DARK"), blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(("CAL", "ARC"), equals("OBSTYPE", "ARC")),
        TagRule(("CAL", "FLAT"), _FLAT),
        TagRule(("CAL", "SLITFLAT"), all_of(_FLAT, _SLIT_CAMERA)),
        TagRule(("SKY",), equals("OBSTYPE", "SKY")),
        TagRule(("SLITV", "SLIT"), _SLIT_CAMERA, blocks=frozenset({"SPECT", "BUNDLE"})),
        TagRule(("IMAGE",), _SLIT_CAMERA),
        TagRule(_arm_tag, _ARM_CAMERA, blocks=frozenset({"BUNDLE"})),
        TagRule(("SPECT", "XD"), _ARM_CAMERA, blocks=frozenset({"BUNDLE"})),
        TagRule(
            ("PROCESSED",),
            keyword("PRSLITIM", "PRSLITBI", "PRSLITDA", "PRSLITFL", "PRWAVLFT", "PRPOLYFT", "PROCSTND"),
        ),
        TagRule(("STANDARD",), keyword("PROCSTND")),
        TagRule(("PARTNER_CAL",), equals("OBSCLASS", "partnerCal")),
    )
    _row_arm: str | None = None

    @cached_property
    def arm(self) -> str | None:
        """The arm of a file split by arm; None for bundles."""
        return _arm_of(text(self.primary, "CAMERA"))

    @cached_property
    def exposures(self) -> dict[str, list[_Exposure]]:
        """Exposures by arm, in file order; a file split by arm is one exposure."""
        if self.arm is not None:
            return {self.arm: [_Exposure(self.primary, list(self.extensions))]}
        found: dict[str, list[_Exposure]] = {}
        current: _Exposure | None = None
        for hdu in self.images:
            arm = _arm_of(text(hdu.cards, "CAMERA"))
            if not hdu.has_pixels:
                current = _Exposure(hdu.cards)
            elif current is not None and arm != _SLITV:
                current.amplifiers.append(hdu.cards)
                continue
            else:
                current = None
            if arm is not None:
                amplifiers = [hdu.cards] if hdu.has_pixels else []
                found.setdefault(arm, []).append(current or _Exposure(hdu.cards, amplifiers))
        return found

    def _of_arm(self, arm: str, read: Callable[[_Exposure], _T | None]) -> _T | None:
        """Return a value of an arm if all its exposures have the same."""
        values = [read(exposure) for exposure in self.exposures.get(arm, [])]
        return values[0] if values and all(value == values[0] for value in values) else None

    def _seconds(self, arm: str) -> float | None:
        return self._of_arm(arm, _seconds_of)

    def _speed(self, arm: str) -> str | None:
        if arm == _SLITV:
            return "standard" if _SLITV in self.exposures else None
        number_of_speed = self._of_arm(arm, lambda exposure: whole(exposure.header, "READMODE"))
        return None if number_of_speed is None else _READ_SPEEDS.get(number_of_speed, "unknown")

    def _gain(self, arm: str) -> str | None:
        if arm == _SLITV:
            return "standard" if _SLITV in self.exposures else None
        return self._of_arm(arm, _gain_of)

    def _bin(self, arm: str, axis: int) -> int | None:
        return self._of_arm(arm, lambda exposure: _bin_of(exposure, axis))

    def exposure_time(self) -> float | None:
        """Return the exposure of an arm; of a bundle the shorter total of the blue and the red arm."""
        if self.arm is not None:
            return self._seconds(self.arm)
        totals = []
        for arm in (_BLUE, _RED):
            seconds = self._seconds(arm)
            if seconds is None:
                return None
            totals.append(seconds * len(self.exposures[arm]))
        return min(totals)

    def x_bin(self) -> int | None:
        """Return the binning in x if the blue and the red arm agree."""
        return self._common_bin(0)

    def y_bin(self) -> int | None:
        """Return the binning in y if the blue and the red arm agree."""
        return self._common_bin(1)

    def _common_bin(self, axis: int) -> int | None:
        if self.arm is not None:
            return self._bin(self.arm, axis)
        blue, red = self._bin(_BLUE, axis), self._bin(_RED, axis)
        return blue if blue == red else None

    def gain_setting(self) -> str | None:
        """Return the gain setting of an arm; none for bundles."""
        return None if self.arm is None else self._gain(self.arm)

    def read_speed(self) -> str | None:
        """Return the read speed of an arm, or of the red and the blue arm of a bundle."""
        if self.arm is not None:
            return self._speed(self.arm)
        red, blue = self._speed(_RED), self._speed(_BLUE)
        return f"red:{red},blue:{blue}" if red and blue else None

    def read_mode(self) -> str | None:
        """Return the read mode of an arm, or of all arms of a bundle as the archive prints them."""
        if self.arm is not None:
            return self._mode(self.arm)
        modes = {arm: self._mode(arm) if arm in self.exposures else None for arm in (_BLUE, _RED, _SLITV)}
        return str(modes) if self.exposures else None

    def _mode(self, arm: str) -> str:
        return _READ_MODES.get((self._speed(arm) or "", self._gain(arm) or ""), "unknown")

    def focal_plane_mask(self, *, pretty: bool) -> str | None:
        """Return HR or SR by the slit mask positioner."""
        name = text(self.primary, "SMPNAME") or ""
        for ending, resolution in _RESOLUTIONS:
            if name.endswith(ending):
                return resolution
        return None

    def filter_name(self, *, pretty: bool) -> None:
        """Return None: there are no filters."""

    def disperser(self, *, pretty: bool) -> None:
        """Return None: the dispersers are fixed and have no names."""

    def central_wavelength(self) -> float | None:
        """Return the central wavelength of an arm, micron."""
        return super().central_wavelength() or _CENTRAL_WAVELENGTHS.get(self.arm or "")

    def find_instant(self) -> datetime | None:
        """Return the start; of a bundle that of the first blue or red exposure, not of the primary."""
        if self.arm is not None:
            return super().find_instant()
        for hdu in self.images:
            if _arm_of(text(hdu.cards, "CAMERA")) in (_BLUE, _RED):
                return times.ut_datetime(hdu.cards, (), self.filename, self.findings)
        return None

    def instrument_rows(self, warnings: list[str]) -> list[dict[str, object]]:
        """Return one row for each arm."""
        rows = []
        for arm in (_BLUE, _RED, _SLITV):
            if arm in self.exposures:
                self._row_arm = arm
                rows.append(fill_row(self, warnings))
        return rows

    def column_arm(self) -> str:
        """Arm of the row."""
        return self._row_arm or ""

    def column_want_before_arc(self) -> bool | None:
        """Return whether an arc before the exposure is wanted."""
        found = self.primary.get("ARCBEFOR")
        return found if isinstance(found, bool) else None

    def column_detector_name(self) -> str | None:
        """Return the detector of the arm."""
        return self._of_arm(self.column_arm(), _detector_of)

    def column_detector_x_bin(self) -> int | None:
        """Return the binning of the arm in x."""
        return self._bin(self.column_arm(), 0)

    def column_detector_y_bin(self) -> int | None:
        """Return the binning of the arm in y."""
        return self._bin(self.column_arm(), 1)

    def column_exposure_time(self) -> float | None:
        """Return the time of one exposure of the arm, seconds."""
        return self._seconds(self.column_arm())

    def column_gain_setting(self) -> str | None:
        """Return the gain setting of the arm."""
        return self._gain(self.column_arm())

    def column_read_speed_setting(self) -> str | None:
        """Return the read speed of the arm."""
        return self._speed(self.column_arm())


def _in_any(exposure: _Exposure) -> list[Cards]:
    return [exposure.header, *exposure.amplifiers]


def _seconds_of(exposure: _Exposure) -> float | None:
    return next((time for cards in _in_any(exposure) if (time := number(cards, "EXPTIME")) is not None), None)


def _detector_of(exposure: _Exposure) -> str | None:
    return next((name for cards in _in_any(exposure) if (name := text(cards, "DETECTOR"))), None)


def _bin_of(exposure: _Exposure, axis: int) -> int | None:
    found = {text(cards, "CCDSUM") for cards in exposure.amplifiers}
    parts = (found.pop() or "").split() if len(found) == 1 else []
    return int(parts[axis]) if len(parts) > axis and parts[axis].isdigit() else None


def _gain_of(exposure: _Exposure) -> str | None:
    gains = [gain for cards in exposure.amplifiers if (gain := number(cards, "GAIN")) is not None]
    if not gains:
        return None
    if all(gain <= _LOW_GAIN_UP_TO for gain in gains):
        return "low"
    return "high" if all(gain > _LOW_GAIN_UP_TO for gain in gains) else None
