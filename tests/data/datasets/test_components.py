"""Components of masks: corners touch, and rings close."""

import numpy as np

from wsvad_lightning.data.datasets.components import components


def test_components_touch_at_corners_and_close_rings() -> None:
    mask = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0]], dtype=bool)
    found = components(mask)
    assert [part.sum() for part in found] == [5, 1, 2]
    assert (np.sum(found, axis=0) == mask).all()


def test_a_single_pixel_is_a_component_and_nothing_is_none() -> None:
    assert [part.tolist() for part in components(np.ones((1, 1), dtype=bool))] == [[[True]]]
    assert components(np.zeros((3, 2), dtype=bool)) == []
