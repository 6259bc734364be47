from pathlib import Path

import pytest

from tests.data.store.store_cases import write_store


@pytest.fixture(scope="session")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of ten videos that no test changes."""
    return write_store(tmp_path_factory.mktemp("store") / "ten.h5", range(10))
