"""Previews that ingest has drawn of what it had decompressed, on their way to the stage of previews."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fits_dagster.previews import NoPreview, PreviewInfo
from fits_dagster.previews.guarded import Sketch
from fits_dagster.storage import ObjectInfo
from fits_dagster.storage.kept import KeptCopies
from fits_dagster.storage.landing import TEMPORARY_MARK

__all__ = ["Sketches"]

#: Some thousand previews.
_MOST_BYTES: Final = 256_000_000


class Sketches:
    """Sketches of versions of stored files, by the MD5 of the stored bytes; who takes one takes it away.

    Nothing depends on a sketch: what there is none of is drawn from its file.

    Parameters
    ----------
    staging
        Directory of a site for what is on its way.
    """

    def __init__(self, staging: Path) -> None:
        self._directory = staging / "sketches"
        self._kept = KeptCopies(self._directory, _MOST_BYTES)

    def give(self, key: str, md5: str, sketch: Sketch) -> None:
        """Leave the sketch of an object of the store."""
        if isinstance(sketch, NoPreview):
            head: dict[str, Any] = {"nothing": [sketch.reason, sketch.detail]}
            jpeg = b""
        else:
            head, jpeg = {"info": asdict(sketch[0])}, sketch[1]
        content = json.dumps(head).encode() + b"\n" + jpeg
        place = self._some_place()
        # what cannot be left here is drawn again
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            self._kept.give(ObjectInfo(key, len(content), datetime.now(UTC), md5), place)

    def take(self, key: str, md5: str) -> Sketch | None:
        """Return the sketch of an object, where there is one."""
        place = self._some_place()
        if not self._kept.take(key, md5, place):
            return None
        line, _, jpeg = place.read_bytes().partition(b"\n")
        place.unlink()
        head = json.loads(line)
        return (PreviewInfo(**head["info"]), jpeg) if "info" in head else NoPreview(*head["nothing"])

    def _some_place(self) -> Path:
        return self._directory / f"{TEMPORARY_MARK}{secrets.token_hex(8)}"
