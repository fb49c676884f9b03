"""Where settings come from: arguments, the environment, the configuration file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import create_model
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from fits_dagster.settings.models import SiteName, SiteSettings
from fits_dagster.settings.names import Place, SettingsError, below, nearest, unknown_names
from fits_dagster.settings.profiles import PROFILES

__all__ = ["configuration_file", "read_sources"]

_PREFIX: Final = "FITS_DAGSTER_"
_SEPARATOR: Final = "__"
#: Variables that are no settings: where the settings are, and what the programs of a system tell each other;
#: and those of the tests.
_OTHER_VARIABLES: Final = frozenset(
    {"config", "dagster_url", "effective_settings", "workspace"}
    | {"reference_data", "require_browser", "test_of_processes"}
)
#: Settings of the first release that have gone, and what replaced them.
_GONE: Final[Mapping[Place, str]] = {
    ("work", "standing_runs"): "runs no longer stand by: one starts within a second when a file shows, and "
    "ends when its night has been quiet for work.linger_seconds; remove the setting",
}
_SITE_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class _Variables(BaseSettings):
    # the class is made for its fields alone; nothing is validated by it
    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_SEPARATOR, defer_build=True, extra="ignore"
    )


def configuration_file(home: Path) -> Path:
    """Return the path of the configuration file; it need not be there.

    Raises
    ------
    SettingsError
        ``FITS_DAGSTER_CONFIG`` names a file that is not there.
    """
    named = os.environ.get(f"{_PREFIX}CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(f"{_PREFIX}CONFIG names {named}, which is no file")
    return Path(named) if named else home.expanduser() / "settings.toml"


def read_sources(arguments: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Read all sources, and merge them: arguments beat the environment, which beats the file.

    Parameters
    ----------
    known
        The type of every setting that is no table of a site, by name.

    Raises
    ------
    SettingsError
        A source cannot be read, or has a name that means nothing.
    """
    variables = _read_variables(known)
    file = configuration_file(Path(arguments.get("home") or variables.get("home") or "var"))
    content = _read_file(file)
    sites = _sites_of([arguments, variables, content], known)
    known = {**known, **dict.fromkeys(sites, SiteSettings)}
    variables = _read_variables(known)
    faults = [
        *(f"{file}: {fault}" for fault in _faults(content, known, ".".join)),
        *_faults(variables, known, _variable),
        *_strangers(known),
        *_faults(arguments, known, ".".join),
    ]
    if faults:
        raise SettingsError("\n".join(faults))
    return _merged(_merged(content, variables), arguments)


def _sites_of(sources: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> list[SiteName]:
    """Return the sites that may have a table: those here, those with a profile, and the usual ones."""
    here = next((source["sites"] for source in sources if "sites" in source), ())
    if isinstance(here, str) or not all(isinstance(name, str) for name in here):
        raise SettingsError(f'sites is {here!r} instead of a list of names, such as ["summit", "archive"]')
    found = [*here, *PROFILES]
    for source in sources:
        found += [name for name, value in source.items() if isinstance(value, Mapping) and "profile" in value]
    found += [name.removesuffix(f"{_SEPARATOR}profile") for name in _given() if name.endswith("__profile")]
    for name in found:
        if not _SITE_NAME.fullmatch(name) or name in known:
            raise SettingsError(
                f"{name!r} is no name for a site: "
                + ("a setting is called so" if name in known else "small letters, digits, single underscores")
            )
    return found


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text()) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _read_variables(known: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: (annotation, None) for name, annotation in known.items()}
    return EnvSettingsSource(create_model("Variables", __base__=_Variables, **fields))()


def _given() -> Iterator[str]:
    """Return the variables that may be settings, without the prefix."""
    for name in os.environ:
        if name.upper().startswith(_PREFIX) and name[len(_PREFIX) :].lower() not in _OTHER_VARIABLES:
            yield name[len(_PREFIX) :].lower()


def _strangers(known: Mapping[str, Any]) -> Iterator[str]:
    """Say which variables stand in no table that is known."""
    here: dict[Place, Any] = {(name,): annotation for name, annotation in known.items()}
    places = [*here, *(inner := below(here)), *below(inner)]
    names = {_SEPARATOR.join(place): place for place in places}
    for name in _given():
        if name.split(_SEPARATOR)[0] not in known:
            near = nearest(name, names)
            yield f"{_variable((name,))} is no setting" + (
                f"; did you mean {_variable(names[near])}?" if near else ""
            )


def _variable(place: Place) -> str:
    return _PREFIX + _SEPARATOR.join(place).upper()


def _faults(
    values: Mapping[str, Any], known: Mapping[str, Any], written: Callable[[Place], str]
) -> Iterator[str]:
    for place, near in unknown_names(values, known):
        if place in _GONE:
            yield f"{written(place)} is no longer a setting: {_GONE[place]}"
            continue
        hint = f"; did you mean {written(near)}?" if near else ""
        if len(place) == 1 and isinstance(values[place[0]], Mapping):
            hint += ' (the table of a site that does not run here says profile = "summit" or "archive")'
        yield f"{written(place)} is no setting{hint}"


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[name] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return merged
