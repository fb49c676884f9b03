"""The kinds of sites: what a site has by default, and how the sites of one home know of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fits_dagster.settings.models import RescanSettings, SiteName
from fits_dagster.settings.names import SettingsError, nearest

__all__ = ["PROFILES", "SiteProfile", "complete_tables"]

_HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class SiteProfile:
    """What a site has unless its table says otherwise."""

    name: str
    #: Port of the site that bears the profile's name; others get the next free ones.
    port: int
    #: Whether its files go to the sites here that take uploads, and to no other by default.
    sends: bool
    #: Directories below ``<home>/<site>``, by setting.
    directories: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)


#: As the summit's crontab had them.
_RESCANS: Final = (
    RescanSettings(name="fourday", cron="*/15 * * * *", file_re="fourday"),
    RescanSettings(name="twentyday", cron="18 * * * *", file_re="twentyday"),
    RescanSettings(name="masks", cron="2 * * * *", path="masks"),
    RescanSettings(name="obslogs", cron="6 * * * *", path="obslogs"),
    RescanSettings(name="iraf_cals", cron="10 * * * *", path="iraf_cals"),
)

PROFILES: Final[Mapping[str, SiteProfile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            SiteProfile(
                "summit",
                port=8181,
                sends=True,
                directories={
                    "dhs_directory": "dhs",
                    "store_directory": "dataflow",
                    "staging_directory": "staging",
                },
                settings={"rescans": _RESCANS, "dates_are_nights": True},
            ),
            SiteProfile(
                "archive",
                port=8180,
                sends=False,
                directories={"store_directory": "store", "staging_directory": "staging"},
                settings={
                    "receives_uploads": True,
                    "using_previews": True,
                    "using_calibration_cache": True,
                },
            ),
        )
    }
)
#: Directories that are not below ``<home>/<site>``, as they were before there were sites of any name.
_ELSEWHERE: Final = {("summit", "dhs_directory"): "dhs"}


def complete_tables(
    home: Path, sites: Sequence[SiteName], given: Mapping[SiteName, Mapping[str, Any]]
) -> dict[SiteName, dict[str, Any]]:
    """Fill the tables of all sites with the defaults of their profiles.

    Parameters
    ----------
    sites
        Sites that run here.
    given
        What the settings say of sites, these and others.

    Returns
    -------
    dict
        A table for each site that is named; and for each profile that none of them has, one for the site
        of its name, which is a partner that may run elsewhere.

    Raises
    ------
    SettingsError
        A site has no profile.
    """
    profiles = {name: _profile(name, given.get(name, {})) for name in dict.fromkeys([*sites, *given])}
    had = {profile.name for profile in profiles.values()}
    profiles |= {name: profile for name, profile in PROFILES.items() if name not in had}
    ports = _ports(profiles, given)
    secret = _content(home / "upload_cookie")
    # homes of before have one secret for both
    edits = _content(home / "edit_cookie") or secret
    tables = {
        name: {
            "profile": profile.name,
            "title": name.replace("_", " ").capitalize(),
            "host": _HOST,
            "port": ports[name],
            "upload_cookies": (secret,) if secret else (),
            "api_cookies": (edits,) if edits else (),
            **({"export_cookie": secret} if profile.sends else {}),
            **{key: _directory(home, name, key, last) for key, last in profile.directories.items()},
            **profile.settings,
            **given.get(name, {}),
        }
        for name, profile in profiles.items()
    }
    receivers = tuple(_url(tables[name]) for name in tables if not profiles[name].sends)
    senders = tuple(_url(tables[name]) for name in tables if profiles[name].sends)
    for name, table in tables.items():
        if not profiles[name].sends:
            table.setdefault("replicas", senders)
            continue
        destinations = tuple(table.setdefault("export_destinations", receivers))
        table.setdefault("replicas", destinations)
        # the secret of this machine is no business of another one
        if destinations and set(destinations) <= set(receivers):
            table.setdefault("export_api_cookie", edits)
    return tables


def _url(table: Mapping[str, Any]) -> str:
    """Return the base URL of a site."""
    return f"http://{table['host']}:{table['port']}"


def _profile(name: SiteName, table: Mapping[str, Any]) -> SiteProfile:
    named = table.get("profile") or name
    if named in PROFILES:
        return PROFILES[named]
    kinds = " or ".join(f'"{each}"' for each in PROFILES)
    if not table.get("profile"):
        raise SettingsError(
            f"the site {name!r} has no profile: write profile = {kinds} in its table [{name}]"
        )
    near = nearest(str(named), PROFILES)
    raise SettingsError(
        f"the site {name!r} has the profile {named!r}, which there is not: "
        + (f"did you mean {near!r}?" if near else f"write {kinds}")
    )


def _ports(
    profiles: Mapping[SiteName, SiteProfile], given: Mapping[SiteName, Mapping[str, Any]]
) -> Mapping[SiteName, int]:
    """Choose ports that do not collide with each other, nor with those that are given."""
    taken = {str(table["port"]) for table in given.values() if "port" in table}
    taken |= {str(profile.port) for profile in PROFILES.values()}
    free = (
        port for port in count(max(each.port for each in PROFILES.values()) + 1) if str(port) not in taken
    )
    return {name: profile.port if name == profile.name else next(free) for name, profile in profiles.items()}


def _directory(home: Path, site: SiteName, key: str, last: str) -> Path:
    elsewhere = _ELSEWHERE.get((site, key))
    return home / elsewhere if elsewhere else home / site / last


def _content(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""
