"""The vocabulary of calibration types, in the order in which they are told."""

from __future__ import annotations

from typing import Final

__all__ = ["CALTYPES"]

CALTYPES: Final[tuple[str, ...]] = (
    "bias",
    "processed_bias",
    "dark",
    "processed_dark",
    "processed_bpm",
    "flat",
    "processed_flat",
    "arc",
    "processed_arc",
    "pinhole",
    "processed_pinhole",
    "processed_fringe",
    "ronchi_mask",
    "lampoff_flat",
    "qh_flat",
    "domeflat",
    "lampoff_domeflat",
    "mask",
    "slitillum",
    "processed_slitillum",
    "standard",
    "processed_standard",
    "telluric",
    "processed_telluric",
    "polarization_standard",
    "astrometric_standard",
    "polarization_flat",
    "specphot",
    "photometric_standard",
    "processed_slitflat",
    "processed_slit",
)
