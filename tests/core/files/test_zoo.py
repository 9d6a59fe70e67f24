"""Published weights by name: entries, and downloads from a server that is right, slow, cut, wrong, moved or gone."""

import contextlib
import hashlib
import http.client
import http.server
import logging
import os
import threading
import time
from collections import namedtuple
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import ppface
from ppface.core.config.run_config import config_file
from ppface.core.errors import WeightsError
from ppface.core.files import download, shipped, zoo
from ppface.core.files.weight_names import read_names

CONTENT = np.random.default_rng(0).bytes(200_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """What the server does.

    Attributes:
        content: what it sends.
        cut: bytes after which the next answers end, one each.
        sleep: seconds before it sends.
        ranges: whether it continues a download.
        code: of every answer; 206: the whole file, as if it continued something.
        code_of_ranges: of answers to a request that continues a download.
        moved: paths with the place to which they are redirected.
        length: the Content-Length it claims; None: the true one.
        kind: the Content-Type.
        tag: of the content's version; "" sends none.
        requests: path and Range header of each request so far.
    """

    content: bytes = CONTENT
    cut: list = field(default_factory=list)
    sleep: float = 0
    ranges: bool = True
    code: int = 200
    code_of_ranges: int = 206
    moved: dict = field(default_factory=lambda: {"/moved": "/file"})
    length: str | None = None
    kind: str = "application/octet-stream"
    tag: str = '"one"'
    requests: list = field(default_factory=list)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "RETRY_S", 0)
    behaviour = Behaviour()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            start = self.headers.get("Range")
            behaviour.requests.append((self.path, start))
            if self.path in behaviour.moved:
                self.send_response(302)
                self.send_header("Location", behaviour.moved[self.path])
                self.end_headers()
                return
            if behaviour.code not in (200, 206):
                self.send_error(behaviour.code)
                return
            first = int(start[6:-1]) if start and behaviour.ranges else 0
            if self.headers.get("If-Range", behaviour.tag) != behaviour.tag:
                first = 0
            if first and (first >= len(behaviour.content) or behaviour.code_of_ranges == 416):
                self.send_error(416)
                return
            time.sleep(behaviour.sleep)
            body = behaviour.content[first:]
            self.send_response(206 if first else behaviour.code)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(behaviour.content) - 1}/{len(behaviour.content)}")
            if behaviour.tag:
                self.send_header("ETag", behaviour.tag)
            self.send_header("Content-Type", behaviour.kind)
            self.send_header("Content-Length", behaviour.length or str(len(body)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # of a client that has read enough
                self.wfile.write(body[: behaviour.cut.pop(0)] if behaviour.cut else body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        behaviour.address = f"http://127.0.0.1:{running.server_port}"
        yield behaviour
        running.shutdown()
        thread.join()


@pytest.fixture
def entry(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PPFACE_HOME", str(tmp_path / "home"))
    address = f"{server.address}/file"
    return zoo.Entry(
        "small",
        "A file",
        "http://page",
        address,
        "w.bin",
        DIGEST,
        len(CONTENT),
        "MIT",
        True,
        {"_BASE_": "quickstart/detection"},
        None,
        "RGB",
        [],
    )


def refused(entry, **options) -> str:
    with pytest.raises(WeightsError) as caught:
        zoo.get(entry, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(entry) -> set[str]:
    return {file.name for file in entry.path.parent.iterdir()}


@pytest.mark.parametrize("length", ["many", "-5"])
def test_a_content_length_that_is_no_size_is_ignored(entry, server, length):
    server.length = length
    assert zoo.get(entry).read_bytes() == CONTENT
    server.cut = [1000] * 10
    entry.path.unlink()
    server.ranges = False
    assert "the connection ended too early" in refused(entry)


@pytest.mark.parametrize("length", ["3", "999999999999999"])
def test_a_server_that_offers_another_size_is_refused(entry, server, length):
    server.length = length
    assert f"the server offers a file of {length} bytes, expected {entry.size}" in refused(entry)
    assert not entry.path.exists() and len(server.requests) == 1


def test_a_server_that_sends_more_than_the_file_is_stopped(entry, server):
    server.content, server.length = CONTENT + b"more" * 100_000, "no number"
    assert f"the server sends more than the {entry.size} bytes of the file" in refused(entry)
    assert not any(name.endswith(".part") for name in names(entry))


def test_a_file_is_downloaded_once(entry, server, tmp_path, caplog):
    caplog.set_level(logging.INFO, "ppface")
    path = zoo.get(entry)
    assert path == tmp_path / "home" / "zoo" / "small" / "w.bin"
    assert path.read_bytes() == CONTENT
    assert caplog.messages == ["zoo:small: licence: MIT (http://page)"]
    assert zoo.get(entry) == path
    assert len(server.requests) == 1
    assert names(entry) == {"w.bin"}
    assert not os.access(path, os.X_OK)


def test_a_redirection_is_followed(entry, server):
    zoo.get(replace(entry, address=f"{server.address}/moved"))
    assert [path for path, _ in server.requests] == ["/moved", "/file"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"content": b"<html>Log in</html>", "kind": "text/html; charset=utf-8"}, "the server sends a web page instead of the file"),
        ({"content": b""}, "the connection ended too early"),
        ({"code": 206}, "the connection ended too early"),
    ],
    ids=["page", "empty", "continues what was not begun"],
)
def test_what_is_no_file_is_not_kept(entry, server, answer, reason):
    entry = replace(entry, sha256=None, size=None)  # nothing else would tell
    vars(server).update(answer)
    assert f"{reason}; try again" in refused(entry)
    assert not {"w.bin", "w.bin.sha256"} & names(entry)
    vars(server).update(vars(Behaviour()))
    assert zoo.get(entry).read_bytes() == CONTENT


def test_a_connection_that_is_cut_is_continued(entry, server):
    server.cut = [70_000, 50_000]
    assert zoo.get(entry).read_bytes() == CONTENT
    assert server.requests == [("/file", None), ("/file", "bytes=70000-"), ("/file", "bytes=120000-")]


def test_a_later_call_continues_what_an_earlier_one_left(entry, server):
    server.cut = [70_000, 0, 0, 0, 0]
    told = f"zoo:small: cannot download {entry.address}: the connection ended too early; try again, or put the file at {entry.path}"
    assert refused(entry) == told
    assert names(entry) == {".w.bin.part", ".w.bin.etag"}
    assert zoo.get(entry).read_bytes() == CONTENT
    assert server.requests[-1] == ("/file", "bytes=70000-")


def test_a_server_that_cannot_continue_starts_again(entry, server):
    server.cut, server.ranges = [70_000], False
    assert zoo.get(entry).read_bytes() == CONTENT


def test_another_version_of_the_file_is_never_appended(entry, server):
    server.cut = [70_000, 0, 0, 0, 0]
    refused(entry)
    server.content, server.tag = CONTENT[::-1], '"two"'
    unpinned = replace(entry, sha256=None, size=None)
    assert zoo.get(unpinned).read_bytes() == CONTENT[::-1]


def test_without_digest_and_version_a_download_starts_again(entry, server):
    server.tag, server.cut = "", [70_000]
    assert zoo.get(replace(entry, sha256=None)).read_bytes() == CONTENT
    assert server.requests == [("/file", None), ("/file", None)]


def test_a_part_longer_than_the_file_is_thrown_away(entry, server):
    entry.path.parent.mkdir(parents=True)
    entry.path.with_name(".w.bin.part").write_bytes(CONTENT + b"more")
    assert zoo.get(entry).read_bytes() == CONTENT


def test_a_slow_server_is_given_up_and_named(entry, server, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.05)
    server.sleep = 0.2
    assert f"cannot download {entry.address}: timed out; try again" in refused(entry)
    assert len(server.requests) == download.ATTEMPTS


def test_another_content_is_refused_and_kept_aside(entry, server):
    server.content = b"other" * 40_000
    digest = hashlib.sha256(server.content).hexdigest()
    aside = entry.path.with_name("w.bin.refused")
    assert refused(entry) == f"zoo:small: {aside}: expected content with the SHA-256 {DIGEST}, received {digest}: it is not used"
    assert aside.read_bytes() == server.content
    assert names(entry) == {"w.bin.refused"}
    server.content = CONTENT
    assert zoo.get(entry).read_bytes() == CONTENT


def test_a_file_put_there_by_hand_is_compared_too_and_left_there(entry, server):
    entry.path.parent.mkdir(parents=True)
    entry.path.write_bytes(CONTENT)
    assert zoo.get(entry) == entry.path
    entry.path.write_bytes(CONTENT[:-1])
    assert refused(entry).startswith(f"zoo:small: {entry.path}: expected content with the SHA-256 {DIGEST}, received ")
    assert names(entry) == {"w.bin"}
    assert server.requests == []


def test_the_digest_of_the_first_download_is_kept(entry, server, caplog):
    caplog.set_level(logging.INFO, "ppface")
    unpinned = replace(entry, sha256=None)
    zoo.get(unpinned)
    assert caplog.messages[-1] == f"zoo:small: no digest of it is known: from now on its SHA-256 must be {DIGEST}"
    unpinned.path.unlink()
    server.content = CONTENT[::-1]
    assert f"expected content with the SHA-256 {DIGEST}, received" in refused(unpinned)


@pytest.mark.parametrize(("code", "reason"), [(404, "404 Not Found"), (410, "410 Gone"), (503, "503 Service Unavailable")])
def test_a_file_that_is_gone_is_named_with_its_place(entry, server, code, reason):
    server.code = code
    told = f"cannot download {entry.address}: the server answers {reason}; try again, or put the file at {entry.path}"
    assert refused(entry) == f"zoo:small: {told}"
    assert len(server.requests) == (download.ATTEMPTS if code == 503 else 1)


def test_without_a_network_the_address_and_the_place_are_named(entry):
    offline = replace(entry, address="http://127.0.0.1:9/w.bin")
    told = f"cannot download {offline.address}: [Errno 111] Connection refused; try again, or put the file at {entry.path}"
    assert refused(offline) == f"zoo:small: {told}"


@pytest.mark.parametrize("place", ["http://127.0.0.1:{port}/back", "ftp://127.0.0.1:{port}/file"])
def test_a_redirection_away_from_https_is_refused_even_if_a_later_one_leads_back(entry, server, monkeypatch, place):
    handler = download.urllib.request.HTTPSHandler
    monkeypatch.setattr(handler, "https_open", lambda self, request: self.do_open(http.client.HTTPConnection, request))  # without TLS
    secure, port = server.address.replace("http:", "https:"), server.address.rpartition(":")[2]
    server.moved = {"/moved": f"{secure}/more", "/more": place.format(port=port), "/back": f"{secure}/file"}
    told = refused(replace(entry, address=f"{secure}/moved"))
    assert f"the server redirects to {place.format(port=port)}, which is not https" in told
    assert [path for path, _ in server.requests] == ["/moved", "/more"]
    server.moved = {"/moved": f"{secure}/file"}
    assert zoo.get(replace(entry, address=f"{secure}/moved")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://[bad/file", "Invalid IPv6 URL"),
        ("http://" + "a" * 64 + ".org/file", "label"),
        ("file:///etc/passwd", "file:///etc/passwd' is not allowed"),
        ("/moved", "infinite loop"),
    ],
)
def test_a_redirection_that_leads_nowhere_is_one_line(entry, server, place, reason):
    server.moved = {"/moved": place}
    assert reason in refused(replace(entry, address=f"{server.address}/moved"))


def test_a_server_that_makes_every_download_begin_anew_is_given_up(entry, server):
    server.cut, server.code_of_ranges = [70_000] * 99, 416
    assert "cannot download" in refused(entry)
    assert len(server.requests) < 12


def test_a_target_that_cannot_be_replaced_is_not_downloaded_again_and_again(entry, server):
    entry.path.mkdir(parents=True)
    assert f"cannot write {entry.path}: Is a directory" in refused(entry)
    assert len(server.requests) == 1


def test_a_full_disk_is_reported_before_and_while_it_writes(entry, server, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda folder: usage(1, 1, 0))
        told = refused(entry)
        assert f"cannot write {entry.path.parent}/.w.bin.part: No space left on device: 0 MB are needed, 0 MB are free" in told
    entry.path.parent.joinpath(".w.bin.part").symlink_to("/dev/full")
    assert f"cannot write {entry.path.parent}/.w.bin.part: No space left on device" in refused(entry)


def test_a_cache_that_cannot_be_written_is_named(entry, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PPFACE_HOME", str(tmp_path / "file"))
    told = f"cannot write to {tmp_path}/file/zoo/small: Not a directory: set PPFACE_HOME to a folder that you can write to"
    assert refused(entry) == f"zoo:small: {told}"


def test_a_file_of_the_cache_that_cannot_be_used_is_one_line(entry, server):
    entry.path.parent.mkdir(parents=True)
    entry.accepted.symlink_to("/proc/1/none/x")  # touch fails, as in a folder that may only be read
    advice = "set PPFACE_HOME to a folder that you can read and write"
    assert refused(replace(entry, commercial=False), accept=True) == (
        f"zoo:small: cannot use {entry.accepted}: No such file or directory: {advice}"
    )
    entry.path.with_name("w.bin.sha256").symlink_to("w.bin.sha256")
    entry.path.write_bytes(CONTENT)
    entry.path.with_name("w.bin.sha256").unlink()
    entry.path.with_name("w.bin.sha256").symlink_to("/proc/self/mem")  # a file, whose reading fails
    assert "cannot use " in refused(replace(entry, sha256=None))


def test_a_licence_without_commercial_use_is_accepted_once(entry, server):
    strict = replace(entry, licence="for research alone", commercial=False)
    advice = "to accept this and download it: ppface zoo get small --accept-licence"
    assert refused(strict) == f"zoo:small: for research alone: {advice}"
    assert server.requests == []
    zoo.get(strict, accept=True).unlink()
    zoo.get(strict)


def test_what_only_a_person_can_download_is_named_with_page_and_place(entry):
    told = f"the project shares it only on http://page: download w.bin there by hand and put it at {entry.path}"
    assert refused(replace(entry, address=None)) == f"zoo:small: {told}"


def test_two_processes_download_it_once(entry, server):
    server.sleep = 0.1
    threads = [threading.Thread(target=zoo.get, args=(entry,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert entry.path.read_bytes() == CONTENT


@pytest.mark.parametrize("name", zoo.entries())
def test_every_entry_is_complete_and_its_config_valid(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = zoo.find(f"zoo:{name}")
    assert entry.address is None or entry.address.startswith("https://")
    assert entry.page.startswith("https://")
    assert entry.sha256 is None or len(entry.sha256) == 64
    assert (entry.sha256 is None) == (entry.size is None)
    assert all("published" in line or "measured" in line for line in entry.expected)
    with config_file(f"zoo:{name}") as file:
        assert file.stem == name
        config = ppface.load_config(file)
    assert config["weights"] == f"zoo:{name}"
    assert config["model"]["input"]["order"] == entry.order
    if entry.names:
        assert read_names(entry.names).order in (None, entry.order)
    assert shipped.folder("configs").joinpath("zoo", f"{name}.yaml").read_text().startswith("# ")


def test_a_name_that_no_entry_has_gets_the_nearest():
    with pytest.raises(WeightsError, match=r"^zoo:blazeface_100: there is no such entry. Did you mean 'zoo:blazeface_1000e'\?$"):
        zoo.find("zoo:blazeface_100")
    with pytest.raises(WeightsError, match=r"^zoo:qqq: there is no such entry. See ppface zoo list.$"):
        zoo.find("zoo:qqq")
    assert zoo.find("zoo") is zoo.find("./zoo:x") is None
