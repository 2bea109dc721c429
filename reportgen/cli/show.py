"""reportgen show: make the page of one text and open it."""

from __future__ import annotations

import os
import sys
import warnings
import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from reportgen.cli.completion import complete_models
from reportgen.cli.errors import NO_PAGE, importing, shows_errors
from reportgen.cli.options import PICKLE, QUIET, RESULTS, TRUST, VERBOSE
from reportgen.cli.types import DeviceType, ModelType
from reportgen.records import DEFAULT_MODEL, DEFAULT_NEW_TOKENS, Prompt

if TYPE_CHECKING:
    from reportgen.captures.record import Capture


@click.command()
@click.argument("text")
@click.option(
    "-m", "--model", type=ModelType(), default=DEFAULT_MODEL, show_default=True, shell_complete=complete_models,
    help="Model that reads the text.",
)  # fmt: skip
@click.option(
    "--max-new-tokens", type=click.IntRange(min=0), default=DEFAULT_NEW_TOKENS, show_default=True,
    help="Tokens to generate; 0 shows the one to come.",
)  # fmt: skip
@click.option(
    "--foil", "foils", multiple=True, metavar="TOKEN",
    help="Compare the first generated token with this one, such as ' London'; may be repeated.",
)  # fmt: skip
@RESULTS
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open the page in a browser.")
@click.option("--device", type=DeviceType(), default="auto", show_default=True, help="As for build.")
@TRUST
@PICKLE
@VERBOSE
@QUIET
@shows_errors(NO_PAGE)
def show(text: str, opens: bool, **settings: Any) -> None:
    """Run TEXT on a model, write its page, open it, and print its answer. With -, the text is read from standard input.

    The page is added to the index of the output folder. The last line of the output is its path.
    """
    from reportgen.cli.progress import spell_out, watch

    prompt = _make_prompt(_read(text), settings)
    with importing(NO_PAGE):
        from reportgen.build.build import build_site
        from reportgen.build.capture import capture
        from reportgen.build.interrupts import Stop, listen
        from reportgen.models.model import load_model

    allowed = {name: settings[name] for name in ("device", "trust_remote_code", "allow_pickle")}
    with watch(1, quiet=settings["quiet"], verbose=settings["verbose"]) as progress:
        progress.stage(prompt, "load")
        model = load_model(prompt.model, **allowed)
        progress.stage(prompt, "capture")
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always", UserWarning)
            captured = capture(model, prompt)
        for warning in noted:
            progress.warn(prompt, str(warning.message))
        with listen(stop := Stop()):
            outcome = build_site([captured], settings["results"], progress=progress, stop=stop)
    for failure in outcome.failures:
        click.echo(f"failed: {failure.error}", err=True)
        raise SystemExit(1)
    if not outcome.pages:
        raise KeyboardInterrupt
    (path,) = outcome.pages
    click.echo(spell_out(_answer(captured)))
    click.echo(path)
    if opens and _has_screen():
        webbrowser.open(path.resolve().as_uri())


def _read(text: str) -> str:
    """Return the text to run, from standard input if it is ``-``, without the line end that a shell adds."""
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise click.BadParameter(f"standard input is not UTF-8, {error.reason}", param_hint="TEXT") from error
    if not text.strip():
        raise click.BadParameter("is empty; write the text that the model reads", param_hint="TEXT")
    return text


def _make_prompt(text: str, settings: dict[str, Any]) -> Prompt:
    """Return the prompt with a slug that no page of another text in the folder has."""
    from reportgen.prompts.slugs import name_pages
    from reportgen.site.site import Site

    foils: dict[str, Any] = {"foils": list(settings["foils"])} if settings["foils"] else {}
    prompt = Prompt(text, model=settings["model"], max_new_tokens=settings["max_new_tokens"], **foils)
    (named,) = name_pages([prompt])
    pages = Site(settings["results"]).pages if settings["results"].is_dir() else {}
    slugs = [named.slug, *(f"{named.slug}-{number}" for number in range(2, len(pages) + 2))]
    return replace(named, slug=next(slug for slug in slugs if slug not in pages or _is_of(pages[slug].card, named)))


def _is_of(card: Any, prompt: Prompt) -> bool:
    """Return whether a card is of a page of the same text, which a new one may replace."""
    from reportgen.pages.cards import Card, shorten_text

    return isinstance(card, Card) and (card.title, card.text) == (prompt.title, shorten_text(prompt.text))


def _answer(captured: Capture) -> str:
    from reportgen.evidence.opening import find_opening
    from reportgen.pages.answer import make_answer
    from reportgen.pages.sentences import to_text

    return to_text(make_answer(captured, find_opening(captured).step).claim, captured.tokens)


def _has_screen() -> bool:
    """Return whether a browser with windows can be opened; elsewhere one in the terminal would be."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in screens)
