"""How this program's page compares with its peers', of the same weights: size, cost, and what a reader waits for.

    python benchmarks/peers.py [--runs N] [--only NAME]... [--quick]

The peers are installed into an environment of their own in benchmarks/.cache, once; Chromium and npm must be there.
Every page is made in a process of its own, by benchmarks/peers/with_NAME.py, and opened without a network; turn and
turn about, medians over the runs. All of it takes a quarter of an hour. The table goes to benchmarks/results/peers.md,
its summary to the README too. Linux alone: memory is read from /proc.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from peer_limits import CACHE, FOLDER, GIGABYTES, REQUIREMENTS, SECONDS, run_limited, set_up_peers
from peer_list import PEERS, Peer
from peer_table import LENGTHS, make_block, make_results, put_block

from reportgen import Prompt, __version__, capture, load_model

TEXT = "The cat ate the mat. And then sat on a rat. But what he wanted was a hat. "
RESULTS, README = FOLDER / "results" / "peers.md", FOLDER.parent / "README.md"
LONG = 30
"""Seconds from which on a page is measured once: little else on the machine shows in it."""
ENOUGH = 15 * 60
"""Seconds after which nothing is measured again."""


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--only", multiple=True, type=click.Choice([peer.name for peer in PEERS]), help="Nothing is written then."
)
@click.option("--quick", is_flag=True, help="This program's own page of the shorter text alone; nothing is installed.")
def main(runs: int, only: tuple[str, ...], quick: bool) -> None:
    """Measure, print a table and write it."""
    names = ("reportgen",) if quick else only
    peers = [peer for peer in PEERS if not names or peer.name in names]
    python = Path(sys.executable) if quick else set_up_peers()
    lengths = LENGTHS[:1] if quick else LENGTHS
    CACHE.mkdir(exist_ok=True)
    for length in lengths:
        write_weights(length)
    found = compare(peers, lengths, runs, python)
    block = make_block(found, describe_setting(runs))
    results = make_results(found, block, (SECONDS, GIGABYTES), read_versions())
    click.echo(results)
    if not names:
        RESULTS.write_text(results, "utf-8")
        README.write_text(put_block(README.read_text("utf-8"), block), "utf-8")


def write_weights(length: int) -> None:
    """Capture a text of so many tokens; write it for this program's page, and its weights and tokens for the peers."""
    model = load_model("smollm2-135m", device="cpu")
    text = model.tokenizer.decode(model.tokenizer(TEXT * 30)["input_ids"][:length])
    captured = capture(model, Prompt(text=str(text), max_new_tokens=0))
    patterns = [[captured.pattern(layer=layer, head=head) for head in captured.heads] for layer in captured.layers]
    tokens = [token.text for token in captured.tokens]
    np.savez(CACHE / f"{length}.npz", attention=np.array(patterns, np.float32), tokens=tokens)
    (CACHE / f"{length}.pickle").write_bytes(pickle.dumps(captured))


def compare(
    peers: list[Peer], lengths: tuple[int, ...], runs: int, python: Path
) -> dict[tuple[str, int], dict[str, list[float | str]]]:
    """Return every figure of every run."""
    found = defaultdict(lambda: defaultdict[str, list[float | str]](list))
    begun, long = time.monotonic(), set()
    for run in range(runs):
        for length in lengths:
            for peer in peers:
                start = time.monotonic()
                if run and ((peer.name, length) in long or start > begun + ENOUGH):
                    continue
                for name, value in measure(peer, length, python).items():
                    found[peer.name, length][name].append(value)
                if time.monotonic() - start > LONG:
                    long.add((peer.name, length))
                click.echo(f"{peer.title}, {length} tokens: {time.monotonic() - start:.0f} s", err=True)
    return {key: dict(figures) for key, figures in found.items()}


def measure(peer: Peer, length: int, python: Path) -> dict[str, float | str]:
    """Make a page and open it; a limit that is passed stands in the place of the figure that it forbids."""
    page = CACHE / f"{peer.name}-{length}.html"
    page.unlink(missing_ok=True)
    own = sys.executable if peer.name == "reportgen" else python
    lines, over = run_limited(own, FOLDER / "peers" / "make.py", peer.name, CACHE / f"{length}.npz", page)
    if over:
        return {"seconds": over}
    figures: dict[str, float | str] = {**lines[0], "bytes": page.stat().st_size}
    arguments = (peer.name, page, CACHE / "node_modules")
    lines, over = run_limited(sys.executable, FOLDER / "peer_browser.py", *arguments)
    for line in lines:
        figures |= line
    if over:
        figures.setdefault("switch" if "ready" in figures else "ready", over)
    page.unlink()
    return figures


def describe_setting(runs: int) -> str:
    """Return browser and machine in words."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
    said = subprocess.run([chromium, "--version"], check=True, capture_output=True, text=True).stdout
    return f"Chromium {said.split()[1]}, {os.cpu_count()} cores, medians of up to {runs} runs"


def read_versions() -> dict[str, str]:
    """Return the version of each package that makes a page."""
    pins = [line.partition("==") for line in REQUIREMENTS.read_text("utf-8").splitlines() if "==" in line]
    return {name: version for name, _, version in pins} | {"reportgen": __version__}


if __name__ == "__main__":
    main()
