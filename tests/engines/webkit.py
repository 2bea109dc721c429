"""WebKitGTK's own small browser, as Safari's engine on Linux: Selenium talks to its driver, in a display of its own."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import Any

from engines.driver import Driver, find_program
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.key_input import KeyInput
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.common.utils import free_port
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.webkitgtk.options import Options
from urllib3.exceptions import HTTPError

SCREEN = "1600x2400x24"


class WebKit(Driver):
    name = "webkit"
    timeouts = (TimeoutException, HTTPError, OSError)

    def _start(self, folder: Path) -> None:
        env = {
            "DISPLAY": self._start_display(),
            "HOME": str(folder),
            "LIBGL_ALWAYS_SOFTWARE": "1",  # a machine for tests has no graphics card
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # it cannot be set up in a container; the pages are ours
        }
        port = free_port()
        self.processes.start([find_program("WebKitWebDriver"), "-p", str(port)], env)
        self.processes.wait_for(lambda: _answers(port), "WebKit's driver")
        options = Options()
        options.overlay_scrollbars_enabled = False  # as in Safari where a mouse is connected
        # Without proxies and second tries: what is asked is asked once.
        config = ClientConfig(
            f"http://127.0.0.1:{port}", timeout=self.limit, init_args_for_pool_manager={"retries": False},
            proxy=Proxy({"proxyType": ProxyType.DIRECT}),
        )  # fmt: skip
        self._connection = RemoteConnection(client_config=config)
        self._client = WebDriver(self._connection, options=options)

    def _start_display(self) -> str:
        """Start an X server that finds a free number itself, and return its name."""
        reading, writing = os.pipe()
        try:
            command = [find_program("Xvfb"), "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp"]
            self.processes.start(command, pass_fds=[writing])
            self.processes.wait_for(lambda: select.select([reading], [], [], 0)[0], "the display")
            return f":{os.read(reading, 16).decode().strip()}"
        finally:
            os.close(reading)
            os.close(writing)

    def set_limit(self, seconds: int) -> None:
        self.limit = seconds
        self._client.set_script_timeout(seconds)
        self._client.set_page_load_timeout(seconds)
        # Later than its own limits, which come with a reason.
        self._connection.client_config.timeout = seconds + 1

    def _go(self, address: str) -> None:
        self._client.get(address)

    def _run(self, body: str, given: tuple[Any, ...]) -> dict[str, Any]:
        return self._client.execute_async_script(body, *given)

    def _press(self, key: str) -> None:
        keyboard = KeyInput("the keyboard")
        keyboard.create_key_down(key)
        keyboard.create_key_up(key)
        self._perform(keyboard)

    def _point(self, x: int, y: int, press: bool) -> None:
        mouse = PointerInput("mouse", "the mouse")
        mouse.create_pointer_move(duration=0, x=x, y=y, origin="viewport")
        if press:
            mouse.create_pointer_down(button=0)
            mouse.create_pointer_up(button=0)
        self._perform(mouse)

    def _perform(self, device: KeyInput | PointerInput) -> None:
        builder = ActionBuilder(self._client)
        builder.devices = [device]
        builder.perform()

    def _resize(self, width: int, height: int) -> None:
        self._client.set_window_rect(0, 0, width, height)

    def _screenshot(self) -> bytes:
        return self._client.get_screenshot_as_png()

    def _leave(self) -> None:
        self._connection.close()


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
