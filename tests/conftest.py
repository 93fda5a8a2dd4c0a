"""What several tests need: real data where there is some, and one small population of phantoms."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.threads import prepare_threads

prepare_threads()  # as the commands do, for this process and those that it starts
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images beside the checkout; tests that need it are skipped without."""
    if not SHARED.is_dir():
        pytest.skip("no folder of real images beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 phantoms of 160 x 128 pixels: four patients."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_population(folder, 16, seed=7, height=160, width=128)
    return folder


@pytest.fixture(scope="session")
def store(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of the phantoms, 40 x 32 pixels."""
    return ingest([phantoms], tmp_path_factory.mktemp("stores") / "store", Settings(height=40, width=32))
