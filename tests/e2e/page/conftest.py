"""A headless Chromium, driven over its debugging pipe: no driver to install, no port to open."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from itertools import count

import pytest
import pytest_asyncio
import uvicorn

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond.config import Settings

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# Seconds until something that shall come counts as missing.
PATIENCE = 20
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    # Where tests run as root, there is no user to keep the sandbox from.
    "--no-sandbox",
    "--no-proxy-server",
    # A name as an attacker's, which leads to this machine.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
)


class Page:
    """One tab. `requests`: the URLs that it asked for; `complaints`: what it wrote to its console, and its errors."""

    def __init__(self, browser, session):
        self._browser = browser
        self._session = session
        self.requests = []
        self.complaints = []

    async def send(self, method, **parameters):
        return await self._browser.send(method, parameters, self._session)

    async def run(self, script):
        """The value of a JavaScript expression; a promise's, when it is one."""
        found = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script):
        """Wait for the expression to be true."""
        for _ in range(50 * PATIENCE):
            if await self.run(f"!!({script})"):
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"never: {script}; the page complains of {self.complaints}")

    async def open(self, url):
        await self.send("Page.navigate", url=url)
        await self.until(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    async def type(self, text):
        await self.send("Input.insertText", text=text)

    async def press(self, key):
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **more
            )

    async def looks(self, *, dark=False, width=1120, height=900):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def picture(self, path, height=None):
        clip = {} if height is None else {"clip": {"x": 0, "y": 0, "width": 1120, "height": height, "scale": 1}}
        found = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)
        path.write_bytes(base64.b64decode(found["data"]))

    def heard(self, method, parameters):
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters["entry"])


class Browser:
    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self._ids = count(1)
        self._waiting = {}
        self._pages = {}
        self._listening = asyncio.create_task(self._listen())

    async def send(self, method, parameters=None, session=None):
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        said = {"id": number, "method": method, "params": parameters or {}}
        self._writer.write(json.dumps(said | ({"sessionId": session} if session else {})).encode() + b"\0")
        async with asyncio.timeout(PATIENCE):
            return await self._waiting[number]

    async def page(self):
        """A new tab with a storage of its own."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        made = await self.send("Target.createTarget", {"url": "about:blank", "browserContextId": context})
        attached = await self.send("Target.attachToTarget", {"targetId": made["targetId"], "flatten": True})
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.send(f"{domain}.enable")
        await page.looks()
        return page

    async def close(self):
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self):
        while raw := await self._reader.readuntil(b"\0"):
            said = json.loads(raw[:-1])
            if waiting := self._waiting.pop(said.get("id"), None):
                if "error" in said:
                    waiting.set_exception(AssertionError(said["error"]))
                else:
                    waiting.set_result(said["result"])
            elif page := self._pages.get(said.get("sessionId")):
                page.heard(said["method"], said["params"])


@asynccontextmanager
async def started(folder):
    """Chromium reads commands from its descriptor 3, and answers on 4."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    arguments = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        "chromium",
        *arguments,
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A process group of its own: what it started is ended with it.
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb"))
    writing, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(ours_out, "wb"))
    browser = Browser(reader, writing)
    try:
        yield browser
    finally:
        await browser.close()
        writing.close()  # it ends when its pipe does
        reading.close()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def listening(settings: Settings, made=None):
    """The gateway with these settings (or `made`) on a free loopback port; gives its origin."""
    app = create_app(made or gateway(settings))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium here: `apt-get install chromium` brings one")
    async with started(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser):
    return await browser.page()


@pytest.fixture
def serve():
    return listening
