"""A run in parts: what they write and what is made of it is what one run writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from counts import sample
from tiny import make_gpt2, make_tokenizer, save_llama

from reportgen.build.build import build_site
from reportgen.build.engines.jobs import RunRequest, group_by_model
from reportgen.build.options import BuildOptions
from reportgen.cli import main as cli
from reportgen.models.model import LoadedModel
from reportgen.records import Comparison, Prompt, Shard
from reportgen.records.errors import SiteError, SiteInUse
from reportgen.site.lock import lock_site
from reportgen.site.shards import join_parts
from reportgen.site.site import Site

PROMPTS = """\
model: ./llama
defaults: {max_new_tokens: 1}
prompts:
  - {text: The cat sat, slug: p0}
  - {text: The dog sat, slug: p1}
  - {text: A hen, slug: p2, model: ./gpt2}
  - {text: The cow stood, slug: p3}
  - {text: %s, slug: long}
  - {text: The owl sat down, slug: p5}
  - {text: A fox, slug: p6, model: ./gpt2}
  - {text: The ant ran, slug: p7}
  - {text: The bee flew, slug: p8}
  - {compare: [p0, p2], slug: cat-hen}
  - {compare: [p8, p0, p5], slug: three}
  - {compare: [p5, p8], slug: owl-bee}
  - {compare: [p1, long], slug: dog-long}
""" % ("x" * 600)
BATCHES = ("--batch-size", "2")
OWN = ("index.html", "heads.html")
"""Pages that are of no prompt."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a prompt file, two tiny models, and the site that one run makes."""
    save_llama(tmp_path / "llama")
    make_gpt2().save_pretrained(tmp_path / "gpt2")
    make_tokenizer().save_pretrained(tmp_path / "gpt2")
    (tmp_path / "prompts.yaml").write_text(PROMPTS, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert run("build", "-o", "whole", *BATCHES).exit_code == 1
    return tmp_path


def run(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.main, arguments)


def build(shard: str, results: str = "parts", *options: str) -> Result:
    """Run one shard."""
    return run("build", "-o", results, "--shard", shard, *BATCHES, *options)


def pages(folder: str) -> dict[str, bytes]:
    """Return every page and the index, by name."""
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.html")}


def outcomes(folder: str) -> list[dict[str, object]]:
    """Return what the report says of each prompt, but for what it says of the run."""
    report = json.loads(Path(folder, "report.json").read_text("utf-8"))
    return [{key: value for key, value in outcome.items() if key != "run"} for outcome in report["prompts"]]


def totals(folder: str) -> dict[str, int]:
    report = json.loads(Path(folder, "report.json").read_text("utf-8"))
    return {key: value for key, value in report["run"].items() if key != "seconds"}


@pytest.mark.parametrize("count", sample([3, 1, 8], 3))
def test_shards_in_one_folder_make_what_one_run_makes(here: Path, count: int) -> None:
    ended = [build(f"{number}/{count}") for number in range(1, count + 1)]
    assert [each.exit_code for each in ended] == [int(" failed" in each.stderr) for each in ended]
    assert sum(each.exit_code for each in ended) == 1
    assert pages("parts").keys().isdisjoint(OWN)
    built = [line for each in ended for line in each.stdout.splitlines() if line.endswith(".html")]
    assert sorted(built) == sorted(f"parts/{name}" for name in pages("whole") if name not in OWN)  # each once
    joined = run("index", "parts")
    assert (joined.exit_code, joined.stdout, joined.stderr) == (0, "parts/index.html\n", "")
    assert pages("parts") == pages("whole")
    assert outcomes("parts") == outcomes("whole")
    assert totals("parts") == totals("whole")


def test_shards_in_folders_of_their_own_are_joined_by_copying(here: Path) -> None:
    for number in (1, 2, 3):
        build(f"{number}/3", f"part{number}")
    for number in (2, 3, 1):
        shutil.copytree(f"part{number}", "parts", dirs_exist_ok=True)
    assert run("index", "parts").exit_code == 0
    assert pages("parts") == pages("whole")
    assert outcomes("parts") == outcomes("whole")


def test_a_shard_that_has_not_ended_is_named_and_run_later(here: Path) -> None:
    build("1/3")
    build("3/3")
    joined = run("index", "parts")
    assert joined.stderr == "not joined: shard 2/3 has not ended; run it, then this again\n"
    part = [outcome["slug"] for outcome in outcomes("parts")]
    assert part == [slug for slug in (each["slug"] for each in outcomes("whole")) if slug in part]
    assert 0 < len(part) < len(outcomes("whole"))
    build("2/3")
    run("index", "parts")
    assert pages("parts") == pages("whole")


def test_shards_that_run_again_build_what_is_missing_and_count_right(here: Path) -> None:
    for number in (1, 2):
        build(f"{number}/2")
    run("index", "parts")
    Path("parts/p7.html").unlink()
    again = [build(f"{number}/2") for number in (1, 2)]
    assert sum("parts/p7.html\n" in each.stdout for each in again) == 1
    assert run("index", "parts").stderr == ""
    assert pages("parts") == pages("whole")
    assert outcomes("parts") == outcomes("whole")
    counts = totals("parts")
    assert counts["up_to_date"] + counts["built"] == totals("whole")["built"]
    assert counts["not_run"] == 0


def test_a_run_of_another_kind_forgets_the_shares(here: Path) -> None:
    for number in (1, 2, 3):
        build(f"{number}/3")
    for number in (1, 2):
        build(f"{number}/2")
    assert sorted(path.name for path in Path("parts").glob("report*")) == ["report.1-of-2.json", "report.2-of-2.json"]
    run("index", "parts")
    assert pages("parts") == pages("whole")
    run("build", "-o", "parts", *BATCHES)
    assert [path.name for path in Path("parts").glob("report*")] == ["report.json"]
    assert pages("parts") == pages("whole")
    assert [path.name for path in Path("parts").glob(".reportgen*")] == [".reportgen.lock"]


def test_pages_of_earlier_runs_are_left_out_when_all_shares_have_ended(here: Path) -> None:
    shutil.copytree("whole", "parts")
    path = Path("prompts.yaml")
    path.write_text(path.read_text("utf-8").replace("slug: p7", "slug: p77"), "utf-8")
    build("1/2")
    assert "not in the index" not in run("index", "parts").stderr
    build("2/2")
    assert run("index", "parts").stderr == "kept, not in the index: parts/p7.html\n"
    assert "p7" not in [card.slug for card in Site(Path("parts")).read_cards()]


def test_shards_stand_beside_one_another_and_nothing_else_beside_them(tmp_path: Path, tiny_llama: LoadedModel) -> None:
    prompts = [Prompt(text="a b", slug=f"p{number}", max_new_tokens=0) for number in range(2)]

    def make(shard: Shard | None) -> None:
        build_site(prompts, tmp_path, BuildOptions(model=tiny_llama, shard=shard, batch_size=1))

    with lock_site(tmp_path, Shard(1, 2)):
        make(Shard(2, 2))
        for shard in (Shard(1, 2), None):
            with pytest.raises(SiteInUse, match=r"another reportgen \(process \d+ on .*\) writes into it"):
                make(shard)
    assert {path.name for path in tmp_path.glob("p*.html")} == {"p1.html"}
    make(Shard(1, 2))
    assert join_parts(Site(tmp_path)) == []


def test_a_model_that_cannot_be_loaded_fails_its_prompts_in_every_share(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    save_llama(tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"x")
    prompts = [Prompt(text="a b", slug=f"p{number}", model=str(tmp_path / "broken")) for number in range(3)]
    found = [
        build_site(prompts, tmp_path / "site", BuildOptions(shard=Shard(number, 2), batch_size=1)) for number in (1, 2)
    ]
    assert [len(outcome.failures) for outcome in found] == [3, 3]
    assert join_parts(Site(tmp_path / "site")) == []
    assert [card.slug for card in Site(tmp_path / "site").read_cards()] == ["p0", "p1", "p2"]


def test_part_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.1-of-2.json").write_text("{}", "utf-8")
    with pytest.raises(SiteError, match=r"report\.1-of-2\.json: cannot be read, .*; build that shard again"):
        join_parts(Site(tmp_path))


def test_models_of_one_batch_each_go_to_one_share_after_another() -> None:
    prompts = [Prompt(text="x", slug=f"p{number}", model=f"m{number}") for number in range(4)]
    asked = [RunRequest(frozenset(prompt.slug for prompt in prompts), shard=Shard(number, 2)) for number in (1, 2)]
    taken = [[group.members[0].slug for group in group_by_model(prompts) if group.is_taken_by(one)] for one in asked]
    assert taken == [["p0", "p2"], ["p1", "p3"]]


@pytest.mark.parametrize("given", ["0/3", "4/3", "2", "a/b", "1/0"])
def test_what_is_no_part_is_refused(given: str) -> None:
    done = run("build", "--shard", given)
    assert done.exit_code == 2
    assert f"'{given}' is not a shard; write 1/8 for the first of eight, up to 8/8" in done.stderr.replace("\n", "")


def test_options_that_need_the_whole_are_refused() -> None:
    assert "--shard and --prune exclude each other" in run("build", "--shard", "1/2", "--prune").stderr
    assert "--shard and --open exclude each other" in run("build", "--shard", "1/2", "--open").stderr


def test_a_launcher_that_numbers_its_processes_is_understood(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert f"shard {int(rank) + 1}/2, from RANK and WORLD_SIZE\n" in run("build", "-o", "parts", *BATCHES).stderr
    monkeypatch.setenv("RANK", "2")
    assert "RANK=2 and WORLD_SIZE=2 are invalid" in run("build", "-o", "parts").stderr
    run("index", "parts")
    assert pages("parts") == pages("whole")
    monkeypatch.setenv("WORLD_SIZE", "1")  # one process runs all of it
    assert "shard" not in run("build", "-o", "whole", *BATCHES).stderr


def test_comparisons_are_of_one_share_each(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    prompts = [Prompt(text="a b", slug=slug, max_new_tokens=0) for slug in "abc"]
    compared = [Comparison(("a", "b")), Comparison(("b", "c"))]
    made = [
        build_site(prompts, tmp_path, BuildOptions(model=tiny_llama, shard=Shard(number, 2)), comparisons=compared)
        for number in (1, 2)
    ]
    assert [[path.stem for path in outcome.pages] for outcome in made] == [["a", "b", "c", "a-and-b"], ["b-and-c"]]
    assert [outcome.not_run for outcome in made] == [0, 0]


@pytest.mark.parametrize("by_order", [1, -1])
def test_the_shard_that_built_a_page_is_believed(tmp_path: Path, by_order: int) -> None:
    """Two shards may report one comparison: one saw its page or failed to make it, the other made it."""
    site, seconds = Site(tmp_path).open(), {"capture": 1.0}
    said = [("failed", False, "by the other"), ("written", True, "by the builder"), ("written", False, "by a reader")]
    for number, (status, built, title) in enumerate(said[::by_order], 1):
        outcome = {"slug": "pair", "title": title, "status": status, "run": {"built": built}, "place": 0}
        counts = {"built": int(built), "failed": int(status == "failed"), "not_run": 0, "seconds": seconds}
        part = {"shard": [number, 3], "keep_earlier": False, "prompts": [outcome], "run": counts}
        part |= {"options": {}, "compared": []}
        (tmp_path / f"report.{number}-of-3.json").write_text(json.dumps(part), "utf-8")
    assert join_parts(Site(tmp_path)) == []
    report = json.loads(site.report.read_text("utf-8"))
    assert [outcome["title"] for outcome in report["prompts"]] == ["by the builder"]
