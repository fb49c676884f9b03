"""Spectrophotometric standard stars, by position or by name and rough position.

Positions and proper motions: Gaia DR2/DR3 and SIMBAD, ICRS, epoch and equinox J2000.0.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from .coordinates import Position, separation
from .values import sexagesimal

__all__ = ["standard_at"]

_SAME_PLACE: Final = 2.0 / 3600.0
_SAME_FIELD: Final = 5.0 / 60.0
_EPOCH: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_YEAR: Final = timedelta(days=365.25)
#: Ten years after the epoch, for observations without a time.
_UNKNOWN_TIME: Final = _EPOCH + 10 * _YEAR
_MAS: Final = 1 / 3.6e6

#: Name (lower case, no blanks), RA, Dec, proper motion in RA (times cos Dec) and Dec, mas a year.
_STARS: Final = """
bd+284211 21:51:11.02209 +28:51:50.3661 -34.728 -56.851
cd-329927 14:11:46.32401 -33:03:14.3793 -4.136 7.124
cd-34241 00:41:46.92055 -33:39:08.4315 -17.266 -18.719
cygob2no9 20:33:10.73668 +41:15:08.2222 -3.041 -4.659
eg21 03:10:31.02018 -68:36:03.3814 39.451 -103.194
eg81 11:37:26.37001 +14:10:14.1034 -79.927 -44.696
eg131 19:20:34.92299 -07:40:00.0668 -61.279 -161.774
eg274 16:23:33.83842 -39:13:46.1600 77.135 0.334
feige34 10:39:36.73771 +43:06:09.2098 12.542 -25.408
feige56 12:06:47.23517 +11:40:12.6587 -7.427 -6.526
feige66 12:37:23.51579 +25:03:59.8710 1.833 -27.425
feige67 12:41:51.79017 +17:31:19.7506 -7.327 -37.281
feige110 23:19:58.39951 -05:09:56.1703 -10.68 0.31
g191b2b 05:05:30.61828 +52:49:51.9208 12.592 -93.525
gd108 10:00:47.24620 -07:33:30.7774 -42.368 -1.876
gd140 11:37:05.10383 +29:47:58.2924 -147.459 -12.782
hd192281 20:12:33.12059 +40:16:05.4429 -7.517 -2.162
hd217086 22:56:47.18872 +62:43:37.6548 -0.318 -2.077
hilt600 06:45:13.37263 +02:08:14.6880 -1.169 -0.534
hz14 04:41:01.73986 +10:59:39.9991 91.354 -10.643
hz44 13:23:35.26328 +36:07:59.5460 -66.269 -4.516
ltt377 00:41:30.47421 -33:37:32.0324 -347.517 -251.053
ltt1020 01:54:50.27049 -27:28:35.7404 310.816 -231.981
ltt1788 03:48:22.61256 -39:08:37.0135 214.128 -189.449
ltt2415 05:56:24.74198 -27:51:32.3630 236.465 -157.218
ltt2915 07:40:20.78872 -17:24:49.1551 1138.640 -542.673
ltt3218 08:41:32.42930 -32:56:32.9169 -1061.335 1345.946
ltt3864 10:32:13.61850 -35:37:41.7103 -260.740 -4.588
ltt4364 11:45:42.91707 -64:50:29.4641 2661.594 -344.847
ltt4816 12:38:49.78133 -49:48:00.2187 -557.233 -74.089
ltt6248 15:38:59.64772 -28:35:36.9704 -233.378 -177.347
ltt7379 18:36:25.94874 -44:18:36.9195 -168.738 -159.044
ltt7987 20:10:56.84852 -30:13:06.6291 -340.722 -249.278
ltt9239 22:52:41.03533 -20:35:32.9958 78.870 -314.210
ltt9491 23:19:35.38810 -17:05:28.4683 242.143 10.403
pg0205+134 02:08:03.49752 +13:36:24.9163 42.8 -1.6
pg0216+032 02:19:18.90894 +03:26:51.3667 -3.527 -31.225
pg0310+149 03:13:37.17524 +15:06:21.2608 2.735 1.513
pg0823+546 08:26:49.61097 +54:28:00.3323 32.059 -25.138
pg0846+249 08:49:05.87594 +24:45:07.9285 -2.099 -7.195
pg0934+554 09:38:20.35232 +55:05:50.0917 -0.167 -67.714
pg0939+262 09:42:50.63488 +26:00:59.8453 -20.465 -19.262
pg1121+145 11:24:15.17082 +14:13:46.2463 2.870 -3.645
pg1545+035 15:48:24.24692 +03:22:50.9067 -5.293 -2.113
pg1708+602 17:09:15.88986 +60:10:11.0090 -4.579 9.591
wolf1346 20:34:21.88498 +25:03:49.7496 -403.633 -563.327
"""


def standard_at(position: Position, name: str, instant: datetime | None) -> str | None:
    """Return the standard star that an observation is of.

    Parameters
    ----------
    position : tuple
        RA and Dec of the target, degrees.
    name : str
        Name of the target as observers wrote it.
    instant : datetime or None
        Time of the observation, UTC.

    Returns
    -------
    str or None
        A star within 2 arc seconds, or one of that name within 5 arc minutes.
    """
    written = name.lower().replace(" ", "")
    years = ((instant or _UNKNOWN_TIME) - _EPOCH) / _YEAR
    for star, ra, dec, motion_ra, motion_dec in _stars():
        if abs(position[1] - dec) > 2 * _SAME_FIELD:
            continue
        moved = (
            ra + motion_ra * years * _MAS / math.cos(math.radians(dec)),
            dec + motion_dec * years * _MAS,
        )
        distance = separation(position, moved)
        if distance <= _SAME_PLACE or (distance <= _SAME_FIELD and written in (star, star.replace("+", ""))):
            return star
    return None


@cache
def _stars() -> list[tuple[str, float, float, float, float]]:
    stars = []
    for line in _STARS.strip().splitlines():
        star, ra, dec, motion_ra, motion_dec = line.split()
        hours, degrees = sexagesimal(ra), sexagesimal(dec)
        assert hours is not None and degrees is not None
        stars.append((star, hours * 15.0, degrees, float(motion_ra), float(motion_dec)))
    return stars
