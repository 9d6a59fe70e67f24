"""Keys, scopes and rates; who may reach the service from where; what it shows of itself."""

import json
import re
import sys

import httpx
import jsonschema
import pytest

from ppface.commands import serve
from ppface.core.errors import DataError, UserError
from ppface.serve import keys, server
from ppface.serve.access import Access
from ppface.serve.service_error import ServiceError
from ppface.serve.settings import Limits
from tests.serve.conftest import error, key, picture, running

KEYS = (key("reader", ["read"]), key("clerk", ["read", "search", "enrol"]), key("slow", ["read"], rate=2))


def bearer(name):
    return {"authorization": f"Bearer {name}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with running(tmp_path_factory.mktemp("guarded"), keys=KEYS) as service:
        yield service


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "reader"}, {"authorization": "Basic reader"}, bearer("other"), {"authorization": "Bearer"}, bearer("\xe9")],
)
def test_without_a_known_key_nothing_is_answered(guarded, headers):
    headers = {name: value.encode("latin-1") for name, value in headers.items()}
    for method, path in (("GET", "/v1/info"), ("POST", "/v1/detect?k=x"), ("DELETE", "/v1/people/Ann")):
        response = guarded.client.request(method, path, headers=headers)
        assert error(response)[:2] == (401, "unauthorized") and response.headers["www-authenticate"] == "Bearer"
    assert guarded.client.get("/health").status_code == guarded.client.get("/metrics").status_code == 200


def test_a_key_may_do_what_its_scopes_say(guarded):
    assert guarded.client.get("/v1/info", headers=bearer("reader")).json()["scopes"] == ["read"]
    assert guarded.post("/v1/detect", picture(), headers=bearer("reader")).status_code == 200
    for method, path, scope in (
        ("POST", "/v1/search", "search"), ("POST", "/v1/people/Ann/images", "enrol"), ("POST", "/v1/people", "enrol"),
        ("DELETE", "/v1/people/Ann", "delete"), ("DELETE", "/v1/people/Ann/images/1", "delete"),
    ):  # fmt: skip
        refused = guarded.client.request(method, path, headers=bearer("reader"))
        assert error(refused) == (403, "forbidden", f"this key lacks the scope {scope}")
    assert guarded.post("/v1/people/Ann/images", picture(), headers=bearer("clerk")).status_code == 201
    assert error(guarded.client.delete("/v1/people/Ann", headers=bearer("clerk")))[:2] == (403, "forbidden")
    assert guarded.gallery.list() == {"Ann": 1}


def test_a_rate_is_kept_for_each_key(guarded):
    for _ in range(2):
        assert guarded.client.get("/v1/info", headers=bearer("slow")).status_code == 200
    refused = guarded.client.get("/v1/info", headers=bearer("slow"))
    assert error(refused) == (429, "rate_limited", "expected at most 2 requests a minute")
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert guarded.client.get("/v1/info", headers=bearer("reader")).status_code == 200


def test_the_bucket_by_hand():
    now = [0.0]
    slow = key("k", ["read"], rate=6)
    access = Access([slow], lambda: now[0])
    answered = []
    for second in range(60):
        now[0] = float(second)
        try:
            access.spend(slow, "read")
            answered.append(second)
        except ServiceError:
            pass
    assert answered == [0, 1, 2, 3, 4, 5, 10, 20, 30, 40, 50]  # six at once, and one more for every ten seconds since the first


def test_logs_show_no_names_and_no_keys(guarded, caplog):
    with caplog.at_level("INFO", "ppface.serve"):
        guarded.post("/v1/people/Secret%20Name/images", picture(0), headers=bearer("clerk"))
        guarded.post("/v1/verify?name=Secret%20Name", picture(0), headers=bearer("clerk"))
        guarded.client.get("/v1/Secret", headers=bearer("clerk"))
    lines = [record.details for record in caplog.records if record.getMessage() == "request"]
    assert [line["route"] for line in lines] == ["/v1/people/{name}/images", "/v1/verify", "other"]
    assert lines[0]["key"] == KEYS[1].digest.hex()[:8] and lines[0]["status"] == 422
    assert not re.search("secret|clerk|bearer", json.dumps(lines), re.I)
    assert "ecret" not in guarded.client.get("/metrics").text


def test_pages_of_other_sites_are_refused(service):
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert error(service.post("/v1/people/Ann/images", picture(), headers=headers))[:2] == (403, "forbidden")
    assert service.client.get("/health", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # as a link to the page
    own = {"origin": service.url, "sec-fetch-site": "same-origin"}
    assert service.post("/v1/detect", picture(), headers=own).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "[", "10.0.0.1:80"):  # a name that its owner points at this machine
        assert error(service.client.get("/v1/people", headers={"host": host}))[:2] == (403, "forbidden")
    for host in ("localhost:1", "127.0.0.1", "[::1]:8000"):
        assert service.client.get("/v1/people", headers={"host": host}).status_code == 200


def test_every_answer_has_the_headers_of_security(service):
    for path in ("/v1/info", "/nothing", "/health"):
        headers = service.client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:;")
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers
        assert not any(name.startswith("access-control") for name in headers)
    assert error(service.client.get("/nothing"))[:2] == (404, "not_found")
    refused = service.client.options("/v1/people")
    assert error(refused)[:2] == (405, "invalid") and refused.headers["allow"] == "GET, POST"
    assert service.client.get("/docs").status_code == 404
    for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//etc/passwd"):
        assert b"def " not in httpx.get(service.url + path).content


def test_answers_are_as_the_description_says(service):
    about = service.client.get("/openapi.json").json()
    examples = [schema for schema in about["components"]["schemas"].values() if "examples" in schema]
    assert len(examples) >= 9
    for schema in examples:
        for example in schema["examples"]:
            jsonschema.validate(example, schema | {"components": about["components"]})
    answers = {
        ("/v1/info", "get"): service.client.get("/v1/info"), ("/v1/detect", "post"): service.post("/v1/detect", picture(2)),
        ("/v1/embed", "post"): service.post("/v1/embed", picture(2)), ("/v1/search", "post"): service.post("/v1/search?threshold=0", picture(2)),
        ("/v1/people", "get"): service.client.get("/v1/people"), ("/health", "get"): service.client.get("/health"),
        ("/v1/verify", "post"): service.post("/v1/verify", b"x"),
    }  # fmt: skip
    for (path, method), answer in answers.items():
        content = about["paths"][path][method]["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), content | {"components": about["components"]})


def test_the_file_of_keys(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["serve", "new-key", "web", "--scopes", "delete", "read", "--rate", "30"])
    assert serve.main() == 0
    printed = capsys.readouterr()
    given = re.search(r"key: (ppface_\S{43})\n", printed.err)[1]
    file = tmp_path / "keys.yml"
    file.write_text(printed.out)
    (read,) = keys.read_keys(file)
    assert (read.name, read.scopes, read.rate) == ("web", ("read", "delete"), 30)
    assert given not in printed.out and keys.find([*KEYS, read], given) is read and keys.find(KEYS, given) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a list of keys as `ppface serve new-key NAME` prints them, received NoneType"),
        ("a: [", "expected YAML, a list of keys as `ppface serve new-key NAME` prints them"),
        ("- {name: a}", "key 1: expected name, sha256, scopes and, for a limit, rate; nothing else"),
        (
            "- {name: a, sha256: secret, scopes: [read]}",
            "key 1 (a): sha256: expected 64 hexadecimal digits, the digest of the key, never the key itself",
        ),
        (
            f"- {{name: a, sha256: {'a' * 64}, scopes: [write]}}",
            "key 1 (a): scopes: expected some of read, search, enrol, delete, received ['write']",
        ),
        (
            f"- {{name: a, sha256: {'a' * 64}, scopes: [read], rate: .nan}}",
            "key 1 (a): rate: expected a number of requests a minute above 0, received nan",
        ),
        (
            f"- {{name: a, sha256: {'a' * 64}, scopes: [read]}}\n- {{name: b, sha256: {'a' * 64}, scopes: [read]}}",
            "two keys have the same sha256",
        ),
    ],
)
def test_mistakes_in_the_file_of_keys(tmp_path, text, message):
    file = tmp_path / "keys.yml"
    file.write_text(text)
    with pytest.raises(DataError) as raised:
        keys.read_keys(file)
    assert str(raised.value) == f"{file}: {message}"


def test_addresses_of_other_machines_need_keys():
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com", ""):
        with pytest.raises(UserError, match=r"other machines can reach it: expected --keys FILE with it"):
            server.listen(host, 0, keys=False)
    with server.listen("127.0.0.1", 0, keys=False) as one:
        port = one.getsockname()[1]
        with pytest.raises(UserError, match=rf"^127\.0\.0\.1:{port}: cannot listen there: .*[Aa]ddress already in use"):
            server.listen("127.0.0.1", port, keys=False)
    with pytest.raises(UserError, match="limits: expected a number above 0 for requests, received 0"):
        Limits(requests=0)


def test_without_the_packages_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["serve", "--detector", "builtin", "--embedder", "x"])
    for name in [name for name in sys.modules if name.startswith("ppface.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(UserError, match=r'^ppface serve needs fastapi, .*: pip install "ppface\[serve\]"'):
        serve.main()


def test_a_file_of_keys_that_others_can_write_is_one_warning(tmp_path, caplog):
    file = tmp_path / "keys.yml"
    file.write_text(keys.new_key("door", ["read"], None)[1])
    for mode, lines in ((0o644, []), (0o664, [f"{file}: other users can add keys to it (its mode is 664): chmod go-w {file}"])):
        file.chmod(mode)
        assert len(keys.read_keys(file)) == 1 and caplog.messages == lines
