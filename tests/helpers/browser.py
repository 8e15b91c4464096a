"""Drive Chromium with the standard library: open a page, evaluate JavaScript, press keys, move the mouse, take pictures.

The browser reads commands of the DevTools protocol from file descriptor 3 and writes answers to file descriptor 4. Commands
and answers are JSON texts that end in a zero byte. Without a browser, tests that need a browser are skipped; they fail if
MINIVAE_BROWSER_REQUIRED is set.
"""

import base64
import fcntl
import functools
import json
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

REQUIRED = "MINIVAE_BROWSER_REQUIRED"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--mute-audio"),
    *("--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars"),
    "--disable-dev-shm-usage",
)
SECONDS = 60                                                # longest wait for an answer of the browser


@functools.cache
def executable():
    """Return the path of a browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def need_browser():
    """Skip the test if no browser is installed; fail instead if MINIVAE_BROWSER_REQUIRED is set."""
    if executable() is None:
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)("no Chromium on this machine")


def pipe():
    """Return the read end and the write end of a pipe: file descriptors from 10 on, because the browser uses 3 and 4."""
    ends = os.pipe()
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ends]
    for fd in ends:
        os.close(fd)
    return moved


class Browser:
    """A headless browser with one page. `errors` collects exceptions of the page, and errors and warnings in its console."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (theirs_in, self.out), (self.into, theirs_out) = pipe(), pipe()

        def place():
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        command = [executable(), *QUIET, f"--user-data-dir={self.home.name}", "--remote-debugging-pipe"]
        null = subprocess.DEVNULL
        # Do not use pass_fds=(3, 4): then Popen fails if 3 or 4 is closed in the new process before `place` runs. This
        # happens if 3 or 4 belongs to a font file, because matplotlib closes its font files after a fork.
        self.process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, preexec_fn=place, close_fds=False)
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest, self.count, self.errors, self.session, self.loaded = b"", 0, [], None, False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        """End the browser."""
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self.out)
        os.close(self.into)
        self.home.cleanup()

    def call(self, method, **params):
        """Send a command; return its result."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self.out, text) :]
        while (answer := self.read()).get("id") != self.count:
            self.note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def read(self):
        """Return the next message of the browser."""
        while b"\0" not in self.rest:
            if not select.select([self.into], [], [], SECONDS)[0]:
                raise TimeoutError("no answer from the browser")
            part = os.read(self.into, 1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self.rest += part
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def note(self, event):
        """Record the event if it is the end of loading, an error or a warning."""
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(str(params["args"]))

    def open(self, path, fragment="", width=1280, height=900, dark=False, media=""):
        """Open a file and wait until it is loaded; a width below 500 makes the browser act like a phone."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.call("Page.navigate", url="about:blank")       # so the file loads again even if only the fragment changes
        self.errors, self.loaded = [], False
        self.call("Page.navigate", url=Path(path).resolve().as_uri() + fragment)
        while not (self.loaded and self.evaluate("document.readyState") == "complete"):
            self.note(self.read()) if not self.loaded else None
        return self

    def evaluate(self, script):
        """Return the value of a JavaScript expression. If this value is a promise, return the promise's result."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", script))
        return result["result"].get("value")

    def press(self, key, shift=False):
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=8 * shift)

    def drag(self, *points):
        """Press the mouse button at the first point, move the mouse over all points, and release the button at the last."""
        moves = [("mouseMoved", point) for point in points]
        for kind, (x, y) in [("mousePressed", points[0]), *moves, ("mouseReleased", points[-1])]:
            button = {"button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def touch(self, x, y):
        """Touch a point with a finger, and lift it."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def swipe(self, *points):
        """Put a finger on the first point, move the finger over the other points, and lift it."""
        for kind, (x, y) in zip(["touchStart"] + ["touchMove"] * (len(points) - 1), points):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def picture(self, path=None, whole=True):
        """Return a PNG of the whole page or of its visible part; write it to `path`, if given."""
        png = base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])
        if path is not None:
            Path(path).write_bytes(png)
        return png
