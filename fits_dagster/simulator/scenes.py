"""Pixels: skies, stars, spectra, lamps, with read noise and photon noise."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fits_dagster.simulator.frames import Kind, Mode

__all__ = ["Curve", "Scene", "encode", "expose", "make_scene", "overscan"]

Plane = NDArray[np.float32]

#: noise is drawn once and repeated with this period in pixels
NOISE_POOL = 1 << 18


@dataclass
class Curve:
    """A spectrum: centre row and flux at each column, width (sigma) in pixels."""

    centre: Plane
    flux: Plane
    width: float


@dataclass
class Scene:
    """Light on a detector of (rows, columns), in counts above the bias."""

    shape: tuple[int, int]
    read_noise: float = 4.0
    #: products of a profile along the rows and one along the columns
    products: list[tuple[Plane, Plane]] = field(default_factory=list)
    #: row, column, peak, sigma
    stars: Plane = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    curves: list[Curve] = field(default_factory=list)


def make_scene(kind: Kind, mode: Mode, shape: tuple[int, int], name: str) -> Scene:
    """Light of one exposure.

    Parameters
    ----------
    kind, mode : str
        What is exposed and through which optics.
    shape : (int, int)
        Rows and columns of the whole (mosaicked) detector.
    name : str
        What is looked at; the same name shows the same stars, or the same hot pixels.

    Returns
    -------
    Scene
    """
    scene = Scene(shape)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if kind == "bias":
        return scene
    if kind == "dark":
        _add_hot_pixels(scene, rng)
        return scene
    if kind in ("twilight", "domeflat"):
        _add_illumination(scene, 14000.0)
    elif mode == "image":
        _IMAGES.get(kind, _field)(scene, rng)
    else:
        _add_orders(scene, kind, mode)
    return scene


def expose(
    scene: Scene,
    rng: np.random.Generator,
    columns: slice,
    rows: slice,
    *,
    bias: float,
    gain: float,
    response: float = 1.0,
) -> Plane:
    """Counts of a part of the detector, with noise.

    Parameters
    ----------
    scene : Scene
    columns, rows : slice
        Zero-based part of the scene.
    bias : float
        Level added, counts.
    gain : float
        Electrons per count; sets the photon noise.
    response : float
        Counts that this amplifier gives where the scene says one.

    Returns
    -------
    ndarray of float32, (rows, columns)
    """
    y0, y1, x0, x1 = rows.start, rows.stop, columns.start, columns.stop
    light = np.zeros((y1 - y0, x1 - x0), np.float32)
    for along_y, along_x in scene.products:
        light += along_y[y0:y1, None] * along_x[None, x0:x1]
    for curve in scene.curves:
        _draw_curve(light, curve, y0, x0, x1)
    for star_y, star_x, peak, sigma in scene.stars.tolist():
        _draw_star(light, star_y - y0, star_x - x0, peak, sigma)
    light *= np.float32(response)
    noise = np.sqrt(light * np.float32(1.0 / gain) + np.float32(scene.read_noise**2))
    noise *= _noise(rng, light.shape)
    light += noise
    light += np.float32(bias)
    return light


def overscan(rng: np.random.Generator, shape: tuple[int, int], bias: float, read_noise: float) -> Plane:
    """Bias level and read noise only."""
    return _noise(rng, shape) * np.float32(read_noise) + np.float32(bias)


def encode(counts: Plane, bitpix: int) -> bytes:
    """Bytes of the data unit: 16 is unsigned with BZERO 32768, 32 an integer, -32 a real number."""
    if bitpix == 16:
        limited = np.clip(np.rint(counts), 0, 65535)
        return (limited - np.float32(32768)).astype(">i2").tobytes()
    if bitpix == 32:
        return np.rint(counts).astype(">i4").tobytes()
    return counts.astype(">f4").tobytes()


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Plane:
    size = int(np.prod(shape))
    pool = rng.standard_normal(min(size, NOISE_POOL), dtype=np.float32)
    return np.resize(pool, shape)


def _ramp(length: int, start: float, end: float) -> Plane:
    return np.linspace(start, end, length, dtype=np.float32)


def _bump(length: int, depth: float) -> Plane:
    return (1.0 - depth * np.linspace(-1, 1, length) ** 2).astype(np.float32)


def _add_illumination(scene: Scene, level: float) -> None:
    rows, columns = scene.shape
    scene.products.append((_bump(rows, 0.12) * np.float32(level), _bump(columns, 0.15)))


def _add_hot_pixels(scene: Scene, rng: np.random.Generator) -> None:
    rows, columns = scene.shape
    scene.products.append((_ramp(rows, 2.0, 3.0), np.ones(columns, np.float32)))
    scene.stars = _scatter(rng, scene.shape, 30, faintest=200.0, brightest=4000.0, sigma=0.4)


def _lamp(scene: Scene, rng: np.random.Generator) -> None:
    _add_illumination(scene, 9000.0 * rng.uniform(0.95, 1.05))


def _lamp_off(scene: Scene, rng: np.random.Generator) -> None:
    _add_illumination(scene, 300.0 * rng.uniform(0.95, 1.05))


def _field(scene: Scene, rng: np.random.Generator) -> None:
    _add_illumination(scene, 500.0)
    number = max(30, scene.shape[0] * scene.shape[1] // 12000)
    scene.stars = _scatter(rng, scene.shape, min(number, 400), faintest=80.0, brightest=30000.0, sigma=1.6)
    rows, columns = scene.shape
    galaxy = np.array([[rows * 0.52, columns * 0.46, 900.0, min(rows, columns) / 45.0]], np.float32)
    scene.stars = np.concatenate([scene.stars, galaxy])


_IMAGES: dict[str, Callable[[Scene, np.random.Generator], None]] = {"flat": _lamp, "lampoff_flat": _lamp_off}


def _scatter(
    rng: np.random.Generator,
    shape: tuple[int, int],
    number: int,
    *,
    faintest: float,
    brightest: float,
    sigma: float,
) -> Plane:
    brightness = faintest * (brightest / faintest) ** (rng.random(number) ** 2.5)
    width = sigma * rng.uniform(0.95, 1.05, number)
    return np.column_stack(
        [rng.uniform(0, shape[0], number), rng.uniform(0, shape[1], number), brightness, width]
    ).astype(np.float32)


def _line_spectrum(columns: int, rng: np.random.Generator, lines: int, brightest: float) -> Plane:
    x = np.arange(columns, dtype=np.float32)
    spectrum = np.zeros(columns, np.float32)
    for position, strength in zip(rng.uniform(0, columns, lines), rng.random(lines) ** 3, strict=True):
        spectrum += (brightest * strength * np.exp(-0.5 * ((x - position) / 1.6) ** 2)).astype(np.float32)
    return spectrum


def _add_orders(scene: Scene, kind: Kind, mode: Mode) -> None:
    rows, columns = scene.shape
    lamp_lines = np.random.default_rng(7)  # the lines of a lamp and of the sky are where they always are
    continuum = _bump(columns, 0.6)
    if kind in ("flat", "ronchi", "pinhole", "lampoff_flat"):
        light = continuum * np.float32(150.0 if kind == "lampoff_flat" else 12000.0)
    elif kind == "arc":
        light = _line_spectrum(columns, lamp_lines, 60, 20000.0) + 20
    else:
        light = _line_spectrum(columns, lamp_lines, 45, 1500.0) + 120 * continuum
    object_light = continuum * np.float32(8000.0 if kind == "standard" else 1500.0)
    if mode == "longslit":
        slit = np.ones(rows, np.float32)
        for edge in (0.0, 0.33, 0.66, 0.99):
            middle = int(edge * (rows - 1))
            slit[max(0, middle - rows // 80) : middle + rows // 80 + 1] = 0.02  # bridges of the slit
        scene.products.append((slit, light))
        if kind in ("science", "standard"):
            y = np.arange(rows, dtype=np.float32)
            profile = np.exp(-0.5 * ((y - rows * 0.47) / max(1.2, rows / 160)) ** 2).astype(np.float32)
            scene.products.append((profile, object_light))
        return
    number = 6 if mode == "cross_dispersed" else 29
    tilt = rows * (0.10 if mode == "cross_dispersed" else 0.0)
    x = np.linspace(-1, 1, columns, dtype=np.float32)
    for order in range(number):
        height = rows * (order + 0.7) / (number + 0.6)
        centre = (height + tilt * (x**2 - 0.4)).astype(np.float32)
        slit_width = rows / number / (9.0 if mode == "cross_dispersed" else 3.2)
        scene.curves.append(Curve(centre, light * np.float32(0.6 + 0.4 * np.sin(order + 1.0)), slit_width))
        if kind in ("science", "standard"):
            scene.curves.append(Curve(centre, object_light, max(1.0, slit_width / 4)))


def _draw_curve(light: Plane, curve: Curve, y0: int, x0: int, x1: int) -> None:
    centre, flux = curve.centre[x0:x1] - y0, curve.flux[x0:x1]
    reach = 4.0 * curve.width
    first = max(0, int(centre.min() - reach))
    last = min(light.shape[0], int(centre.max() + reach) + 1)
    if first >= last:
        return
    distance = (np.arange(first, last, dtype=np.float32)[:, None] - centre[None, :]) / np.float32(curve.width)
    light[first:last] += flux[None, :] * np.exp(np.float32(-0.5) * distance**2)


def _draw_star(light: Plane, y: float, x: float, peak: float, sigma: float) -> None:
    reach = int(4.5 * float(sigma)) + 1
    top, bottom = max(0, int(y) - reach), min(light.shape[0], int(y) + reach + 1)
    left, right = max(0, int(x) - reach), min(light.shape[1], int(x) + reach + 1)
    if top >= bottom or left >= right:
        return
    along_y = np.exp(-0.5 * ((np.arange(top, bottom) - y) / sigma) ** 2)
    along_x = np.exp(-0.5 * ((np.arange(left, right) - x) / sigma) ** 2)
    light[top:bottom, left:right] += (peak * along_y[:, None] * along_x[None, :]).astype(np.float32)
