"""The service's page: what its files refer to, and in a headless Chromium what a user sees and does, against the service with drawn people."""

import json
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.serve import browser as chromium
from tests.serve import drawn

PAGE = Path(__file__).resolve().parents[2] / "ppface" / "serve" / "page"
CODES = [
    "bad_image", "no_face", "several_faces", "too_large", "unauthorized", "forbidden", "not_found", "busy", "rate_limited", "invalid",
    "unavailable", "internal", "offline",
]  # fmt: skip
GROUP = {"Ann": (60, 80, 90), "Bo": (220, 60, 120), "Cy": (400, 90, 70)}


def test_the_page_refers_to_its_own_files_alone():
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    used = re.findall(r'(?:src|href)="([^"#]+)"', html)
    assert len(used) == 4 and all(address.startswith("page/") and (PAGE / address[5:]).is_file() for address in used)
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", html)
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "").replace("on https:// or localhost", "")
        assert not re.search(r"https?://|//cdn|@import|url\(", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage|document\.cookie", text), (
            file.name
        )
        assert text.count("\n") <= 300 and max(map(len, text.splitlines())) <= 140, file.name
        for other in re.findall(r'from "\./([^"]+)"', text):
            assert (PAGE / other).is_file(), f"{file.name} imports {other}"


def test_every_error_of_the_service_has_words():
    from ppface.serve.service_error import STATUS

    words = (PAGE / "words.js").read_text(encoding="utf-8")
    assert set(CODES) - {"offline"} == set(STATUS)
    for code in CODES:
        assert re.search(rf"^  {code}: \[\"[A-Z]", words, re.M), code


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    if chromium.PATH is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    folder = tmp_path_factory.mktemp("chromium")
    camera = folder / "camera.mjpeg"
    camera.write_bytes(drawn.jpeg(drawn.picture({"Bo": (250, 60, 140)}, (640, 360))))
    opened = chromium.Browser(folder / "profile", camera)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def running(chrome, tmp_path_factory):
    from tests.serve.site import Site

    opened = Site(tmp_path_factory.mktemp("site"))
    yield opened
    opened.close()


@pytest.fixture
def new_site(chrome, tmp_path):
    """Starts a service with other options, and opens its page."""
    from tests.serve.site import Site

    opened = []

    def start(**options) -> Site:
        opened.append(Site(**{"folder": tmp_path} | options))
        chrome.open(opened[-1].address)
        return opened[-1]

    chrome.size(1280, 900)
    yield start
    assert chrome.taken_complaints() == []
    for site in opened:
        site.close()


@pytest.fixture
def page(chrome, running):
    """The page in the browser, opened anew with an empty gallery; at the end nothing may have been reported to the console."""
    running.forget_all()
    chrome.size(1280, 900)
    chrome.open(running.address)
    chrome.wait_text("#service", "Ready: drawn + colours")
    yield chrome
    assert chrome.taken_complaints() == []


@pytest.fixture
def photo(tmp_path):
    """Writes a photo: photo({"Ann": (x, y, width)}) -> its file."""

    def write(people: dict, size=(540, 320), name="photo.jpg", orientation=None) -> Path:
        (tmp_path / name).write_bytes(drawn.jpeg(drawn.picture(people, size), orientation))
        return tmp_path / name

    return write


def colours(chrome, points: list[tuple[float, float]], element: str = "overlay") -> list[list[int]]:
    """RGBA of what is drawn at places of the shown photo, in its pixels."""
    return chrome.run(
        f"""(() => {{ const of = document.getElementById({json.dumps(element)}), photo = document.getElementById("photo");
        const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        canvas.width = photo.naturalWidth; canvas.height = photo.naturalHeight; context.drawImage(of, 0, 0, canvas.width, canvas.height);
        return {json.dumps(points)}.map(([x, y]) => [...context.getImageData(x, y, 1, 1).data]); }})()"""
    )


def test_a_photo_is_shown_with_names_boxes_and_points(page, running, photo):
    running.enrol("Ann", "Ann")
    running.enrol("Bo", "Bo")
    page.files("#file", photo(GROUP))
    page.wait_text("#result", "3 faces found: Ann, Bo, Unknown.")
    rows = page.run("[...document.querySelectorAll('#faces li')].map(row => row.innerText)")
    assert "Match: score 1.000, threshold 0.950" in rows[0] and "detection score 0.97" in rows[1] and rows[2].startswith("3Unknown")
    assert re.search(r"Unknown: best score -?0\.\d{3}, threshold 0\.950", rows[2])
    assert page.run("document.querySelector('#photo').alt") == "Your photo. 3 faces found: \u2068Ann\u2069, \u2068Bo\u2069, Unknown."
    green, inside, point, amber, corner = colours(page, [(60, 136), (90, 150), (60 + 0.5 * 90, 80 + 0.58 * 112.5), (401, 97), (2, 2)])
    assert green[1] > 180 > green[0] and green[3] > 200, "the left edge of Ann's box is green"
    assert point[1] > 180 and point[3] > 200, "her nose has a point"
    assert inside[3] == corner[3] == 0
    assert amber[3] > 150


def test_the_canvas_has_the_pixels_of_the_screen_and_follows_its_size(page, photo):
    page.files("#file", photo(GROUP))
    page.wait_text("#result", "3 faces")
    page.size(390, 800, density=2)
    size = (
        "(() => { const c = document.querySelector('#overlay'); return [c.width, c.height, c.clientWidth, c.clientHeight, innerWidth]; })()"
    )
    page.wait(f"{size}[0] === 2 * {size}[2] && {size}[2] < 390")
    width, height, across, down, _ = page.run(size)
    assert abs(across / down - 540 / 320) < 0.02 and (width, height) == (2 * across, 2 * down)
    nose, forehead = colours(page, [(60 + 0.5 * 90, 80 + 0.58 * 112.5), (90, 100)])
    assert nose[3] > 100 and forehead[3] == 0
    assert page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than a narrow screen"


def test_a_turned_photo_has_its_boxes_where_the_browser_shows_the_faces(page, photo):
    page.files("#file", photo({"Ann": (60, 30, 80)}, (300, 400), orientation=6))
    page.wait_text("#result", "1 face found")
    assert page.run("[document.querySelector('#photo').naturalWidth, document.querySelector('#photo').naturalHeight]") == [300, 400]
    head, forehead = colours(page, [(100, 50), (230, 300)], "photo")
    assert head[0] > 220 and head[2] < 110 and forehead[2] > 90, "shown upright"
    nose, edge = colours(page, [(60 + 0.5 * 80, 30 + 0.58 * 100), (60, 80)])
    assert nose[3] > 200 and edge[3] > 150


def test_the_chosen_face_is_compared_with_another_photo(page, photo):
    page.files("#file", photo(GROUP))
    page.wait_text("#result", "3 faces")
    page.files("#compare-file", photo({"Ann": (150, 60, 90)}, name="other.jpg"))
    page.wait_text("#message", "More than one face. This photo has 3 faces.")
    page.click("#faces .face")
    page.files("#compare-file", photo({"Ann": (150, 60, 90)}, name="other.jpg"))
    assert re.search(r"threshold 0\.950", page.wait_text("#message", "Both photos show the same person. Score "))
    page.files("#compare-file", photo({"Bo": (150, 60, 90)}, name="other.jpg"))
    page.wait_text("#message", "The photos show different people. Score")
    page.files("#compare-file", photo(GROUP))
    page.wait_text("#message", "More than one face. Other: expected one face, found 3.")


def test_an_image_is_deleted_again_after_its_enrolment(page, running, photo):
    running.enrol("Ann", "Ann")
    page.open(running.address)
    page.files("#file", photo({"Ann": (150, 60, 90)}))
    page.wait_text("#result", "1 face found: Ann.")
    for name, before in (("Ann", {"Ann": 1}), ("Bo", {"Ann": 1})):
        page.run(f"document.querySelector('#enrol-name').value = '{name}'")
        page.click("#enrol-submit")
        page.wait_text("#message", "is enrolled.")
        assert running.people() == before | {name: before.get(name, 0) + 1}
        page.click("#message-action")
        page.wait_text("#message", "deleted.")
        assert running.people() == before


def until(found, seconds: float = 10):
    """The first true answer of a function."""
    end = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < end:
        time.sleep(0.02)
    return answer


def test_a_chosen_face_of_several_is_enrolled_found_and_deleted(page, running, photo, tmp_path):
    page.files("#file", photo({"Ann": (150, 100, 60), "Bo": (230, 60, 120), "Cy": (360, 100, 50)}))  # so near that a part of Bo shows all
    page.wait_text("#result", "3 faces")
    page.click("#enrol-name")
    page.type("Dr. Bo / 50%41 Ünal")
    page.click("#enrol-submit")
    page.wait_text("#message", "More than one face. This photo has 3 faces.")
    x, y, width, _ = page.run(
        "(() => { const r = document.querySelector('#overlay').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()"
    )
    page.mouse(x + 290 * width / 540, y + 130 * width / 540)
    assert page.run("[...document.querySelectorAll('.face')].map(f => f.getAttribute('aria-pressed'))") == ["false", "true", "false"]
    page.click("#enrol-submit")
    page.wait_text("#result", "3 faces found: Unknown, Dr. Bo / 50%41 Ünal, Unknown.")
    assert "is enrolled. The gallery has 1 image of this person." in page.text("#message") and running.people() == {
        "Dr. Bo / 50%41 Ünal": 1
    }

    page.click("#people button")
    assert page.text("#delete h2") == "Delete Dr. Bo / 50%41 Ünal?"
    page.click("#delete-cancel")
    assert running.people() == {"Dr. Bo / 50%41 Ünal": 1}
    page.click("#people button")
    page.click("#delete-confirm")
    page.wait_text("#result", "3 faces found: Unknown, Unknown, Unknown.")
    assert running.people() == {} and "is deleted" in page.text("#message")
    assert page.run("document.activeElement.id") == "people-heading"
    page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("#message-link")
    receipt = json.loads(until(lambda: (tmp_path / "receipt.json").is_file() and (tmp_path / "receipt.json").read_text()))
    assert receipt["forgotten"] == "Dr. Bo / 50%41 Ünal" and receipt["images"]


def test_a_second_photo_of_a_person_is_added(page, running, photo):
    running.enrol("Ann", "Ann")
    page.open(running.address)
    page.files("#file", photo({"Ann": (90, 60, 100)}))
    page.wait_text("#result", "1 face found: Ann.")
    page.click("#enrol-name")
    page.type("Ann")
    page.wait_text("#enrol-which", "Ann is known by 1 image; this one is added.")
    page.click("#enrol-submit")
    page.wait_text("#message", "2 images")
    assert running.people() == {"Ann": 2}


def test_files_that_are_no_photos_get_a_message_and_the_next_photo_works(page, photo, tmp_path):
    for name, content in (("bad.jpg", b"words"), ("cut.png", b"\x89PNG\r\n\x1a\n"), ("notes.txt", b"words"), ("empty.jpg", b"")):
        (tmp_path / name).write_bytes(content)
        page.files("#file", tmp_path / name)
        page.wait_text("#message", "This file is not a photo that the service can read.")
        assert page.run("document.querySelector('#frame').hidden && document.querySelector('#busy').hidden")
        page.click("#message-close")
    page.files("#file", photo({}))
    page.wait_text("#result", "No face found.")
    page.files("#file", photo({"Di": (90, 60, 100)}))
    page.wait_text("#result", "1 face found: Unknown.")
    page.wait_text("#faces", "Unknown: nobody is enrolled")
    drawn.picture({"Di": (90, 60, 100), "Bo": (300, 60, 100)}, (540, 320)).save(tmp_path / "moving.gif")
    page.files("#file", tmp_path / "moving.gif")  # which the service does not read, but the browser does
    page.wait_text("#result", "2 faces found: Unknown, Unknown.")
    assert page.run("document.querySelector('#message').innerText.trim()") == ""


def test_a_face_that_is_too_small_says_so(page, photo):
    page.files("#file", photo({"Ann": (90, 60, 14)}))
    page.wait_text("#result", "1 face found: not usable.")
    assert re.search("too small: 1[45] pixels, at least 16 needed", page.text("#faces"))
    page.click("#enrol-name")
    page.type("Ann")
    page.click("#enrol-submit")
    page.wait_text("#message", "The service did not accept this. Image: its face cannot be enrolled: too small")


def test_everything_works_by_the_keyboard(page, running, photo):
    def tab_to(selector: str, back: bool = False) -> None:
        for _ in range(30):
            page.press("Tab", shift=back)
            if page.run(f"document.activeElement.matches({json.dumps(selector)})"):
                outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"{selector} does not show that it has the focus"
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to(".skip")
    tab_to("#choose")
    page.files("#file", photo({"Ann": (60, 80, 90), "Bo": (220, 60, 120)}))  # the dialog is the browser's
    page.wait_text("#result", "2 faces")
    tab_to("#faces li:nth-child(2) button")
    page.press(" ")
    assert page.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    tab_to("#enrol-name")
    page.type("Bo")
    page.press("Enter")
    page.wait_text("#result", "Unknown, Bo.")
    assert page.run("document.activeElement.id") == "enrol-name"
    tab_to("#threshold")
    page.press("ArrowRight")
    page.wait_text("#threshold-value", "0.955")
    tab_to("#people button")
    page.press("Enter")
    page.wait("document.querySelector('#delete').open && document.activeElement.id === 'delete-cancel'")
    page.press("Escape")
    page.wait("!document.querySelector('#delete').open && document.activeElement.matches('#people button')")
    page.press("Enter")
    page.wait("document.activeElement.id === 'delete-cancel'")
    page.press("Tab")
    page.press("Enter")
    page.wait_text("#result", "Unknown, Unknown.")
    assert running.people() == {}


def test_every_control_has_a_name(page, running, photo):
    running.enrol("Ann", "Ann")
    page.open(running.address)
    page.files("#file", photo(GROUP))
    page.wait_text("#result", "3 faces")
    page.wait_text("#people", "Ann")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    controls = [
        node for node in nodes if node.get("role", {}).get("value") in ("button", "textbox", "slider", "combobox", "searchbox", "link")
    ]
    names = [node["name"]["value"] for node in controls]
    assert len(names) >= 10 and all(names), names
    assert {"Choose a photo", "Use the camera", "API key", "Enrol", "Delete Ann", "Name of the person"} <= set(names)


def test_names_are_text(page, running, photo):
    name = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    running.enrol(name, "Ann")
    page.open(running.address)
    page.files("#file", photo(GROUP))
    page.wait_text("#result", f"3 faces found: {name}, Unknown, Unknown.")
    page.wait_text("#people", name)
    assert name in page.text("#faces")
    page.click("#people button")
    assert page.text("#delete-title") == f"Delete {name}?"
    page.click("#delete-confirm")
    page.wait_text("#message", f"{name} is deleted.")
    assert page.run("document.querySelectorAll('main script, main img:not(#photo), #message img, #message script').length") == 0


def test_the_threshold_shows_its_false_match_rate_and_counts(page, running, photo):
    running.enrol("Ann", "Ann")
    page.files("#file", photo({"Ann": (60, 80, 90)}))
    page.wait_text("#result", "Ann")
    assert page.text("#threshold-rate") == "False match rate: 1 % (95 % interval 0.8 % to 1.2 %)."
    move = "(v => { const s = document.querySelector('#threshold'); s.value = v; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); })"
    page.run(f"{move}(0.97)")
    assert page.text("#threshold-rate") == "False match rate: between 0.1 % and 1 %."
    page.run(f"{move}(0.5)")
    assert page.text("#threshold-rate") == "False match rate: more than 1 %."
    page.run(f"{move}(1)")
    assert page.text("#threshold-rate") == "False match rate: less than 0.1 %."
    page.wait_text("#result", "Unknown")
    page.click("#threshold-picks button")
    page.wait_text("#result", "Ann")
    assert page.text("#threshold-value") == "0.950"


def test_a_large_photo_is_reduced_to_the_limits(page, photo):
    page.files("#file", photo({"Ann": (400, 200, 300)}, (1600, 1000)))
    page.wait_text("#message", "The photo was reduced. to 1264x790 pixels")
    page.wait_text("#result", "1 face found")
    nose, _ = colours(page, [(400 + 0.5 * 300, 200 + 0.58 * 375), (0, 0)])
    assert nose[3] > 200, "the boxes are drawn in the scale of what is shown"


def test_the_live_view_sends_one_frame_at_a_time_and_takes_a_photo(page, running):
    running.enrol("Bo", "Bo")
    page.open(running.address)
    page.click("#camera-open")
    page.wait_text("#result", "1 face found: Bo.")
    times = page.wait(
        "(t => t.length > 3 && t.map(e => [e.startTime, e.responseEnd]))"
        "(performance.getEntriesByType('resource').filter(e => e.name.includes('/v1/search') && e.responseEnd))"
    )
    assert all(end <= start for (_, end), (start, _) in pairwise(times))
    assert page.run("document.activeElement.id") == "camera-take" and page.run("document.querySelector('#faces button')") is None
    page.click("#camera-take")
    page.wait_text("#faces button", "Bo")
    assert page.run("document.querySelector('#video').hidden && document.querySelector('#video').srcObject === null")
    assert page.run("document.querySelector('#photo').naturalWidth") >= 640


def test_the_live_view_waits_while_the_service_is_busy_and_says_why_there_is_no_camera(page, running):
    page.run(
        """(() => { const send = fetch; let busy = true; window.fetch = async (...request) => {
        if (!busy || !request[0].includes("search")) return send(...request);
        busy = false;
        const error = {code: "busy", message: "too many requests at once"};
        return new Response(JSON.stringify({error}), {status: 429, headers: {"Retry-After": "1"}}); }; })()"""
    )
    page.click("#camera-open")
    page.wait_text("#result", "The service is busy: waiting.")
    page.wait_text("#result", "1 face found")
    page.click("#camera-close")
    assert page.run("document.activeElement.id") == "camera-open" and page.run("document.querySelector('#frame').hidden")
    page.run("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))")
    page.click("#camera-open")
    page.wait_text("#message", "The camera is not permitted.")
    page.click("#message-close")
    assert page.run("document.activeElement.id") == "camera-open"


def test_dropped_and_pasted_photos(page, photo):
    given = """(async (kind) => { const canvas = new OffscreenCanvas(200, 200), context = canvas.getContext("2d");
        context.fillStyle = "#e2e4e6"; context.fillRect(0, 0, 200, 200); context.fillStyle = "#ec8260"; context.fillRect(60, 50, 80, 90);
        const data = new DataTransfer(); data.items.add(new File([await canvas.convertToBlob()], "x.png", {type: "image/png"}));
        const options = kind === "paste" ? {clipboardData: data} : {dataTransfer: data};
        const event = kind === "paste" ? new ClipboardEvent(kind, {...options, bubbles: true}) : new DragEvent(kind, {...options, bubbles: true});
        document.body.dispatchEvent(event); })"""
    for kind in ("paste", "drop"):
        page.run(f"document.querySelector('#result').textContent = ''; {given}({json.dumps(kind)})")
        page.wait_text("#result", "1 face found")


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(chrome, new_site, photo):
    new_site(keys={"all": (("read", "search", "enrol", "delete"), None)})
    chrome.wait_text("#banner", "An API key is needed")
    chrome.files("#file", photo({"Ann": (400, 200, 300)}, (1600, 1000)))
    chrome.wait("!document.querySelector('#photo').hidden")
    chrome.click("#banner-action")
    chrome.type("wrong")
    chrome.press("Enter")
    chrome.wait_text("#banner", "The service does not know this key. Enter another one.")
    chrome.click("#key-open")
    chrome.type("all")
    chrome.press("Enter")
    chrome.wait_text("#service", "Ready")
    assert chrome.run("[{...sessionStorage}, localStorage.length, document.cookie]") == [{"ppface-key": "all"}, 0, ""]
    assert chrome.run("document.querySelector('#banner').hidden")
    chrome.wait_text("#result", "1 face found: Unknown.")  # in the photo that waited for the key
    chrome.wait_text("#message", "The photo was reduced.")
    chrome.click("#key-open")
    chrome.click("#key-forget")
    chrome.wait_text("#banner", "An API key is needed")
    assert chrome.run("sessionStorage.length") == 0


def test_what_a_key_does_not_permit_is_not_offered(chrome, new_site, photo):
    site = new_site(keys={"look": (("read",), None), "search": (("search",), 600), "once": (("read",), 3)})
    chrome.run("sessionStorage.setItem('ppface-key', 'look')")
    chrome.open(site.address)
    chrome.wait_text("#people-empty", "Nobody is enrolled yet")
    assert chrome.run("document.querySelector('#threshold-section').hidden")
    chrome.files("#file", photo(GROUP))
    chrome.wait_text("#result", "3 faces found.")
    chrome.wait_text("#enrol-off", "This API key does not permit to enrol people.")
    assert chrome.run("document.querySelector('#enrol').hidden && document.querySelectorAll('#people button').length === 0")
    chrome.run("sessionStorage.setItem('ppface-key', 'search')")
    chrome.open(site.address)
    chrome.wait_text("#people-empty", "This API key does not permit to list people.")
    chrome.files("#file", photo(GROUP))
    chrome.wait_text("#result", "Unknown, Unknown, Unknown.")
    chrome.run("sessionStorage.setItem('ppface-key', 'once')")
    chrome.open(site.address)
    chrome.wait_text("#people-empty", "Nobody")
    chrome.files("#file", photo(GROUP))  # /v1/info and /v1/people took two of the three
    chrome.wait_text("#result", "3 faces found.")  # a photo that replaces another before it is sent takes none
    chrome.files("#file", photo(GROUP))
    chrome.wait_text("#message", "Too many requests with this key. Expected at most 3 requests a minute. Try again in")
    assert chrome.text("#message-action") == "Try again"
    chrome.run("sessionStorage.clear()")


def test_without_gallery_or_calibration_the_page_says_so(chrome, new_site, photo, tmp_path):
    new_site(folder=None)
    chrome.wait_text("#people-empty", "This service has no gallery: faces are found, but not named.")
    chrome.files("#file", photo(GROUP))
    chrome.wait_text("#result", "3 faces found.")
    assert chrome.run("document.querySelector('#enrol').hidden && document.querySelector('#threshold-section').hidden")
    new_site(calibrated=False)
    chrome.wait_text("#threshold-rate", "False match rate: not known, as the gallery is not calibrated")
    assert chrome.text("#threshold-value") == "0.500"


def test_a_stopped_service_is_noticed_and_its_return_too(chrome, new_site, photo):
    site = new_site()
    chrome.wait_text("#service", "Ready")
    site.stop()
    chrome.files("#file", photo(GROUP))
    chrome.wait_text("#banner", "The service does not answer.")
    assert chrome.text("#service") == "Not available"
    site.restart()
    chrome.click("#banner-action")
    chrome.wait_text("#result", "3 faces found")
    assert chrome.run("document.querySelector('#banner').hidden") and chrome.text("#service").startswith("Ready")
