"""The config of a run as a file: its config.yml, or, where that is missing, the copy stored in its checkpoints."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from ppface.core.errors import WeightsError
from ppface.core.files import zoo
from ppface.core.files.checkpoint_files import STATE, read_state
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.files.released import located
from ppface.core.run.log import log

CONFIG, CHECKPOINTS, EXPORT = "config.yml", "checkpoints", "inference.yml"


@contextlib.contextmanager
def config_file(folder: Path) -> Iterator[Path]:
    """The config file of a run, a checkpoint, an export, a released model or `zoo:NAME`, valid within the block only. A path that is not
    a folder is returned as it is.

    Raises:
        WeightsError: a folder that is none of these, or has no config.
    """
    if entry := zoo.find(folder):
        with _temporary(f"{entry.name}.yml", entry.config_text()) as file:
            yield file
        return
    folder = located(folder)
    if not folder.is_dir() or (folder / CONFIG).is_file():
        yield folder / CONFIG if folder.is_dir() else folder
        return
    source, state = folder, {}
    if (folder / STATE).is_file():
        state = read_state(folder)
    elif (folder / CHECKPOINTS).is_dir():
        source, state = CheckpointFolder(folder / CHECKPOINTS).read_intact("last", lambda path: (path, read_state(path)))
        if "config" in state:
            log.warning("%s is missing; using the config stored in %s", folder / CONFIG, source)
    elif (folder / EXPORT).is_file():
        raise WeightsError(f"{folder}: expected {CONFIG} in this export, found none: export or copy it again, or give a config with -c")
    else:
        run = f"; give the run, {folder.parent}" if folder.name == CHECKPOINTS else ""
        raise WeightsError(f"{folder}: expected the folder of a run ({CONFIG}) or of an export ({EXPORT}){run}")
    if "config" not in state:
        raise WeightsError(
            f"{source / STATE}: config: expected the config of the run, found none: give one with -c, and --weights {source}"
        )
    with _temporary(CONFIG, yaml.safe_dump(state["config"], sort_keys=False)) as file:
        yield file


@contextlib.contextmanager
def _temporary(name: str, text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / name
        file.write_text(text, encoding="utf-8")
        yield file
