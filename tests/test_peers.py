"""The comparison with peers: what is measured of a page, what becomes of a limit, and what the README shows."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from pathlib import Path

import peer_limits
import pytest
from peer_list import PEERS
from peer_table import BEGIN, END, LENGTHS, make_block, make_results, middle, put_block

ROOT = Path(__file__).parent.parent
BROWSER = ROOT / "benchmarks" / "peer_browser.py"
FOUND = {
    ("reportgen", 21): {"bytes": [830_000], "blank": [False], "ready": [0.5, 0.6, 0.4], "switch": [0.0314]},
    ("reportgen", 256): {"bytes": [7_190_000], "blank": [False], "ready": [0.61], "switch": [0.05]},
    ("bertviz_model", 21): {"bytes": [1_580_000], "blank": [True], "ready": [1.34], "switch": [0.143]},
    ("bertviz_model", 256): {"bytes": [216_000_000], "blank": [True], "ready": ["over 60 s"]},
    ("altair_notebook", 21): {"bytes": [10_600_000], "blank": [True], "ready": [3.84]},
    ("altair_notebook", 256): {"seconds": ["over 60 s"]},
}
PAGE = """<!DOCTYPE html><select id="layer">{options}</select><svg id="attention"></svg>
{script}<script>
const draw = () => document.querySelector("#attention").replaceChildren(
  document.createElementNS("http://www.w3.org/2000/svg", "line"));
document.querySelector("#layer").addEventListener("change", draw);
{draw}
</script>"""


def block_of(text: str) -> str:
    """Return what stands between the marks, these included."""
    (block,) = re.findall(f"{BEGIN}.*?{END}", text, re.DOTALL)
    return block


def rows_of(block: str) -> dict[str, list[str]]:
    """Return the cells of a table by those of its first column."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if line[:1] == "|"]
    return {name: cells for name, *cells in rows}


def test_readme_shows_what_was_found() -> None:
    block = block_of((ROOT / "README.md").read_text("utf-8"))
    assert block == block_of((ROOT / "benchmarks" / "results" / "peers.md").read_text("utf-8"))
    assert len(rows_of(block)) == len(PEERS) + 2
    assert re.search(r"\d{4}-\d\d-\d\d; Chromium \d+", block)


def test_block_says_size_wait_and_limits() -> None:
    block = make_block(FOUND, "Chromium 1, 2 cores", today=datetime.date(2026, 1, 2))
    assert rows_of(block)["**reportgen**"] == ["yes", "0.8", "0.50 s", "31 ms", "7.2", "0.61 s", "50 ms"]
    assert rows_of(block)["BertViz, model view"] == ["blank", "1.6", "1.3 s", "0.14 s", "216", "over 60 s", "–"]
    assert rows_of(block)["Altair, as in notebooks"] == [
        "blank",
        "11",
        "3.8 s",
        "all at once",
        "not made: over 60 s",
        "–",
        "–",
    ]
    assert "2026-01-02; Chromium 1, 2 cores." in block


def test_results_hold_the_block_and_every_page_that_was_measured() -> None:
    block = make_block(FOUND, "Chromium 1, 2 cores")
    results = make_results(FOUND, block, (60, 8), {"bertviz": "1.4.1"})
    assert block_of(results) == block
    assert "**BertViz, model view**, bertviz 1.4.1: " in results
    assert [results.count(f"### {length} tokens") for length in LENGTHS] == [1, 1]
    assert "Inspectus" not in rows_of(results)


def test_block_is_put_between_its_marks() -> None:
    assert put_block(f"a\n{BEGIN}\nold\n{END}\nb", rf"{BEGIN}\1{END}") == f"a\n{BEGIN}\\1{END}\nb"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([], None), ([3.0, 1, 2.0], 2.0), ([1.0, "over 60 s"], 1.0), ([1.0, "over 60 s", "over 60 s"], "over 60 s")],
)
def test_middle(values: list[float | str], wanted: float | str | None) -> None:
    assert middle(values) == wanted


def run_python(program: str) -> tuple[list[dict[str, object]], str]:
    return peer_limits.run_limited(sys.executable, "-c", f"import json, time\n{program}")


@pytest.mark.system
def test_process_within_its_limits_says_all() -> None:
    assert run_python("print('{\"a\": 1}')\nprint('{\"b\": null}')") == ([{"a": 1}, {"b": None}], "")


@pytest.mark.system
def test_process_that_takes_too_long_is_ended_and_what_it_said_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_limits, "SECONDS", 1)
    assert run_python("print('{\"a\": 1}', flush=True)\ntime.sleep(100)") == ([{"a": 1}], "over 1 s")


@pytest.mark.system
def test_children_count_and_end_with_a_process_that_holds_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_limits, "GIGABYTES", 0.2)
    child = "import time; held = b'1' * 300_000_000; time.sleep(100)"
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    assert run_python(program) == ([], "over 0.2 GB")


@pytest.mark.system
def test_process_that_fails_is_no_figure() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_python("raise SystemExit(3)")


def open_page(folder: Path, script: str = "", draw: str = "draw();") -> dict[str, float]:
    """Return what is found of a page that is ready and chosen from as BertViz' head view is."""
    options = "".join(f"<option>{layer}</option>" for layer in range(30))
    page = folder / "page.html"
    page.write_text(PAGE.format(options=options, script=script, draw=draw), "utf-8")
    (folder / "requirejs").mkdir()
    (folder / "requirejs" / "require.js").write_text("globalThis.given = true;", "utf-8")
    command = [sys.executable, str(BROWSER), "bertviz_head", str(page), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return {name: value for line in done.stdout.splitlines() for name, value in json.loads(line).items()}


@pytest.mark.browser
def test_page_that_is_complete(tmp_path: Path) -> None:
    figures = open_page(tmp_path)
    assert (figures["blank"], figures["requests"]) == (False, 0)
    assert figures["ready"] > 0
    assert figures["switch"] > 0


@pytest.mark.browser
def test_page_that_is_blank_offline_is_given_what_it_asks_for(tmp_path: Path) -> None:
    script = '<script src="https://scripts.example/require.js/2.3.6/require.min.js"></script>'
    figures = open_page(tmp_path, script, "if (globalThis.given) draw();")
    assert (figures["blank"], figures["requests"]) == (True, 1)
    assert figures["switch"] > 0


@pytest.mark.browser
def test_what_shows_late_is_measured_late(tmp_path: Path) -> None:
    figures = open_page(tmp_path, draw="setTimeout(draw, 700);")
    assert figures["ready"] > 0.7
