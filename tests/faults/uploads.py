"""Hostile uploads to a service in a process of its own: cut and damaged pictures, bombs, wrong types, huge fields, tricks in paths, SQL in names."""

import contextlib
import hashlib
import io
import json
import os
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from ppface.gallery import Gallery, ModelIdentity
from ppface.predict import Face

COUNT = {"long": 2000, "fast": 42}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
MODEL, SIZE = ModelIdentity("fault", 16), (240, 320)
KINDS = (".jpg", ".png", ".webp", ".bmp")
POINTS = np.array([[120, 90], [180, 90], [150, 130], [128, 160], [172, 160]], "float32")
SQL = (
    "'; DROP TABLE people; --",
    '" OR 1=1 --',
    "Ann'/*",
    "Robert'); DELETE FROM images;--",
    "Ann%",
    "_nn",
    "Ann\\",
    "1 UNION SELECT name FROM people",
)
PATHS = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/people.db",
    "....//....//x",
    "a%00.db",
    "C:\\x",
    "/etc/passwd",
    "%252e%252e",
    "%c0%af",
    "~root",
)
Upload = tuple[str, str, dict[str, str], bytes]  # method, target, headers, body


def one_face(pictures: list[np.ndarray]) -> list[list[Face]]:
    """A face in every picture, so that whatever is accepted would be enrolled."""
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    return [[Face((100, 60, 200, 180), 0.9, POINTS, np.arange(1, 17, dtype="float32"), None, 4.0, crop)] for _ in pictures]


def work(folder: Path) -> None:
    """The service; one line says where it listens."""
    import asyncio
    import threading

    from ppface.serve import journal, server
    from ppface.serve.app import create_app
    from ppface.serve.settings import Limits, Settings

    limits = Limits(bytes=1_000_000, pixels=1_000_000, body_s=1.0)
    settings = Settings(one_face, "toy", "toy", 5, Gallery(folder / "people.db"), None, limits)
    journal.to_stderr()
    listening = server.listen("127.0.0.1", 0, False)
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    print(listening.getsockname()[1], flush=True)
    asyncio.run(server.Server(server.configured(create_app(settings), limits), stop.is_set).serve([listening]))


def encoded(kind: str, rng: np.random.Generator, size: tuple[int, int] = SIZE) -> bytes:
    pixels = np.kron(rng.integers(0, 256, (size[0] // 20, size[1] // 20, 3)), np.ones((20, 20, 1))).astype("uint8")
    return cv2.imencode(kind, pixels)[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, rows: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def bomb(rng: np.random.Generator) -> bytes:
    """A small file of very many pixels, or one whose parts unpack to very much."""
    side = int(rng.integers(1_100, 65_500))
    jpeg = bytearray(encoded(".jpg", rng))
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", side, side)
    bmp = bytearray(encoded(".bmp", rng))
    bmp[18:26] = struct.pack("<ii", side, side)
    webp = b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + struct.pack("<I", side)[:3] * 2
    packed = zlib.compress(bytes(20_000_000))
    choices = (
        bytes(jpeg), bytes(bmp), webp, png(side, side), png(3000, 3000, rows=bytes(20_000_000)), png(20, 20, chunk(b"zTXt", b"a\0\0" + packed)),
        png(20, 20, chunk(b"iCCP", b"a\0\0" + packed)),
    )  # fmt: skip
    return choices[int(rng.integers(len(choices)))]


def target(rng: np.random.Generator) -> str:
    """Where a picture may be sent; what is accepted there changes something, or not."""
    routes = ("detect", "embed", "search?threshold=0.5", "verify?name=Ann&threshold=0", "people/Eve/images")
    return f"/v1/{routes[int(rng.integers(len(routes)))]}"


def cut(rng: np.random.Generator) -> Upload:
    picture = encoded(KINDS[int(rng.integers(4))], rng)
    return "POST", target(rng), {}, picture[: int(rng.integers(0, len(picture) - 30))]


def damaged(rng: np.random.Generator) -> Upload:
    """Some changed bytes, which may leave a picture: sent where nothing is written."""
    picture = bytearray(encoded(KINDS[int(rng.integers(4))], rng))
    for place in rng.integers(0, len(picture), int(rng.integers(1, 20))):
        picture[place] = int(rng.integers(256))
    return "POST", ("/v1/detect", "/v1/embed", "/v1/search?threshold=0.5")[int(rng.integers(3))], {}, bytes(picture)


def bombs(rng: np.random.Generator) -> Upload:
    return "POST", target(rng), {"Content-Type": "image/png"}, bomb(rng)


def wrong_type(rng: np.random.Generator) -> Upload:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, ("GIF", "TIFF", "PPM", "ICO")[int(rng.integers(4))])
    others = (
        file.getvalue(),
        b"",
        b"words",
        b"<svg onload=alert(1)>",
        b"%PDF-1.7",
        b"PK\3\4" + bytes(99),
        b"cos\nsystem\n(S'true'\ntR.",
        b"{}",
        rng.bytes(999),
    )
    kinds = (
        "image/jpeg",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 300,
        "text/html",
        "a" * 999,
        "\x7f;=",
    )
    headers = {"Content-Type": kinds[int(rng.integers(len(kinds)))]} | ({"Content-Encoding": "gzip"} if rng.integers(2) else {})
    where = ("/v1/people", target(rng))[int(rng.integers(2))]
    return "POST", where, headers, others[int(rng.integers(len(others)))]


def huge(rng: np.random.Generator) -> Upload:
    long, form = "A" * int(rng.integers(10_000, 900_000)), {"Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n\r\ny\r\n'
    uploads: tuple[Upload, ...] = (
        ("POST", f"/v1/people/{long}/images", {}, encoded(".png", rng)),
        ("POST", f"/v1/verify?threshold=0&name={long[:20_000]}", {}, encoded(".png", rng)),
        ("POST", "/v1/search?" + "k=1&" * 6000, {}, encoded(".png", rng)[:50]),
        ("POST", "/v1/people", {}, json.dumps({"name": long}).encode()),
        ("POST", "/v1/people", {}, b"[" * len(long)),
        ("POST", "/v1/people", {}, b'{"name": ' + b"9" * 60_000 + b"}"),
        ("POST", "/v1/detect", {"X-Long": long}, b""),
        ("POST", "/v1/detect", {"Authorization": f"Bearer {long[:30_000]}"}, b""),
        ("POST", target(rng), form, part % (b"image", long.encode()) + b"--x--\r\n"),
        ("POST", target(rng), form, part % (long.encode(), b"a") + b"--x--\r\n"),
        ("POST", target(rng), form, b"".join(part % (b"image", b"a") for _ in range(5000)) + b"--x--\r\n"),
        ("POST", target(rng), {}, b"BM" + rng.bytes(1_000_001)),
        ("POST", target(rng), {"Content-Length": "9" * 30}, b"x"),
        ("POST", target(rng), {"Content-Length": "-5"}, b"x"),
        ("POST", target(rng), {"Transfer-Encoding": "chunked"}, b"fffffffffffffff\r\nx"),
        ("POST", target(rng), {"Content-Length": "500"}, b"\xff\xd8\xff"),
    )
    return uploads[int(rng.integers(len(uploads)))]


def path_trick(rng: np.random.Generator) -> Upload:
    trick, picture = PATHS[int(rng.integers(len(PATHS)))], encoded(".png", rng)
    name = quote(trick, safe="") if rng.integers(2) else trick.replace(" ", "%20")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    file = b'--x\r\nContent-Disposition: form-data; name="image"; filename="%b"\r\n\r\n%b\r\n--x--\r\n' % (trick.encode(), picture[:40])
    uploads: tuple[Upload, ...] = (
        ("GET", f"/page/{name}", {}, b""), ("GET", f"/{trick}", {}, b""), ("DELETE", f"/v1/people/{name}", {}, b""),
        ("DELETE", f"/v1/people/Ann/images/{name}", {}, b""), ("POST", f"/v1/people/{name}/images", {}, picture[:-40]), ("POST", target(rng), form, file),
        ("POST", "/v1/people/%FF%FE/images", {}, picture), ("POST", "/v1/people/a%0Ab/images", {}, picture), ("POST", "/v1/people/%2E%2E/images", {}, picture),
    )  # fmt: skip
    return uploads[int(rng.integers(len(uploads)))]


def sql(rng: np.random.Generator) -> Upload:
    name, picture = quote(SQL[int(rng.integers(len(SQL)))], safe=""), encoded(".jpg", rng)
    uploads: tuple[Upload, ...] = (
        ("DELETE", f"/v1/people/{name}", {}, b""), ("DELETE", f"/v1/people/Ann/images/{name}", {}, b""),
        ("POST", f"/v1/verify?threshold=0&name={name}", {}, picture), ("POST", f"/v1/people/{name}/images", {}, picture[:-40]),
        ("POST", f"/v1/search?by={name}", {}, picture), ("POST", f"/v1/search?threshold={name}", {}, picture),
    )  # fmt: skip
    return uploads[int(rng.integers(len(uploads)))]


ATTACKS: tuple[Callable[[np.random.Generator], Upload], ...] = (cut, damaged, bombs, wrong_type, huge, path_trick, sql)


def send(port: int, upload: Upload) -> int:
    """The status of the answer; 0: the connection ended without one."""
    method, where, headers, body = upload
    lines = (
        {"Host": "127.0.0.1"}
        | ({} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))})
        | headers
        | {"Connection": "close"}
    )
    head = f"{method} {where} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(OSError):  # answered and closed before all was sent
            connection.sendall(head.encode("latin-1", "replace") + body)
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def files(folder: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.rglob("*")) if file.is_file()}


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    with Gallery.create(folder / "people.db", MODEL, encrypted=False) as gallery:
        gallery.add("Ann", np.arange(1, 17))
    (folder / "tmp").mkdir()
    environment = os.environ | ENVIRONMENT | {"TMPDIR": str(folder / "tmp")}
    command = [sys.executable, __file__, str(folder)]
    with (folder / "log").open("w") as log:
        service = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=folder / "tmp"
        )
    assert service.stdin and service.stdout
    port, rng = int(service.stdout.readline()), np.random.default_rng(0)
    send(port, ("POST", "/v1/search?threshold=0", {}, encoded(".png", rng)))  # the gallery is read
    before = {name: value for name, value in files(folder).items() if not name.endswith("log")}
    statuses = [
        (attack.__name__, send(port, attack(rng))) for number in range(COUNT[counts]) for attack in [ATTACKS[number % len(ATTACKS)]]
    ]
    after = {name: value for name, value in files(folder).items() if not name.endswith("log")}
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    crashed = service.poll()
    true = send(port, ("POST", "/v1/people/Bob/images", {}, encoded(".png", rng)))
    service.stdin.close()
    service.stdout.close()
    code = service.wait(30)
    bugs = [line for line in (folder / "log").read_text().splitlines() if '"bug"' in line or "Traceback" in line]
    wrong = sorted({pair for pair in statuses if not 200 <= pair[1] < 500})
    refused = sum(400 <= status < 500 for kind, status in statuses if kind in ("cut", "bombs", "wrong_type", "huge"))
    return [
        (
            "hostile uploads: an answer below 500",
            f"{sum(200 <= s < 500 for _, s in statuses)} of {len(statuses)} {wrong or ''}".strip(),
            "all",
        ),
        (
            "... refused, of those that are no picture",
            f"{refused} of {sum(k in ('cut', 'bombs', 'wrong_type', 'huge') for k, _ in statuses)}",
            "all",
        ),
        ("the service lives, logs no bug, enrols a true picture, stops", f"{crashed} {len(bugs)} {true} {code}", "None 0 201 0"),
        ("files written or changed by them", str(len(changed)), "0"),
    ]


if __name__ == "__main__":
    work(Path(sys.argv[1]))
