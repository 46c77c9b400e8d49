"""A handful of scenes to train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.scenes import ScenesOptions, write_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures to train on and four to validate on; nobody changes them."""
    folder = tmp_path_factory.mktemp("scenes")
    return write_scenes(ScenesOptions(data=folder, train=10, val=4, test=1, test_new=1, workers=1, quiet=True))
