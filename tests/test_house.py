"""The rules of the house, held over the whole tree: who imports whom, how long things are, what is documented, what resolves."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ppface.core import registry
from ppface.core.config.spec import load_config, parameters, resolve
from ppface.core.config.yaml_tree import parse
from ppface.core.files.weight_names import read_names

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "ppface").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "tools").rglob("*.py")), *sorted((ROOT / "deploy").rglob("*.py"))]
CONFIGS = sorted((ROOT / "configs").rglob("*.yml"))
MIDDLE = {"data", "nets", "losses", "post", "optim"}
MAY_IMPORT = {
    "core": set(),
    "ops": {"core"},
    **{layer: {"core", "ops"} for layer in MIDDLE},
    "evaluators": {"core", "ops", *MIDDLE},
    "predict": {"core", "ops", *MIDDLE},
    "engine": {"core"},
    "gallery": {"core", "ops"},
    "serve": {"core", "ops", "data", "predict", "gallery"},
    "commands": {"core", "ops", *MIDDLE, "evaluators", "predict", "engine", "gallery", "serve"},
    "__main__.py": {"core", "commands"},
}
KINDS = [kind for kind in registry.PACKAGES if kind != "run"]
COMPONENTS = [(kind, name) for kind in KINDS for name in registry.names(kind)]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> set[str]:
    """Dotted names of what a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(path)}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", PACKAGE, ids=short)
def test_imports_run_one_way(path):
    layer = path.relative_to(ROOT / "ppface").parts[0]
    if layer == "__init__.py":
        return
    for name in imported(path):
        if name.startswith("ppface."):
            other = name.split(".")[1]
            assert other == layer or other in MAY_IMPORT[layer], f"{short(path)} imports {name}"
    if layer in ("core", "data", "evaluators", "gallery"):
        assert not any(name.split(".")[0] == "paddle" for name in imported(path)), f"{short(path)} imports paddle"


@pytest.mark.parametrize("folder", ["backbones", "necks", "heads"])
def test_siblings_under_nets_share_layers_alone(folder):
    for path in (ROOT / "ppface" / "nets" / folder).glob("[!_]*.py"):
        ours = {name for name in imported(path) if name.startswith("ppface.nets.")}
        assert all(name.startswith("ppface.nets.layers.") for name in ours), f"{short(path)} imports {ours}"


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_files_and_functions_stay_short_and_have_docstrings(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert path.stem not in ("utils", "common", "misc", "helpers", "base")
    assert text.count("\n") <= (10 if path.parent.name == "tools" else 300), f"{short(path)}: {text.count(chr(10))} lines"
    if text.strip():
        assert ast.get_docstring(tree), f"{short(path)} does not say what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno
            assert length <= 60, f"{short(path)}:{node.lineno}: {node.name} has {length} lines"


NEVER_IMPORTED = ("pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "torch")
NEVER_CALLED = (
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__", "os.system", "os.popen",
    "paddle.load", "paddle.static.load", "paddle.static.load_program_state", "paddle.io.load",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all",
    "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader", "yaml.CUnsafeLoader", "yaml.CFullLoader",
    "pandas.read_pickle", "numpy.core.multiarray.unpickle", "numpy.lib.format.read_array", "runpy.run_path", "runpy.run_module",
)  # fmt: skip
NUMPY_LOAD = ("numpy.load", "numpy.lib.npyio.load")  # only with allow_pickle=False written out
OURS = [*SOURCES, ROOT / "setup.py"]


def unsafe(text: str) -> list[str]:
    """What in a source file could run what a data file says, as "line: name"; names are followed through `import ... as`."""
    tree = ast.parse(text)
    stands_for: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            stands_for |= {
                alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0] for alias in node.names
            }
            found += [f"{node.lineno}: {alias.name}" for alias in node.names if alias.name.split(".")[0] in NEVER_IMPORTED]
        elif isinstance(node, ast.ImportFrom) and node.module:
            stands_for |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found += [f"{node.lineno}: {node.module}"] if node.module.split(".")[0] in NEVER_IMPORTED else []
    guarded = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(word.arg == "allow_pickle" and isinstance(word.value, ast.Constant) and word.value.value is False for word in node.keywords)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            name = stands_for.get(first, first) + (f".{rest}" if rest else "")
            if name in NEVER_CALLED or (name in NUMPY_LOAD and id(node) not in guarded):
                found.append(f"{node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", OURS, ids=short)
def test_nothing_runs_what_a_file_says(path):
    assert unsafe(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import pickle", "1: pickle"),
        ("from pickle import loads as read", "1: pickle"),
        ("import torch.nn", "1: torch.nn"),
        ("def f():\n    import marshal", "2: marshal"),
        ("eval('1')", "1: eval"),
        ("run = exec", "1: exec"),
        ("from builtins import eval as f\nf('1')", "2: builtins.eval"),
        ("import paddle as p\np.load('x')", "2: paddle.load"),
        ("from paddle import load\nload('x')", "2: paddle.load"),
        ("import yaml\nyaml.load(text, Loader=yaml.SafeLoader)", "2: yaml.load"),
        ("import yaml\nclass L(yaml.Loader): pass", "2: yaml.Loader"),
        ("import numpy as np\nnp.load('x')", "2: numpy.load"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "2: numpy.load"),
        ("import numpy as np\nnp.load('x', allow_pickle=flag)", "2: numpy.load"),
        ("from numpy import load\nread = load", "2: numpy.load"),
        ("import numpy as np\nnp.load('x', allow_pickle=False)", None),
        ("import yaml\nyaml.safe_load(text)\nmodel.eval()", None),
        ("import re\nre.compile('a')", None),
    ],
)
def test_what_would_run_a_file_is_noticed(text, found):
    assert unsafe(text) == ([found] if found else [])


def test_tests_read_only_pickles_of_their_own():
    """Tests may write pickles, and read what the same line wrote."""
    for path in (ROOT / "tests").rglob("*.py"):
        if path == Path(__file__).resolve() or path.name == "pickle_reader.py":  # which shows what Python's own unpickler does
            continue
        text = path.read_text()
        named = [line for line in unsafe(text) if ": paddle." in line or ": yaml." in line]
        assert not named, f"{short(path)}:{named[0]}"
        assert text.count("pickle.load") == text.count("pickle.loads(pickle.dumps("), f"{short(path)} reads a pickle"


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "weights").iterdir()), ids=short)
def test_every_file_of_names_is_one_and_reports_its_source(path):
    assert read_names(path).rules
    head = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert re.search(r"https://\S+", head) and "licence" in head, f"{short(path)}: for which weights, under which licence?"


@pytest.mark.parametrize(("kind", "name"), COMPONENTS, ids="-".join)
def test_every_component_is_documented_and_used(kind, name):
    component = registry.find(kind, name)
    text = (inspect.getdoc(component) or "") + (inspect.getdoc(inspect.getmodule(component)) or "")
    assert text.strip().endswith((".", "`", ")", "]", "}")) or len(text) > 80, f"{name} has no docstring"
    assert re.search(r"https?://|arXiv|Source", text), f"{name} names no source"
    assert "Shape" in text, f"{name} names no shapes"
    for parameter in parameters(component).values():
        if parameter.writable and inspect.isclass(component):
            assert re.search(rf"^\s*{parameter.name}: ", inspect.getdoc(component), re.M), f"{name}: '{parameter.name}' is not documented"
    places = [*CONFIGS, *(ROOT / "tests").rglob("test_*.py")]
    assert any(re.search(rf"\b{name}\b", path.read_text()) for path in places), f"{name} stands in no config and no test"


@pytest.mark.parametrize("path", CONFIGS, ids=short)
def test_every_config_resolves_to_itself(path):
    import yaml

    config = load_config(path)
    saved = yaml.safe_dump(config.plain(), sort_keys=False, default_flow_style=None)
    assert resolve(parse(saved, "saved.yml")).plain() == config.plain()


def test_importing_ppface_imports_no_paddle():
    code = "import sys, ppface, ppface.core.config.spec, ppface.core.run.cli, ppface.data; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
