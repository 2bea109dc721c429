"""Two captures side by side, on a page that a notebook displays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.patching import Patching
from reportgen.notebook.shown import Shown
from reportgen.pages.compare import draw_comparison
from reportgen.pages.options import PageOptions
from reportgen.prompts.slugs import name_comparisons, name_pages
from reportgen.records import PATCHING, Comparison
from reportgen.records.errors import NoEvidence

if TYPE_CHECKING:
    from reportgen.models.model import LoadedModel


@dataclass(frozen=True, repr=False)
class ComparisonPage(Shown):
    """The page of two captures side by side; a notebook displays it if it is the last expression of a cell.

    Attributes:
        first: first side, A.
        second: second side, B.
        title: heading of the page.
        note: note below it.
        patching: what ``patch`` found between them; ``None`` if it was not measured.
    """

    first: Capture
    second: Capture
    title: str = ""
    note: str = ""
    patching: Patching | None = None

    def __repr__(self) -> str:
        return f"<ComparisonPage of {self.title!r}>"

    def _draw(self, options: PageOptions) -> str:
        return draw_comparison(*self._prepare(), options, has_index=False, patching=self.patching or "")[0]

    def _name(self) -> tuple[str, str]:
        return self.title, self._prepare()[0].slug

    def _prepare(self) -> tuple[Comparison, Capture, Capture]:
        """Return the comparison and its sides, whose slugs differ."""
        first, second = self.first.prompt, self.second.prompt
        first, second = name_pages([first, replace(second, slug="") if second.slug == first.slug else second])
        comparison = Comparison((first.slug, second.slug), title=self.title, note=self.note)
        ((named,), _) = name_comparisons([comparison], [first, second])
        return named, replace(self.first, prompt=first), replace(self.second, prompt=second)


def compare(
    first: Capture, second: Capture, *, title: str = "", note: str = "", patching: Patching | None = None
) -> ComparisonPage:
    """Show two captures side by side: two prompts, or one prompt on two models.

    Args:
        first: first side, A.
        second: second side, B.
        title: heading of the page; empty for one made from both titles.
        note: note below it.
        patching: what ``patch`` found between them, for the page to show.

    Returns:
        The page of the comparison, which a notebook displays.

    Raises:
        TypeError: a side is not a capture.
    """
    for side in (first, second):
        if not isinstance(side, Capture):
            raise TypeError(f"compare: must be given two captures, got a {type(side).__name__}; run it with capture")
    prompts = [first.prompt, second.prompt]
    if prompts[0].title == prompts[1].title and first.model.title != second.model.title:
        prompts[1] = replace(prompts[1], title=f"{prompts[1].title} (on {second.model.title})")
        second = replace(second, prompt=prompts[1])
    return ComparisonPage(first, second, title or " beside ".join(prompt.title for prompt in prompts), note, patching)


def patch(model: LoadedModel, first: Capture, second: Capture, answers: Sequence[str] = ()) -> Patching:
    """Put activations of one run into the other, and measure what each changes; docs/numbers.md has the definition.

    Args:
        model: the model that ran both prompts.
        first: first side, A.
        second: second side, B; its prompt has as many tokens as that of A, or ends in the same ones.
        answers: two tokens whose log-probabilities are compared, as exact texts; by default the first token behind
            each prompt.

    Returns:
        The shares of each head, and of the residual stream by layer and position.

    Raises:
        ReportgenError: it cannot be measured; the message says why.
    """
    from reportgen.build.patching import measure_patching, plan_patching  # imports torch, as the model did

    for side in (first, second):
        if (side.model.name, side.model.adapter) != (model.info.name, model.info.adapter):
            raise NoEvidence(f"patch: {side.model.title} ran {side.prompt.slug}, and not the given {model.info.title}")
    comparison = Comparison(("a", "b"), evidence=(PATCHING,), answers=tuple(answers))
    request = plan_patching(comparison, (first, second), (first.prompt, second.prompt))
    found = measure_patching(request, lambda _: model, lambda _: lambda *_: None)
    if isinstance(found, str):
        raise NoEvidence(found)
    return found
