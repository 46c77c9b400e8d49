"""What all tests share: the folder of real data, and a cache folder that is nobody's."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("unhurried", deadline=None)  # how long an example takes says nothing on a busy machine
hypothesis.settings.load_profile("unhurried")
if "PYTEST_XDIST_WORKER" in os.environ:  # tests in several processes: more threads than cores would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real captions, pictures and weights; they are not part of the project, so users' test runs skip what needs them."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data (a folder `shared` beside the project) are not here")
    return SHARED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own cache folder, so that none reads what another or the user left there."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SHOWTELL_CACHE", str(folder))
    return folder
