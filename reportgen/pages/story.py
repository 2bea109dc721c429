"""The story of a page: captions with a still each."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from reportgen.pages.captions import caption_to_html
from reportgen.pages.figure_stills import FigureStill, draw_figure
from reportgen.pages.page_data import PageData
from reportgen.records import SourceLocation
from reportgen.records.address import format_address, parse_address
from reportgen.records.errors import PromptError
from reportgen.records.story import StoryStep, name_step


@dataclass(frozen=True)
class ToldStep:
    """A step of a story as a page shows it.

    Attributes:
        number: its number, from 1.
        view: the address of its view, without ``#``.
        figure: name of its figure.
        caption: the caption as HTML.
        still: its still.
    """

    number: int
    view: str
    figure: str
    caption: Markup
    still: FigureStill


def draw_step(data: PageData, step: StoryStep) -> FigureStill:
    """Return the still of a step.

    Raises:
        ValueError: the page does not have the view, or the figure shows something that was not measured.
    """
    return draw_figure(data, step.figure, parse_address(step.view))


def tell_story(data: PageData, place: SourceLocation) -> list[ToldStep]:
    """Return the steps of a story as the page shows them.

    Args:
        data: what the figures of the page show.
        place: location of the prompt in its file, for error messages.

    Raises:
        PromptError: a step shows what the page does not have.
    """
    steps = []
    for index, step in enumerate(data.story):
        try:
            still = draw_step(data, step)
        except ValueError as error:
            raise PromptError(f"{place.of(name_step(index))}: {name_step(index)} has {error}") from error
        view, caption = format_address(parse_address(step.view)), caption_to_html(step.text)
        steps.append(ToldStep(index + 1, view, step.figure, caption, still))
    return steps
