"""Editing headers: set, add and delete keywords of any HDU of a file, plain or ``.bz2``.

The data are not touched, nor any other card. The file is written anew beside the old one and takes its
place in one step, so nobody sees half of it and a crash leaves the old file.
"""

from __future__ import annotations

import bz2
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from .cards import CARD_LENGTH
from .checksum import add_sums, encoded_sum, ones_complement_sum
from .hdu import BLOCK, HDU, padded
from .names import COMPRESSED_SUFFIX
from .reading import walk_headers

__all__ = ["Edit", "EditError", "EditReport", "edit_headers"]

EditValue = str | int | float | bool | None

_CHUNK: Final = 1 << 20
#: Cards on which the structure of the file rests; an edit of them would make another file of it.
_STRUCTURE: Final = frozenset(
    {"SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "TFIELDS", "END", "CONTINUE"}
)
_COMMENTARY: Final = frozenset({"", "COMMENT", "HISTORY"})
_CHECKSUM_BLANK: Final = "0" * 16
