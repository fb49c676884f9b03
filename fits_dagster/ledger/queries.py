"""The statements of the ledger: see ``queries.sql`` beside this module."""

from __future__ import annotations

from typing import Final

from fits_dagster.database.statements import Statements

__all__ = ["QUERIES"]

QUERIES: Final = Statements(__package__)
