"""Statements in SQL files, each with a name and what it is for.

A file ``queries.sql`` of a package holds statements one after the other::

    -- paused_stages --
    -- The stages that take no work for now, and who paused them.
    select stage, paused_by from pause;

``{name}`` in a statement stands for another one of the file, or for a part that the caller gives, which may
name statements of the file in the same way.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

from sqlalchemy import TextClause, text

__all__ = ["Statements"]

_TITLE: Final = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_PLACE: Final = re.compile(r"\{(\w+)\}")


class Statements:
    """The statements of a package's ``queries.sql``, by name."""

    def __init__(self, package: str) -> None:
        """Read the file.

        Raises
        ------
        ValueError
            Two statements have the same name, or one has no purpose.
        """
        _head, *parts = _TITLE.split((files(package) / "queries.sql").read_text(encoding="utf-8"))
        self.purposes: dict[str, str] = {}
        self._sql: dict[str, str] = {}
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            lines = body.strip().splitlines()
            comment = [line for line in lines if line.startswith("--")]
            if name in self._sql or not comment:
                raise ValueError(f"{package}/queries.sql: {name} stands there twice, or without a purpose")
            self.purposes[name] = " ".join(line.lstrip("- ") for line in comment)
            self._sql[name] = "\n".join(line for line in lines if not line.startswith("--")).rstrip(";")
        self._text = cache(self._made)

    def __getitem__(self, name: str) -> TextClause:
        """Return a statement that needs no parts from its caller."""
        return self._text(name)

    def with_parts(self, name: str, **parts: str) -> TextClause:
        """Return a statement with parts that the caller gives: trusted text, never a value."""
        return self._text(name, **parts)

    def _made(self, name: str, **parts: str) -> TextClause:
        def filled(sql: str) -> str:
            return _PLACE.sub(lambda place: filled(parts.get(place[1]) or self._sql[place[1]]), sql)

        return text(filled(self._sql[name]))
