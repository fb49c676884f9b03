"""The Dagster code locations: the attribute of a site's name is its definitions.

In a workspace: ``python_module: {module_name: fits_dagster.code_locations, attribute: <site>, location_name:
<site>}``; on a command line ``dagster dev -m fits_dagster.code_locations -a <site>``.
"""

from __future__ import annotations

from functools import cache

import dagster as dg

from fits_dagster.orchestration.definitions import build_definitions
from fits_dagster.settings import load_settings

__all__: list[str] = []


@cache
def _definitions(site: str) -> dg.Definitions:
    return build_definitions(site)


def __getattr__(name: str) -> dg.Definitions:
    if name.startswith("_") or name not in load_settings().tables:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: there is no such site")
    return _definitions(name)
