from pathlib import Path

import numpy as np
import pytest
import torch

from wsvad_lightning.extraction.spool import Spool


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_slices_are_what_was_added_in_the_type_asked_for(dtype: str, tmp_path: Path) -> None:
    features = torch.randn(7, 3, 5)
    expected = features.numpy().astype(dtype)
    with Spool(tmp_path, np.dtype(dtype)) as spool:
        for group in (features[:2], features[2:2], features[2:].transpose(1, 2).contiguous().transpose(1, 2)):
            spool.add(list(group))
        assert (spool.shape, spool.dtype) == ((7, 3, 5), np.dtype(dtype))
        for rows in (slice(0, 2), slice(5, 99), slice(None)):
            np.testing.assert_array_equal(spool[rows], expected[rows])
            assert spool[rows].dtype == np.dtype(dtype)
        spool.cut(4)
        np.testing.assert_array_equal(spool[:], expected[:4])


def test_the_file_has_no_name(tmp_path: Path) -> None:
    with Spool(tmp_path, np.dtype("float32")) as spool:
        spool.add([torch.ones(1, 2)])
        assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Spool(tmp_path / "absent", np.dtype("float32"))
