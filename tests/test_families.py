"""The table of families in the documents is what the script makes today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_documented_table_is_the_measured_one() -> None:
    spec = importlib.util.spec_from_file_location("families_script", ROOT / "scripts" / "families.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / "docs" / "families.md").read_text("utf-8") == script.make_page()
