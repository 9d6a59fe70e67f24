"""The service against its own pipeline: throughput, latencies, memory, overload and a stop under load.

    python tests/benchmarks/service.py DETECTOR EMBEDDER PICTURES [throughput] [stopping] [overload] [memory]

DETECTOR, EMBEDDER: exports. PICTURES: a folder of photographs; each is put into the middle of 640x480 pixels. Default: all figures.

Loop: one process decodes picture after picture and calls FacePipeline. Service: `ppface serve` in another process, 8 clients in this one, each
with its connection, that post JPEGs to /v1/embed. Both have as many threads as the machine has cores, and alternate for four rounds, as other
work on a machine changes with time; the ratio is that of the medians. Overload: 16 clients and --max-requests 8; who gets 429 tries again after
50 ms. Stop: SIGTERM in the middle of the load; a request is lost if it was sent wholly before and got no answer.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ppface.data.pictures import picture_files  # noqa: E402
from ppface.data.pictures.picture import Picture  # noqa: E402

CLIENTS, ROUNDS, SECONDS = 8, 4, 15.0
LOOP = """import sys; sys.path.insert(0, {root!r})
from tests.benchmarks.service import loop
loop({detector!r}, {embedder!r}, {pictures!r})"""


def pictures_of(folder: str) -> list[bytes]:
    made = []
    for file in picture_files.find(Path(folder)).files[:24]:
        pixels = Picture.open(Path(folder, file)).decode()
        scale = min(440 / pixels.shape[0], 600 / pixels.shape[1], 1)
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        whole = np.full((480, 640, 3), 128, np.uint8)
        top, left = (480 - pixels.shape[0]) // 2, (640 - pixels.shape[1]) // 2
        whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        made.append(cv2.imencode(".jpg", whole[..., ::-1])[1].tobytes())
    return made


def loop(detector: str, embedder: str, pictures: str) -> None:
    """In a process of its own: for each line of its input as many seconds of the pipeline, then pictures a second."""
    from ppface import FacePipeline

    pipeline, contents = FacePipeline(detector, embedder), pictures_of(pictures)
    for content in contents:
        pipeline(Picture.encoded(content, "picture").decode())
    print("ready", flush=True)
    for line in sys.stdin:
        start, count = time.perf_counter(), 0
        while time.perf_counter() < start + float(line):
            pipeline(Picture.encoded(contents[count % len(contents)], "picture").decode())
            count += 1
        print(count / (time.perf_counter() - start), flush=True)


class Service:
    """`ppface serve` in a process of its own."""

    def __init__(self, detector: str, embedder: str, *options: str):
        handle, name = tempfile.mkstemp(suffix=".log")
        self._log = Path(name)
        command = [sys.executable, "-m", "ppface", "serve", "--detector", detector, "--embedder", embedder, "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=handle, env=os.environ | {"PYTHONPATH": str(ROOT)})
        os.close(handle)
        while not (started := re.search(r'"address": "http://127.0.0.1:(\d+)"', self._log.read_text())):
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.1)
        self.port = int(started[1])

    def memory(self) -> float:
        """Megabytes."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        self.log = self._log.read_text()
        self._log.unlink()
        return code


class Load:
    """Clients that post pictures until they are stopped.

    Attributes:
        answers: (status, seconds, time at which it was sent) of each request; status 0: no answer.
    """

    def __init__(self, port: int, contents: list[bytes], clients: int = CLIENTS):
        self._port, self._contents, self._end = port, contents, threading.Event()
        self.answers: list[tuple[int, float, float]] = []
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _client(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        while not self._end.is_set():
            number, start, sent = number + 1, time.perf_counter(), 0.0
            try:
                connection.request("POST", "/v1/embed", self._contents[number % len(self._contents)], {"Content-Type": "image/jpeg"})
                sent = time.perf_counter()
                response = connection.getresponse()
                response.read()
                self.answers.append((response.status, time.perf_counter() - start, sent))
                if response.status == 429:
                    time.sleep(0.05)
            except (OSError, http.client.HTTPException):
                self.answers.append((0, 0.0, sent))
                return
        connection.close()

    def stop(self) -> list[tuple[int, float, float]]:
        self._end.set()
        for thread in self._threads:
            thread.join()
        return self.answers


def throughput(detector: str, embedder: str, contents: list[bytes], folder: str) -> None:
    code = LOOP.format(root=str(ROOT), detector=detector, embedder=embedder, pictures=folder)
    alone = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert alone.stdin and alone.stdout and alone.stdout.readline() == "ready\n"
    service, own, served, latencies = Service(detector, embedder), [], [], []
    warm = Load(service.port, contents)
    time.sleep(5)
    warm.stop()
    for _ in range(ROUNDS):
        print(SECONDS, file=alone.stdin, flush=True)
        own.append(float(alone.stdout.readline()))
        load = Load(service.port, contents)
        time.sleep(SECONDS)
        count = len(load.answers)
        served.append(count / SECONDS)
        answers = load.stop()
        assert all(status == 200 for status, _, _ in answers), Counter(status for status, _, _ in answers)
        latencies += [seconds for _, seconds, _ in answers]
        print(f"  loop {own[-1]:.2f}, service {served[-1]:.2f} pictures a second", flush=True)
    alone.stdin.close()
    alone.wait()
    service.stop()
    print(f"throughput, service to loop: {np.median(served) / np.median(own):.2f} (aim: at least 0.8)")
    print(
        f"latencies of {len(latencies)} requests: 99 % within {np.quantile(latencies, 0.99) / np.mean(latencies):.2f} times the mean (aim: at most 4)"
    )


def memory(detector: str, embedder: str, contents: list[bytes], _: str, requests: int = 10_000) -> None:
    service = Service(detector, embedder)
    load, sizes = Load(service.port, contents), []
    while len(load.answers) < requests:
        if len(load.answers) >= len(sizes) * requests / 20:
            sizes.append(service.memory())
        time.sleep(0.2)
    load.stop()
    sizes.append(service.memory())
    print(f"memory over {requests} requests, MB: " + " ".join(f"{size:.0f}" for size in sizes))
    print(f"memory, the end to a tenth: {sizes[-1] / sizes[2]:.3f} (aim: flat)")
    service.stop()


def overload(detector: str, embedder: str, contents: list[bytes], _: str) -> None:
    service = Service(detector, embedder, "--max-requests", str(CLIENTS))
    results = []
    for clients in (CLIENTS, 2 * CLIENTS):
        load = Load(service.port, contents, clients)
        time.sleep(SECONDS)
        answered, size = sum(status == 200 for status, _, _ in load.answers), service.memory()
        results.append((answered / SECONDS, size, Counter(status for status, _, _ in load.stop())))
    (one, before, _), (two, after, counts) = results
    print(f"twice the clients: {dict(counts)}; answered to that of {CLIENTS} clients: {two / one:.2f}; memory: {after / before:.3f}")
    service.stop()


def stopping(detector: str, embedder: str, contents: list[bytes], _: str) -> None:
    service = Service(detector, embedder)
    load = Load(service.port, contents)
    time.sleep(5)
    stopped = time.perf_counter()
    code = service.stop()
    answers = load.stop()
    begun = [(status, sent) for status, seconds, sent in answers if 0 < sent < stopped]
    waiting = sum(sent + seconds > stopped for status, seconds, sent in answers if 0 < sent < stopped and status)
    logged = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    done = sum(line["event"] == "request" and line["status"] == 200 for line in logged)
    lost = sum(status != 200 for status, _ in begun)
    print(
        f"stop under load: exit code {code}, {len(begun)} requests sent before, {waiting} of them answered after it, lost: {lost} (aim: 0); {done} in the log"
    )


def main() -> None:
    detector, embedder, folder = sys.argv[1:4]
    contents = pictures_of(folder)
    print(f"{len(contents)} pictures of 640x480, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    figures = {figure.__name__: figure for figure in (throughput, stopping, overload, memory)}
    for name in sys.argv[4:] or figures:
        figures[name](detector, embedder, contents, folder)


if __name__ == "__main__":
    main()
