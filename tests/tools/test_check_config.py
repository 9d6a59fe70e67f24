"""tools/check_config.py and the rule behind it: no typo in any key of any config goes by."""

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import yaml

from ppface.core.config.annotated_yaml import with_origins
from ppface.core.config.json_schema import json_schema
from ppface.core.config.spec import load_config, resolve
from ppface.core.config.yaml_tree import Node, parse
from ppface.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yml"))


@pytest.fixture
def check(run_tool):
    return partial(run_tool, "tools/check_config.py")


@pytest.mark.parametrize("file", [file for file in CONFIGS if file.parent.name != "_base_"], ids=lambda file: file.stem)
def test_what_is_printed_of_a_config_is_that_config(file):
    config = load_config(file)
    assert yaml.safe_load(with_origins(config)) == config.plain()


def keys(node, path=()):
    """The path of every key of a config, with the component that it is an argument of; the names of an evaluator's sets are free."""
    if isinstance(node.value, dict):
        component = node.value["name"].plain() if "name" in node.value else path
        for key, child in node.value.items():
            if path[-1:] != ("sets",):
                yield component, (*path, key)
            yield from keys(child, (*path, key))
    elif isinstance(node.value, list):
        for i, child in enumerate(node.value):
            yield from keys(child, (*path, i))


def misspelt(node, path):
    """A copy of the config with the first letter of the key at `path` doubled."""
    if len(path) == 1:
        return Node({(key[0] + key if key == path[0] else key): child for key, child in node.value.items()}, node.origin)
    children = enumerate(node.value) if isinstance(node.value, list) else node.value.items()
    copies = {key: misspelt(child, path[1:]) if key == path[0] else child for key, child in children}
    return Node(list(copies.values()) if isinstance(node.value, list) else copies, node.origin)


def test_a_typo_in_any_key_is_found_and_the_right_key_named():
    """Every argument of every component that a config has, in the first config that has it."""
    seen = set()
    for path in CONFIGS:
        tree = parse(yaml.safe_dump(load_config(path).plain()), "c.yml")
        for component, where in keys(tree):
            if (component, where[-1]) in seen:
                continue
            seen.add((component, where[-1]))
            with pytest.raises(ConfigError) as caught:
                resolve(misspelt(tree, where))
            typo = where[-1][0] + where[-1]
            assert any(typo in line or "name" in where for line in caught.value.mistakes), (path, where)
            if where[-1] != "name":
                assert any(f"Did you mean '{where[-1]}'?" in line for line in caught.value.mistakes), (path, where)
    assert len(seen) > 500


def test_a_right_config_is_printed_with_the_origin_of_each_value(check):
    done = check(ROOT / "configs" / "detection" / "blazeface_fpn_ssh_1000e.yml", "-o", "train.batch_size=16")
    assert done.returncode == 0, done.stderr
    lines = {line.split("#")[0].strip(): line.split("#")[-1].strip() for line in done.stdout.splitlines() if "#" in line}
    assert lines["batch_size: 16"] == "-o train.batch_size=16"
    assert lines["neck_type: fpn_ssh"].endswith("blazeface_fpn_ssh_1000e.yml:9")
    assert lines["steps: [8, 16]"].endswith("configs/_base_/blazeface.yml:17")
    assert lines["use_5x5kernel: true"] == "default"


def test_ten_mistakes_in_one_file_are_all_reported(tmp_path, check):
    config = tmp_path / "ten.yml"
    config.write_text(
        f"_BASE_: {ROOT}/configs/detection/blazeface_1000e.yml\n"
        "model:\n  backbone: {act: gelu, blaze_filtres: [[24, 24]], use_5x5kernel: 5}\n  head: {steps: 8}\n"
        "loss: {overlap_treshold: 0.35}\ntrain: {batch_size: 1.5, worker: 2}\n"
        "optimizer: {learning_rate: {milestones: [a]}}\ntrainer: {epoch: 3}\nevalutors: []\n"
    )
    done = check(config)
    assert done.returncode == 2
    assert sorted(line.removeprefix(f"{tmp_path}/") for line in done.stderr.splitlines() if "ten.yml" in line) == sorted([
        "ten.yml:3: model.backbone.act: expected one of relu, hard_swish, received 'gelu'. Did you mean 'relu'?",
        "ten.yml:3: model.backbone.blaze_filtres: BlazeNet has no argument 'blaze_filtres'. Did you mean 'blaze_filters'?",
        "ten.yml:3: model.backbone.use_5x5kernel: expected true or false, received 5",
        "ten.yml:4: model.head.steps: expected a list of: a whole number, received 8",
        "ten.yml:5: loss.overlap_treshold: SSDLoss has no argument 'overlap_treshold'. Did you mean 'overlap_threshold'?",
        "ten.yml:6: train.batch_size: expected a whole number, received 1.5",
        "ten.yml:6: train.worker: Loader has no argument 'worker'. Did you mean 'workers'?",
        "ten.yml:7: optimizer.learning_rate.milestones.0: expected a whole number, received 'a'",
        "ten.yml:8: trainer.epoch: Trainer has no argument 'epoch'. Did you mean 'epochs'?",
        "ten.yml:9: evalutors: a config has no argument 'evalutors'. Did you mean 'evaluators'?",
    ])  # fmt: skip


def test_broken_yaml_is_reported_without_importing_paddle(tmp_path):
    (tmp_path / "broken.yml").write_text("model: [1\nloss: 2\n")
    code = (
        f"import sys; sys.argv = ['check_config.py', {str(tmp_path / 'broken.yml')!r}]\n"
        f"import runpy\ntry:\n    runpy.run_path({str(ROOT / 'tools' / 'check_config.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n    sys.exit(50 if 'paddle' in sys.modules else end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{tmp_path}/broken.yml:2: this is not valid YAML: ")


def test_help_is_there_at_once():
    before = time.perf_counter()
    for tool in ("train", "eval", "export_model", "infer", "check_config"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", str(ROOT / "tools" / f"{tool}.py"), "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert "usage:" in done.stdout
        assert "paddle" not in done.stderr, f"{tool} --help imports paddle"
    assert time.perf_counter() - before < 30


def test_the_schema_for_editors_describes_every_component(tmp_path, check):
    target = tmp_path / "schema.json"
    assert check("--schema", target).returncode == 0
    schema = json.loads(target.read_text())
    assert schema == json.loads(json.dumps(json_schema()))
    backbone = schema["definitions"]["backbone.BlazeNet"]
    assert backbone["properties"]["act"] == {"enum": ["relu", "hard_swish"], "default": "relu"}
    assert backbone["additionalProperties"] is False
    assert "in_channels" not in schema["definitions"]["head.FaceHead"]["properties"]
    assert {"_BASE_", "model", "train", "evaluators"} <= set(schema["properties"])


def test_editors_accept_the_shipped_configs():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: what an editor accepts is not checked")
    schema = json_schema()
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    for path in CONFIGS:
        kind(schema).validate(yaml.safe_load(path.read_text().replace("5e-4", "0.0005")))


def test_a_schema_that_cannot_be_written_is_one_line(tmp_path, check):
    done = check("--schema", tmp_path / "gone" / "schema.json")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"error: {tmp_path}/gone/schema.json: No such file or directory")
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_mistake():
    file = ROOT / "configs" / "detection" / "blazeface_1000e.yml"
    code = f"{sys.executable} {ROOT / 'tools' / 'check_config.py'} {file} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() in ("141", "0")
