"""Make one peer's page in a process of its own, with the Python of the environment that has the peer.

    python make.py NAME TENSORS PAGE

imports ``with_NAME`` beside this file, reads attention ``[layer, head, query_pos, key_pos]`` as float32 and token texts
from TENSORS, and writes PAGE. It prints JSON: seconds from the weights in memory to the page on the disk, and the most
memory that the process held, in bytes, before and in all.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path


def main(name: str, tensors: str, page: str) -> None:
    """Make the page and print what it cost."""
    peer = import_module(f"with_{name}")
    given = peer.load(Path(tensors))
    before = read_peak()
    start = time.perf_counter()
    Path(page).write_text(peer.make(*given), "utf-8")
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "before": before, "peak": read_peak()}))


def read_peak() -> int:
    """Return the most bytes that this process has held; ``getrusage`` would count those of its parent too."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
