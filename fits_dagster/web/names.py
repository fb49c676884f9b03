"""``/nameresolver``: where an object is, by its name; off unless a service of names is configured."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Final
from urllib.parse import quote

import requests
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import Response

from fits_dagster.web.access import site_of
from fits_dagster.web.answers import json_answer
from fits_dagster.web.shapes import NamedPosition

__all__ = ["NameServiceError", "UnknownNameError", "position_of", "router"]

router = APIRouter()

#: Letters by which Sesame knows the services behind it.
_SERVICES: Final[Mapping[str, str]] = {"sesame": "SNV", "simbad": "S", "ned": "N", "vizier": "V"}
_PATIENCE_S: Final = 5.0
_MOST_BYTES: Final = 1 << 18
_LONGEST_NAME: Final = 100
_REMEMBERED: Final = 1000
#: Answers that may be waited for at once: a slow service keeps the site's other threads free.
_WAITING: Final = threading.BoundedSemaphore(4)
_POSITION: Final = re.compile(r"^%J\s*(\d+(?:\.\d*)?)\s+([+-]?\d+(?:\.\d*)?)\s", re.MULTILINE | re.ASCII)


class UnknownNameError(LookupError):
    """The service of names knows no such object."""


class NameServiceError(RuntimeError):
    """The service of names did not answer."""


@router.get("/nameresolver/{service}/{target:path}", response_model=NamedPosition)
def resolve_name(
    request: Request,
    service: Annotated[str, Path(description=f"One of {', '.join(_SERVICES)}.")],
    target: str,
) -> Response:
    """Tell where an object is: right ascension and declination, degrees, ICRS."""
    url = site_of(request).settings.name_resolver_url
    if not url:
        raise HTTPException(404, "no service of names is asked here (setting name_resolver_url)")
    if service.lower() not in _SERVICES:
        raise HTTPException(404, f"there is no service {service[:40]!r}; {', '.join(_SERVICES)} are known")
    try:
        ra, dec = position_of(url, target, service=service.lower())
    except (UnknownNameError, NameServiceError) as error:
        return json_answer(request, {"success": False, "message": str(error), "ra": None, "dec": None})
    return json_answer(request, {"success": True, "message": "", "ra": ra, "dec": dec})


def position_of(url: str, name: str, *, service: str = "sesame") -> tuple[float, float]:
    """Ask a service that speaks as Sesame of the CDS where an object is; found positions are remembered.

    Parameters
    ----------
    url : str
        Base address of the service.
    name : str
        The object, as a catalogue calls it.
    service : str
        ``sesame`` (all of them), ``simbad``, ``ned`` or ``vizier``.

    Returns
    -------
    tuple of float
        Right ascension and declination, degrees, ICRS.

    Raises
    ------
    UnknownNameError
        It knows no such object.
    NameServiceError
        It did not answer within five seconds, or too many ask at this moment.
    """
    wanted = " ".join(name.split())
    if not wanted or len(wanted) > _LONGEST_NAME or not wanted.isprintable():
        raise UnknownNameError(f"{wanted[:_LONGEST_NAME]!r} is no name of an object")
    return _asked(url.rstrip("/"), wanted, _SERVICES[service])


@lru_cache(maxsize=_REMEMBERED)
def _asked(url: str, name: str, letters: str) -> tuple[float, float]:
    if not _WAITING.acquire(blocking=False):
        raise NameServiceError("the service of names is being asked by others; try again")
    try:
        answer = _read(f"{url}/{letters}?{quote(name)}")
    except (requests.RequestException, OSError) as error:
        raise NameServiceError(f"the service of names did not answer: {type(error).__name__}") from error
    finally:
        _WAITING.release()
    found = _POSITION.search(answer)
    if found is None:
        raise UnknownNameError(f"no object called {name!r} is known")
    return float(found[1]), float(found[2])


def _read(url: str) -> str:
    """Return an answer that comes in time and is not too long."""
    until = time.monotonic() + _PATIENCE_S
    body = b""
    with requests.get(url, timeout=_PATIENCE_S, stream=True) as answer:
        answer.raise_for_status()
        for block in answer.iter_content(4096):
            body += block
            if time.monotonic() > until or len(body) > _MOST_BYTES:
                raise requests.Timeout(f"{url} takes too long")
    return body.decode("utf-8", "replace")
