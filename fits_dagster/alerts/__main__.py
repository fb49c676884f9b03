"""``python -m fits_dagster.alerts``: look regularly and tell people."""

from __future__ import annotations

import logging
import signal
import threading

from fits_dagster.alerts.watch import Watch
from fits_dagster.logs import configure_logging
from fits_dagster.settings import load_settings

log = logging.getLogger(__name__)


def main() -> None:
    """Watch until told to stop."""
    settings = load_settings()
    configure_logging(settings, "alerts")
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    watch = Watch(settings)
    # what starts beside it gets the time to come up
    while not over.wait(settings.alerts.look_seconds):
        try:
            watch.look()
        except Exception:
            log.exception("a look failed; the next one comes")
    watch.close()


if __name__ == "__main__":
    main()
