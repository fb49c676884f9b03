"""The rules common to all instruments: one class whose `to_<field>` methods fill the record.

An instrument is a subclass with tables as class constants, and methods only where its rules differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from functools import cached_property
from typing import Any, ClassVar, Final

from fits_dagster.fits.cards import Cards, Value
from fits_dagster.fits.hdu import HDU

from . import coordinates, observing, times
from .common_tags import COMMON_RULES
from .identifiers import parse_program_id
from .instrument_table import fill_row
from .tags import TagRule, compute_tags, merged
from .values import angle, as_number, is_true, number, text, truth, whole, without_id
from .vocabulary import FILTER_WAVELENGTHS, nearest_band, official_instrument, official_telescope

__all__ = ["Translator"]

#: Image extensions that hold no exposure of their own.
_COMPANIONS: Final = frozenset({"VAR", "DQ", "OBJMASK", "TIME"})
_MAX_AIRMASS: Final = 50.0
_PERCENTILES: Final = {"Any": 100} | {f"{number:02d}-percentile": number for number in range(100)}


class Translator:
    """Rules of Gemini data in general.

    Parameters
    ----------
    hdus : sequence of HDU
        Primary first.
    filename : str
        Name of the file; the last resort for date and site.

    Notes
    -----
    A rule that cannot be applied returns None, or raises; the caller turns that into a null field.
    """

    #: Values of ``INSTRUME``, upper case, that this class serves.
    instrume: ClassVar[tuple[str, ...]] = ()
    #: Fields that are always the same.
    constants: ClassVar[Mapping[str, Any]] = {}
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
    #: Effective wavelengths of this instrument's filters, micron; these beat the common ones.
    filter_wavelengths: ClassVar[Mapping[str, float]] = {}
    #: Tag rules of this instrument.
    tag_rules: ClassVar[Sequence[TagRule]] = ()
    #: Purposes of common tag rules that do not apply.
    without_rules: ClassVar[frozenset[str]] = frozenset()
    #: Name of the instrument's table; None for instruments without one.
    table: ClassVar[str | None] = None
    #: Columns of the table.
    columns: ClassVar[tuple[str, ...]] = ()
    #: Columns with a closed list of values; others become null.
    column_values: ClassVar[Mapping[str, frozenset[str]]] = {}
    _all_rules: ClassVar[tuple[TagRule, ...]] = COMMON_RULES

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        parents: list[Mapping[str, tuple[str, ...]]] = [
            vars(parent).get("keywords", {}) for parent in reversed(cls.__mro__)
        ]
        cls.keywords = {name: keys for parent in parents for name, keys in parent.items()}
        cls._all_rules = merged(COMMON_RULES, cls.tag_rules, cls.without_rules)

    def __init__(self, hdus: Sequence[HDU], filename: str) -> None:
        self.hdus = hdus
        self.filename = filename.rpartition("/")[2]
        self.primary: Cards = hdus[0].cards

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
        return observing.joined_filters(present, pretty=pretty) if len(present) == len(names) else None

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
        return times.ut_datetime(self.primary, self.extensions, self.filename)

    def instrument_rows(self, warnings: list[str]) -> list[dict[str, object]]:
        """Return the rows of the instrument's table: one, for most instruments that have a table."""
        return [fill_row(self, warnings)] if self.table else []

    # -- the record ---------------------------------------------------------

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
        return (official_telescope(named) if named else None) or self._telescope_of_name()

    def _telescope_of_name(self) -> str | None:
        return {"N20": "Gemini-North", "S20": "Gemini-South"}.get(self.filename[:3])

    def to_instrument(self) -> str | None:
        named = text(self.primary, "INSTRUME")
        return official_instrument(named) if named else None

    def to_ut_datetime(self) -> datetime | None:
        return self.instant

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

    def extension_numbers(self, key: str) -> list[float | int | None]:
        """Return a keyword of every extension as numbers."""
        return [as_number(cards.get(key)) for cards in self.extensions]
