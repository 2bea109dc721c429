"""Firefox through Marionette, its own remote protocol.

Debian's Firefox comes without geckodriver, and Playwright drives a patched Firefox alone.
"""

from __future__ import annotations

import base64
import json
import os
import warnings
from pathlib import Path
from typing import Any

from engines.driver import START_SECONDS, Driver, find_program

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # telnetlib, and distro's old names
    from marionette_driver.errors import ScriptTimeoutException, TimeoutException
    from marionette_driver.geckoinstance import DesktopInstance
    from marionette_driver.marionette import ActionSequence, Marionette


class Firefox(Driver):
    name = "firefox"
    timeouts = (ScriptTimeoutException, TimeoutException, OSError)

    def _start(self, folder: Path) -> None:
        profile = folder / "profile"
        profile.mkdir()
        prefs = {**DesktopInstance.required_prefs, **DesktopInstance.desktop_prefs, "marionette.port": 0}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in prefs.items()]
        (profile / "user.js").write_text("\n".join(lines), "utf-8")
        program = find_program(os.environ.get("FIREFOX", ""), "firefox-esr", "firefox")
        env = {"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"}
        self.processes.start([program, "--headless", "--marionette", "--no-remote", "--profile", str(profile)], env)
        port_file = profile / "MarionetteActivePort"
        port = self.processes.wait_for(lambda: port_file.exists() and port_file.read_text(), "Firefox's port")
        self._client: Any = Marionette(port=int(port), socket_timeout=START_SECONDS)
        self._client.raise_for_port(timeout=START_SECONDS)
        self._client.start_session()

    def set_limit(self, seconds: int) -> None:
        self.limit = seconds
        self._client.timeout.script = self._client.timeout.page_load = seconds
        # Later than its own limits, which come with a reason.
        self._client.client.socket_timeout = seconds + 1

    def print(self) -> bytes:
        """Return the page as it is printed, as a PDF."""
        return self._ask(
            "printing", lambda: base64.b64decode(self._client._send_message("WebDriver:Print", {}, key="value"))
        )

    def _go(self, address: str) -> None:
        self._client.navigate(address)

    def _run(self, body: str, given: tuple[Any, ...]) -> dict[str, Any]:
        # Without a name for its sandbox a script sees the page's own objects.
        return self._client.execute_async_script(body, given, sandbox=None)

    def _press(self, key: str) -> None:
        self._sequence("key").key_down(key).key_up(key).perform()

    def _point(self, x: int, y: int, press: bool) -> None:
        sequence = self._sequence("pointer", {"pointerType": "mouse"}).pointer_move(x, y)
        (sequence.pointer_down().pointer_up() if press else sequence).perform()

    def _sequence(self, kind: str, parameters: dict[str, str] | None = None) -> ActionSequence:
        return self._client.actions.sequence(kind, f"the {kind}", parameters)

    def _resize(self, width: int, height: int) -> None:
        self._client.set_window_rect(width=width, height=height)

    def _screenshot(self) -> bytes:
        return self._client.screenshot(format="binary", full=False)

    def _leave(self) -> None:
        self._client.cleanup_ran = True  # nothing is asked of the browser any more
        if self._client.client:
            self._client.client.close()
