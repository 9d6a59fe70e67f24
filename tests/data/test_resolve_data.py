"""The published recipe and the data sets as they stand in YAML."""

import subprocess
import sys
from pathlib import Path

import pytest

from ppface.core import config, spec
from ppface.core.errors import ConfigError

RECIPE = """
name: DataAnchorSampling
size: [640, 640]
scales: [16, 32, 64, 128]
p: 0.5
otherwise: {name: SsdCrop, overlaps: [[0, 1]], square: true, coverage: 1, whole: 0.2}
"""


def built(text, kind, tmp_path):
    path = tmp_path / "part.yml"
    path.write_text(text)
    return spec.resolve(config.read(path), kind, default="none")()


def test_the_crop_of_the_published_recipe(tmp_path):
    sampling = built(RECIPE, "transform", tmp_path)
    assert sampling.size == (640, 640) and sampling.otherwise.square and sampling.otherwise.overlaps == [(0, 1)]


def test_a_subset_of_a_data_set(tmp_path, shared_data):
    text = f"name: Subset\nevery: 5\nrest: true\ndataset: {{name: VocFaces, root: {shared_data}/facemask}}\n"
    assert len(built(text, "dataset", tmp_path)) == 613 - 123


@pytest.mark.parametrize("name", ["ColorDistort", "Expand", "Flip", "SsdCrop"])
def test_defaults_need_no_arguments(name, tmp_path):
    assert type(built(f"name: {name}", "transform", tmp_path)).__name__ == name


def test_a_mistake_in_a_range_is_a_mistake_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match=r"part.yml:1: .*Expand: expected max_ratio >= 1, received 0.5"):
        built("{name: Expand, max_ratio: 0.5}", "transform", tmp_path)


def test_data_workers_stay_light():
    """Importing the data sets, transforms and pipeline does not import paddle, which takes seconds and 300 MB a worker."""
    code = "import sys, ppface.data, ppface.data.transforms, ppface.data.pipeline; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
