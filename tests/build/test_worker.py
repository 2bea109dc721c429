"""Of a worker, what a run does not show: when it makes what all pages share."""

from __future__ import annotations

import threading

import pytest

from reportgen.build.engines import worker
from reportgen.build.options import CaptureOptions, NullProgress
from reportgen.pages.options import PageOptions


def test_what_pages_share_is_made_beside_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is loaded after the worker is there, and does not wait for it."""
    asked: list[PageOptions] = []
    may_go_on, is_done = threading.Event(), threading.Event()

    def warm_up(options: PageOptions) -> None:
        may_go_on.wait(20)
        asked.append(options)
        is_done.set()

    monkeypatch.setattr(worker, "warm_up", warm_up)
    drawing = PageOptions(shared_assets=True)
    worker.Worker(CaptureOptions(), drawing, NullProgress(), "cpu")
    assert not asked
    may_go_on.set()
    assert is_done.wait(20)
    assert asked == [drawing]
