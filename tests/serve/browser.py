"""A headless Chromium for tests, driven by the DevTools protocol over a pipe: no driver and no package is needed.

Protocol: https://chromedevtools.github.io/devtools-protocol/ ; `--remote-debugging-pipe` reads commands from file 3 and writes answers to file 4,
each ended by a zero byte.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path

PATH = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-pipe", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " "), "ArrowRight": (39, ""), "ArrowLeft": (37, "")}
SHIFT = 8
TIMEOUT_S = 30
PLAIN = ".replaceAll(/[\\u2068\\u2069]/g, '')"  # without the marks around names within sentences


class Browser:
    """One Chromium with one tab.

    Args:
        folder: empty, for its profile.
        camera: a file of MJPEG (one JPEG is one) that the camera shows.
    """

    def __init__(self, folder: Path, camera: Path):
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, commands, 3), (os.POSIX_SPAWN_DUP2, answers, 4)]
        actions += [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
        arguments = [PATH, *FLAGS, f"--user-data-dir={folder}", f"--use-file-for-fake-video-capture={camera}", "about:blank"]
        self.process = os.posix_spawn(PATH, arguments, dict(os.environ), file_actions=actions, setpgroup=0)
        os.close(commands)
        os.close(answers)
        self.number, self.buffer, self.session, self.complaints = 0, b"", None, []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters) -> dict:
        """One command and its result."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def read(self) -> dict:
        """The next answer or event; what the console reports as an error is noted in `complaints`."""
        while b"\0" not in self.buffer:
            if not select.select([self.answers], [], [], 30)[0]:
                raise TimeoutError("Chromium did not answer for 30 seconds")
            received = os.read(self.answers, 1 << 20)
            if not received:
                raise RuntimeError("Chromium has ended")
            self.buffer += received
        message, _, self.buffer = self.buffer.partition(b"\0")
        answer = json.loads(message)
        if answer.get("method") == "Runtime.exceptionThrown":
            details = answer["params"]["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
            entry = answer["params"]["entry"]
            if entry["source"] != "network":  # the answers 4xx that a test asks for
                self.complaints.append(entry["text"])
        return answer

    def taken_complaints(self) -> list[str]:
        """What the console reported since the last time."""
        self.run("null")  # so that what came before is read
        taken, self.complaints = self.complaints, []
        return taken

    def run(self, expression: str):
        """The value of an expression of JavaScript, awaited."""
        done = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"].get("description", done["exceptionDetails"]["text"]))
        return done["result"].get("value")

    def wait(self, expression: str, seconds: float = TIMEOUT_S):
        """The first true value of an expression."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(RuntimeError):  # of a page that is being loaded
                if value := self.run(expression):
                    return value
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {expression}\n{self.run('document.body.innerText')}")

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText.trim(){PLAIN}")

    def wait_text(self, selector: str, part: str) -> str:
        element = f"document.querySelector({json.dumps(selector)})"
        text = f"{element}.innerText{PLAIN}"
        return self.wait(f"{element}?.checkVisibility() && {text}.includes({json.dumps(part)}) && {text}")

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of an element that nothing covers; once more if the page moved the element away meanwhile."""
        found = f"document.querySelector({json.dumps(selector)})"
        end = time.monotonic() + TIMEOUT_S
        while True:
            x, y, hit = self.wait(
                f"(() => {{ const e = {found}; if (!e || !e.checkVisibility()) return null;"
                "e.scrollIntoView({block: 'center', behavior: 'instant'});"
                "window.clicked = false; e.addEventListener('click', () => window.clicked = true, {once: true, capture: true});"
                "const r = e.getBoundingClientRect(); const p = [r.x + r.width / 2, r.y + r.height / 2];"
                "const top = document.elementFromPoint(...p); return [...p, e === top || e.contains(top)]; })()"
            )
            if hit:
                self.mouse(x, y)
                if self.run("window.clicked") is not False:  # undefined: the click opened another page
                    return
            assert time.monotonic() < end, f"{selector} is covered, or moves"

    def mouse(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, shift: bool = False) -> None:
        code, text = KEYS[key]
        event = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code, "modifiers": SHIFT if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def files(self, selector: str, *paths: Path) -> None:
        """Chooses files as the dialog of an <input type=file> does."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(path) for path in paths], nodeId=node)

    def size(self, width: int, height: int, density: float = 1, dark: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=density, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, whole: bool = False) -> bytes:
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def close(self) -> None:
        self.session = None
        with contextlib.suppress(RuntimeError, OSError, TimeoutError):
            self.send("Browser.close")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.commands)
        os.close(self.answers)
