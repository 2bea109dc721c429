"""A page below a cell, in a browser and in a file."""

from __future__ import annotations

import sys
import webbrowser
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from html_tree import parse_html
from samples import HOSTILE, make_capture

from reportgen import PageOptions
from reportgen.notebook.capture import Capture, take_over
from reportgen.pages.page import draw_page
from reportgen.records.errors import OptionError, SiteError


def make_run(**what: object) -> Capture:
    return take_over(make_capture(**what))  # pyright: ignore[reportArgumentType]


def test_frame_holds_the_very_page_and_may_do_little(tmp_path: Path) -> None:
    run = make_run()
    (frame,) = parse_html(run._repr_html_()).find("iframe")
    page = frame.attributes["srcdoc"]
    assert page == run.to_html(tmp_path).read_text("utf-8") == draw_page(run, has_index=False).html
    assert [link for link in parse_html(page).find("a") if link.attributes["href"] == "index.html"] == []
    assert "height: 800px" in frame.attributes["style"]
    assert "allow-scripts" in frame.attributes["sandbox"]
    assert "allow-same-origin" not in frame.attributes["sandbox"]
    assert "allow-top-navigation" not in frame.attributes["sandbox"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_the_frame(text: str) -> None:
    shown = take_over(make_capture(HOSTILE, title=text))._repr_html_()
    root = parse_html(shown)
    assert [child.tag for child in root.children if not isinstance(child, str)] == ["iframe"]
    assert unescape(text) in unescape(root.find("iframe")[0].attributes["title"])


def test_page_is_written_where_it_is_told(tmp_path: Path) -> None:
    run = make_run()
    assert run.to_html(tmp_path) == tmp_path / "cat.html"
    assert run.to_html(str(tmp_path / "a" / "b.html")) == tmp_path / "a" / "b.html"
    assert (tmp_path / "cat.html").read_bytes() == (tmp_path / "a" / "b.html").read_bytes()
    fine = run.to_html(tmp_path / "fine.html", PageOptions(precision=16)).read_text("utf-8")
    assert "16 bits" in fine
    assert "16 bits" not in (tmp_path / "cat.html").read_text("utf-8")
    with pytest.raises(SiteError, match=r"cat\.html: cannot be created, "):
        run.to_html(tmp_path / "cat.html" / "b.html")


def test_show_opens_a_browser_where_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    run = make_run()
    run.show()
    (address,) = opened
    path = Path(address.removeprefix("file://"))
    assert path.read_text("utf-8") == draw_page(run, has_index=False).html
    path.unlink()
    path.parent.rmdir()


def test_show_has_a_height_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    display = SimpleNamespace(display=lambda data, raw: shown.append(data) if raw else None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    make_run().show(height=500)
    assert "height: 500px" in shown[0]["text/html"]
    assert shown[0]["text/plain"] == repr(make_run())


@pytest.mark.parametrize("height", ["tall", 0, -1, 1.5, True, '1px" onload="x'])
def test_height_is_a_number(height: object) -> None:
    with pytest.raises(OptionError, match="height: must be a number of CSS pixels, got .+; give one such as 800"):
        make_run().show(height=height)  # pyright: ignore[reportArgumentType]
