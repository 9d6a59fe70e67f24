"""The service in this process, on a port of its own, with drawn people as its models."""

import asyncio
import json
import threading
import urllib.request
from pathlib import Path
from urllib.parse import quote

import uvicorn

from ppface.gallery import Calibration, Gallery, ModelIdentity
from ppface.serve.app import create_app
from ppface.serve.keys import Key, digest
from ppface.serve.server import configured, listen
from ppface.serve.settings import Limits, Settings
from tests.serve import drawn

POINTS = [
    {"rate": 0.01, "threshold": 0.95, "fmr": 0.01, "fmr_95": (0.008, 0.012), "fnmr": None, "fnmr_95": None},
    {"rate": 0.001, "threshold": 0.999, "fmr": 0.001, "fmr_95": (0.0006, 0.0015), "fnmr": None, "fnmr_95": None},
]
LIMITS = {"bytes": 400_000, "pixels": 1_000_000}


class Site:
    """A running service.

    Args:
        folder: of its gallery; None: without one.
        calibrated: whether the gallery has thresholds.
        keys: {key: (scopes, requests a minute or None)}; None: none are needed.
    """

    def __init__(self, folder: Path | None, calibrated: bool = True, keys: dict[str, tuple[tuple[str, ...], float | None]] | None = None):
        gallery = None if folder is None else Gallery.create(folder / "people.db", ModelIdentity("a" * 64, 6), None, encrypted=False)
        if gallery is not None and calibrated:
            gallery.set_calibration(Calibration(0.01, POINTS))
        known = None if keys is None else tuple(Key(name, digest(name), scopes, rate) for name, (scopes, rate) in keys.items())
        self._gallery, self._settings = gallery, Settings(drawn.pipeline, "drawn", "colours", 5, gallery, known, Limits(**LIMITS))
        self._socket = listen("127.0.0.1", 0, False)
        self.port = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        self._server = uvicorn.Server(configured(create_app(self._settings), self._settings.limits))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([self._socket])))
        self._thread.start()

    def restart(self) -> None:
        self._socket = listen("127.0.0.1", self.port, False)
        self.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def close(self) -> None:
        self.stop()
        if self._gallery is not None:
            self._gallery.close()

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "image/jpeg") -> dict:
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def enrol(self, name: str, person: str) -> None:
        picture = drawn.jpeg(drawn.picture({person: (120, 40, 120)}, (360, 300)))
        self.ask("POST", f"v1/people/{quote(name, safe='')}/images", picture)

    def people(self) -> dict[str, int]:
        return {person["name"]: person["images"] for person in self.ask("GET", "v1/people")["people"]}

    def forget_all(self) -> None:
        for name in self.people():
            self.ask("DELETE", f"v1/people/{quote(name, safe='')}")
