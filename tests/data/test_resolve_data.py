"""The published recipe and the data sets as they stand in YAML."""

import subprocess
import sys
from pathlib import Path

import pytest

from ppface.core.config import spec, yaml_tree
from ppface.core.errors import ConfigError
from ppface.data import SyntheticIdentities
from ppface.data.recognition.identity_convert import convert

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
    return spec.resolve(yaml_tree.read(path), kind, default="none")()


def test_the_crop_of_the_published_recipe(tmp_path):
    sampling = built(RECIPE, "transform", tmp_path)
    assert sampling.size == (640, 640) and sampling.otherwise.square and sampling.otherwise.overlaps == [(0, 1)]


def test_a_subset_of_a_data_set(tmp_path, shared_data):
    text = f"name: Subset\nevery: 5\nrest: true\ndataset: {{name: VocFaces, root: {shared_data}/facemask}}\n"
    assert len(built(text, "dataset", tmp_path)) == 613 - 123


@pytest.mark.parametrize("name", ["ColorDistort", "CropPad", "Expand", "Flip", "LowResolution", "Photometric", "SsdCrop"])
def test_defaults_need_no_arguments(name, tmp_path):
    assert type(built(f"name: {name}", "transform", tmp_path)).__name__ == name


def test_a_mistake_in_a_range_is_a_mistake_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match=r"part.yml:1: .*Expand: expected max_ratio >= 1, received 0.5"):
        built("{name: Expand, max_ratio: 0.5}", "transform", tmp_path)


def test_data_workers_stay_light():
    """Importing the data sets, transforms and pipeline does not import paddle, which takes seconds and 300 MB a worker."""
    code = "import sys, ppface.data, ppface.data.transforms, ppface.data.loading.pipeline; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


IDENTITIES = {
    "folder": "{name: IdentityFolder, root: ROOT/faces, resize: true}",
    "list": "{name: IdentityList, root: ROOT, list_file: faces.txt, class_num: 3}",
    "records": "{name: RecordIdentities, path: ROOT/faces.rec}",
    "drawn": "{name: SyntheticIdentities, identities: 3, images: 2, seed: 1, difficulty: 0.3}",
}
LOADER = """
dataset: DATASET
sampler: {name: IdentityBatches, identities: 2, images: 2}
transforms:
  - {name: CropPad, p: 0.2}
  - {name: LowResolution, p: 0.2}
  - {name: Photometric, p: 0.2}
  - {name: Flip}
batch_size: 4
"""


@pytest.mark.parametrize("kind", IDENTITIES)
def test_the_recipe_of_adaface_over_every_kind_of_identities(kind, tmp_path):
    people = SyntheticIdentities(3, 2, seed=1, difficulty=0.3)
    convert(people, tmp_path / "faces.rec")
    convert(people, tmp_path / "faces.txt")
    path = tmp_path / "loader.yml"
    path.write_text(LOADER.replace("DATASET", IDENTITIES[kind]).replace("ROOT", str(tmp_path)))
    loader = spec.resolve(yaml_tree.read(path), "loader", default="Loader")(seed=0, rank=0, world=1)
    assert loader.dataset.facts() == {"class_num": 3}
    for batch in loader.stream(0, 3):
        assert batch.arrays["image"].shape == (4, 3, 112, 112) and len(set(batch.arrays["label"].tolist())) == 2
