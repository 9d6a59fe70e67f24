"""Packaging: `pip install -e ".[cpu]"` or `".[gpu]"`, and `".[cpu,dev]"` to work on ppface itself."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "ppface" / "__init__.py").read_text(encoding="utf-8")).group(1)

SERVE = ["fastapi>=0.115", "uvicorn>=0.32", "prometheus-client>=0.20", "python-multipart>=0.0.18", "cryptography>=42"]


class BuildWithFolders(build_py):
    """Puts `configs` and `deploy` into the package of a wheel; where the sources are used in place, they stay beside it."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for name in ("configs", "deploy"):
            target = Path(self.build_lib, "ppface", name)
            shutil.rmtree(target, ignore_errors=True)  # what an earlier build left
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))


setup(
    name="ppface",
    version=VERSION,
    description="Config-driven training of face detection, recognition and landmarks on PaddlePaddle",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords=["face detection", "face recognition", "facial landmarks", "paddlepaddle", "blazeface", "retinaface", "arcface", "adaface"],
    python_requires=">=3.10",
    packages=find_packages(include=["ppface", "ppface.*"]),
    package_data={"ppface": ["py.typed", "weights/*/*", "serve/page/*"]},
    cmdclass={"build_py": BuildWithFolders},
    entry_points={"console_scripts": ["ppface=ppface.__main__:main"]},
    install_requires=[
        "numpy>=1.26",
        "opencv-python-headless>=4.8",  # opencv-python serves as well, where a window is wanted
        "pillow>=10",
        "pyyaml>=6",
        "simplejpeg>=1.7",  # libjpeg-turbo with its warnings as errors: a truncated picture is never half decoded
        "safetensors>=0.4",
        "scipy>=1.11",  # reads the .mat files of WIDER FACE
        "matplotlib>=3.8",
        "tqdm>=4.60",
        "visualdl>=2.5",
        "shtab>=1.6",  # `ppface completion`
    ],
    extras_require={
        "cpu": [
            "paddlepaddle>=3.1",
            "numba>=0.61",
        ],  # Numba compiles the kernels of ppface/ops/cpu; without it training takes two to three times as long
        "gpu": ["paddlepaddle-gpu>=3.1"],  # from Paddle's own index: the public one stops at 2.6.2, see README
        "gallery": ["cryptography>=42"],  # encrypted galleries of people
        "milvus": ["pymilvus>=3.0.1", "milvus-lite>=3.2", "cryptography>=42"],  # galleries beyond one machine
        "serve": SERVE,
        # paddle2onnx has no wheel for Python 3.13 and pins onnx 1.17
        "onnx": ["paddle2onnx>=2.1; python_version < '3.13'", "onnx>=1.17; python_version < '3.13'", "onnxruntime>=1.17"],
        "openvino": ["openvino>=2025.0", "paddle2onnx>=2.1; python_version < '3.13'", "onnx>=1.17; python_version < '3.13'"],
        "int8": ["nncf>=3.0", "openvino>=2025.0", "paddle2onnx>=2.1; python_version < '3.13'", "onnx>=1.17; python_version < '3.13'"],
        "dev": [
            *SERVE,
            "httpx>=0.27",
            "pytest>=8",
            "pytest-xdist>=3",
            "ruff>=0.9",
            "mypy>=1.10",
            "h5py>=3",
            "jsonschema>=4",
            "onnxruntime>=1.17",
            "openvino>=2025.0",
            "paddle2onnx>=2.1; python_version < '3.13'",
            "onnx>=1.17; python_version < '3.13'",
        ],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
