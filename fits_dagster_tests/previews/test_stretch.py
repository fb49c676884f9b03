"""Percentiles of all pixels are those of numpy; shrinking keeps means; the stretch stands anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fits_dagster.previews.errors import NoPreview
from fits_dagster.previews.shrink import block_of, fit, shrink
from fits_dagster.previews.stretch import Sampler, limits_of_pixels, limits_of_sample, to_grey

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=30)


@given(
    st.sampled_from([">i2", ">i4", "u1", ">i8", "<u2"]).flatmap(
        lambda dtype: hnp.arrays(dtype, SHAPES, elements=st.integers(0, 100))
    ),
    st.sampled_from([0.3, 5.0, 25.0]),
)
def test_percentiles_of_small_pictures_are_exact(pixels: np.ndarray, percentile: float) -> None:
    expected = np.percentile(pixels.astype(float), [percentile, 100 - percentile])
    low, high = limits_of_pixels(pixels, percentile)
    if expected[1] > expected[0]:
        assert [low, high] == pytest.approx(expected, abs=1e-9)
    else:
        assert low < high


def test_percentiles_of_several_parts_are_those_of_all_pixels() -> None:
    rng = np.random.default_rng(5)
    parts = [rng.normal(100, 9, (40, 100)).astype(">i2"), rng.normal(300, 3, (10, 100)).astype(">i2")]
    both = np.concatenate(parts)
    samplers = [Sampler(both.size, 100) for _ in parts]
    for part, sampler in zip(parts, samplers, strict=True):
        sampler.take(part)
    sample = np.concatenate([sampler.sample() for sampler in samplers])
    assert limits_of_sample(sample, lambda: both, 5.0) == pytest.approx(np.percentile(both, [5, 95]))


@pytest.mark.parametrize("percentile", [0.0, 0.3, 25.0, 50.0])
@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(7).normal(1000, 5, 100_000).astype(int),
        np.concatenate([np.zeros(30_000), np.random.default_rng(8).exponential(40, 70_000)]),
        # each 64th is much brighter: a sample of those tells nothing of the others
        np.where(np.arange(100_000) % 64, np.arange(100_000), 1e9),
        np.arange(100_000)[::-1],
    ],
    ids=["ties", "half empty", "misleading", "in order"],
)
def test_percentiles_of_a_large_sample_are_exact(values: np.ndarray, percentile: float) -> None:
    sample = values.astype(np.float32)
    expected = np.percentile(sample.astype(float), [percentile, 100 - percentile])
    low, high = limits_of_sample(sample, lambda: sample, percentile)
    if expected[1] > expected[0]:
        assert (low, high) == pytest.approx(expected)
    else:
        assert (low, high) == (sample.min(), sample.max())


def test_integers_of_a_huge_span_are_sampled() -> None:
    pixels = np.arange(1_000_000, dtype=">i4").reshape(1000, 1000)
    pixels[0, 0], pixels[-1, -1] = -(2**31), 2**31 - 1
    assert limits_of_pixels(pixels, 5.0) == pytest.approx((50_000, 950_000), rel=0.02)


def test_a_sample_of_integers_is_near_the_truth_whatever_repeats_in_rows_and_columns() -> None:
    rows, columns = np.indices((2048, 1024))
    pixels = (
        np.random.default_rng(3).normal(0, 100, rows.shape) + rows % 8 * 100 + columns % 4 * 1000
    ).astype(">i4")
    expected = np.percentile(pixels, [0.3, 99.7])
    assert limits_of_pixels(pixels, 0.3) == pytest.approx(expected, abs=15)


def test_one_bright_pixel_that_no_sample_meets_is_found() -> None:
    pixels = np.zeros((2000, 2000), ">i2")
    pixels[777, 333] = 9
    assert limits_of_pixels(pixels, 0.3) == (0, 9)


def test_a_sample_of_floats_is_near_the_truth_and_leaves_out_what_is_no_number() -> None:
    pixels = np.random.default_rng(2).normal(0, 1, (2048, 1024)).astype(">f4")
    expected = np.percentile(pixels, [0.3, 99.7])
    pixels[::7] = np.nan
    pixels[3::50] = np.inf
    assert limits_of_pixels(pixels, 0.3) == pytest.approx(expected, abs=0.05)


def test_a_number_in_a_field_of_nan_is_found() -> None:
    pixels = np.full((2000, 2000), np.nan, np.float32)
    pixels[777, 333] = 4.0
    low, high = limits_of_pixels(pixels, 0.3)
    assert low < 4.0 < high


def test_no_number_at_all_is_no_preview() -> None:
    with pytest.raises(NoPreview) as caught:
        limits_of_pixels(np.full((4, 4), np.nan, np.float32), 0.3)
    assert caught.value.reason == "no_finite_pixels"


def test_equal_percentiles_fall_back_to_the_extremes() -> None:
    pixels = np.zeros((100, 100), ">i4")
    pixels[4, 4] = 9
    assert limits_of_pixels(pixels, 0.3) == (0, 9)


def test_a_constant_image_is_mid_grey() -> None:
    pixels = np.full((10, 10), 7000, ">i2")
    low, high = limits_of_pixels(pixels, 0.3)
    assert set(to_grey(pixels.astype(np.float32), low, high).ravel()) <= {127, 128}


def test_grey_is_clipped_and_nan_is_black() -> None:
    values = np.array([[-5, 0, 10, 99, np.nan, np.inf, -np.inf]], np.float32)
    assert to_grey(values, 0.0, 10.0).tolist() == [[0, 0, 255, 255, 0, 255, 0]]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1024, 1024), (480, 480)),
        ((2112, 3152), (640, 429)),
        ((100, 100), (480, 480)),  # small arrays fill the box too
        ((10, 6000), (640, 1)),
        ((6000, 10), (1, 480)),
        ((480, 640), (640, 480)),
    ],
)
def test_previews_fit_the_box_with_square_pixels(shape: tuple[int, int], size: tuple[int, int]) -> None:
    assert fit(shape) == size


@pytest.mark.parametrize("dtype", [">i2", ">i4", ">f4", "u1", ">f8"])
def test_shrinking_averages_blocks(dtype: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 200, (1441, 2000)).astype(dtype)
    block = block_of(pixels.shape)
    assert block == 3
    expected = pixels[:1440, :1998].reshape(480, 3, 666, 3).astype(float).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(pixels), expected, rtol=1e-5)


def test_shrinking_ignores_what_is_no_number() -> None:
    pixels = np.ones((960, 960), ">f4")
    pixels[0, 0], pixels[10, 11] = np.nan, np.inf
    pixels[100:102, 200:202] = np.nan
    small = shrink(pixels)
    assert np.isnan(small[50, 100])
    assert np.nansum(small != 1) == 1
