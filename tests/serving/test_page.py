"""The page at / in headless Chromium, by the keyboard alone.

CHROMIUM names the browser, or a script that runs one with what this machine needs; without it `chromium`,
`chromium-browser` or `google-chrome` is taken. It is driven by DevTools messages over a pipe, so no client is needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import Any

import pytest

pytest_plugins = "serving_support"

BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium: install one, or name it in CHROMIUM"),
]
MODELS = ("embedder", "classifier", "reranker", "inference", "masked", "tagger", "reader", "chooser", "follower")
KEYS = {"Tab": 9, "Enter": 13, "ArrowUp": 38, "ArrowDown": 40}


class Browser:
    """One page of a browser."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, of: int):
        self._process, self._to, self._of = process, to, of
        self._rest, self._number, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers; its events are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while True:
            while b"\0" not in self._rest:
                assert select.select([self._of], [], [], max(0.0, end - time.monotonic()))[0], f"no answer to {method}"
                part = os.read(self._of, 1 << 20)
                assert part, f"the browser ended with {self._process.wait(10)}"
                self._rest += part
            one, _, self._rest = self._rest.partition(b"\0")
            found = json.loads(one)
            if found.get("id") == self._number:
                assert "error" not in found, (method, found)
                return found["result"]
            self.events.append(found)

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + 30
        while not self.js(expression):
            assert time.monotonic() < end, (expression, self.js("document.body.innerText"))
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """A key, down and up."""
        given = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **given, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **given)

    def tab_to(self, name: str) -> None:
        """Tab until the element of this id has the focus."""
        for _ in range(30):
            if self.js("document.activeElement.id") == name:
                return
            self.press("Tab")
        raise AssertionError(f"Tab does not come to {name}")

    def of(self, method: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [one["params"] for one in self.events if one.get("method") == method]


@pytest.fixture
def browser(tmp_path):
    """A browser; none of its profile is left."""

    @contextmanager
    def pipes():
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for pair in (os.pipe(), os.pipe()) for end in pair]
        try:
            yield ends
        finally:
            for end in ends:
                with suppress(OSError):
                    os.close(end)

    with pipes() as (reads, to, of, writes):

        def as_three_and_four():
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        assert BROWSER is not None
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--remote-debugging-pipe",
        ]
        process = subprocess.Popen(
            [BROWSER, *flags], preexec_fn=as_three_and_four, pass_fds=(3, 4), stderr=subprocess.DEVNULL
        )
        os.close(reads)
        os.close(writes)
        try:
            yield Browser(process, to, of)
        finally:
            process.kill()
            process.wait(30)


def close(one: Any, other: Any) -> bool:
    """Whether two answers are equal, numbers within the noise of float32."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=1e-5) if isinstance(one, float) else one == other


def check_names(browser: Browser) -> None:
    """Each field and button has a name for a screen reader, and news are told."""
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    found = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in tree if not one["ignored"]]
    controls = [one for one in found if one[0] in ("textbox", "combobox", "button", "link")]
    assert len(controls) >= 4 and all(name.strip() for _, name in controls), controls
    assert {"main", "heading"} <= {role for role, _ in found}
    (status,) = [one for one in tree if one.get("role", {}).get("value") == "status"]
    assert {one["name"]: one["value"]["value"] for one in status["properties"]}["live"] == "polite"


def test_each_task_by_the_keyboard(serving, browser):
    tried: list[str] = []
    with serving(*MODELS) as running:
        origin = f"http://127.0.0.1:{running.port}/"
        browser.send("Page.navigate", url=origin)
        browser.until("document.getElementById('status')?.textContent === 'Ready.'")
        assert browser.js("document.documentElement.lang") == "en" and browser.js("document.title")
        for number, name in enumerate(MODELS):
            if number:
                browser.js("document.activeElement.blur()")
                browser.tab_to("model")
                browser.press("ArrowDown")
            assert browser.js("model().model_id") == name
            for at in range(browser.js("document.getElementById('route').length")):
                browser.tab_to("route")
                path = browser.js(f"document.getElementById('route')[{at}].value")
                while (away := at - browser.js("$('route').selectedIndex")) != 0:
                    browser.press("ArrowDown" if away > 0 else "ArrowUp")
                    assert abs(at - browser.js("$('route').selectedIndex")) < abs(away)
                check_names(browser)
                browser.tab_to(browser.js("document.querySelector('textarea').id"))
                browser.tab_to("send")
                browser.press("Enter")
                browser.until(
                    "/^Done|error/.test(document.getElementById('status').textContent + $('status').className)"
                )
                assert browser.js("$('status').className") == "", (path, browser.js("$('status').textContent"))
                assert browser.js("document.activeElement.id") == "result-title"  # a screen reader reads on there
                assert browser.js("$('result').innerText.trim().length") > 0
                first, *sent, answer = browser.js("$('json').textContent").split("\n\n")
                line, _, body = "\n\n".join([first, *sent]).partition("\n")
                status, _, shown = answer.partition("\n")
                assert (line, status) == (f"POST {path}", "200")
                assert close(json.loads(shown), running.client.post(path, json.loads(body)).json), path
                tried.append(path)
        # What the server refuses is told, where a screen reader tells it.
        browser.js("document.querySelector('textarea').value = ' '; $('send').focus()")
        browser.press("Enter")
        browser.until("$('status').className === 'error'")
    asked = {one["request"]["url"] for one in browser.of("Network.requestWillBeSent")}
    assert asked and all(url.startswith(origin) for url in asked), asked
    assert not browser.of("Runtime.exceptionThrown")
    assert not [one for one in browser.of("Runtime.consoleAPICalled") if one["type"] in ("error", "assert")]
    wrong = [one["entry"] for one in browser.of("Log.entryAdded") if one["entry"]["level"] == "error"]
    assert all(" 422 " in one["text"] for one in wrong), wrong  # the one that was to be refused
    wanted = {"/embed", "/similarity", "/predict", "/rerank", "/zero-shot", "/fill-mask", "/tag", "/answer", "/choose"}
    assert wanted | {"/next-sentence", "/tokenize"} <= set(tried), tried
