"""Where a telescope points: sites, sidereal time, horizontal coordinates, targets.

Accuracy is that of a simulation (arc minutes); formulae from Meeus, Astronomical Algorithms.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import asin, atan2, cos, degrees, radians, sin

__all__ = ["NORTH", "SOUTH", "Pointing", "Site", "Target", "julian_date", "nearest_to_meridian", "point"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """One telescope: its place on Earth and the hours of its night.

    ``day_start`` and the like are hours from 00:00 UTC of the date in the file names; they are negative
    where the night label begins on the evening before (Gemini South: label = date of UTC + 6 h).
    """

    letter: str
    telescope: str
    latitude: float
    longitude: float
    winter_offset: float
    summer_offset: float
    day_start: float
    twilight: float
    night_start: float
    night_end: float

    def local_offset(self, day: date) -> timedelta:
        """Offset of civil time from UTC; Chile has summer time from September to early April."""
        summer = day.month >= 9 or day.month <= 3
        return timedelta(hours=self.summer_offset if summer else self.winter_offset)

    def at(self, night: date, hours: float) -> datetime:
        """UTC of `hours` after 00:00 UTC of the night's date."""
        return datetime(night.year, night.month, night.day, tzinfo=UTC) + timedelta(hours=hours)


NORTH = Site(
    letter="N", telescope="Gemini-North", latitude=19.82380, longitude=-155.46905,
    winter_offset=-10, summer_offset=-10, day_start=0.3, twilight=4.6, night_start=5.4, night_end=14.8,
)  # fmt: skip
SOUTH = Site(
    letter="S", telescope="Gemini-South", latitude=-30.24075, longitude=-70.73669,
    winter_offset=-4, summer_offset=-3, day_start=-5.6, twilight=-0.9, night_start=0.4, night_end=8.6,
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """An object on the sky, J2000 degrees."""

    name: str
    ra: float
    dec: float


@dataclass(frozen=True, kw_only=True)
class Pointing:
    """Where the telescope is at one moment, in degrees; sidereal time and hour angle in hours."""

    azimuth: float
    elevation: float
    airmass: float
    rotator: float
    sidereal_time: float
    hour_angle: float


# One well-known object every two hours of right ascension.
NORTHERN = (
    Target("M 31 PN-17", 10.6847, 41.2691), Target("NGC 520", 21.1463, 3.7924),
    Target("NGC 1068", 40.6696, -0.0133), Target("NGC 1333 IRAS4", 52.2939, 31.2253),
    Target("Crab Pulsar", 83.6331, 22.0145), Target("NGC 2392", 112.2945, 20.9118),
    Target("M 81 GC-3", 148.8882, 69.0653), Target("NGC 3379", 161.9566, 12.5816),
    Target("M 87 jet", 187.7059, 12.3911), Target("NGC 5548", 214.4981, 25.1368),
    Target("Arp 220", 233.7385, 23.5032), Target("NGC 6543", 269.6391, 66.6331),
    Target("M 57", 283.3962, 33.0292), Target("Cygnus A", 299.8682, 40.7339),
    Target("NGC 7331", 339.2671, 34.4156),
)  # fmt: skip
SOUTHERN = (
    Target("NGC 253 SSC-5", 11.8880, -25.2883), Target("NGC 613", 23.5757, -29.4186),
    Target("NGC 1097", 41.5794, -30.2749), Target("NGC 1365", 53.4016, -36.1404),
    Target("30 Doradus", 84.6767, -69.1009), Target("Eta Carinae", 161.2648, -59.6845),
    Target("VY CMa", 110.7430, -25.7676), Target("NGC 3132", 151.7573, -40.4364),
    Target("NGC 4038", 180.4710, -18.8676), Target("Cen A", 201.3651, -43.0191),
    Target("NGC 5643", 218.1699, -44.1746), Target("NGC 6240", 253.2454, 2.4009),
    Target("Trifid N", 270.6750, -22.9719), Target("NGC 6822", 296.2358, -14.8031),
    Target("NGC 7009", 316.0451, -11.3634), Target("NGC 7582", 349.5979, -42.3706),
)  # fmt: skip
# Spectrophotometric standards at both sites.
STANDARDS = (
    Target("LTT1020", 28.7095, -27.4766), Target("G191B2B", 76.3776, 52.8311),
    Target("LTT3218", 130.3992, -32.9421),
    Target("Feige34", 159.9031, 43.1026), Target("LTT4364", 176.4292, -64.8413),
    Target("HZ44", 200.8967, 36.1331),
    Target("EG274", 245.8910, -39.2295), Target("Wolf1346", 308.5916, 25.0631),
    Target("Feige110", 349.9933, -5.1656),
)  # fmt: skip


def julian_date(moment: datetime) -> float:
    """Julian date of an aware datetime."""
    return moment.timestamp() / 86400.0 + 2440587.5


def sidereal_time(site: Site, moment: datetime) -> float:
    """Local mean sidereal time, hours."""
    angle = 280.46061837 + 360.98564736629 * (julian_date(moment) - 2451545.0) + site.longitude
    return angle % 360.0 / 15.0


def nearest_to_meridian(catalogue: tuple[Target, ...], site: Site, moment: datetime, rank: int = 0) -> Target:
    """The `rank`-th best placed target at `moment` (highest first)."""
    ordered = sorted(catalogue, key=lambda target: -point(site, moment, target).elevation)
    return ordered[rank % min(4, len(ordered))]


def point(site: Site, moment: datetime, target: Target | None, position_angle: float = 0.0) -> Pointing:
    """Pointing of the telescope at `target`, or parked at the zenith where there is none."""
    hours = sidereal_time(site, moment)
    if target is None:
        return Pointing(
            azimuth=75.0, elevation=90.0, airmass=1.0, rotator=0.0, sidereal_time=hours, hour_angle=0.0
        )
    angle = (hours - target.ra / 15.0 + 12.0) % 24.0 - 12.0
    ha, dec, latitude = radians(angle * 15.0), radians(target.dec), radians(site.latitude)
    sine = sin(latitude) * sin(dec) + cos(latitude) * cos(dec) * cos(ha)
    elevation = degrees(asin(sine))
    azimuth = degrees(
        atan2(-cos(dec) * sin(ha), sin(dec) * cos(latitude) - cos(dec) * cos(ha) * sin(latitude))
    )
    parallactic = degrees(atan2(sin(ha), cos(dec) * sin(latitude) / cos(latitude) - sin(dec) * cos(ha)))
    rotator = (position_angle - parallactic + 180.0) % 360.0 - 180.0
    airmass = max(1.0, 1.0 / sin(radians(max(elevation, 5.0))))
    return Pointing(
        azimuth=azimuth,
        elevation=elevation,
        airmass=airmass,
        rotator=rotator,
        sidereal_time=hours,
        hour_angle=angle,
    )
