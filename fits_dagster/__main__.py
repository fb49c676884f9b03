"""``python -m fits_dagster``: the command line."""

from __future__ import annotations

from fits_dagster.cli import main

if __name__ == "__main__":
    main()
