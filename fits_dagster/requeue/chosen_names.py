"""Choosing files by name: regular expressions, and the words for the last few days."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from fits_dagster.nights import NightClock

__all__ = ["DAY_WORDS", "name_matcher"]

#: Words for so many UTC days counting back from today, today included.
DAY_WORDS: Final = {"today": 1, "twoday": 2, "fourday": 4, "tenday": 10, "twentyday": 20}


def name_matcher(file_re: str, now: datetime | None = None) -> Callable[[str], bool]:
    """Make a test of file names.

    Parameters
    ----------
    file_re
        Regular expression that is searched anywhere in the name, or one of :data:`DAY_WORDS`.
    now
        The time by which days are counted; default: now.

    Raises
    ------
    ValueError
        The expression cannot be read.
    """
    days = DAY_WORDS.get(file_re)
    if days is not None:
        file_re = "|".join(map(str, NightClock().tonight(now).back(days)))
    try:
        pattern = re.compile(file_re)
    except re.error as error:
        raise ValueError(f"{file_re!r} is no regular expression: {error}") from error
    return lambda name: pattern.search(name) is not None
