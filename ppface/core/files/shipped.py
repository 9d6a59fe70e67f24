"""What comes with ppface beside its code: the folders `configs` and `deploy`, and the files in `configs` by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ppface.core.errors import ConfigError
from ppface.core.registry import nearest

PACKAGE = Path(__file__).resolve().parents[2]
BASES = "_base_"


def folder(name: Literal["configs", "deploy"]) -> Path:
    """The folder of this name: in the package where a wheel was installed, beside it in the sources."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def configs() -> dict[str, Path]:
    """Every config by its name, `quickstart/detection`, in order; those that are only a `_BASE_` of others are last."""
    root = folder("configs")
    files = sorted(root.rglob("*.yml"), key=lambda file: (file.parent.name == BASES, file))
    return {file.relative_to(root).with_suffix("").as_posix(): file for file in files}


def name_files() -> dict[str, Path]:
    """Every file of names for the weights of other projects by its name, `facenet_pytorch`."""
    return {file.stem: file for file in sorted((folder("configs") / "weights").glob("*.yaml"))}


def locate(path: str | Path, files: Callable[[], dict[str, Path]]) -> Path:
    """`path` if it exists, else the file that comes with ppface under this name, else `path`.

    Args:
        path: a path or a name.
        files: `configs` or `name_files`.

    Raises:
        ConfigError: several files have the name.
    """
    return Path(path) if Path(path).exists() else named(path, files()) or Path(path)


def named(name: str | Path, files: dict[str, Path]) -> Path | None:
    """The file of a name, with or without its ending; the last parts of a name suffice, `detection` for `quickstart/detection`.

    Raises:
        ConfigError: several files have the name.
    """
    wanted = _without_ending(name, files)
    if wanted in files:
        return files[wanted]
    matches = [known for known in files if known.endswith(f"/{wanted}") and not known.startswith(f"{BASES}/")]
    if len(matches) > 1:
        raise ConfigError([f"{name}: expected a path or the name of one config, but {' and '.join(matches)} have this name"])
    return files[matches[0]] if matches else None


def advice(path: Path, files: dict[str, Path]) -> str:
    """What to add to the message that a file does not exist: the most similar name of `files`, if there is one."""
    choices = [*files, *(known.rpartition("/")[2] for known in files)]
    meant = None if path.is_absolute() else nearest(_without_ending(path, files), choices)
    return f". Did you mean '{meant}', which comes with ppface?" if meant else ""


def _without_ending(name: str | Path, files: dict[str, Path]) -> str:
    endings = {file.suffix for file in files.values()}
    return (Path(name).with_suffix("") if Path(name).suffix in endings and Path(name).name else Path(name)).as_posix()
