"""kill -9 of processes that enrol and remove people in a gallery, a full disk under it, and two writers at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError, SaveError
from ppface.gallery import Gallery, ModelIdentity

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
KILLS = {"long": 200, "fast": 6}
SIZE, IMAGES, PEOPLE = 64, 5, 12
MODEL = ModelIdentity("fault", SIZE)


def embeddings(person: int) -> np.ndarray:
    rows = np.random.default_rng(person).normal(size=(IMAGES, SIZE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("float32")


def work(path: Path, seed: int) -> None:
    """Enrols and removes people until it is killed; says which ones are there for certain."""
    rng = np.random.default_rng(seed)
    with Gallery(path) as gallery:
        print("ready", flush=True)
        while True:
            person = int(rng.integers(PEOPLE))
            if f"P{person}" in gallery.list():
                gallery.remove(f"P{person}")
            else:
                gallery.add(f"P{person}", embeddings(person))


def one_kill(path: Path, seed: int, rng: np.random.Generator) -> bool:
    """Kills a worker at some moment; whether the gallery opens then, each person is wholly there or not, and nothing else is left."""
    worker = subprocess.Popen(
        [sys.executable, __file__, str(path), str(seed)], stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT
    )
    assert worker.stdout and worker.stdout.readline() == "ready\n"
    time.sleep(rng.uniform(0, 0.25))
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    with Gallery(path) as gallery:
        there = gallery.list()
        whole = set(there.values()) <= {IMAGES} and gallery.database.rows("PRAGMA integrity_check") == [("ok",)]
        found = all((gallery.search(embeddings(i)[0], threshold=0.99)[0][0].name == f"P{i}") == (f"P{i}" in there) for i in range(PEOPLE))
    content = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    traces = any(row.tobytes() in content for i in range(PEOPLE) if f"P{i}" not in there for row in embeddings(i))
    return whole and found and not traces


def kills(folder: Path, count: int) -> list[tuple[str, str, str]]:
    path, rng = folder / "people.db", np.random.default_rng(0)
    Gallery.create(path, MODEL, encrypted=False).close()
    sound = sum(one_kill(path, i, rng) for i in range(count))
    return [("kills of enrolments and removals: opens, people whole or absent, no bytes of removed ones", f"{sound} of {count}", "all")]


def writers(folder: Path) -> list[tuple[str, str, str]]:
    path = folder / "two.db"
    with Gallery.create(path, MODEL, encrypted=False) as one, Gallery(path) as two:
        two.database.connection.execute("PRAGMA busy_timeout=200")
        with one.database.transaction():
            one.add("Ann", embeddings(0))
            try:
                two.add("Bob", embeddings(1))
                refused = "no"
            except DataError as error:
                refused = "yes" if "another process uses it" in str(error) else str(error)
        two.add("Bob", embeddings(1))
        both = "yes" if list(one.list()) == ["Ann", "Bob"] else "no"
    return [("a second writer is refused in one line", refused, "yes"), ("... and writes when the first is done", both, "yes")]


def full_disk(path: Path) -> str:
    """In a process whose files may not grow beyond a limit: enrols until that is reached."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Gallery.create(path, MODEL, encrypted=False) as gallery:
        gallery.add("Ann", embeddings(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        try:
            for i in range(1, 1000):
                gallery.add(f"P{i}", embeddings(i))
        except SaveError:
            count = len(gallery.list())
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        gallery.add("Bob", embeddings(1))
    with Gallery(path) as gallery:
        people = gallery.list()
    return "yes" if len(people) == count + 1 and set(people.values()) == {IMAGES} else f"{len(people)} people after {count}"


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    done = subprocess.run(
        [sys.executable, __file__, str(folder / "full.db"), "full"],
        capture_output=True,
        text=True,
        env=os.environ | ENVIRONMENT,
    )
    disk = ("a full disk leaves all earlier people, and the next enrolment works", done.stdout.strip() or done.stderr[-60:], "yes")
    return [*kills(folder, KILLS[counts]), *writers(folder), disk]


if __name__ == "__main__":
    if sys.argv[2] == "full":
        print(full_disk(Path(sys.argv[1])))
    else:
        work(Path(sys.argv[1]), int(sys.argv[2]))
