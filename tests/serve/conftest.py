"""A real service on a socket of this process, with toy models and a gallery."""

import asyncio
import hashlib
import threading
from contextlib import contextmanager
from dataclasses import replace

import cv2
import httpx
import numpy as np
import pytest

from ppface.gallery import Gallery, ModelIdentity
from ppface.predict import Face
from ppface.serve import server
from ppface.serve.app import create_app
from ppface.serve.keys import Key
from ppface.serve.settings import Limits, Settings

SIZE = 8
MODEL = ModelIdentity("a" * 64, SIZE)
GALLERY_KEY = bytes(range(32))
POINTS = np.array([[40, 45], [72, 45], [56, 65], [43, 82], [69, 82]], "float32")
FRONTAL = POINTS - 2


class ToyPipeline:
    """Finds one face per channel whose upper left pixel is bright; the embedding is that of the person whose number the next pixel holds.

    Counts the pictures of its calls. A picture whose upper left pixel is (7, 7, 7) makes it fail.
    """

    def __init__(self):
        self.calls, self.wait = [], None

    def __call__(self, pictures):
        self.calls.append(len(pictures))
        if self.wait is not None:
            self.wait.wait(10)
        if any((picture[0, 0] == 7).all() for picture in pictures):
            raise RuntimeError("Ann's secret picture")
        return [self.faces(picture) for picture in pictures]

    def faces(self, picture):
        count = int((picture[0, 0] > 127).sum())
        embedding = person(int(picture[0, min(8, picture.shape[1] - 1), 0]) // 16)
        crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
        return [Face((20, 20, 90, 100), 0.9, FRONTAL, embedding, None, 5.0, crop) for _ in range(count)]


def person(number):
    return np.random.default_rng(number).normal(size=SIZE).astype("float32")


def picture(faces=1, who=0, size=(120, 130), kind=".png"):
    """An encoded picture; blocks of 8 pixels survive JPEG."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[:8, :8, :faces] = 255
    pixels[:8, 8:16] = who * 16 + 8
    return cv2.imencode(kind, pixels[..., ::-1])[1].tobytes()


def key(name, scopes, rate=None):
    return Key(name, hashlib.sha256(name.encode()).digest(), tuple(scopes), rate)


class Running:
    """A service that runs: `client` sends, `pipeline` and `gallery` are its parts."""

    def __init__(self, settings):
        self.pipeline, self.gallery = settings.pipeline, settings.gallery
        self._listening = server.listen("127.0.0.1", 0, False)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._stop = threading.Event()
        self.app = create_app(settings)
        run = server.Server(server.configured(self.app, settings.limits), self._stop.is_set)
        self._thread = threading.Thread(target=asyncio.run, args=(run.serve([self._listening]),))
        self._thread.start()
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def post(self, path, content=None, **more):
        return self.client.post(path, content=content, **more)

    def stop(self, wait=True):
        self._stop.set()
        if wait:
            self._thread.join()
            self.client.close()


@contextmanager
def running(folder, gallery=True, **changes):
    opened = Gallery.create(folder / "people.db", MODEL, GALLERY_KEY) if gallery else None
    limits = replace(Limits(bytes=400_000, pixels=200_000, requests=8), **changes.pop("limits", {}))
    settings = Settings(ToyPipeline(), "toy", "toy embedder", 5, opened, changes.pop("keys", None), limits)
    service = Running(settings)
    try:
        yield service
    finally:
        service.stop()
        if opened:
            opened.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Without keys, with an empty gallery; the tests of a module share it."""
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def start(tmp_path):
    """running(**changes) -> a service of this test alone."""
    opened = []

    def run(**changes):
        manager = running(tmp_path, **changes)
        opened.append(manager)
        return manager.__enter__()

    yield run
    for manager in opened:
        manager.__exit__(None, None, None)


def error(response):
    """(status, code, message) of an answer."""
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    assert found.keys() == {"error"} and found["error"].keys() == {"code", "message"}
    return response.status_code, found["error"]["code"], found["error"]["message"]
