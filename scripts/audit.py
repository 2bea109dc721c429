"""Whether what is installed is what was pinned: versions against the lock, files against their packages' own hashes.

Needs no network, so it says nothing of vulnerabilities; the workflow asks a database for those.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_UNPINNED = ("cuda-", "nvidia-", "triton")
"""What CUDA builds of torch bring along."""
_OURS_AND_PIP = {"attention-reportgen", "pip"}


def read_pins(path: Path) -> dict[str, str]:
    """Return the versions that a lock or a file of constraints pins, by normalised name."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text("utf-8"), re.MULTILINE)
    return {normalise(name): version for name, version in pins}


def normalise(name: str) -> str:
    """Return a package's name as all its spellings are written alike."""
    return re.sub(r"[-_.]+", "-", name).lower()


def audit(installed: Iterator[Distribution], locked: dict[str, str], constrained: dict[str, str]) -> Iterator[str]:
    """Yield what differs from the pins, and files that are not those of their package.

    Args:
        installed: the packages of an environment.
        locked: pinned with hashes, by name.
        constrained: pinned by version alone, by name.
    """
    for package in installed:
        name = normalise(package.metadata["Name"])
        if name in _OURS_AND_PIP or name.startswith(_UNPINNED):
            continue
        pinned = locked.get(name, constrained.get(name))
        if pinned is None:
            yield f"{name} {package.version}: is pinned nowhere; run make lock, or make clean"
        elif package.version.partition("+")[0] != pinned:
            yield f"{name} {package.version}: {pinned} is pinned; run make clean"
        yield from check_files(name, package)


def check_files(name: str, package: Distribution) -> Iterator[str]:
    """Yield the files of a package that are missing or not those that were installed."""
    for file in package.files or ():
        if file.hash is None or file.hash.mode != "sha256":
            continue
        path = Path(str(file.locate()))
        if not path.is_file():
            yield f"{name}: {file} is missing; run make clean"
            continue
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
        if base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=") != file.hash.value:
            yield f"{name}: {file} was changed after it was installed; run make clean"


def main() -> None:
    """Print what is wrong; fail if anything is."""
    locked, constrained = (read_pins(Path(path)) for path in sys.argv[1:3])
    found = list(audit(iter(distributions()), locked, constrained))
    print("\n".join(found) or f"{len(list(distributions()))} packages are what was pinned")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
