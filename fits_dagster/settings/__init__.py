"""The one place that reads the environment and the configuration file.

Sources, later wins: the defaults of a site's profile, ``<home>/settings.toml`` (or the file named by
``FITS_DAGSTER_CONFIG``), environment variables ``FITS_DAGSTER_<NAME>`` with ``__`` between levels
(``FITS_DAGSTER_ARCHIVE__PORT=8080``), arguments of :func:`load_settings`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr, model_validator

from fits_dagster.settings.models import (
    AlertSettings,
    Frozen,
    RescanSettings,
    S3Settings,
    SiteName,
    SiteSettings,
    WorkSettings,
)
from fits_dagster.settings.names import SettingsError, nearest
from fits_dagster.settings.profiles import PROFILES, SiteProfile, complete_tables
from fits_dagster.settings.sources import configuration_file, read_sources

__all__ = [
    "PROFILES",
    "AlertSettings",
    "RescanSettings",
    "S3Settings",
    "Settings",
    "SettingsError",
    "SiteName",
    "SiteProfile",
    "SiteSettings",
    "WorkSettings",
    "configuration_file",
    "load_settings",
    "write_effective",
]


class Settings(Frozen):
    """Everything that can be configured, built once and passed down."""

    #: Everything that is written lives under this directory.
    home: Path = Path("var")
    #: Sites that run here; each has its own table, Dagster code location and web app.
    sites: tuple[SiteName, ...] = Field(default=("summit", "archive"), min_length=1)
    #: PostgreSQL server, e.g. ``postgresql://user:password@host:5432``; empty: an embedded one under home.
    database_url: str = ""
    #: Redis, Valkey or RabbitMQ that hands runs to workers, e.g. ``rediss://:password@host:6380/0``; empty:
    #: an embedded Valkey under home, for this machine only.
    broker_url: SecretStr = SecretStr("")
    #: Where it is kept how far a task is; empty: with the broker.
    result_backend_url: SecretStr = SecretStr("")
    #: Systems that share a broker are told apart by this name.
    instance_name: str = Field(default="fits", pattern=r"^[A-Za-z0-9_-]+$")
    #: Sign-on lasts this long.
    session_hours: float = Field(default=12.0, gt=0)
    work: WorkSettings = WorkSettings()
    alerts: AlertSettings = AlertSettings()
    #: Time that Dagster's finished runs, and their events, are kept.
    keep_runs_days: float = Field(default=14.0, gt=0)
    #: Time that the histories of files and of uploads are kept.
    keep_events_days: float = Field(default=400.0, gt=0)
    #: Where backups of the databases are kept: a directory, or ``s3://bucket/path``, which is reached as the
    #: stores of the sites are; empty: the directory ``backups`` under home.
    backups: str = ""
    #: Size at which a log file is put aside, MB; ten older ones are kept.
    log_file_mb: float = Field(default=100.0, gt=0)
    #: Write log files as JSON, one object a line.
    log_json: bool = False
    #: The tables ``[<site>]``: of the sites that run here, and of their partners elsewhere.
    tables: dict[SiteName, SiteSettings] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Gather the tables of the sites, and give each what follows from its profile and from the home."""
        home = Path(values.get("home") or "var").expanduser().absolute()
        ours = {name: value for name, value in values.items() if name in cls.model_fields}
        given = {
            name: _mapping(value)
            for name, value in {**values, **(values.get("tables") or {})}.items()
            if name not in cls.model_fields
        }
        sites = ours.get("sites", cls.model_fields["sites"].default)
        return ours | {"home": home, "tables": complete_tables(home, sites, given)}

    @property
    def summit(self) -> SiteSettings:
        """The site of this name."""
        return self.site("summit")

    @property
    def archive(self) -> SiteSettings:
        """The site of this name."""
        return self.site("archive")

    def site(self, name: SiteName) -> SiteSettings:
        """Return the settings of one site.

        Raises
        ------
        SettingsError
            There is none of this name.
        """
        if name in self.tables:
            return self.tables[name]
        near = nearest(name, self.tables)
        raise SettingsError(
            f"there is no site {name!r}; there are {', '.join(self.sites)}"
            + (f"; did you mean {near!r}?" if near else "")
        )

    def with_sites(self, **changes: SiteSettings) -> Settings:
        """Return a copy with some sites' settings replaced."""
        return self.model_copy(update={"tables": {**self.tables, **changes}})


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return value if isinstance(value, Mapping) else {}


def write_effective(settings: Settings, path: Path) -> None:
    """Write settings as they are in force, secrets included, for the processes that we start.

    The file is readable for its owner alone; ``FITS_DAGSTER_EFFECTIVE_SETTINGS`` names it to them.
    """
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(_plain(settings.model_dump()), indent=1))


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path | IPv4Network | IPv6Network) else value


def load_settings(home: Path | None = None, **changes: object) -> Settings:
    """Read the settings. A process of a running system gets those that the system was started with.

    Parameters
    ----------
    home
        Directory that holds everything; the default is ``FITS_DAGSTER_HOME``, else ``./var``.
    **changes
        Values that beat every other source.

    Raises
    ------
    SettingsError
        A name means nothing, or a site has no profile; the message has the nearest right one.
    pydantic.ValidationError
        A value is not acceptable; the message names it.
    """
    effective = os.environ.get("FITS_DAGSTER_EFFECTIVE_SETTINGS")
    if effective and home is None and not changes:
        return Settings(**json.loads(Path(effective).read_text()))
    if home is not None:
        changes["home"] = home
    known = {name: field.annotation for name, field in Settings.model_fields.items() if name != "tables"}
    return Settings(**read_sources({name: _plain_model(value) for name, value in changes.items()}, known))


def _plain_model(value: object) -> object:
    return value.model_dump() if isinstance(value, BaseModel) else value
