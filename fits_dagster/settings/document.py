"""The reference of all settings, made from their declarations (``make docs``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from inspect import getsource
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from fits_dagster.settings import Settings
from fits_dagster.settings.models import (
    AlertSettings,
    RescanSettings,
    S3Settings,
    SiteSettings,
    WorkSettings,
)
from fits_dagster.settings.profiles import PROFILES

__all__ = ["meanings", "settings_document"]

_MARK: Final = "#: "
_ABOVE: Final = "as above"
#: What has a table of its own.
_TABLES: Final = frozenset({"tables", "work", "alerts"})
_HEAD: Final = """\
# Settings

Written in `<home>/settings.toml` (or the file that `FITS_DAGSTER_CONFIG` names), or as variables
`FITS_DAGSTER_<NAME>` with `__` between levels: `FITS_DAGSTER_ARCHIVE__PORT=8080`. Variables beat the file.
A name that means nothing is an error that says which right one is nearest. A running system keeps the
settings with which it was started.

This page is made from the declarations in `fits_dagster/settings/` by `make docs`.
"""
_SECTIONS: Final[tuple[tuple[str, str, type[BaseModel]], ...]] = (
    ("At the top", "", Settings),
    ("`[work]`: how the stages work through their queues", "", WorkSettings),
    ("`[alerts]`: who gets a message, how, and from when on", "", AlertSettings),
    (
        "`[<site>]`: one server, its directories, its partners and its secrets",
        "`[summit]`, `[archive]`, or any other site that `sites` names. What a profile gives instead stands "
        "at the end of this page.",
        SiteSettings,
    ),
    (
        "`[<site>.s3]`: where objects live when the store is S3",
        "Credentials come from the usual AWS places.",
        S3Settings,
    ),
    ("`[[<site>.rescans]]`: a periodic look for files that were changed by hand", "", RescanSettings),
)


def meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """Return what each setting of a table means: the comment before it, or that of the one above."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in map(str.strip, getsource(model).splitlines()):
        if line.startswith(_MARK):
            comment.append(line.removeprefix(_MARK))
            continue
        name = line.partition(":")[0]
        if name in model.model_fields and name not in found:
            found[name] = " ".join(comment) if comment else _ABOVE
            comment = []
    return found


def settings_document() -> str:
    """Write the page: a table of name, default and meaning for each table of the settings."""
    parts = [_HEAD]
    for title, text, model in _SECTIONS:
        parts.append(f"## {title}\n" + (f"\n{text}\n" if text else ""))
        parts.append("\n".join(["| setting | default | meaning |", "|---|---|---|", *_rows(model)]) + "\n")
    parts.append("## What the profiles give\n")
    parts.append("\n".join(["| profile | setting | value |", "|---|---|---|", *_profile_rows()]) + "\n")
    return "\n".join(parts)


def _rows(model: type[BaseModel]) -> Iterator[str]:
    said = meanings(model)
    for name, field in model.model_fields.items():
        if name in _TABLES:
            continue
        default = (
            "must be given" if field.is_required() else _written(field.get_default(call_default_factory=True))
        )
        yield f"| `{name}` | {default} | {said[name].replace('``', '`').replace('|', chr(92) + '|')} |"


def _profile_rows() -> Iterator[str]:
    for profile in PROFILES.values():
        given = {
            "port": profile.port,
            **{name: Path(f"<home>/<site>/{last}") for name, last in profile.directories.items()},
            **profile.settings,
        }
        for name, value in given.items():
            yield f"| `{profile.name}` | `{name}` | {_written(value)} |"


def _written(value: Any) -> str:
    """Write a value as the configuration file has it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "its table below"
    if isinstance(value, tuple) and any(isinstance(each, BaseModel) for each in value):
        return ", ".join(f"`{each.name}` at `{each.cron}`" for each in value)
    if isinstance(value, tuple):
        value = list(value)
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value)}`"


if __name__ == "__main__":
    print(settings_document(), end="")
