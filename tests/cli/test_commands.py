"""The command line: options over the file, errors shown, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from root import ROOT
from tiny import save_llama
from tiny_gguf import write_gguf
from unpacking import decode_bytes

from reportgen import __version__
from reportgen.cli import main as cli
from reportgen.cli.notes import note_left_out
from reportgen.records.errors import PromptFileError
from reportgen.site.site import Site

PROMPTS = """\
model: {model}
defaults: {{max_new_tokens: 2}}
prompts:
  - {{text: The cat, slug: cat}}
  - {{text: A dog, slug: dog, layers: "1"}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    return save_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a prompt file in it."""
    (tmp_path / "prompts.yaml").write_text(PROMPTS.format(model=model), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.main, arguments)


def content_of(page: Path) -> dict[str, object]:
    """Return what the script of a page reads."""
    block = re.search('id="block-content">([^<]*)', page.read_text("utf-8"))
    assert block
    return json.loads(decode_bytes(block[1]))


def test_build_prints_the_pages_and_the_index_last(here: Path) -> None:
    done = call("build")
    assert done.exit_code == 0
    assert done.stdout == "results/cat.html\nresults/dog.html\nresults/index.html\n"
    assert done.stderr == "2 built\n"
    assert [card.slug for card in Site(here / "results").read_cards()] == ["cat", "dog"]


def test_flags_go_over_the_file(here: Path) -> None:
    done = call(
        "build", "prompts.yaml", "-o", "out/site", "--layers", "0,-1", "--heads", "3", "--max-new-tokens", "1",
        "--seed", "5", "--dtype", "bfloat16", "--device-map", "auto",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    for slug in ("cat", "dog"):
        page = here / "out" / "site" / f"{slug}.html"
        content = content_of(page)
        assert (content["layers"], content["heads"]) == ([0, 2], [3])
        assert len(content["steps"]) == 1  # pyright: ignore[reportArgumentType]
        assert "bfloat16" in page.read_text("utf-8")


def test_model_flag_goes_over_the_file(here: Path, model: Path) -> None:
    (here / "prompts.yaml").write_text("- {text: a, model: no/such-model, max_new_tokens: 0, slug: a}\n", "utf-8")
    assert call("build", "-m", str(model)).stdout == "results/a.html\nresults/index.html\n"


def test_only_builds_one_beside_the_others(here: Path) -> None:
    assert call("build").exit_code == 0
    before = (here / "results" / "cat.html").read_bytes()
    done = call("build", "--only", "dog", "--max-new-tokens", "0")
    assert done.stdout == "results/dog.html\nresults/index.html\n"
    assert (here / "results" / "cat.html").read_bytes() == before
    assert [card.slug for card in Site(here / "results").read_cards()] == ["cat", "dog"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_numbers_are_written_beside_the_pages_on_demand(here: Path, kind: str) -> None:
    assert call("build", "--only", "dog", "--max-new-tokens", "2", "--export-data", kind).exit_code == 0
    written = {path.name for path in (here / "results" / "data" / "dog").iterdir()}
    names = ("columns", "heads", "tokens", "steps", "attribution", "lens", "entropy")
    assert written == {f"{name}.{kind}" for name in names}
    assert call("build", "--only", "cat").exit_code == 0  # with the options of the build before it
    assert {path.name for path in (here / "results" / "data" / "cat").iterdir()} == written
    assert call("build", "--force").exit_code == 0
    assert not (here / "results" / "data").exists()


def test_numbers_without_their_package_are_refused_before_anything_is_run(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = call("build", "--export-data", "parquet")
    assert done.exit_code == 1
    assert "parquet needs pyarrow" in done.stderr
    assert not (here / "results").exists()


def test_only_names_the_prompts_that_there_are(here: Path) -> None:
    done = call("build", "--only", "cow")
    assert done.exit_code == 2
    assert "no prompt 'cow'; prompts.yaml has cat, dog" in done.stderr
    assert not (here / "results").exists()


def test_open_opens_the_index(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert call("build", "--open", "--shared-assets").exit_code == 0
    assert opened == [(here / "results" / "index.html").as_uri()]
    assert len(list((here / "results" / "assets").iterdir())) == 1


def test_verbose_says_every_stage(here: Path, model: Path) -> None:
    said = call("build", "-v").stderr.splitlines()
    assert said == [
        f"loading {model}",
        "running cat", "running dog",
        "drawing cat", "written: results/cat.html",
        "drawing dog", "written: results/dog.html",
        "2 built",
    ]  # fmt: skip


def test_failing_prompt_is_exit_code_1_and_keeps_the_others(here: Path) -> None:
    with (here / "prompts.yaml").open("a", encoding="utf-8") as file:
        file.write(f"  - {{text: {'x' * 600}, slug: long}}\n")
    done = call("build", "-q")
    assert done.exit_code == 1
    assert done.stdout == "results/cat.html\nresults/dog.html\nresults/index.html\n"
    assert done.stderr.startswith("failed: prompts.yaml:6: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["build", "check"])
def test_every_mistake_of_the_file_is_shown_and_nothing_written(here: Path, command: str) -> None:
    (here / "prompts.yaml").write_text("- {text: a, max_new_token: 3}\n- 7\n- text: ''\n", "utf-8")
    done = call(command)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        "prompts.yaml:1", "prompts.yaml:2", "prompts.yaml:3",
    ]  # fmt: skip
    assert "did you mean 'max_new_tokens'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (here / "results").exists()


@pytest.mark.parametrize("command", ["build", "check"])
def test_layer_that_the_model_lacks_is_told_before_anything_is_written(here: Path, command: str) -> None:
    (here / "prompts.yaml").write_text((here / "prompts.yaml").read_text("utf-8").replace('"1"', '"1-7"'), "utf-8")
    done = call(command)
    assert done.exit_code == 1
    assert done.stderr.startswith("prompts.yaml:5: layers '1-7' of ")
    assert not (here / "results").exists()


@pytest.mark.parametrize("command", ["build", "check"])
def test_what_models_lack_and_models_that_are_not_there_are_told_with_all_else(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    lines = [
        f"- {{text: a, model: {model}, layers: 3}}", "- {text: b, model: smollm2-135}", "- {text: c, heads: 9}",
        "- {text: d, model: ./nowhere}", "- {text: e, tag: [x]}", "- {text: f, layers: 4-2}",
    ]  # fmt: skip
    (here / "prompts.yaml").write_text("\n".join(lines), "utf-8")
    done = call(command)
    assert (done.exit_code, done.stdout) == (1, "")
    problems = done.stderr.splitlines()
    assert [problem.split(": ")[0] for problem in problems] == [f"prompts.yaml:{line}" for line in range(1, 7)]
    assert problems[0].endswith("there is no 3: the model has 3, 0 to 2")
    assert problems[1].endswith("; did you mean 'smollm2-135m'?")
    assert problems[2].endswith("heads '9' of smollm2-135m: there is no 9: the model has 9, 0 to 8")
    assert "model './nowhere': no such folder" in problems[3]
    assert not (here / "results").exists()


def test_missing_file_is_told(here: Path) -> None:
    done = call("build", "absent.yaml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("absent.yaml: there is no such file")


def test_traceback_is_for_those_who_ask(here: Path) -> None:
    assert isinstance(call("build", "absent.yaml", "-v").exception, PromptFileError)
    assert isinstance(call("build", "absent.yaml").exception, SystemExit)


def test_device_that_is_not_there_leaves_the_site_as_it_was(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("build").exit_code == 0
    made = (here / "results" / "index.html").read_bytes()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = call("build", "--device", "cuda")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: device 'cuda': this torch sees no cuda device; write --device auto or cpu\n"
    assert (here / "results" / "index.html").read_bytes() == made


def test_model_that_cannot_be_loaded_fails_its_prompts_alone(here: Path, model: Path) -> None:
    broken = here / "broken"
    shutil.copytree(model, broken)
    (broken / "model.safetensors").write_bytes(b"broken")
    with (here / "prompts.yaml").open("a", encoding="utf-8") as file:
        file.write(f"  - {{text: x, slug: x, model: {broken}}}\n  - {{text: y, slug: y, model: {broken}}}\n")
    done = call("build")
    assert done.exit_code == 1
    assert done.stdout == "results/cat.html\nresults/dog.html\nresults/index.html\n"
    failed, counted = done.stderr.splitlines()
    assert failed.startswith(f"failed: model '{broken}': its weights ")
    assert counted == "2 built, 2 failed"
    assert [card.slug for card in Site(here / "results").read_cards()] == ["cat", "dog", "x", "y"]


def test_pages_that_another_file_made_are_named_and_stay_out(here: Path, model: Path) -> None:
    assert call("build").exit_code == 0
    (here / "other.yaml").write_text(f"- {{text: hen, slug: hen, model: {model}, max_new_tokens: 0}}\n", "utf-8")
    note, advice = "kept, not in the index: ", "; --prune removes what no prompt of the file has\n"
    both = f"{note}results/cat.html, results/dog.html"
    for arguments, said in (
        (["build", "other.yaml"], f"{both}{advice}1 built\n"),
        (["index"], f"{both}\n"),
        (["build", "other.yaml", "--only", "hen"], f"{both}\n1 up to date, 0 built\n"),
    ):
        done = call(*arguments)
        assert (done.exit_code, done.stderr) == (0, said)
        assert [card.slug for card in Site(here / "results").read_cards()] == ["hen"]
    assert call("build").stderr == f"{note}results/hen.html{advice}2 up to date, 0 built\n"


def test_note_counts_the_pages_that_it_does_not_name(capsys: pytest.CaptureFixture[str]) -> None:
    note_left_out([Path(f"p{number}.html") for number in range(12)])
    assert capsys.readouterr().err.endswith("p8.html, p9.html and 2 more\n")


def test_file_in_the_way_is_kept(here: Path) -> None:
    (here / "results").mkdir()
    (here / "results" / "index.html").write_text("mine", "utf-8")
    done = call("build")
    assert done.exit_code == 1
    assert "was not written by reportgen" in done.stderr
    assert (here / "results" / "index.html").read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["build", "--layers", "0-x"], "write numbers and ranges such as 0-4,-1, or all"),
        (["build", "--layers", "3-1"], "'--layers': the range 3-1 runs backwards"),
        (["build", "--layers", "99"], "'--layers': layers '99' of "),
        (["check", "--heads", "4"], "'--heads': heads '4' of "),
        (["build", "--device", "tpu"], "'--device': unknown device 'tpu'; write auto, cpu, cuda or mps"),
        (["build", "--device", "cuda:x"], "'--device': unknown device 'cuda:x'"),
        (["build", "--device-map", "all"], "'auto', 'balanced', 'sequential'"),
        (["build", "--device", "cpu", "--device-map", "auto"], "--device cpu and --device-map auto exclude each other"),
        (["build", "-m", ""], "'-m' / '--model': is empty; write a model"),
        (["check", "-m", " "], "'-m' / '--model': is empty; write a model"),
        (["build", "--max-new-tokens", "-1"], "--max-new-tokens"),
        (["build", "--dtype", "int8"], "bfloat16"),
        (["build", "--seed", "x"], "--seed"),
        (["build", "--seed", "-1"], "--seed"),
        (["build", "--seed", "1e3"], "--seed"),
        *[(["build", "--max-page-mb", value], "--max-page-mb") for value in ("nan", "inf", "-inf", "-1", "x", "")],
        *[(["render", "a.safetensors", "--max-page-mb", value], "--max-page-mb") for value in ("nan", "1e999", "-0.1")],
        *[(["build", "--gpus-per-worker", value], "--gpus-per-worker") for value in ("nan", "inf", "-1")],
        *[(["build", "--batch-size", value], "--batch-size") for value in ("0", "-1", "1.5", "²", "9" * 5000, "")],
        *[(["build", "--shard", value], "--shard") for value in ("0/2", "3/2", "1", "²/2", "1/0", "")],
        *[(["build", "--precision", value], "--precision") for value in ("4", "x", "")],
        *[(["build", "--device", value], "--device") for value in ("", "cuda:²", "cuda:", "gpu")],
        *[(["build", option, ""], option) for option in ("-o", "--layers", "--heads", "--export-data", "--engine")],
        *[(["build", option, "-1"], option) for option in ("--workers", "--max-new-tokens")],
        (["build", "--max-new-tokens", "nan"], "--max-new-tokens"),
        (["build", "--workers", "0", "--engine", "ray"], "--workers"),
        (["build", "--workers", "2"], "--workers: is for a cluster; add --engine ray"),
        (["build", "--only", "cow"], "no prompt 'cow'"),
        (["build", "--only", ""], "no prompt ''"),
        (["build", "--site-url", "heads"], "--site-url"),
        (["build", "-o", "prompts.yaml"], "is a file"),
        (["build", "--shard", "1/2", "--open"], "exclude each other"),
        (["compare", "cat"], "name a SECOND prompt"),
        (["compare", "cat", "cow"], "no prompt 'cow'"),
        (["compare", "cat", "--second-model", ""], "--second-model"),
        (["export", "a.html", "--layer", "-1"], "--layer"),
        (["export", "a.html", "--format", "gif"], "--format"),
        (["export", "a.html", "--theme", "blue"], "--theme"),
        (["export", "a.html", "--query", "1", "--step", "1"], "exclude each other"),
        (["index", "prompts.yaml"], "is a file"),
        (["index", ""], "is empty"),
        (["completion", "tcsh"], "tcsh"),
        (["render"], "CAPTURES"),
        (["build", "--layer", "3"], "--layers"),
        (["build", "a.yaml", "b.yaml"], "b.yaml"),
        (["biuld"], "No such command"),
    ],
)
def test_wrong_usage_is_exit_code_2(here: Path, arguments: list[str], advice: str) -> None:
    done = call(*arguments)
    assert done.exit_code == 2
    assert advice in done.stderr
    assert sum(line.startswith("Error: ") for line in done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (here / "results").exists()


def test_check_reads_no_weights(here: Path, model: Path) -> None:
    bare = shutil.copytree(model, here / "bare")
    (bare / "model.safetensors").write_bytes(b"")
    done = call("check", "--model", str(bare))
    assert (done.exit_code, done.stdout) == (0, "prompts.yaml: 2 prompts, no problems\n")
    (here / "prompts.yaml").write_text("- a\n", "utf-8")
    assert call("check").stdout == "prompts.yaml: 1 prompt, no problems\n"


@pytest.mark.system
def test_check_of_the_bundled_model_needs_neither_it_nor_torch(here: Path) -> None:
    (here / "prompts.yaml").write_text("- a\n", "utf-8")
    program = (
        "import sys\nfrom reportgen.cli.main import main\nmain(['check'], standalone_mode=False)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "REPORTGEN_CACHE": str(here / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "prompts.yaml: 1 prompt, no problems\n", "")
    assert not (here / "cache").exists()


def test_check_tells_a_model_that_is_not_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = call("check", "-m", str(here / "absent"))
    assert done.exit_code == 1
    assert "absent" in done.stderr


def test_schema_is_the_committed_one(here: Path) -> None:
    done = call("schema")
    assert done.exit_code == 0
    assert done.stdout == (ROOT / "reportgen" / "prompts" / "prompts.schema.json").read_text("utf-8")


def test_models_lists_the_bundled_one(here: Path) -> None:
    done = call("models")
    assert done.exit_code == 0
    assert "smollm2-135m" in done.stdout


def test_converted_files_are_listed_and_cleared(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORTGEN_CACHE", str(here / "cache"))
    write_gguf(here / "mine.gguf")
    assert call("check", "-m", str(here / "mine.gguf")).exit_code == 0
    assert "mine.gguf" not in call("models").stdout
    assert "converting it to safetensors, once" in call("build", "-m", str(here / "mine.gguf"), "--only", "cat").stderr
    (line,) = [line for line in call("models").stdout.splitlines() if "mine.gguf" in line]
    assert line.startswith(f"mine.gguf: converted, 0 MB, in {here / 'cache' / 'models' / 'gguf-'}")
    done = call("models", "--clear")
    assert (done.exit_code, done.stdout) == (0, "1 converted GGUF file removed, 0 MB freed\n")
    assert call("models", "--clear").stdout == "0 converted GGUF files removed, 0 MB freed\n"
    assert "mine.gguf" not in call("models").stdout


@pytest.mark.model
def test_fetch_prints_the_folder_of_a_model(here: Path) -> None:
    done = call("models", "--fetch", "smollm2-135m")
    assert done.exit_code == 0
    assert (Path(done.stdout.strip()) / "config.json").is_file()


def test_fetch_of_an_unknown_name_is_told(here: Path) -> None:
    done = call("models", "--fetch", "smollm2-135")
    assert done.exit_code == 1
    assert "did you mean 'smollm2-135m'?" in done.stderr


def test_index_is_made_anew_from_the_pages(here: Path) -> None:
    assert call("build").exit_code == 0
    made = (here / "results" / "index.html").read_bytes()
    (here / "results" / "index.html").unlink()
    assert call("index").stdout == "results/index.html\n"
    assert (here / "results" / "index.html").read_bytes() == made


def test_index_of_no_folder_makes_none(here: Path) -> None:
    done = call("index", "absent")
    assert (done.exit_code, done.stdout) == (1, "")
    assert not (here / "absent").exists()


@pytest.mark.parametrize("command", [[], ["build"], ["check"], ["schema"], ["models"], ["index"]])
def test_help_explains_every_option(command: list[str]) -> None:
    done = call(*command, "-h")
    assert done.exit_code == 0
    listed = cli.main.commands[command[0]].params if command else []
    for option in listed:
        if option.param_type_name == "option":
            assert option.opts[-1] in done.stdout
            assert option.help, option.name  # pyright: ignore[reportAttributeAccessIssue]


def test_version_is_told() -> None:
    assert call("--version").stdout == f"reportgen, version {__version__}\n"


def test_library_errors_are_shown_in_one_place(here: Path) -> None:
    (here / "results" / "cat.html").mkdir(parents=True)
    done = call("build")
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.fullmatch(r"error: results/cat\.html: .+; .+\n", done.stderr)


def interrupt(where: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command and send it the signal of Ctrl-C where a function is called or a module is imported."""
    program = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def watch(frame, event, _):
    if event == "call" and {where!r} in (frame.f_code.co_qualname, frame.f_globals.get("__name__")):
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
from reportgen.__main__ import main
sys.argv = ["reportgen", *{arguments!r}]
sys.setprofile(watch)
main()
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.system
@pytest.mark.parametrize(
    ("where", "arguments", "said"),
    [
        ("click", ("build",), "stopped; nothing was written"),
        ("numpy._core.multiarray", ("build",), "stopped before a page was finished; earlier pages are kept"),
        ("load_model", ("build",), "stopped before a page was finished; earlier pages are kept"),
        ("torch", ("check",), "stopped; nothing was written"),
        ("_fetch_into", ("models", "--fetch", "smollm2-135m"), "stopped; nothing of the model is kept"),
    ],
)
def test_interrupt_says_what_is_true(
    here: Path, monkeypatch: pytest.MonkeyPatch, where: str, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("REPORTGEN_CACHE", str(here / "cache"))
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    done = interrupt(where, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{said}\n")
    assert not list(here.glob("cache/models/*"))


def test_file_says_what_stands_side_by_side(here: Path, model: Path) -> None:
    (here / "prompts.yaml").write_text(f"{PROMPTS.format(model=model)}  - compare: [dog, cat]\n", "utf-8")
    done = call("build")
    assert done.exit_code == 0, done.stderr
    pages = ["results/cat.html", "results/dog.html", "results/dog-and-cat.html", "results/index.html"]
    assert done.stdout.splitlines() == pages
    assert [card.slug for card in Site(here / "results").read_cards()] == ["cat", "dog", "dog-and-cat"]
    before = (here / "results" / "dog-and-cat.html").read_bytes()
    assert call("build").stdout.splitlines() == ["results/index.html"]
    assert call("build", "--only", "dog", "--force").stdout.splitlines() == pages  # what shows it is built with it
    assert (here / "results" / "dog-and-cat.html").read_bytes() == before
    (here / "results" / "dog-and-cat.html").unlink()
    assert call("build").stdout.splitlines() == pages[2:]  # both prompts run again, and their pages stay
    assert (here / "results" / "dog-and-cat.html").read_bytes() == before
    assert call("check").stdout == "prompts.yaml: 2 prompts, no problems\n"


def test_compare_puts_two_prompts_side_by_side(here: Path) -> None:
    done = call("compare", "cat", "dog")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["results/cat-and-dog.html", "results/index.html"]
    assert "The cat beside A dog" in (here / "results" / "cat-and-dog.html").read_text("utf-8")


def test_compare_puts_a_prompt_on_two_models_side_by_side(here: Path, model: Path) -> None:
    other = shutil.copytree(model, here / "other")
    done = call("compare", "cat", "--second-model", "other")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "results/cat.html", "results/cat-on-other.html", "results/cat-and-cat-on-other.html", "results/index.html",
    ]  # fmt: skip
    assert "Two models" in (here / "results" / "cat-and-cat-on-other.html").read_text("utf-8")
    assert other.is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cat", "cow"], "Invalid value for SECOND: no prompt 'cow'; prompts.yaml has cat, dog"),
        (["cow", "cat"], "Invalid value for FIRST: no prompt 'cow'; prompts.yaml has cat, dog"),
        (["cat"], "name a SECOND prompt, or a --second-model to run the first one on"),
        (["cat", "cat"], "cat cannot be compared with itself; name another prompt, or give --second-model"),
        (["cat", "--second-model", "nowhere/at-all"], "model 'nowhere/at-all': not in the hub's cache"),
    ],
)
def test_compare_says_what_is_missing(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = call("compare", *arguments)
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert not (here / "results").exists()


def write_long_prompt(here: Path) -> float:
    """Replace the first prompt by one whose weights are a part of its page; return the megabytes of its page."""
    path = here / "prompts.yaml"
    text = "long day all the in sun sleeps then and dogs lazy over jumps fox brown quick a " * 3
    path.write_text(path.read_text("utf-8").replace("The cat", text.strip()), "utf-8")
    assert call("build", "--precision", "16", "--keep-captures").exit_code == 0
    return (here / "results" / "cat.html").stat().st_size / 1e6


def test_page_over_its_limit_is_told(here: Path) -> None:
    limit = write_long_prompt(here) - 0.02
    done = call("build", "--max-page-mb", f"{limit}", "--precision", "16")
    assert done.exit_code == 0, done.stderr
    assert "are left out, so that the page is not too heavy" in " ".join(done.stderr.split())
    assert content_of(here / "results" / "cat.html")["precision"] == 16
    done = call("render", "results", "--max-page-mb", f"{limit}", "--precision", "16")
    assert done.exit_code == 0, done.stderr
    assert "are left out" in done.stderr


@pytest.mark.parametrize("size", ["nan", "inf", "-1", "-inf", "much"])
def test_size_that_is_none_is_wrong_usage(here: Path, size: str) -> None:
    assert call("build", "--max-page-mb", size).exit_code == 2
    assert not (here / "results").exists()


def test_limit_that_no_useful_page_meets_fails_its_prompt(here: Path) -> None:
    done = call("build", "--max-page-mb", "0.1")
    assert done.exit_code == 1
    assert "prompts.yaml:4: the page does not fit into --max-page-mb 0.1 with a useful part" in done.stderr
    assert "2 failed" in done.stderr
    assert not (here / "results" / "cat.html").exists()
