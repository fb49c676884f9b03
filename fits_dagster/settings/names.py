"""Names of settings that are not known, and the known ones that are nearest to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel

__all__ = ["Place", "SettingsError", "below", "nearest", "unknown_names"]

#: A name behind the tables that it stands in.
Place: TypeAlias = tuple[str, ...]


class SettingsError(Exception):
    """The settings cannot be used; the message says what is wrong, where, and what to write instead."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like one that is not known; None if none is."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), None)


def unknown_names(
    values: Mapping[str, Any], known: Mapping[str, Any], place: Place = ()
) -> Iterator[tuple[Place, Place | None]]:
    """Find the names that mean nothing in a table of settings and in the tables that stand in it.

    Parameters
    ----------
    known
        The type of what may stand here, by name.
    place
        The tables that this one stands in.

    Yields
    ------
    tuple
        The name, and the known one that is nearest to it, here or in a table below; None if none is near.
    """
    for name, value in values.items():
        if name not in known:
            yield (*place, name), _near(name, known, place)
            continue
        for model in _models(known[name]):
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Mapping):
                    yield from unknown_names(each, _fields(model), (*place, name))


def below(known: Mapping[Place, Any]) -> dict[Place, Any]:
    """Return the names in the tables that are among some names, with their types."""
    return {
        (*place, name): annotation
        for place, outer in known.items()
        for model in _models(outer)
        for name, annotation in _fields(model).items()
    }


def _near(name: str, known: Mapping[str, Any], place: Place) -> Place | None:
    here = {(*place, each): annotation for each, annotation in known.items()}
    for level in (here, below(here)):
        by_name = {each[-1]: each for each in reversed(level)}
        if (found := nearest(name, by_name)) is not None:
            return by_name[found]
    return None


def _fields(model: type[BaseModel]) -> Mapping[str, Any]:
    return {name: field.annotation for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Return the tables that a value of a type may hold."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each
