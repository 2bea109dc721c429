"""The page of all heads of a site follows its pages: built, skipped, failed, removed, in any order of the runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from html_tree import parse_html
from tiny import save_llama
from unpacking import decode_bytes

from reportgen.cli import main as cli
from reportgen.pages import data_tables
from reportgen.site import site as site_module
from reportgen.site.files import read_summary
from reportgen.site.site import Site

TEXTS = {"a": "The cat sat", "b": "The dog sat on the mat", "c": "A hen", "d": "The cow and the cow"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a tiny model and a prompt file, whose site is built."""
    save_llama(tmp_path / "llama")
    monkeypatch.chdir(tmp_path)
    write(*TEXTS)
    assert run("build").exit_code == 0
    return tmp_path


def write(*slugs: str, more: str = "") -> None:
    """Write a prompt file of these prompts."""
    lines = [f"  - {{text: {TEXTS[slug]}, slug: {slug}}}\n" for slug in slugs]
    head = "model: ./llama\ndefaults: {max_new_tokens: 1}\nprompts:\n"
    Path("prompts.yaml").write_text(head + "".join(lines) + more, "utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments)


def heads(folder: str = "results") -> bytes:
    return Path(folder, "heads.html").read_bytes()


def shown(folder: str = "results") -> list[str]:
    """Return the slugs of the prompts that the page of all heads is made of."""
    (block,) = parse_html(heads(folder).decode("utf-8")).find("script", id="block-content")
    return [slug for table in json.loads(decode_bytes(block.text))["tables"] for slug, *_ in table["pages"]]


def test_it_is_the_same_whatever_was_run_when(here: Path) -> None:
    made = heads()
    assert shown() == ["a", "b", "c", "d"]
    assert run("build").stderr == "4 up to date, 0 built\n"
    assert heads() == made
    Path("results/b.html").unlink()
    assert run("build").stderr == "3 up to date, 1 built\n"
    assert heads() == made
    Path("results/heads.html").unlink()
    assert run("index").exit_code == 0
    assert heads() == made


def test_summaries_are_read_where_a_page_has_changed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def note(path: Path) -> object:
        read.append(path.stem)
        return read_summary(path)

    monkeypatch.setattr(site_module, "read_summary", note)
    made = heads()
    assert run("build").exit_code == run("index").exit_code == 0
    assert read == []
    Path("results/heads.html").write_bytes(made[:-20])  # copied in part
    assert run("index").exit_code == 0
    assert (read, heads()) == (["a", "b", "c", "d"], made)  # each page once
    write(*TEXTS)
    text = Path("prompts.yaml").read_text("utf-8").replace("A hen", "A hen and a hen")
    Path("prompts.yaml").write_text(text, "utf-8")
    assert run("build").stderr == "3 up to date, 1 built\n"
    assert (len(read), heads() == made) == (8, False)


def test_prompts_that_go_are_gone(here: Path) -> None:
    write("a", "c")
    assert run("build").exit_code == 0
    assert shown() == ["a", "c"]  # as in the index, from which the others are left out
    assert run("build", "--prune").exit_code == 0
    assert shown() == ["a", "c"]
    Path("results/a.html").unlink()
    assert run("index").exit_code == 0
    assert shown() == ["c"]


def test_prompts_that_fail_and_comparisons_have_no_part_in_it(here: Path) -> None:
    write("a", "b", more=f"  - {{text: {'x' * 600}, slug: long}}\n  - {{compare: [a, b]}}\n")
    assert run("build").exit_code == 1
    assert shown() == ["a", "b"]
    write(more=f"  - {{text: {'x' * 600}, slug: long}}\n")
    assert run("build", "-o", "none").exit_code == 1
    assert shown("none") == []


def test_its_name_is_taken(here: Path) -> None:
    Path("prompts.yaml").write_text("model: ./llama\nprompts:\n  - {text: a b, slug: heads}\n", "utf-8")
    assert "is 'heads', a reserved name; choose another" in run("check").stderr
    assert Site("results").pages.keys() == TEXTS.keys()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table_has_a_row_for_each_head_of_each_page(here: Path, kind: str) -> None:
    done = run("export", "heads", "--format", kind)
    assert (done.exit_code, done.stdout) == (0, f"heads.{kind}\n")
    if kind == "csv":
        with Path("heads.csv").open(encoding="utf-8", newline="") as file:
            rows = [*csv.DictReader(file)]
    else:
        rows = pyarrow.parquet.read_table("heads.parquet").to_pylist()
    found = [(row["page"], int(row["layer"]), int(row["head"])) for row in rows]
    assert found == [(slug, layer, head) for slug in TEXTS for layer in range(3) for head in range(4)]
    for row in rows:
        summary = read_summary(Path("results", f"{row['page']}.html"))
        assert summary is not None
        assert list(row) == ["model", "page", "layer", "head", "step", *summary.numbers]
        assert (row["model"], str(row["step"])) == (summary.model, "0")
        for number, values in summary.numbers.items():
            expected = float(values[int(row["layer"]), int(row["head"])])
            known = float("nan") if row[number] in ("", None) else float(row[number])
            assert known == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_table_is_written_where_it_is_asked_for(here: Path) -> None:
    assert run("export", "results/heads.html", "-o", "all.parquet").stdout == "all.parquet\n"
    assert Path("all.parquet").read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("heads", "-o", "heads.png"), 2, "heads are a table, which png cannot hold; write --format csv or parquet"),
        (("results/a.html", "--format", "csv"), 2, "--format csv is for heads; the tables of a page come from"),
        (("elsewhere/heads.html",), 1, "elsewhere: is not a folder; name the folder that reportgen build wrote"),
        (("empty/heads",), 1, "heads: the folder has no page of a prompt; build one first"),
        (("heads", "-o", "no/such.csv"), 1, "no/such.csv: cannot be written, No such file or directory; name another"),
    ],
)
def test_what_cannot_be_exported_is_refused(here: Path, arguments: tuple[str, ...], code: int, error: str) -> None:
    Path("empty").mkdir()
    done = run("export", *arguments)
    assert done.exit_code == code
    assert error in done.stderr


def test_parquet_needs_its_package(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_tables, "find_spec", lambda name: None)
    done = run("export", "heads", "--format", "parquet")
    assert done.exit_code == 1
    assert "export: parquet needs pyarrow" in done.stderr
    assert not Path("heads.parquet").exists()
