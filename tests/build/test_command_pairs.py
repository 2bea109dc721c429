"""Commands in any order leave a folder in which page, tables, capture, comparison and index belong together."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from counts import FULL, count
from html_tree import parse_html
from tiny import make_llama, save_llama

from reportgen.captures.record import load_with_key
from reportgen.cli.main import main
from reportgen.site.files import read_page
from reportgen.site.site import Site

OPTIONS = ("--precision", "16", "--layers", "1", "--dtype", "bfloat16", "--keep-captures", "--export-data", "csv")
"""Options of the first build, none of which is a default."""
COMMANDS = {
    "build": ("", ("build", *OPTIONS)),
    "changed text, build": ("text", ("build", *OPTIONS)),
    "changed title, build": ("title", ("build", *OPTIONS)),
    "changed text, --only": ("text", ("build", "--only", "cat")),
    "--only the comparison": ("", ("build", "--only", "both")),
    "compare": ("", ("compare", "dog", "cat")),
    "compare with another model": ("", ("compare", "cat", "--second-model", "other")),
    "render": ("", ("render", "results")),
    "changed text, build with other options": ("text", ("build", "--layers", "0-1", "--export-data", "parquet")),
}
PAIRS = [*product(COMMANDS, COMMANDS)]
SAMPLE = PAIRS if FULL else random.Random(0).sample(PAIRS, count("pairs of commands"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two tiny models."""
    folder = tmp_path_factory.mktemp("models")
    save_llama(folder / "llama")
    save_llama(folder / "other")
    make_llama(seed=1).save_pretrained(folder / "other")
    return folder


class Folder:
    """A working folder with a prompt file whose text and title can be changed."""

    def __init__(self, root: Path) -> None:
        self.results = root / "results"
        self._text, self._title, self._file = "The cat", "Cat 0", root / "prompts.yaml"
        self.change("")

    def change(self, what: str) -> None:
        """Change the text or the title of the first prompt."""
        self._text += " sat" if what == "text" else ""
        self._title += "1" if what == "title" else ""
        self._file.write_text(
            "model: llama\ndefaults: {max_new_tokens: 1}\nprompts:\n"
            f"- {{text: {self._text}, slug: cat, title: {self._title}}}\n- {{text: A dog, slug: dog}}\n"
            "- {text: A hen, slug: hen}\n- {compare: [cat, dog], slug: both}\n",
            "utf-8",
        )

    def call(self, name: str) -> Result:
        """Run a command of the table, with the change that comes before it."""
        change, arguments = COMMANDS[name]
        self.change(change)
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, (name, done.output)
        assert "warning" not in done.stderr, name
        self.check(done)
        return done

    def check(self, done: Result) -> None:
        """Check that all files of the folder belong together, and that the index has all pages."""
        site = Site(self.results)
        assert site.find_stale() == []
        (cards,) = parse_html(site.index.read_text("utf-8")).find("ul", id="cards")
        listed = cards.find("a")
        linked = {link.attributes["href"] for link in listed if link.attributes["href"].endswith(".html")}
        assert linked == {page.path.name for page in site.pages.values()}
        written = {Path(line).name for line in done.stdout.splitlines()} - {"index.html"}
        assert written <= linked
        report = json.loads(site.report.read_text("utf-8"))
        assert {one["slug"]: one["key"] for one in report["prompts"]} == {
            slug: page.keys.page for slug, page in site.pages.items()
        }
        for slug in site.pages:
            self._check_files(site, slug)

    def _check_files(self, site: Site, slug: str) -> None:
        page = site.pages[slug]
        tables = {path.name for path in site.tables(slug).glob("*")}
        assert {Path(name).stem for name in tables} == set(page.keys.tables.split())
        assert len({Path(name).suffix for name in tables}) <= 1
        card = page.get_card()
        if "tokens.csv" in tables:
            rows = csv.DictReader(io.StringIO((site.tables(slug) / "tokens.csv").read_text("utf-8")))
            assert "".join(row["text"] for row in rows if row["generated"] == "no") == card.text
        if site.capture(slug).is_file():
            capture, key = load_with_key(site.capture(slug))
            assert (key, capture.prompt.title) == (page.keys.numbers, card.title)


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Return a working folder whose site is built."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    folder = Folder(tmp_path)
    folder.call("build")
    return folder


@pytest.mark.parametrize(("first", "second"), SAMPLE, ids=[" then ".join(pair) for pair in SAMPLE])
def test_site_is_consistent_after_every_pair_of_commands(here: Folder, first: str, second: str) -> None:
    has_captures = True
    for name in (first, second):
        if name == "render" and not has_captures:
            continue
        here.call(name)
        has_captures = has_captures and "other options" not in name
    done = here.call("build")
    if "other options" not in first + second:
        assert done.stderr.endswith(" up to date, 0 built\n")
    assert here.call("build").stderr.endswith(" up to date, 0 built\n")


def test_change_of_the_drawing_alone_needs_no_model(here: Folder) -> None:
    program = (
        "import sys\nfrom reportgen.cli.main import main\nmain(sys.argv[1:], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)\n"
    )
    here.change("title")
    for arguments, built in ((COMMANDS["build"][1], "2 up to date, 2 built\n"), (("build", "--only", "cat"), "")):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.endswith(built or "3 up to date, 0 built\n")
    shared = (*COMMANDS["build"][1], "--shared-assets")
    done = subprocess.run([sys.executable, "-c", program, *shared], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "4 built\n")


def test_renamed_prompts_are_drawn_from_their_captures(here: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("prompts.yaml")
    path.write_text(path.read_text("utf-8").replace("slug: hen", "slug: rooster"), "utf-8")
    monkeypatch.setattr("reportgen.build.engines.worker.load_model", None)
    done = CliRunner().invoke(main, COMMANDS["build"][1])
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "3 up to date, 1 built")
    assert load_with_key(here.results / "captures" / "rooster.safetensors")[0].prompt.slug == "rooster"


def test_broken_capture_is_not_drawn(here: Folder) -> None:
    path = here.results / "captures" / "cat.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    here.change("title")
    here.call("build")
    assert load_with_key(path)[0].prompt.title == "Cat 01"


def test_render_refuses_the_capture_of_another_run(here: Folder) -> None:
    shutil.copytree(here.results / "captures", "kept")
    here.call("changed text, build")
    before = (here.results / "cat.html").read_bytes()
    done = CliRunner().invoke(main, ["render", "kept"])
    assert done.exit_code == 1
    assert "is not the capture of results/cat.html, which another run made" in done.stderr
    assert (here.results / "cat.html").read_bytes() == before
    (here.results / "cat.html").unlink()
    done = CliRunner().invoke(main, ["render", "kept/cat.safetensors"])
    assert done.exit_code == 0
    assert "warning: results/both.html: shows an earlier run of 'cat'" in done.stderr
    assert CliRunner().invoke(main, COMMANDS["build"][1]).exit_code == 0
    page = read_page(here.results / "cat.html")
    assert page is not None
    assert page.get_card().text == "The cat sat"


def test_options_of_the_last_build_yield_to_those_of_the_command(here: Folder) -> None:
    done = CliRunner().invoke(main, ["build", "--only", "hen", "--layers", "0", "--export-data", "parquet"])
    assert done.exit_code == 0, done.output
    assert {path.suffix for path in (here.results / "data" / "hen").iterdir()} == {".parquet"}
    assert "--precision 16" in (here.results / "hen.html").read_text("utf-8")
    assert CliRunner().invoke(main, ["build", "--only", "hen"]).exit_code == 0
    assert {path.suffix for path in (here.results / "data" / "hen").iterdir()} == {".csv"}


@pytest.mark.parametrize("options", [{"precision": 12}, {"device": 3}, {"layers": {}}])
def test_recorded_options_that_cannot_be_read_are_an_error(here: Folder, options: dict[str, object]) -> None:
    path = here.results / "report.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "options": options}), "utf-8")
    done = CliRunner().invoke(main, ["build", "--only", "hen"])
    assert done.exit_code == 1
    assert f"report.json: the option {next(iter(options))!r} cannot be read" in done.stderr
