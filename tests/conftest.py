"""What every test may ask for: a seeded generator, and the real material where it is present."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import ppface  # noqa: F401  (first: it sets MKL's code path in the environment, so that all processes of a test compute alike)

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


@dataclass(frozen=True)
class Trial:
    """A small detector with landmarks: random weights, but about one anchor in fifty takes itself for a face.

    Attributes:
        config: its YAML.
        weights: its safetensors.
        export: the folder that tools/export_model.py made of them.
        told: what the tool printed.
    """

    config: Path
    weights: Path
    export: Path
    told: str


@pytest.fixture(scope="session")
def trial(tmp_path_factory, run_tool) -> Trial:
    folder = tmp_path_factory.mktemp("trial")
    config, weights, export = folder / "small.yml", folder / "small.safetensors", folder / "export"
    base = ROOT / "configs" / "_base_" / "blazeface_128.yml"
    config.write_text(f"_BASE_: {base}\nmodel: {{head: {{landmarks: 5}}, input: {{test: {{mode: long_side, size: [160, 160]}}}}}}\n")
    random_weights(config, weights)
    done = run_tool("tools/export_model.py", "-c", config, "-w", weights, "--out", export)
    assert done.returncode == 0, done.stderr
    return Trial(config, weights, export, done.stdout)


def random_weights(config: Path, file: Path, overrides: tuple[str, ...] = ()) -> None:
    """Writes weights of the config's model with activations of a trained network's size."""
    import paddle
    from safetensors.numpy import save_file

    from ppface.core.config.spec import build_model, load_config

    paddle.seed(0)
    model = build_model(load_config(config, overrides))
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (2, 3, 16, 16)), np.ones((8, 8))).astype("uint8")
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer._momentum = 0.0
    with paddle.no_grad():
        model.train()
        model({"image": paddle.to_tensor(image)})
        model.eval()
        for convolution in [*model.head.boxes, *(model.head.landmarks or [])]:
            convolution.weight.set_value(convolution.weight * 0.1)
        logits = model({"image": paddle.to_tensor(image)})["logits"].numpy()
        for convolution in model.head.scores:
            bias = convolution.bias.numpy()
            bias[0::2] -= np.quantile(logits[..., 0] - logits[..., 1], 0.98)
            convolution.bias.set_value(bias)
    save_file({name: value.numpy() for name, value in model.state_dict().items()}, file)


@pytest.fixture(scope="session")
def toy_embedder():
    """A model of aligned faces of 16x16 pixels in evaluation mode: embeddings of 6 numbers and their norm, from random weights."""
    import paddle
    from paddle import nn

    from ppface.nets.model import FaceModel, Input

    class Flat(nn.Layer):
        any_size = False

        def __init__(self):
            super().__init__()
            self.conv, self.linear, self.out_channels = nn.Conv2D(3, 4, 3, 2, 1), nn.Linear(256, 6), [6]

        def forward(self, x):
            return self.linear(nn.functional.relu(self.conv(x)).flatten(1))

    class Norm(nn.Layer):
        takes = ()

        def forward(self, x):
            return {"embedding": x, "norm": x.norm(axis=1, keepdim=True)}

    paddle.seed(3)
    model = FaceModel(Input((16, 16), [127.5] * 3, [127.5] * 3), Flat(), lambda in_channels: Norm())
    model.eval()
    return model


@pytest.fixture(scope="session")
def toy_export(toy_embedder, tmp_path_factory) -> Path:
    """The folder of the toy's export."""
    from ppface.engine import export

    folder = tmp_path_factory.mktemp("toy")
    export.write(toy_embedder, folder, {})
    return folder


@pytest.fixture(scope="session")
def toy_landmarks():
    """A landmark network for crops of 32x32 pixels in evaluation mode: five points, from random weights."""
    from functools import partial

    import paddle
    from paddle import nn

    from ppface.nets.heads import LandmarkHead
    from ppface.nets.model import FaceModel, Input

    class Two(nn.Layer):
        any_size = False

        def __init__(self):
            super().__init__()
            self.one, self.two, self.out_channels = nn.Conv2D(3, 4, 3, 2, 1), nn.Conv2D(4, 8, 16), [4, 8]

        def forward(self, x):
            x = nn.functional.relu(self.one(x))
            return [x, self.two(x)]

    paddle.seed(3)
    model = FaceModel(Input((32, 32), [127.5] * 3, [127.5] * 3), Two(), partial(LandmarkHead, points=5, pose=False))
    model.head.linear.weight.set_value(model.head.linear.weight * 33)  # points that differ
    model.eval()
    return model


@pytest.fixture(scope="session")
def toy_landmarks_export(toy_landmarks, tmp_path_factory) -> Path:
    """The folder of its export."""
    from ppface.engine import export

    folder = tmp_path_factory.mktemp("toy_landmarks")
    export.write(toy_landmarks, folder, {})
    return folder


@pytest.fixture
def aligned_faces(tmp_path) -> Path:
    """A folder of ten pictures of 16x16 pixels in folders of two people."""
    from PIL import Image

    rng = np.random.default_rng(4)
    for i in range(10):
        file = tmp_path / "faces" / f"person {i // 5}" / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((4, 4, 1))).astype("uint8")).save(file)
    return tmp_path / "faces"


GBK = os.fsdecode(b"\xc4\xe3")  # a name as unpacked from an archive of a Chinese Windows
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def foreign_names(aligned_faces) -> Path:
    """The aligned faces with pictures and folders under names that are not ASCII, some of them not UTF-8; one picture is broken."""
    for file in sorted((aligned_faces / "person 0").iterdir()):
        file.rename(file.with_name(f"{GBK} {file.name}"))
    (aligned_faces / "person 1").rename(aligned_faces / f"{GBK} 你 é")
    (aligned_faces / f"{GBK} 你 é" / "7.png").write_text("words")
    return aligned_faces


@pytest.fixture(params=[{"PYTHONIOENCODING": "utf-8:strict"}, {"PYTHONIOENCODING": "ascii:strict"}, POSIX], ids=["utf-8", "ascii", "posix"])
def locale(request) -> dict[str, str]:
    """Environments of tools: outputs that refuse what they cannot encode, and a locale in which file names are ASCII."""
    return request.param


@pytest.fixture(scope="session")
def make_weights():
    return random_weights


class ToolServer:
    """Runs Python files in forks of a process that has imported Paddle, see tool_server.py.

    Args:
        folder: for what the files print.
        path: its PYTHONPATH.
        modules: what the process imports; all of ppface where there are none.
    """

    def __init__(self, folder: Path, path: Path = ROOT, modules: tuple[str, ...] = ()):
        self.outputs = {name: folder / name for name in ("stdout", "stderr")}
        self.environment = self._environment()
        server = [sys.executable, str(ROOT / "tests" / "tool_server.py"), *modules]
        environment = self.environment | {"PYTHONPATH": str(path)}
        self.process = subprocess.Popen(
            server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )

    @staticmethod
    def _environment() -> dict[str, str]:
        """What a tool gets, without what ppface, Paddle and gRPC have set in this process by now."""
        own = {"PYTEST_CURRENT_TEST", "GLOG_minloglevel", "GRPC_VERBOSITY", "CUSTOM_DEVICE_ROOT"}
        return {name: value for name, value in os.environ.items() if name not in own} | {"OMP_NUM_THREADS": "1"}

    def serves(self, environment: dict[str, str]) -> bool:
        """Whether a run needs no other environment than that in which the server imported its modules."""
        if environment:
            return False
        changed = dict(self._environment().items() ^ self.environment.items())
        assert not changed, f"variables of this process have changed, and each tool would be a process of its own: {changed}"
        return True

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess:
        files = {name: str(file) for name, file in self.outputs.items()}
        variables = self.environment | environment
        request = {"file": command[1], "arguments": command[2:], "folder": str(Path.cwd()), "environment": variables, **files}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        code = int(self.process.stdout.readline())
        return subprocess.CompletedProcess(command, code, *(file.read_text(encoding="utf-8") for file in self.outputs.values()))

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="session")
def tool_server(tmp_path_factory):
    server = ToolServer(tmp_path_factory.mktemp("tools"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def run_deployed(tmp_path_factory):
    """Runs deploy/python/infer.py as a user does, where ppface is a package that refuses to be imported; the environment can be added to."""
    folder, alone = tmp_path_factory.mktemp("deployed"), tmp_path_factory.mktemp("alone")
    (alone / "ppface").mkdir()
    (alone / "ppface" / "__init__.py").write_text("raise ImportError('deploy/ must run without ppface')\n")
    server = ToolServer(folder, alone, ("paddle.inference", "cv2", "yaml", "PIL.Image"))
    command = [sys.executable, str(ROOT / "deploy" / "python" / "infer.py")]
    yield lambda *arguments, **environment: server.run([*command, *map(str, arguments)], **environment)
    server.close()


@pytest.fixture(scope="session", autouse=True)
def _early(request):
    """In a run of the whole suite the server imports, and on a new machine compiles, beside the first tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        request.getfixturevalue("tool_server")


@pytest.fixture(scope="session")
def run_tool(tool_server):
    """Runs a Python file, by a path that may be relative to the repository, as a user does; the environment can be added to. `fresh`: in a
    Python of its own."""

    def run(file: str, *arguments: object, fresh: bool = False, **environment: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / file), *map(str, arguments)]
        if not fresh and tool_server.serves(environment):
            return tool_server.run(command)
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment)

    return run
