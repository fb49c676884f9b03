"""A stage that dies of some files, as a decoder does that crashes; its workers are real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from fits_dagster.errors import TransientError
from fits_dagster.ledger.items import WorkItem
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.ledger.stage import Committed, NotReady, Stage
from fits_dagster.settings import Settings
from fits_dagster.sites import Site, opened_site


class KillerStage(Stage[int]):
    """Kills its process at files named ``KILLER…``; others it reads."""

    name = "ingest"
    group_size = 1

    def work(self, site: Site, item: WorkItem, known: Any) -> int:
        """Do the work, or die."""
        if item.filename.startswith("KILLER"):
            os.kill(os.getpid(), signal.SIGKILL)
        if item.filename.startswith("LATER"):
            raise NotReady("young", "not yet", delay=60, payload={"seen": 1})
        if item.filename.startswith("AWAY"):
            raise TransientError("it is away", reason="network")
        if item.filename.startswith("SLOW"):
            time.sleep(2)
        return os.getpid()

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: int) -> Committed:
        """Tell which process did it."""
        return Committed("ingested", detail=str(result))


def main() -> None:
    """Drain the queue of the summit whose settings are in a file, and print who was done."""
    settings = Settings(**json.loads(Path(sys.argv[1]).read_text()))
    with opened_site(settings, "summit") as site:
        report: DrainReport = drain(site, KillerStage())
        print(report.done)
