"""Files that reportgen did not write: never overwritten, never removed, never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from samples import make_capture, make_whole

from reportgen.pages.artifacts import render_artifacts
from reportgen.pages.assets import BOKEH_FILE
from reportgen.pages.data_tables import TABLE_NAMES, encode_tables, is_table
from reportgen.pages.options import PageOptions
from reportgen.records import EXPORT_FORMATS
from reportgen.records.errors import InTheWay
from reportgen.site.site import Site

ALL = PageOptions(export_data="csv", keep_captures=True, shared_assets=True, site_url="https://ada.example/heads/")
NAMES = (
    "cat.html", "index.html", "heads.html", "report.json", "sitemap.xml", "captures/cat.safetensors",
    "data/cat/tokens.csv", "data/cat/heads.csv", "data/cat/attribution.csv", "previews/cat.png", BOKEH_FILE,
)  # fmt: skip
MINE = "layer,head,mine\n0,1,keep this\n"


def put(path: Path, kind: str) -> None:
    """Put something that reportgen did not write in the place of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "file":
            path.write_text(MINE, "utf-8")
        case "empty":
            path.touch()
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()


def describe(path: Path) -> tuple[int, ...]:
    """Return what changes with a file, but for the time when it was read."""
    stat = path.lstat()
    return stat.st_mode, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["file", "empty", "pipe", "folder"])
def test_they_are_told_before_any_work_and_left_alone(tmp_path: Path, name: str, kind: str) -> None:
    put(tmp_path / name, kind)
    before = describe(tmp_path / name)
    with pytest.raises(InTheWay) as told:
        Site(tmp_path).open(["cat"], ALL)
    assert str(told.value) == (
        f"{tmp_path / name}: exists and was not written by reportgen; move it or choose another --results"
    )
    assert describe(tmp_path / name) == before


@pytest.mark.parametrize("name", ["cat.html", "captures/cat.safetensors", "data/cat/tokens.csv", "previews/cat.png"])
def test_those_that_come_during_a_run_are_left_alone(tmp_path: Path, name: str) -> None:
    artifacts = render_artifacts(make_capture(slug="cat"), ALL)
    site = Site(tmp_path).open(["cat"], ALL)
    put(tmp_path / name, "file")
    with pytest.raises(InTheWay, match="exists and was not written by reportgen"):
        site.write("cat", artifacts)
    assert (tmp_path / name).read_text("utf-8") == MINE


@pytest.mark.parametrize("name", ["data", "data/cat", "captures", "previews"])
def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, "file")
    with pytest.raises(InTheWay, match=f"{name}: exists and was not written by reportgen"):
        Site(tmp_path).open(["cat"], ALL)


@pytest.mark.parametrize("kind", ["file", "pipe", "folder"])
def test_the_file_for_jekyll_may_be_anything(tmp_path: Path, kind: str) -> None:
    put(tmp_path / ".nojekyll", kind)
    before = (tmp_path / ".nojekyll").lstat()
    Site(tmp_path).open()
    assert (tmp_path / ".nojekyll").lstat() == before


@pytest.mark.parametrize("kind", EXPORT_FORMATS)
def test_our_own_files_are_written_anew_and_removed(tmp_path: Path, kind: str) -> None:
    options = PageOptions(export_data=kind, keep_captures=True, shared_assets=True, site_url=ALL.site_url)
    artifacts = render_artifacts(make_capture(slug="cat"), options)
    for _ in range(2):
        site = Site(tmp_path).open(["cat"], options)
        site.write("cat", artifacts)
    own = tmp_path / "data" / "cat" / "notes.txt"
    own.write_text(MINE, "utf-8")
    assert site.prune(["cat"]) == [tmp_path / "cat.html"]
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".nojekyll", BOKEH_FILE, "data/cat/notes.txt"}


def test_pruning_keeps_files_that_have_the_names_of_ours(tmp_path: Path) -> None:
    site = Site(tmp_path).open(["cat"])
    site.write("cat", render_artifacts(make_capture(slug="cat"), PageOptions()))
    names = ("captures/cat.safetensors", "data/cat/tokens.csv", "data/cat/heads.parquet", "previews/cat.png")
    for name in names:
        put(tmp_path / name, "file")
    site.prune(["cat"])
    assert [(tmp_path / name).read_text("utf-8") for name in names] == [MINE] * len(names)


@pytest.mark.parametrize("kind", EXPORT_FORMATS)
def test_tables_are_known_by_what_is_in_them(tmp_path: Path, kind: str) -> None:
    written = encode_tables(make_whole(), kind)
    assert {Path(name).stem for name in written} == set(TABLE_NAMES)
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
        assert is_table(tmp_path / name)
        (tmp_path / name).write_bytes(b"PAR1" if kind == "parquet" else b"token,score\na,1\n")
        assert not is_table(tmp_path / name)
        (tmp_path / name).write_bytes(b'\0\xff"' * 1000)
        assert not is_table(tmp_path / name)
