"""What the simulated observatory observes: configurations and their calibrations, as data.

Each recipe keeps what the calibration rules compare equal between its science frames and its calibrations:
disperser, filters, mask, wavelength, binning and read area (GMOS); read mode, well depth, coadds and exposure
time (darks); the lamp and the shutter of the calibration unit. A visit takes its flats and arcs beside the
target, since GMOS flats must share its elevation and rotator angle.
"""

from __future__ import annotations

from dataclasses import replace

from fits_dagster.simulator.cards import Value
from fits_dagster.simulator.frames import Kind, Recipe, Step
from fits_dagster.simulator.sky import NORTH, SOUTH

__all__ = ["RECIPES", "full_size"]


def _bias(count: int = 1) -> Step:
    return Step(kind="bias", obstype="BIAS", obsclass="dayCal", exposure=0.0, object="Bias", count=count)


def _dark(exposure: float, count: int = 1) -> Step:
    return Step(kind="dark", obstype="DARK", obsclass="dayCal", exposure=exposure, object="Dark", count=count)


def _lamp(exposure: float, *, lamp: str = "IRhigh", lit: bool = True, night: bool = False) -> Step:
    return Step(
        kind="flat" if lit else "lampoff_flat",
        obstype="FLAT",
        obsclass="partnerCal" if night else "dayCal",
        exposure=exposure,
        object="GCALflat",
        lamp=lamp,
        shutter="OPEN" if lit else "CLOSED",
        where="target" if night else "park",
    )


def _arc(exposure: float, *, lamp: str, night: bool = True) -> Step:
    return Step(
        kind="arc",
        obstype="ARC",
        obsclass="partnerCal" if night else "dayCal",
        exposure=exposure,
        object=lamp,
        lamp=lamp,
        shutter="CLOSED",
        where="target" if night else "park",
    )


def _science(exposure: float, count: int = 1) -> Step:
    return Step(
        kind="science", obstype="OBJECT", obsclass="science", exposure=exposure, where="target", count=count
    )


def _star(exposure: float) -> Step:
    return Step(kind="standard", obstype="OBJECT", obsclass="partnerCal", exposure=exposure, where="star")


def _dome(exposure: float, *, lit: bool) -> Step:
    name = "Domeflat" if lit else "Domeflat OFF"
    kind: Kind = "domeflat" if lit else "dark"
    return Step(kind=kind, obstype="OBJECT", obsclass="dayCal", exposure=exposure, object=name)


LONGSLIT_NORTH: dict[str, Value] = {
    "MASKNAME": "1.0arcsec", "MASKTYP": 1, "MASKID": 100000352, "GRATING": "R400+_G5305", "GRWLEN": 700.0,
    "CENTWAVE": 700.0, "GRORDER": 1, "FILTER2": "GG455_G0305", "WAVELENG": 7000.0,
    "roi": "Central Spectrum", "xbin": 2, "ybin": 4,
}  # fmt: skip
LONGSLIT_SOUTH: dict[str, Value] = LONGSLIT_NORTH | {
    "MASKNAME": "0.75arcsec", "MASKID": 20000016, "GRATING": "B600+_G5323", "GRWLEN": 520.0,
    "CENTWAVE": 520.0, "FILTER2": "open2-8", "WAVELENG": 5200.0,
}  # fmt: skip
IMAGING_NORTH: dict[str, Value] = {
    "FILTER2": "r_G0303", "WAVELENG": 6300.0, "roi": "Half Height", "xbin": 4, "ybin": 4,
}  # fmt: skip

#: in the order in which a small night takes them
RECIPES: tuple[Recipe, ...] = (
    Recipe(
        instrument="GMOS-N",
        site=NORTH,
        mode="longslit",
        setup=LONGSLIT_NORTH,
        day=(_bias(2),),
        visit=(
            _science(900.0),
            _lamp(5.0, lamp="QHalogen", night=True),
            _arc(30.0, lamp="CuAr"),
            replace(_star(60.0), where="specphot"),
        ),
    ),
    Recipe(
        instrument="NIRI",
        site=NORTH,
        mode="image",
        setup={"FILTER2": "K_G0204", "WAVELENG": 22000.0},
        day=(_dark(30.0), _lamp(2.5), _lamp(2.5, lit=False)),
        visit=(_science(30.0, count=2),),
    ),
    Recipe(
        instrument="F2",
        site=SOUTH,
        mode="longslit",
        setup={"WAVELENG": 18710.0},
        day=(_dark(120.0), _dark(20.0)),
        visit=(_science(120.0), _lamp(20.0, night=True), _arc(20.0, lamp="Ar"), _star(20.0)),
    ),
    Recipe(
        instrument="GMOS-S",
        site=SOUTH,
        mode="longslit",
        setup=LONGSLIT_SOUTH,
        day=(_bias(),),
        visit=(_science(1200.0), _lamp(8.0, lamp="QHalogen", night=True), _arc(40.0, lamp="CuAr")),
    ),
    Recipe(
        instrument="GNIRS",
        site=NORTH,
        mode="cross_dispersed",
        setup={"WAVELENG": 16500.0},
        day=(
            Step(
                kind="pinhole",
                obstype="FLAT",
                obsclass="dayCal",
                exposure=1.0,
                object="GCALflat",
                lamp="QHalogen",
                shutter="OPEN",
                setup={"SLIT": "LgPinholes_G5530"},
            ),
        ),
        visit=(
            _science(180.0),
            _lamp(0.84, night=True),
            _lamp(2.0, lamp="QHalogen", night=True),
            _arc(45.0, lamp="Ar"),
            _star(10.0),
        ),
    ),
    Recipe(
        instrument="GMOS-N",
        site=NORTH,
        mode="image",
        setup=IMAGING_NORTH,
        day=(
            _bias(),
            Step(
                kind="twilight",
                obstype="OBJECT",
                obsclass="dayCal",
                exposure=3.0,
                object="Twilight",
                where="twilight",
            ),
        ),
        visit=(_science(300.0, count=2),),
    ),
    Recipe(
        instrument="NIFS",
        site=NORTH,
        mode="ifu",
        setup={"WAVELENG": 22000.0},
        day=(
            _lamp(5.3),
            _lamp(5.3, lit=False),
            _arc(30.0, lamp="Ar", night=False),
            replace(_lamp(15.0), kind="ronchi", setup={"APERTURE": "Ronchi_Screen_G5615"}),
        ),
        visit=(_science(600.0), _star(40.0)),
    ),
    Recipe(
        instrument="GSAOI",
        site=SOUTH,
        mode="image",
        setup={"WAVELENG": 21500.0},
        day=(_dome(10.0, lit=True), _dome(10.0, lit=False)),
        visit=(_science(60.0),),
    ),
)


def full_size(recipe: Recipe) -> Recipe:
    """The same configuration reading its whole detector; GMOS-N binned 2x2, GMOS-S not binned."""
    if "roi" not in recipe.setup:
        return recipe
    binning = 1 if recipe.instrument == "GMOS-S" else 2
    return replace(recipe, setup={**recipe.setup, "roi": "Full Frame", "xbin": binning, "ybin": binning})
