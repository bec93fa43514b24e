from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve1d

from hdbench.streets.lens import exposed


def test_the_lens_spreads_light_by_a_pixel_along_both_axes() -> None:
    light = (np.random.default_rng(0).random((3, 7, 12)) * 300 - 20).astype(np.float32)
    before = light.copy()
    expected = light.astype(np.float64)
    for axis in (1, 2):
        expected = convolve1d(expected, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
    photograph = exposed(light)
    assert photograph.dtype == np.uint8
    assert np.abs(photograph - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-4
    assert np.array_equal(light, before)


def test_flat_light_stays_as_it_is() -> None:
    assert (exposed(np.full((3, 4, 8), 90.0, np.float32)) == 90).all()
