"""Log files under the home directory: one line per state change, rotated."""

from __future__ import annotations

import logging
import time
from logging.handlers import RotatingFileHandler

from fits_dagster.settings import Settings

__all__ = ["configure_logging"]

_FORMAT = "%(asctime)s,%(msecs)03d %(process)d:%(module)s:%(lineno)d %(levelname)s: %(message)s"
_MAX_BYTES = 100_000_000
_KEEP = 10


def configure_logging(settings: Settings, name: str, level: int = logging.INFO) -> None:
    """Write this process's log lines to ``<home>/logs/<name>.log``, times in UTC.

    Calling it again does nothing.
    """
    root = logging.getLogger("fits_dagster")
    if any(isinstance(handler, RotatingFileHandler) for handler in root.handlers):
        return
    directory = settings.home / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        directory / f"{name}.log", maxBytes=_MAX_BYTES, backupCount=_KEEP, delay=True
    )
    formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(level)
