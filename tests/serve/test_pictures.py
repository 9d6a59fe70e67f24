"""Detection, embeddings and comparison over HTTP, and every way to send a picture wrongly."""

import socket
import struct
import threading
import time
import zlib

import cv2
import numpy as np
import pytest

from ppface.ops.embedding import similarity
from ppface.predict.face_quality import FaceQuality
from ppface.serve import server
from tests.serve.conftest import POINTS, ToyPipeline, error, person, picture

FAILS = cv2.imencode(".png", np.full((120, 130, 3), 7, np.uint8))[1].tobytes()


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp", ".bmp"])
def test_faces_of_a_picture_in_every_format(service, kind):
    answer = service.post("/v1/detect", picture(2, kind=kind), headers={"content-type": "text/html"})  # the bytes decide, not the type
    assert answer.status_code == 200
    found = answer.json()
    assert (found["width"], found["height"], len(found["faces"])) == (130, 120, 2)
    face = found["faces"][0]
    assert face.keys() == {"box", "score", "landmarks", "quality", "refusals"}
    assert (face["box"], face["score"], face["refusals"]) == ([20, 20, 90, 100], 0.9, [])
    expected = ToyPipeline().faces(np.full((120, 130, 3), 255, np.uint8))[0]
    assert face["landmarks"] == expected.landmarks.tolist()
    measured = FaceQuality.of(expected)
    assert face["quality"] == {name: pytest.approx(value) for name, value in vars(measured).items()}


def test_embeddings_are_those_of_the_pipeline(service):
    answer = service.client.post("/v1/embed", files={"image": ("a.txt", picture(1, 3))}).json()
    (face,) = answer["faces"]
    assert face["embedding"] == person(3).tolist()
    assert face["norm"] == pytest.approx(np.linalg.norm(person(3)))


def test_no_face_is_an_empty_list(service):
    assert service.post("/v1/detect", picture(0)).json() == {"width": 130, "height": 120, "faces": []}


def test_two_pictures_are_compared(service):
    for other, same in ((1, True), (2, False)):
        answer = service.client.post("/v1/verify?threshold=0.9", files={"image": picture(1, 1), "other": picture(1, other)})
        assert answer.json() == {"same": same, "score": pytest.approx(similarity(person(1), person(other))), "threshold": 0.9}
    files = {"image": picture(1), "other": picture(3)}
    assert error(service.client.post("/v1/verify?threshold=0.9", files=files)) == (
        422,
        "several_faces",
        "other: expected one face, found 3",
    )
    assert error(service.client.post("/v1/verify", files=files))[:2] == (422, "invalid")  # the gallery has no threshold yet
    assert error(service.post("/v1/verify?threshold=0.9", picture(1)))[:2] == (422, "invalid")


def test_large_pictures_reach_the_models_smaller(start):
    service = start(limits={"model_pixels": 2600})
    find, seen = service.pipeline.faces, []
    service.pipeline.faces = lambda pixels: [seen.append(pixels.shape), *find(pixels)][1:]
    face = service.post("/v1/detect", picture(1, size=(190, 200), kind=".png")).json()["faces"][0]
    assert seen == [(48, 50, 3)]
    assert face["box"] == [80, 80, 200, 190]  # 20, 20, 90, 100 of the picture at a quarter, within the whole one
    np.testing.assert_allclose(face["landmarks"], 4 * (POINTS - 2))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    rows = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (400, "bad_image", "image: empty, expected a picture")),
        (b"words", (415, "bad_image", "image: expected a picture as JPEG, PNG, WebP or BMP")),
        (b"GIF89a" + bytes(100), (415, "bad_image", "image: expected a picture as JPEG, PNG, WebP or BMP")),
        (picture()[:-40], (400, "bad_image", None)),
        (picture(kind=".jpg")[:-40], (400, "bad_image", None)),
        (picture(size=(500, 401)), (413, "too_large", "image: expected at most 200,000 pixels, received 401x500")),
        (bomb(60000, 60000), (413, "too_large", None)),
        (bomb(400, 400), (400, "bad_image", None)),
        (b"BM" + bytes(400_000), (413, "too_large", "expected a body of at most 400,000 bytes")),
    ],
)
def test_what_is_no_picture_is_refused(service, content, expected):
    before = len(service.pipeline.calls)
    status, code, message = error(service.post("/v1/detect", content))
    assert (status, code) == expected[:2] and (expected[2] is None or message == expected[2])
    assert "\n" not in message and "PPFACE" not in message
    assert len(service.pipeline.calls) == before


def test_a_body_without_a_length_is_counted_while_it_arrives(service):
    def pieces():
        for _ in range(50):
            yield bytes(10_000)

    assert error(service.post("/v1/detect", pieces()))[:2] == (413, "too_large")


FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"words",
        b"--x\r\n\r\n\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nwords\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nwords\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nwords\r\n' * 2 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="other"; filename="../../etc/passwd"\r\n\r\nwords\r\n--x--\r\n',
        b"--x\r\nContent-Disposition: form-data; name=" + b"y" * 300_000,
    ],
)
def test_other_forms_are_refused(service, content):
    assert error(service.post("/v1/detect", content, headers=FORM))[:2] == (422, "invalid")
    assert error(service.post("/v1/detect", content, headers={"content-type": "multipart/form-data"}))[:2] == (422, "invalid")


@pytest.mark.parametrize(
    "query", ["k=0", "k=x", "k=101", "by=all", "threshold=nan", "threshold=inf", "threshold=2", "threshold=" + "9" * 5000]
)
def test_arguments_out_of_range_are_refused(service, query):
    assert error(service.post(f"/v1/search?{query}", picture()))[:2] == (422, "invalid")


def test_a_failure_of_the_models_is_an_error_of_that_picture_alone(start, caplog):
    service = start()
    with caplog.at_level("INFO", "ppface.serve"):
        status, code, message = error(service.post("/v1/detect", FAILS))
    assert (status, code) == (500, "internal") and "Ann" not in message
    records = [record for record in caplog.records if record.getMessage() == "bug"]
    assert records[0].details["error"] == "RuntimeError" and records[0].details["id"] in message
    assert "Ann" not in str([record.details for record in caplog.records])
    assert service.post("/v1/detect", picture()).status_code == 200


def test_requests_that_wait_run_together_and_one_failure_spoils_no_other(start):
    service = start()
    service.pipeline.wait = threading.Event()
    answers = {}

    def send(number, content):
        answers[number] = service.post("/v1/embed", content)

    threads = [threading.Thread(target=send, args=(i, FAILS if i == 3 else picture(1, i))) for i in range(6)]
    threads[0].start()
    while not service.pipeline.calls:
        time.sleep(0.01)
    for thread in threads[1:]:
        thread.start()
    service_state = service.app.state.service
    while service_state._in_flight < 6 or service_state._worker._queue.qsize() < 5:
        time.sleep(0.01)
    service.pipeline.wait.set()
    for thread in threads:
        thread.join()
    assert service.pipeline.calls == [1, 5, 1, 1, 1, 1, 1]  # five together, then each alone, as one failed
    assert error(answers.pop(3))[0] == 500
    assert {i: answer.json()["faces"][0]["embedding"] for i, answer in answers.items()} == {i: person(i).tolist() for i in (0, 1, 2, 4, 5)}


def test_more_requests_than_allowed_get_429_and_their_connections_live(start):
    service = start(limits={"requests": 2})
    service.pipeline.wait = threading.Event()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(service.post("/v1/detect", picture()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    while service.app.state.service._in_flight < 2:
        time.sleep(0.01)
    for _ in range(3):
        response = service.post("/v1/detect", b"BM" + bytes(300_000))  # read and dropped: the client gets its answer
        assert error(response)[:2] == (429, "busy") and int(response.headers["retry-after"]) >= 1
    assert error(service.client.get("/ready"))[:2] == (503, "unavailable")
    assert service.client.get("/health").status_code == 200
    service.pipeline.wait.set()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert service.client.get("/ready").json() == {"status": "ready"}


def test_a_body_that_no_answer_needs_spoils_no_later_request(service):
    for size in (10, 1_000_000):
        assert service.client.request("GET", "/health", content=b"x" * size).status_code == 200
        assert service.post("/v1/detect", picture()).status_code == 200


def test_slow_bodies_and_slow_models_come_to_an_end(start):
    service = start(limits={"body_s": 0.2, "answer_s": 0.2})
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(f"POST /v1/detect HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n".encode() + b"x")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"code":"invalid"' in answer
    service.pipeline.wait = threading.Event()
    assert error(service.post("/v1/detect", picture()))[:2] == (503, "unavailable")
    assert service.app.state.service._in_flight == 0
    service.pipeline.wait.set()


def test_slow_headers_come_to_an_end_and_slow_answers_do_not(start, monkeypatch):
    monkeypatch.setattr(server, "HEADERS_S", 0.2)
    service = start()
    host, port = service.url.removeprefix("http://").split(":")
    for whole in (b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
        for begin in (b"", b"GET /health HTTP/1.1\r\nHo")[bool(whole) :]:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(whole)
                assert not whole or connection.recv(65536).startswith(b"HTTP/1.1 200")
                connection.sendall(begin)
                while connection.recv(65536):
                    pass
    service.pipeline.wait = threading.Event()
    threading.Timer(0.5, service.pipeline.wait.set).start()
    assert service.post("/v1/detect", picture()).status_code == 200
    time.sleep(0.3)
    assert service.post("/v1/detect", picture()).status_code == 200


def test_a_stop_answers_what_was_begun(start):
    service = start()
    service.pipeline.wait = threading.Event()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(service.post("/v1/detect", picture()))) for _ in range(5)]
    for thread in threads:
        thread.start()
    while service.app.state.service._in_flight < 5:
        time.sleep(0.01)
    service.stop(wait=False)
    time.sleep(0.3)
    assert not answers
    service.pipeline.wait.set()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 5
