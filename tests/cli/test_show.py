"""``reportgen show``: a text on the command line, its page and its answer."""

from __future__ import annotations

import re
import webbrowser
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from html_tree import parse_html
from tiny import save_llama

from reportgen.build.capture import capture
from reportgen.captures.tokenization import encode_prompt
from reportgen.cli import main as cli
from reportgen.cli import show as command
from reportgen.models.model import LoadedModel, load_model
from reportgen.pages.cards import Card
from reportgen.pages.page import draw_page
from reportgen.records import EncodedPrompt, Prompt
from reportgen.site.site import Site

TEXT = "The cat ate the mat"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    return save_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the addresses that are opened; the working folder is empty, and there is a screen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":0")
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    return addresses


def call(model: Path, *arguments: str, text: str = TEXT, given: str | None = None) -> Result:
    return CliRunner().invoke(cli.main, ["show", text, "-m", str(model), "--max-new-tokens", "2", *arguments], given)


def test_a_page_is_made_opened_and_answered(model: Path, opened: list[str]) -> None:
    done = call(model)
    assert done.exit_code == 0, done.output
    answer, path = done.stdout.splitlines()
    assert path == "results/the-cat-ate-the-mat.html"
    assert opened == [Path(path).resolve().as_uri()]
    captured = capture(load_model(str(model)), Prompt(TEXT, max_new_tokens=2))
    page = parse_html(Path(path).read_text("utf-8"))
    (claim,) = page.find(id="claim")
    assert re.sub(r"[“”␣()\s]", "", answer) == re.sub(r"[␣()\s]", "", claim.text)
    assert page.outline() == parse_html(draw_page(captured).html).outline()
    assert [card.slug for card in Site("results").read_cards()] == ["the-cat-ate-the-mat"]


def test_without_a_screen_or_on_request_nothing_is_opened(
    model: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(model, "--no-open").exit_code == 0
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert call(model, "-o", "other").stdout.splitlines()[-1] == "other/the-cat-ate-the-mat.html"
    assert opened == []


def test_a_text_comes_from_standard_input(model: Path, opened: list[str]) -> None:
    done = call(model, "--no-open", text="-", given=" Grüße,\nWelt\n")
    assert done.exit_code == 0, done.output
    (card,) = Site("results").read_cards()
    assert isinstance(card, Card)
    assert card.text == " Grüße,\nWelt"


def test_a_page_of_another_text_is_never_replaced(model: Path, opened: list[str]) -> None:
    start = "word " * 40
    paths = [
        call(model, "--no-open", text=text).stdout.splitlines()[-1] for text in (f"{start}a", f"{start}b", f"{start}a")
    ]
    first = "results/word-word-word-word-word-word-word-word-word-word-word-word"
    assert paths == [f"{first}.html", f"{first}-2.html", f"{first}.html"]
    assert len(Site("results").read_cards()) == 2


def test_what_may_not_be_meant_is_warned_of(model: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(model: LoadedModel, prompt: Prompt) -> EncodedPrompt:
        return replace(encode_prompt(model, prompt), warnings=("a token is read twice",))

    monkeypatch.setattr("reportgen.captures.capture.encode_prompt", encode)
    done = call(model, "--no-open")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)
    assert "warning: the-cat-ate-the-mat: prompt: a token is read twice\n" in done.stderr


def test_foils_are_those_of_the_prompt(model: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def make(text: str, **keys: Any) -> Prompt:
        made.append(keys)
        known = {item.name for item in fields(Prompt)}
        return Prompt(text, **{name: value for name, value in keys.items() if name in known})

    monkeypatch.setattr(command, "Prompt", make)
    assert call(model, "--no-open", "--foil", " a", "--foil", " b").exit_code in (0, 1)
    assert call(model, "--no-open").exit_code == 0
    assert [keys.get("foils") for keys in made] == [[" a", " b"], None]


@pytest.mark.parametrize(
    ("arguments", "text", "exit_code", "said"),
    [
        ((), " ", 2, "Invalid value for TEXT: is empty; write the text that the model reads"),
        (("--max-new-tokens", "-1"), TEXT, 2, "Invalid value for '--max-new-tokens'"),
        (("-m", "./nowhere"), TEXT, 1, "error: model './nowhere'"),
        (("--device", "cuda:99"), TEXT, 2, "error: "),
        (("--max-new-tokens", "5000"), TEXT, 1, "error: prompt: "),
        (("-o", "file"), TEXT, 2, "file"),
    ],
)
def test_errors_are_told_as_those_of_a_build(
    model: Path, opened: list[str], arguments: tuple[str, ...], text: str, exit_code: int, said: str
) -> None:
    Path("file").write_text("", "utf-8")
    done = call(model, *arguments, text=text)
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert said in done.stderr
    assert opened == []


def test_ctrl_c_stops_it(model: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reportgen.build.capture.capture", interrupt)
    done = call(model)
    assert (done.exit_code, done.stdout) == (130, "")
    assert "stopped before a page was finished" in done.stderr
