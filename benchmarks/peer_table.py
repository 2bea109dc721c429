"""What was measured as Markdown: the file of results, and the block of it that stands in the README."""

from __future__ import annotations

import datetime
import re
import statistics
from collections.abc import Mapping, Sequence

from peer_list import PEERS, Peer

LENGTHS = (21, 256)
"""Tokens of the text; what is compared of one length is compared of the same weights."""
BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"
Found = Mapping[tuple[str, int], Mapping[str, Sequence[float | str]]]
"""By name and length, and by figure: one value for each run, or what limit it passed."""

HEAD = """# Pages of attention, side by side

Made by `python benchmarks/peers.py`, which installs the peers, makes every page and opens it in headless Chromium.

{block}

## In full

*Build* is from the weights in memory to the page on the disk, in a process of its own after its imports. *Memory* is
the most that this process held, and in brackets how much of it came after imports and weights. *Requests* were all
refused; a page that stayed blank without them was opened again and given the scripts that it asks for, from this
machine, so that its times are those of a reader whose network takes no time. *Ready* is until the end of the first
frame with a heatmap, or what stands for it; *switch* from the event of a choice to the end of the first that shows
another picture, the median of six choices, or of fewer where they take long. Each step may take {seconds} s and
{gigabytes} GB; what takes more than half a minute in all is run once.
"""
TAIL = """
## What each page is

{modes}

Weights that go into a page as decimal text (BertViz, CircuitsVis, Altair at its best) were rounded to 4 digits first,
which makes such pages two to four times smaller. Inspectus and Bokeh keep float32, reportgen 8 bits of the square root.
Its page alone holds more than weights; its capture was made before, with all evidence, as the peers' weights were.

Left out, for want of a page of these weights: TransformerLens draws nothing itself, and its tutorials use CircuitsVis;
Inseq shows the attributions of a model that it runs itself, and takes no weights; HeadVis is not in the package index.
"""


def make_block(found: Found, setting: str, *, today: datetime.date | None = None) -> str:
    """Return what the README shows: size, and what a reader waits for.

    Args:
        found: what was measured.
        setting: browser and machine, in words.
        today: the day to name; the present one if None.
    """
    columns = "".join(f"| {length} tokens: MB | ready | switch " for length in LENGTHS)
    rows = [f"| page | offline {columns}|", "|---|---|" + "---|" * 3 * len(LENGTHS)]
    for peer in _list_measured(found):
        cells = [_bold(peer, peer.title), _say_offline(found.get((peer.name, LENGTHS[0]), {}))]
        for length in LENGTHS:
            figures = found.get((peer.name, length), {})
            cells += [_say_size(figures), _seconds(middle(figures.get("ready", ())))]
            cells.append(_say_switch(peer, figures))
        rows.append("| " + " | ".join(cells) + " |")
    day = (today or datetime.datetime.now(datetime.UTC).date()).isoformat()
    note = f"The same weights of SmolLM2-135M's 30 × 9 heads, {day}; {setting}."
    return "\n".join([BEGIN, *rows, "", note, END])


def make_results(found: Found, block: str, limits: tuple[int, int], versions: Mapping[str, str]) -> str:
    """Return the whole file of results."""
    text = HEAD.format(block=block, seconds=limits[0], gigabytes=limits[1])
    for length in LENGTHS:
        if all(at != length for _, at in found):
            continue
        text += f"\n### {length} tokens\n\n| page | runs | MB | build | memory, GB | requests | ready | switch |\n"
        text += "|---|---|---|---|---|---|---|---|\n"
        for peer in _list_measured(found):
            figures = found.get((peer.name, length), {})
            runs = max((len(values) for values in figures.values()), default=0)
            requests = middle(figures.get("requests", ()))
            cells = [
                peer.title, str(runs), _say_size(figures),
                _seconds(middle(figures.get("seconds", ()))), _memory(figures),
                _count(requests),
                _seconds(middle(figures.get("ready", ()))), _say_switch(peer, figures),
            ]  # fmt: skip
            text += "| " + " | ".join(cells) + " |\n"
    modes = [_say_mode(peer, versions.get(peer.package, "")) for peer in _list_measured(found)]
    return text + TAIL.format(modes="\n".join(modes))


def put_block(text: str, block: str) -> str:
    """Return a text with its marked block replaced."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.DOTALL)


def middle(values: Sequence[float | str]) -> float | str | None:
    """Return the median, or the limit that most runs passed; None of nothing."""
    passed = [value for value in values if isinstance(value, str)]
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if len(passed) > len(numbers):
        return passed[0]
    return statistics.median(numbers) if numbers else None


def _list_measured(found: Found) -> list[Peer]:
    measured = {name for name, _ in found}
    return [peer for peer in PEERS if peer.name in measured]


def _bold(peer: Peer, text: str) -> str:
    return f"**{text}**" if peer.name == "reportgen" else text


def _say_mode(peer: Peer, version: str) -> str:
    choice = f"; switch: {peer.choice}" if peer.choice else "; nothing to switch, all is drawn at once"
    return f"- **{peer.title}**, {peer.package} {version}: {peer.mode}{choice}."


def _say_offline(figures: Mapping[str, Sequence[float | str]]) -> str:
    blank = middle(figures.get("blank", ()))
    return "–" if blank is None else "blank" if blank else "yes"


def _say_switch(peer: Peer, figures: Mapping[str, Sequence[float | str]]) -> str:
    all_at_once = not peer.choose and isinstance(middle(figures.get("ready", ())), float)
    return "all at once" if all_at_once else _seconds(middle(figures.get("switch", ())))


def _count(value: float | str | None) -> str:
    return _say_limit(value) if value is None or isinstance(value, str) else f"{value:.0f}"


def _say_limit(value: str | None) -> str:
    return "–" if value is None else value


def _say_size(figures: Mapping[str, Sequence[float | str]]) -> str:
    value = middle(figures.get("bytes", ()))
    if value is None or isinstance(value, str):
        limit = middle(figures.get("seconds", ()))
        return f"not made: {limit}" if isinstance(limit, str) else "–"
    return f"{value / 1e6:.1f}" if value < 10e6 else f"{value / 1e6:.0f}"


def _seconds(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return _say_limit(value)
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def _memory(figures: Mapping[str, Sequence[float | str]]) -> str:
    peak, before = middle(figures.get("peak", ())), middle(figures.get("before", ()))
    if not isinstance(peak, float) or not isinstance(before, float):
        return str(peak or "–")
    return f"{peak / 1e9:.2f} ({(peak - before) / 1e9:.2f})"
