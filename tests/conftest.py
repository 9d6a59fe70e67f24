"""What every test may ask for: a seeded generator, and the real material where it is present."""

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real pictures and labels that is kept beside the project, never in it."""
    folder = Path(os.environ.get("PPFACE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real pictures and labels are not here: {folder} does not exist (set PPFACE_DATA)")
    return folder
