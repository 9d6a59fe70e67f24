"""People of the gallery over HTTP: enrolled, named, compared, removed, whatever they are called."""

import sqlite3
from dataclasses import replace
from urllib.parse import quote

import pytest

from ppface.gallery import Gallery, calibrate
from ppface.ops.embedding import similarity
from tests.serve.conftest import GALLERY_KEY, MODEL, error, person, picture


def images(name: str) -> str:
    return f"/v1/people/{quote(name, safe='')}/images"


def test_from_enrolment_to_removal(start):
    service = start()
    first = service.post(images("Ann"), picture(1, 1))
    assert first.status_code == 201 and first.json().keys() == {"name", "image", "images"}
    second = service.post(images("Ann"), picture(1, 2)).json()
    assert (second["name"], second["images"]) == ("Ann", 2)
    assert service.post("/v1/people", '{"name": "Bob"}').json() == {"name": "Bob", "images": 0}
    assert error(service.post("/v1/people", '{"name": "Bob"}')) == (409, "invalid", "the person 'Bob' exists already")
    assert service.client.get("/v1/people").json() == {"people": [{"name": "Ann", "images": 2}, {"name": "Bob", "images": 0}], "count": 2}
    found = service.post("/v1/search?threshold=0.99&k=3", picture(2, 1)).json()
    assert found["threshold"] == 0.99
    for face in found["faces"]:
        assert (face["name"], [match["image"] for match in face["matches"]]) == ("Ann", [first.json()["image"]])
        assert face["best"] == face["matches"][0]["score"] == pytest.approx(1)
    stranger = service.post("/v1/search?threshold=0.99", picture(1, 5)).json()["faces"][0]
    likeness = max(similarity(person(5), person(who)) for who in (1, 2))
    assert (stranger["name"], stranger["matches"], stranger["best"]) == ("Unknown", [], pytest.approx(likeness, abs=1e-6))
    assert service.post("/v1/search?threshold=0.1&by=mean", picture(1, 1)).json()["faces"][0]["matches"][0]["image"] is None
    same = service.post("/v1/verify?name=Ann&threshold=0.99", picture(1, 2)).json()
    assert same == {"same": True, "score": pytest.approx(1), "threshold": 0.99}
    assert service.client.delete(f"{images('Ann')}/{second['image']}").json() == {"name": "Ann", "images": 1}
    assert error(service.client.delete(f"{images('Ann')}/{second['image']}"))[:2] == (404, "not_found")
    receipt = service.client.delete("/v1/people/Ann").json()
    assert (receipt["forgotten"], receipt["images"]) == ("Ann", 1)
    assert error(service.client.delete("/v1/people/Ann")) == (404, "not_found", "there is no person 'Ann'")
    service.client.delete("/v1/people/Bob")
    nobody = service.post("/v1/search?threshold=-1", picture(1, 1)).json()["faces"][0]
    assert (nobody["name"], nobody["best"]) == ("Unknown", None)


NAMES = ["a/b", "x/images/y", "../../etc/passwd", "%2e%2e", "100 %", "Zoë 你", "'; DROP TABLE people; --", "?k=1#x", "<script>", "a" * 200]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_one_person(service, name):
    assert service.post(images(name), picture(1, 1)).json()["name"] == name
    assert {"name": name, "images": 1} in service.client.get("/v1/people").json()["people"]
    assert service.client.delete(f"/v1/people/{quote(name, safe='')}").json()["forgotten"] == name
    assert service.client.get("/v1/people").json()["count"] == 0


def test_names_that_a_gallery_takes_not_are_refused(service):
    assert error(service.post(images("Unknown"), picture()))[:2] == (422, "invalid")
    assert error(service.post("/v1/people", '{"name": "unknown"}'))[:2] == (422, "invalid")
    assert error(service.client.delete("/v1/people/Unknown"))[:2] == (404, "not_found")  # an earlier version may have enrolled it
    for name in ("%20", "%0A", "a%00b", "%FF", "a" * 201, "%ED%A0%80"):
        assert error(service.post(f"/v1/people/{name}/images", picture()))[:2] == (422, "invalid"), name
        assert error(service.client.delete(f"/v1/people/{name}"))[:2] == (422, "invalid"), name
        assert error(service.post(f"/v1/verify?threshold=0&name={name}", picture()))[:2] == (422, "invalid"), name
    assert error(service.post("/v1/verify?threshold=0&name=Nobody", picture()))[:2] == (404, "not_found")
    for body in ('{"name": "\\ud800"}', '{"name": 1}', "{}", "[]", "x", '{"name": "Bo", "role": "x"}', "[" * 60_000, '{"name": "\\u0000"}'):
        assert error(service.post("/v1/people", body))[:2] == (422, "invalid"), body[:20]
    assert error(service.post("/v1/people", '{"name": "' + "a" * 70_000 + '"}'))[:2] == (413, "too_large")
    assert service.gallery.list() == {}


def test_only_one_usable_face_is_enrolled(service):
    assert error(service.post(images("Ann"), picture(0))) == (422, "no_face", "image: expected one face, found none")
    assert error(service.post(images("Ann"), picture(2))) == (422, "several_faces", "image: expected one face, found 2")
    assert service.gallery.list() == {}


def test_reasons_against_a_face_are_told(start, monkeypatch):
    service = start()
    find = service.pipeline.faces
    monkeypatch.setattr(service.pipeline, "faces", lambda pixels: [replace(face, box=(0, 0, 15, 30)) for face in find(pixels)])
    status, code, message = error(service.post(images("Ann"), picture(1)))
    assert (status, code) == (422, "invalid")
    assert "cannot be enrolled: too small: 15 pixels, at least 28 needed" in message
    (face,) = service.post("/v1/search?threshold=0.5", picture(1)).json()["faces"]
    assert (face["name"], face["matches"]) == ("Unknown", []) and face["refusals"] == ["too small: 15 pixels, at least 16 needed"]


def test_the_calibrated_threshold_is_used_and_shown(start, rng):
    service = start()
    assert error(service.post("/v1/search", picture()))[:2] == (422, "invalid")
    found = calibrate(rng.normal(size=(60, 8)) / 3, [i // 2 for i in range(60)], [0.1, 0.05], use=0.05)
    service.gallery.set_calibration(found)
    about = service.client.get("/v1/info").json()
    assert (about["threshold"], about["false_match_rate"]) == (found.threshold, 0.05)
    assert about["calibration"][0] == {
        "false_match_rate": 0.1, "threshold": found.points[0]["threshold"], "low": found.points[0]["fmr_95"][0], "high": found.points[0]["fmr_95"][1],
    }  # fmt: skip
    assert service.post("/v1/search", picture()).json()["threshold"] == found.threshold
    assert error(service.post("/v1/search?by=mean", picture()))[:2] == (422, "invalid")
    service.post(images("Ann"), picture(1, 1))
    score = similarity(person(1), person(2))
    answer = service.post("/v1/verify?name=Ann", picture(1, 2)).json()
    assert answer == {"same": score >= found.threshold, "score": pytest.approx(score, abs=1e-6), "threshold": found.threshold}


def test_a_gallery_that_another_process_writes_to_is_unavailable(start, tmp_path, caplog):
    service = start()
    service.post(images("Ann"), picture(1, 1))
    service.gallery.database.connection.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "people.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with caplog.at_level("INFO", "ppface.serve"):
        response = service.post(images("Bob"), picture(1, 2))
    status, code, message = error(response)
    assert (status, code, response.headers["retry-after"]) == (503, "unavailable", "5") and str(tmp_path) not in message
    (failed,) = [record.details for record in caplog.records if record.getMessage() == "gallery failed"]
    assert failed["reason"].startswith("cannot write to it: another process uses it")
    other.execute("ROLLBACK")
    other.close()
    assert service.gallery.list() == {"Ann": 1}


@pytest.mark.parametrize("change", ["other key", "deleted", "replaced"])
def test_a_gallery_that_was_changed_under_the_service_answers_nothing_false(start, tmp_path, caplog, change):
    service = start()
    assert service.post("/v1/people/Ann/images", picture(who=1)).status_code == 201
    file = tmp_path / "people.db"
    if change == "other key":
        with Gallery(file, GALLERY_KEY) as other:
            other.rotate_key(bytes(32))
    else:
        file.unlink()
    if change == "replaced":
        Gallery.create(file, MODEL, GALLERY_KEY).close()
    for method, path in (
        ("DELETE", "/v1/people/Ann"), ("DELETE", f"/v1/people/Ann/images/{'0' * 32}"), ("POST", "/v1/people/Bob/images"),
        ("POST", "/v1/verify?name=Ann&threshold=0.5"), ("POST", "/v1/search?threshold=0.5"), ("GET", "/ready"),
    ):  # fmt: skip
        answer = service.client.request(method, path, content=picture(who=1) if method == "POST" else None)
        told = "the gallery's file was replaced, or its key rotated, since the service was started: the service has to be restarted"
        assert error(answer) == (503, "unavailable", told), (method, path)
    noted = [record.details["reason"] for record in caplog.records if record.getMessage() == "gallery failed"]
    assert len(noted) == 6 and set(noted) == {told}


def test_without_a_gallery_there_are_no_people(start):
    service = start(gallery=False)
    for answer in (
        service.client.get("/v1/people"), service.post("/v1/search?threshold=0", picture()), service.client.delete("/v1/people/Ann"),
        service.post("/v1/verify?name=Ann&threshold=0", picture()), service.post(images("Ann"), picture()),
    ):  # fmt: skip
        assert error(answer) == (404, "not_found", "this service has no gallery of people")
    assert service.client.get("/v1/info").json()["gallery"] is False
    assert service.client.post("/v1/verify?threshold=0", files={"image": picture(), "other": picture()}).json()["same"] is True
