"""fits_dagster: an observatory dataflow platform on Dagster.

Raw FITS files travel from the telescope's disk (DHS) through the summit to the public archive.
"""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("fits_dagster")
