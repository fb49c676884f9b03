"""The record by the rules common to all instruments: one method `to_<field>` for each field.

An instrument is a subclass with tables as class constants, and methods only where its rules differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from functools import cached_property
from typing import Any, ClassVar, Final

from . import observing, times
from .header_values import HeaderValues
from .identifiers import parse_program_id
from .instrument_table import fill_row
from .pictures import Picture
from .time_scales import fits_local_time
from .values import angle, is_true, text, truth
from .vocabulary import FILTER_WAVELENGTHS, nearest_band, official_instrument, official_telescope

__all__ = ["Translator"]

_MAX_AIRMASS: Final = 50.0
_PERCENTILES: Final = {"Any": 100} | {f"{number:02d}-percentile": number for number in range(100)}


class Translator(HeaderValues):
    """Rules of Gemini data in general; the base of all instruments.

    Notes
    -----
    A rule that cannot be applied returns None, or raises; the caller turns that into a null field.
    """

    #: The observatory; None: files of unknown origin, whose records are not fit for searches.
    observatory: ClassVar[str | None] = "Gemini"
    #: Official spellings of its telescopes, for the record and for searches.
    telescopes: ClassVar[tuple[str, ...]] = ("Gemini-North", "Gemini-South")
    #: Values of ``INSTRUME``, upper case, that this class serves.
    instrume: ClassVar[tuple[str, ...]] = ()
    #: Official spellings of the instruments, for the record and for searches, where they are not Gemini's.
    names: ClassVar[tuple[str, ...]] = ()
    #: Fields that are always the same.
    constants: ClassVar[Mapping[str, Any]] = {}
    #: Effective wavelengths of this instrument's filters, micron; these beat the common ones.
    filter_wavelengths: ClassVar[Mapping[str, float]] = {}
    #: What previews show.
    picture: ClassVar[Picture] = Picture.FIRST
    #: Of :attr:`Picture.AMPLIFIERS`: unbinned columns of a chip, and pixels between chips.
    chip_columns: ClassVar[int] = 2048
    chip_gap: ClassVar[int] = 40
    #: Name of the instrument's table; None for instruments without one.
    table: ClassVar[str | None] = None
    #: Columns of the table.
    columns: ClassVar[tuple[str, ...]] = ()
    #: Of an instrument from another package, its columns with their types: str, int, float, bool.
    column_kinds: ClassVar[Mapping[str, type]] = {}
    #: Columns with a closed list of values; others become null.
    column_values: ClassVar[Mapping[str, frozenset[str]]] = {}

    def instrument_rows(self, warnings: list[str]) -> list[dict[str, object]]:
        """Return the rows of the instrument's table: one, for most instruments that have a table."""
        return [fill_row(self, warnings)] if self.table else []

    def to_program_id(self) -> str | None:
        found = self.keyword_text("program_id")
        return found.upper() if found else None

    def to_engineering(self) -> bool:
        if "ENG_DATA" in self.primary:
            return truth(self.primary.get("ENG_DATA"))
        return self._engineering_by_program()

    def _engineering_by_program(self) -> bool:
        program = self.to_program_id()
        parsed = parse_program_id(program) if program else None
        return parsed is None or parsed.is_engineering

    def to_science_verification(self) -> bool:
        parsed = parse_program_id(self.to_program_id() or "")
        return parsed is not None and parsed.is_science_verification

    def to_calibration_program(self) -> bool:
        parsed = parse_program_id(self.to_program_id() or "")
        return parsed is not None and parsed.is_calibration

    def to_processing(self) -> str:
        return observing.processing(self.primary)

    def to_processing_tag(self) -> str | None:
        return text(self.primary, "PROCTAG")

    def to_observation_id(self) -> str | None:
        found = text(self.primary, "OBSID")
        return found.upper() if found else None

    def to_data_label(self) -> str | None:
        found = text(self.primary, "DATALAB")
        return found.upper() if found else None

    def to_telescope(self) -> str | None:
        named = text(self.primary, "TELESCOP")
        return (official_telescope(named, self.telescopes) if named else None) or self._telescope_of_name()

    def _telescope_of_name(self) -> str | None:
        named = {"N20": "Gemini-North", "S20": "Gemini-South"}.get(self.filename[:3])
        return named if named in self.telescopes else None

    def to_instrument(self) -> str | None:
        named = text(self.primary, "INSTRUME")
        own = (name for name in self.names if named is not None and name.upper() == named.upper().strip())
        return next(own, official_instrument(named) if named else None)

    def to_ut_datetime(self) -> datetime | None:
        local = self.to_local_time()
        instant = self.instant
        if instant and local and not fits_local_time(instant, local, self.to_telescope()):
            self.findings.append(f"ut_datetime: {instant:%H:%M:%S} does not fit the local time {local} in LT")
        return instant

    def to_ut_datetime_secs(self) -> int | None:
        return None if self.instant is None else times.seconds_since_2000(self.instant)

    def to_local_time(self) -> time | None:
        return times.parse_time(self.primary.get("LT"))

    def to_observation_type(self) -> str | None:
        for tag in ("PINHOLE", "RONCHI"):
            if tag in self.tags:
                return tag
        return self.keyword_text("observation_type")

    def to_observation_class(self) -> str | None:
        return self.keyword_text("observation_class")

    def to_object(self) -> str | None:
        return self.keyword_text("object")

    @cached_property
    def _position(self) -> tuple[float | None, float | None]:
        return (None, None) if "AZEL_TARGET" in self.tags else self.position()

    def to_ra(self) -> float | None:
        return self._position[0]

    def to_dec(self) -> float | None:
        return self._position[1]

    def to_azimuth(self) -> float | None:
        return angle(self.primary.get("AZIMUTH"))

    def to_elevation(self) -> float | None:
        return angle(self.primary.get("ELEVATIO"))

    def to_cass_rotator_pa(self) -> float | None:
        return angle(self.primary.get("CRPA"))

    def to_airmass(self) -> float | None:
        found = self.airmass()
        if found is None or found <= _MAX_AIRMASS:
            return found
        return observing.airmass_at(self.to_elevation())

    def to_filter_name(self) -> str | None:
        found = self.filter_name(pretty=True)
        return found.replace("%", "").replace(" ", "_") if found else None

    def to_exposure_time(self) -> float | None:
        return self.exposure_time()

    def to_disperser(self) -> str | None:
        found = self.disperser(pretty=True)
        return found.replace("/", "_") if found else None

    def to_camera(self) -> str | None:
        return self.camera(pretty=True)

    def to_central_wavelength(self) -> float | None:
        return observing.single_precision(self.central_wavelength()) if "SPECT" in self.tags else None

    def to_wavelength_band(self) -> str | None:
        wavelength = self.effective_wavelength()
        return None if wavelength is None else nearest_band(wavelength)

    def effective_wavelength(self) -> float | None:
        """Return the wavelength that names the band: of the filter for images, else the central one."""
        if "IMAGE" in self.tags:
            name = self.filter_name(pretty=True) or ""
            return self.filter_wavelengths.get(name, FILTER_WAVELENGTHS.get(name))
        return self.central_wavelength() if "SPECT" in self.tags else None

    def to_focal_plane_mask(self) -> str | None:
        return self.focal_plane_mask(pretty=True)

    def to_pupil_mask(self) -> str | None:
        return self.pupil_mask(pretty=True)

    def to_detector_binning(self) -> str | None:
        x, y = self.x_bin(), self.y_bin()
        return None if x is None or y is None else f"{x}x{y}"

    def to_detector_gain_setting(self) -> str | None:
        return self.gain_setting()

    def to_detector_roi_setting(self) -> str | None:
        return "Fixed"

    def to_detector_readspeed_setting(self) -> str | None:
        return self.read_speed()

    def to_detector_welldepth_setting(self) -> str | None:
        return self.well_depth()

    def to_detector_readmode_setting(self) -> str | None:
        found = self.read_mode()
        return found.replace(" ", "_") if found else None

    def to_coadds(self) -> int | None:
        return self.coadds()

    def to_spectroscopy(self) -> bool:
        return "SPECT" in self.tags or {"GHOST", "BUNDLE"} <= self.tags

    def to_mode(self) -> str:
        return observing.mode(self.tags)

    def to_adaptive_optics(self) -> bool:
        return text(self.primary, "AOFOLD") == "IN"

    def to_laser_guide_star(self) -> bool:
        return text(self.primary, "LGSLOOP") == "CLOSED" or text(self.primary, "LGUSTAGE") == "IN"

    def to_wavefront_sensor(self) -> str | None:
        return observing.wavefront_sensors(self.primary)

    def to_gcal_lamp(self) -> str | None:
        return observing.gcal_lamp(self.primary)

    def _percentile(self, key: str) -> int | None:
        return _PERCENTILES.get(text(self.primary, key) or "")

    def to_raw_iq(self) -> int | None:
        return self._percentile("RAWIQ")

    def to_raw_cc(self) -> int | None:
        return self._percentile("RAWCC")

    def to_raw_wv(self) -> int | None:
        return self._percentile("RAWWV")

    def to_raw_bg(self) -> int | None:
        return self._percentile("RAWBG")

    def to_requested_iq(self) -> int | None:
        return self._percentile("REQIQ")

    def to_requested_cc(self) -> int | None:
        return self._percentile("REQCC")

    def to_requested_wv(self) -> int | None:
        return self._percentile("REQWV")

    def to_requested_bg(self) -> int | None:
        return self._percentile("REQBG")

    def to_qa_state(self) -> str:
        return observing.qa_state(self.primary, self.keyword_text("observation_type"))

    def to_release(self) -> date | None:
        return times.parse_any_date(text(self.primary, "RELEASE") or "")

    def to_reduction(self) -> str:
        return observing.reduction(self.tags, self.primary)

    def to_site_monitoring(self) -> bool:
        return False

    def to_types(self) -> frozenset[str]:
        return self.tags

    def to_phot_standard(self) -> None:
        """Leave it null: a catalogue of standards, which is not at hand here, decides."""

    def to_proprietary_coordinates(self) -> bool:
        return is_true(self.primary, "PROP_MD")

    def to_pre_image(self) -> bool:
        return self.primary.get("PREIMAGE") is True or text(self.primary, "PREIMAGE") in ("1", "T")

    def to_numpix(self) -> int:
        return sum(observing.pixels(hdu.shape) for hdu in self.images)
