"""Render two captures as a page that shows them side by side.

Each side has the same blocks as its own page, with the prefix ``a-`` or ``b-`` in their names. The block ``shared``
holds the data of both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.default_head import find_default_head
from reportgen.evidence.kinds.scores import HEAD_SCORES, LABEL_FROM, HeadScore
from reportgen.pages.alignment import Alignment, Variation, align, measure_variations
from reportgen.pages.assets import (
    COMPARE_SCRIPTS,
    embed_json,
    make_program,
    read_styles,
)
from reportgen.pages.cards import Card, encode_picture, make_card, shade_means
from reportgen.pages.direction import find_direction
from reportgen.pages.encoding import (
    describe_capture,
    encode_json,
    encode_layer,
    encode_overview,
    encode_pattern,
    encode_row_sums,
    has_overview,
)
from reportgen.pages.figures import make_compare_figures
from reportgen.pages.layer_notes import (
    describe_layer_types,
    list_marks,
    make_layer_type_rows,
    make_sink_blocks,
    name_shade,
)
from reportgen.pages.links import Link, make_link
from reportgen.pages.options import PageOptions
from reportgen.pages.page_keys import PageKeys
from reportgen.pages.palettes import DIVERGING, PALETTES, describe_ramps
from reportgen.pages.precision import FULL, Precision, describe_dropped_mass, describe_precision, measure_dropped_mass
from reportgen.pages.reproduction import make_comparison_file
from reportgen.pages.size_limit import render_within
from reportgen.pages.tables import (
    PromptRow,
    StepRow,
    TokenView,
    make_prompt_rows,
    make_settings,
    make_step_rows,
    make_token_views,
    summarize_settings,
    warn_of_drift,
)
from reportgen.pages.templates import GENERATOR, render
from reportgen.records import Comparison, ModelInfo

_LISTED = 12
"""Number of heads in the list of those that differ most."""


@dataclass(frozen=True)
class SideView:
    """Data of one side for the template; ``name`` is ``a`` or ``b``."""

    name: str
    title: str
    href: str
    model: ModelInfo
    summary: str
    dropped: str
    warning: str
    shade: str
    num_prompt_tokens: int
    tokens: Sequence[TokenView]
    direction: str
    steps: Sequence[StepRow]
    prompt_rows: Sequence[PromptRow]
    settings: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class CompareContext:
    """Data for ``compare.html.jinja2`` and the templates that it includes."""

    title: str
    note: str
    tags: tuple[str, ...]
    link: Link | None
    sides: Sequence[SideView]
    same_model: bool
    precision: str
    layers: Sequence[int]
    heads: Sequence[int]
    has_difference: bool
    aligned: str
    variations: Sequence[Variation]
    scores: Sequence[HeadScore]
    card: Markup
    recipe: str
    bokeh_file: str
    blocks: Mapping[str, Markup]
    early_blocks: Mapping[str, Markup]
    layer_blocks: Iterable[tuple[str, Markup]]
    style: Markup
    script: Markup
    policy: str
    keys: PageKeys = PageKeys()
    generator: str = GENERATOR


def render_comparison(
    comparison: Comparison, first: Capture, second: Capture, options: PageOptions = PageOptions(), *,
    precision: Precision = FULL,
) -> str:  # fmt: skip
    """Return the page that shows two captures side by side, whatever its size.

    Args:
        comparison: title, slug, tags and note of the page.
        first: left side, A; the result of ``alignment.slim`` is enough.
        second: right side, B.
        options: options of the page; its maximum size and precision are ignored.
        precision: precision of the weights on the page.

    Returns:
        The HTML document; the same captures give the same text.
    """
    return render("compare.html.jinja2", make_compare_context(comparison, first, second, options, precision))


def draw_comparison(
    comparison: Comparison,
    first: Capture,
    second: Capture,
    options: PageOptions = PageOptions(),
    *,
    keys: PageKeys = PageKeys(),
) -> tuple[str, Precision]:
    """Return the page of two captures within the maximum page size, and the precision of its weights.

    Args:
        comparison: as in ``render_comparison``.
        first: as in ``render_comparison``.
        second: as in ``render_comparison``.
        options: options of the page.
        keys: what the page was made from, to store in its head.

    Raises:
        PromptError: the page does not fit into its maximum size with a useful part of its weights.
    """

    def draw(precision: Precision, *, with_layers: bool = True) -> str:
        context = replace(make_compare_context(comparison, first, second, options, precision), keys=keys)
        return render("compare.html.jinja2", context if with_layers else replace(context, layer_blocks=()))

    return render_within((first, second), options, draw, f"{comparison.place.of('compare')}: {comparison.slug}")


def make_compare_card(comparison: Comparison, first: Capture, second: Capture) -> Card:
    """Return the card of a comparison; its thumbnail has A below the diagonal and B, transposed, above it."""
    cards = [make_card(capture) for capture in (first, second)]
    models = list(dict.fromkeys(card.model for card in cards))
    return Card(
        slug=comparison.slug,
        title=comparison.title,
        text="\n".join(card.text for card in cards),
        model=" and ".join(models),
        tags=comparison.tags,
        num_prompt_tokens=sum(card.num_prompt_tokens for card in cards),
        num_steps=sum(card.num_steps for card in cards),
        thumbnail=_draw_both(first, second),
        compares=(cards[0].title, cards[1].title),
    )


def make_compare_context(
    comparison: Comparison, first: Capture, second: Capture, options: PageOptions = PageOptions(),
    precision: Precision = FULL,
) -> CompareContext:  # fmt: skip
    """Return the data for the templates of a comparison."""
    captures = first, second
    alignment = align(first, second)
    program = make_program(COMPARE_SCRIPTS, shared_assets=options.shared_assets)
    titles = f"{first.prompt.title}, and {second.prompt.title}"
    dropped = [measure_dropped_mass(capture, precision) for capture in captures]
    return CompareContext(
        title=comparison.title,
        note=comparison.note,
        tags=comparison.tags,
        link=make_link(options.site_url, comparison.slug, comparison.title, f"Attention side by side: {titles}"),
        sides=[
            _view(capture, name, describe_dropped_mass(mass, precision))
            for capture, name, mass in zip(captures, "ab", dropped, strict=True)
        ],
        same_model=first.model.title == second.model.title,
        precision=describe_precision(precision, *captures),
        layers=sorted({*first.layers, *second.layers}),
        heads=sorted({*first.heads, *second.heads}),
        has_difference=alignment is not None,
        aligned=describe_alignment(first, second, alignment),
        variations=[] if alignment is None else measure_variations(first, second, alignment)[:_LISTED],
        scores=_common_scores(first, second),
        card=embed_json(asdict(make_compare_card(comparison, first, second))),
        recipe=make_comparison_file(comparison, captures, options),
        bokeh_file=program.bokeh_file,
        blocks={**program.blocks, **_make_blocks(captures, alignment, precision)},
        early_blocks=_make_early_blocks(captures, dropped),
        layer_blocks=_make_layer_blocks(captures, precision),
        style=read_styles("compare.css"),
        script=program.boot,
        policy=program.policy,
    )


def describe_alignment(first: Capture, second: Capture, alignment: Alignment | None) -> str:
    """Return a description of the positions that the difference compares, or of why there is no difference."""
    counts = f"{first.num_prompt_tokens} and {second.num_prompt_tokens} tokens"
    if alignment is None:
        return f"There is no difference to draw: the prompts have {counts} and do not end alike."
    common = alignment.starts[0] + alignment.length - first.num_prompt_tokens
    after = f" and {_describe_common(first, second, common)}" if common else ""
    if alignment.is_whole:
        return f"Position beside position: the {first.num_prompt_tokens} tokens of both prompts{after}."
    return (
        f"The prompts have {counts}. Beside one another stand the {alignment.length - common} tokens that end both"
        f"{after}: from position {alignment.starts[0]} on in A, from {alignment.starts[1]} on in B. All that is read "
        "before them counts as one."
    )


def _describe_common(first: Capture, second: Capture, count: int) -> str:
    """Return a description of the equal tokens behind two prompts."""
    if first.is_forecast and second.is_forecast:
        return "the token that both would write next"
    if first.is_forecast or second.is_forecast:
        would, wrote = "AB" if first.is_forecast else "BA"
        return f"the token that {wrote} wrote and {would} would write next"
    return f"{count} generated token{'s' if count != 1 else ''} that both have"


def _view(capture: Capture, name: str, dropped: str) -> SideView:
    return SideView(
        name=name,
        title=capture.prompt.title,
        href=f"{capture.prompt.slug}.html",
        model=capture.model,
        summary=summarize_settings(capture),
        dropped=dropped,
        warning=warn_of_drift(capture),
        shade=name_shade(capture),
        num_prompt_tokens=capture.num_prompt_tokens,
        tokens=make_token_views(capture),
        direction=find_direction(capture.tokens[: capture.num_prompt_tokens]),
        steps=make_step_rows(capture),
        prompt_rows=make_prompt_rows(capture),
        settings=[*make_settings(capture), *make_layer_type_rows(capture)],
    )


def _common_scores(first: Capture, second: Capture) -> list[HeadScore]:
    """Return the head scores that both sides have."""
    return [
        score for score in HEAD_SCORES if score.name in first.evidence.scores and score.name in second.evidence.scores
    ]


def _make_blocks(
    captures: tuple[Capture, Capture], alignment: Alignment | None, precision: Precision
) -> dict[str, Markup]:
    """Return the blocks that the page needs first; both sides start with the default head of A."""
    layer, head = find_default_head(captures[0])
    marks = [list_marks(capture) for capture in captures]
    shared = {
        "palettes": describe_ramps(PALETTES),
        "diverging": describe_ramps(DIVERGING),
        "alignment": None if alignment is None else asdict(alignment),
        "scores": [asdict(score) for score in _common_scores(*captures)],
    }
    figures = make_compare_figures(marks, with_difference=alignment is not None)
    blocks = {"figures": encode_json(figures), "shared": encode_json(shared)}
    for name, capture in zip("ab", captures, strict=True):
        default_head = _nearest(capture.layers, layer), _nearest(capture.heads, head)
        blocks[f"{name}-content"] = encode_json(_describe(capture, default_head, precision))
        blocks[f"{name}-default-head"] = encode_pattern(capture, *default_head, precision)
    for name, capture in zip("ab", captures, strict=True):
        if has_overview(capture):
            blocks[f"{name}-overview"] = encode_overview(capture)
    return blocks


def _describe(capture: Capture, default_head: tuple[int, int], precision: Precision) -> dict[str, object]:
    """Return the data of a capture for the page's script, without evidence."""
    return (
        describe_capture(capture, precision)
        | describe_layer_types(capture)
        | {
            "default_head": list(default_head),
            "heatmap_modes": ["weight"],
            "grid_metrics": [],
            "label_from": LABEL_FROM,
            "score_kinds": [asdict(score) for score in HEAD_SCORES if score.name in capture.evidence.scores],
        }
    )


def _make_early_blocks(
    captures: tuple[Capture, Capture], dropped: Sequence[NDArray[np.float32] | None]
) -> dict[str, Markup]:
    """Return the blocks that precede those of the layers, because they are small and apply to all layers."""
    return {
        f"{name}-{block}": text
        for name, capture, lost in zip("ab", captures, dropped, strict=True)
        for block, text in {**make_sink_blocks(capture), **_encode_dropped(lost)}.items()
    }


def _encode_dropped(dropped: NDArray[np.float32] | None) -> dict[str, Markup]:
    return {} if dropped is None else encode_row_sums({"dropped": dropped})


def _make_layer_blocks(captures: tuple[Capture, Capture], precision: Precision) -> Iterator[tuple[str, Markup]]:
    """Yield the blocks that the page needs when another head is selected; both sides of a layer are adjacent."""
    for layer in sorted({*captures[0].layers, *captures[1].layers}):
        for name, capture in zip("ab", captures, strict=True):
            if layer in capture.layers:
                yield f"{name}-layer-{layer}", encode_layer(capture, layer, precision)


def _draw_both(first: Capture, second: Capture) -> str:
    """Return two thumbnails as one: A below the diagonal, B transposed above it."""
    below, above = shade_means(first), shade_means(second)
    side = max(len(below), len(above))
    picture = np.zeros((side, side), np.float32)
    picture[: len(below), : len(below)] += np.tril(below)
    picture[: len(above), : len(above)] += np.triu(above.T, 1)
    return encode_picture(picture)


def _nearest(numbers: Sequence[int], wanted: int) -> int:
    """Return the number closest to the wanted one, which a side may lack; of two equally close, the lower."""
    return min(numbers, key=lambda number: (abs(number - wanted), number))
