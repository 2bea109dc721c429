"""Pages from captures on disk: the very bytes that the run wrote, in a process that has no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from html_tree import parse_html
from samples import make_capture

from reportgen.build.build import build_site
from reportgen.build.options import BuildOptions
from reportgen.build.rerender import find_captures, render_site
from reportgen.captures.record import Capture
from reportgen.cli.main import main
from reportgen.models.model import LoadedModel
from reportgen.pages.options import PageOptions
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records import SourceLocation
from reportgen.records.errors import CaptureFileError, PromptFileError, SiteError
from reportgen.site.lock import LOCK_FILE
from reportgen.site.site import Site

WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "transformers", "peft", "tokenizers", "huggingface_hub")))
from reportgen.cli.main import main
main(sys.argv[1:])
"""


def files_in(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder by name, captures, lock and what the report says of the run aside."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "captures" not in path.parts)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.name != LOCK_FILE}
    report = json.loads(files.pop("report.json"))
    outcomes = [{**one, "run": None} for one in report["prompts"]]
    return {**files, "report.json": json.dumps({**report, "prompts": outcomes, "run": None, "options": None}).encode()}


@pytest.fixture
def built(tiny_llama: LoadedModel, tmp_path: Path) -> Path:
    """Return a site of three prompts whose order is not that of their names, with captures."""
    path = tmp_path / "prompts.yaml"
    path.write_text(
        "defaults: {max_new_tokens: 2}\nprompts:\n- {text: The cat, slug: z}\n- {text: a dog, slug: b, note: n}\n"
        "- {text: it, slug: a, tags: [t]}\n"
    )
    options = BuildOptions(model=tiny_llama, keep_captures=True, export_data="csv")
    build_site(load_prompts(path), tmp_path / "site", options)
    return tmp_path / "site"


def test_a_run_keeps_one_capture_for_each_page_and_only_if_asked(tiny_llama: LoadedModel, built: Path) -> None:
    names = sorted(path.name for path in (built / "captures").iterdir())
    assert names == ["a.safetensors", "b.safetensors", "z.safetensors"]
    other = built.parent / "other"
    build_site(load_prompts(built.parent / "prompts.yaml"), other, BuildOptions(model=tiny_llama))
    assert not (other / "captures").exists()


@pytest.mark.system
def test_rendered_elsewhere_without_torch_the_site_is_the_same(built: Path) -> None:
    again = built.parent / "again"
    command = [sys.executable, "-c", WITHOUT_TORCH, "render", str(built), "-o", str(again), "--export-data", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert files_in(again) == files_in(built)
    assert done.stdout.split() == [str(again / name) for name in ("z.html", "b.html", "a.html", "index.html")]


def test_rendered_in_place_the_site_is_the_same(built: Path) -> None:
    before = files_in(built)
    page = built / "b.html"
    page.write_bytes(page.read_bytes().replace(b"<h1", b"<h1 hidden"))
    render_site([built / "captures"], built, PageOptions(export_data="csv"))
    assert files_in(built) == before


def test_some_files_leave_the_other_pages_in_the_index(built: Path) -> None:
    before = files_in(built)
    render_site([built / "captures" / "b.safetensors"], built, PageOptions(export_data="csv"))
    assert files_in(built) == before


def test_a_capture_saved_by_hand_gets_a_name(tmp_path: Path) -> None:
    make_capture(slug="", title="").save(tmp_path / "x.safetensors")
    render_site([tmp_path / "x.safetensors"], tmp_path / "site")
    (title,) = parse_html((tmp_path / "site" / "the-cat-ate-the-mat.html").read_text("utf-8")).find("h1")
    assert title.text == "The cat ate the mat"


@pytest.mark.parametrize("slug", ["../evil", "/tmp/evil", "index", "con"])
def test_a_slug_that_leads_elsewhere_is_refused(tmp_path: Path, slug: str) -> None:
    capture = make_capture()
    object.__setattr__(capture.prompt, "slug", slug)  # as another program could write it
    capture.save(tmp_path / "x.safetensors")
    with pytest.raises(CaptureFileError, match=r"x\.safetensors: .*slug.* (must be|is) "):
        render_site([tmp_path / "x.safetensors"], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_two_captures_of_one_slug_are_refused(tmp_path: Path) -> None:
    for name in ("x", "y"):
        make_capture().save(tmp_path / f"{name}.safetensors")
    with pytest.raises(PromptFileError, match=r"y\.safetensors:1: slug 'cat' is used before, at .*x\.safetensors:1"):
        render_site([tmp_path], tmp_path / "site")


def test_nothing_to_render_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaptureFileError, match="holds no captures; build with --keep-captures"):
        find_captures([tmp_path])
    with pytest.raises(CaptureFileError, match="no captures are given"):
        find_captures([])
    outcome = CliRunner().invoke(main, ["render", str(tmp_path / "gone"), "-o", str(tmp_path / "site")])
    assert (outcome.exit_code, outcome.stderr) == (
        1,
        f"error: {tmp_path / 'gone'}: cannot be read, No such file or directory\n",
    )


def test_a_broken_file_is_told_and_the_index_shows_what_was_made(built: Path) -> None:
    path = built / "captures" / "b.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(CaptureFileError, match=r"b\.safetensors: is not a capture, or is cut short"):
        render_site([built], built.parent / "again")
    assert not (built.parent / "again").exists()


def test_captures_are_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "captures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SiteError, match="captures: is a link, which is not followed"):
        Site(tmp_path / "site").write_capture("cat", make_capture())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_left_out_pages_come_back_when_rendered(built: Path) -> None:
    report = json.loads((built / "report.json").read_text("utf-8"))
    Site(built).write_index((), ["a", "b", "z"])
    render_site([built / "captures" / "a.safetensors"], built)
    after = json.loads((built / "report.json").read_text("utf-8"))
    assert [one["slug"] for one in after["prompts"]] == ["a"]
    assert (after["left_out"], report["left_out"]) == (["b", "z"], [])


def test_place_orders_the_pages(tmp_path: Path) -> None:
    made = make_capture()
    for name, line in (("a", 9), ("b", 3)):
        prompt = replace(made.prompt, slug=name, place=SourceLocation("p.yaml", line))
        replace(made, prompt=prompt).save(tmp_path / f"{name}.safetensors")
    assert Capture.load(tmp_path / "a.safetensors").prompt.place.line == 9
    render_site([tmp_path], tmp_path / "site")
    index = parse_html((tmp_path / "site" / "index.html").read_text("utf-8"))
    (cards,) = index.find("ul", id="cards")
    assert [link.attributes["href"] for link in cards.find("a")] == ["b.html", "a.html"]
