"""Take a model from the hub's cache alone once the hub did not answer.

Without this, the hub's client asks for each file of a model again, several times, and says nothing for minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from reportgen.records.errors import ModelError, ModelNotFound

_TIMEOUT = 10
"""Seconds to wait for the hub's first answer."""
_SAID: set[str] = set()
_SILENT: set[str] = set()
"""Cached repositories for which the hub did not answer in this process."""
_cut_off = False


def say_once(line: str) -> None:
    """Print a line to standard error, unless this process printed it before."""
    if line not in _SAID:
        _SAID.add(line)
        print(f"reportgen: {line}", file=sys.stderr)


def is_forbidden() -> bool:
    """Return whether the user's settings, not a hub that does not answer, forbid using the hub."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode() and not _cut_off


@contextmanager
def cache_if_silent(repo: str, revision: str | None, file: str, subject: str) -> Iterator[None]:
    """Run a block that loads from a hub repository; if the hub does not answer, the block uses the cache alone.

    Args:
        repo: the repository.
        revision: its branch, tag or commit; ``None`` for its default.
        file: a file that the block needs.
        subject: start of a message, as from ``name_subject``.

    Raises:
        ModelNotFound: the hub does not answer, and the file is not in the cache.
        ModelError: the address of the hub, or that of a proxy, cannot be used.
    """
    from huggingface_hub import constants, is_offline_mode, try_to_load_from_cache

    global _cut_off
    cached = isinstance(try_to_load_from_cache(repo, file, revision=revision), str)
    if is_offline_mode() or (not (cached and repo in _SILENT) and _answers(repo, revision, file, subject)):
        yield
        return
    if not cached:
        raise ModelNotFound(
            f"{subject}: not in the hub's cache on this machine, and the hub cannot be reached; check the connection, "
            "or name a local folder"
        )
    _SILENT.add(repo)
    say_once(f"{subject}: the hub does not answer; it is taken from the cache on this machine")
    constants.HF_HUB_OFFLINE, _cut_off = True, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, _cut_off = False, False


def _answers(repo: str, revision: str | None, file: str, subject: str) -> bool:
    """Return whether the hub answers a request for a file, also with a refusal."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    if not constants.ENDPOINT.startswith(("http://", "https://")):
        raise ModelError(
            f"{subject}: HF_ENDPOINT is {constants.ENDPOINT!r}, which is no address; write it with https:// or http://"
        )
    try:
        get_hf_file_metadata(hf_hub_url(repo, file, revision=revision), timeout=_TIMEOUT)
    except HfHubHTTPError as error:
        return error.response is None or error.response.status_code < 500
    except (ValueError, ImportError) as error:
        # The client is made at the first request, with the proxies that the environment names.
        if "proxy" not in str(error).lower():
            return True
        raise ModelError(
            f"{subject}: the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used: {error}; write "
            "http://host:port there, or unset it"
        ) from error
    except Exception:  # the error's class belongs to the hub's HTTP library
        return False
    return True
