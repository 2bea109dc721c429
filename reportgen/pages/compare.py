"""Render two captures as a page that shows them side by side.

Each side has the same blocks as its own page, with the prefix ``a-`` or ``b-`` in their names. The block ``shared``
holds the data of both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.patching import Patching
from reportgen.evidence.kinds.scores import HEAD_SCORES, LABEL_FROM, HeadScore
from reportgen.evidence.opening import Opening
from reportgen.pages.alignment import Alignment, Variation
from reportgen.pages.assets import (
    COMPARE_SCRIPTS,
    COMPARE_STYLES,
    FIRST_SCRIPT,
    embed_json,
    make_program,
    read_scripts,
    read_styles,
)
from reportgen.pages.cards import Card, excerpt
from reportgen.pages.direction import find_direction
from reportgen.pages.encoding import (
    describe_capture,
    encode_json,
    encode_layer,
    encode_pattern,
    encode_row_sums,
)
from reportgen.pages.figures import make_figure_block
from reportgen.pages.layer_notes import (
    describe_layer_types,
    make_layer_type_rows,
    make_sink_blocks,
    name_shade,
)
from reportgen.pages.links import Link, make_link
from reportgen.pages.options import PageOptions
from reportgen.pages.page_keys import PageKeys
from reportgen.pages.pair_answer import (
    Differences,
    PairRead,
    find_differences,
    is_same_model,
    make_pair_answer,
    name_token,
)
from reportgen.pages.pair_evidence import PairEvidence, find_pair_evidence
from reportgen.pages.pair_panels import (
    BEFORE,
    PairOpening,
    find_pair_opening,
    list_axes,
    list_numbers,
    make_pair_panels,
    make_variation_map,
    tabulate_variations,
)
from reportgen.pages.pair_patching import PatchView, describe_patching, format_share, say_patched, view_patching
from reportgen.pages.palettes import PALETTES, SIDES, describe_ramps
from reportgen.pages.panels import Panel, round_weights
from reportgen.pages.precision import FULL, Precision, describe_dropped_mass, describe_precision, measure_dropped_mass
from reportgen.pages.reproduction import make_comparison_file
from reportgen.pages.sentences import to_json
from reportgen.pages.size_limit import render_within
from reportgen.pages.stills import Still, draw_legend, draw_thumbnail, shade_weights
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
from reportgen.records import Comparison, ModelInfo, Prediction, Step
from reportgen.records.json_values import list_numbers as to_numbers
from reportgen.records.json_values import shorten
from reportgen.records.sentences import HeadPart, Sentence, TokenPart, format_percent, format_weight, make_sentence

_LISTED_TOKENS = 8
"""Number of tokens in the list of next tokens."""


@dataclass(frozen=True)
class SideView:
    """Data of one side for the template; ``name`` is ``a`` or ``b``."""

    name: str
    title: str
    note: str
    href: str
    model: ModelInfo
    summary: str
    dropped: str
    warning: str
    shade: str
    is_forecast: bool
    origin: str
    num_prompt_tokens: int
    first_common: int
    query_pos: int
    tokens: Sequence[TokenView]
    direction: str
    steps: Sequence[StepRow]
    prompt_rows: Sequence[PromptRow]
    settings: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ReadRow:
    """A head that reads the two sides differently, for the template; sentences as ``sentences.to_json`` gives them."""

    layer: int
    head: int
    moved: str
    query: Any
    reads: tuple[tuple[Any, str], tuple[Any, str]]
    patched: str = ""


@dataclass(frozen=True)
class NextToken:
    """A token that could follow, with its probability on both sides.

    Attributes:
        shown: text of the token for display.
        shares: probability of each side as a share of the largest one in the list.
        probs: the same probabilities as text; a token that is not among the listed ones of a side has an upper limit.
    """

    shown: str
    shares: tuple[float, float]
    probs: tuple[str, str]


@dataclass(frozen=True)
class ScoreLine:
    """One score of the opening head on both sides, and the difference."""

    score: HeadScore
    values: tuple[str, str, str]


@dataclass(frozen=True)
class CompareContext:
    """Data for ``compare.html.jinja2`` and the templates that it includes."""

    title: str
    note: str
    tags: tuple[str, ...]
    description: str
    link: Link | None
    sides: Sequence[SideView]
    same_model: bool
    size: str
    answer: Mapping[str, Any]
    opening: PairOpening
    query: Any
    panels: Mapping[str, Panel]
    limit: str
    variation_map: Panel | None
    legends: Mapping[str, Still]
    has_difference: bool
    reads: Sequence[ReadRow]
    row_patches: bool
    patching: PatchView | None
    evidence: PairEvidence | None
    next_tokens: Sequence[NextToken]
    score_lines: Sequence[ScoreLine]
    precision: str
    palettes: Sequence[str]
    key_list: Sequence[tuple[str, str]]
    card: Markup
    recipe: str
    bokeh_file: str
    blocks: Mapping[str, Markup]
    early_blocks: Mapping[str, Markup]
    layer_blocks: Iterable[tuple[str, Markup]]
    style: Markup
    script: Markup
    first_script: Markup
    policy: str
    keys: PageKeys = PageKeys()
    has_index: bool = True
    generator: str = GENERATOR


def render_comparison(
    comparison: Comparison, first: Capture, second: Capture, options: PageOptions = PageOptions(), *,
    precision: Precision = FULL,
) -> str:  # fmt: skip
    """Return the page that shows two captures side by side, whatever its size.

    Args:
        comparison: title, slug, tags and note of the page.
        first: first side, A; the result of ``alignment.slim`` is enough.
        second: second side, B.
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
    has_index: bool = True,
    differences: Differences | None = None,
    patching: Patching | str = "",
) -> tuple[str, Precision]:
    """Return the page of two captures within the maximum page size, and the precision of its weights.

    Args:
        comparison: as in ``render_comparison``.
        first: as in ``render_comparison``.
        second: as in ``render_comparison``.
        options: options of the page.
        keys: what the page was made from, to store in its head.
        has_index: whether the page links to the index and to the pages of both sides next to it.
        differences: how the captures differ; ``None`` finds it out.
        patching: what activation patching found, or why it found nothing; empty if it was not asked for.

    Raises:
        PromptError: the page does not fit into its maximum size with a useful part of its weights.
    """
    found = differences or find_differences((first, second))

    def draw(precision: Precision, *, with_layers: bool = True) -> str:
        context = make_compare_context(comparison, first, second, options, precision, found, patching)
        context = replace(context, keys=keys, has_index=has_index)
        return render("compare.html.jinja2", context if with_layers else replace(context, layer_blocks=()))

    return render_within((first, second), options, draw, f"{comparison.place.of('compare')}: {comparison.slug}")


def make_compare_card(
    comparison: Comparison, first: Capture, second: Capture, differences: Differences | None = None
) -> Card:
    """Return the card of a comparison; its thumbnail is the map of how much each head differs, from 0 to 1."""
    captures = first, second
    found = differences or find_differences(captures)
    reads = found.reads
    return Card(
        slug=comparison.slug,
        title=comparison.title,
        text=" | ".join(excerpt(capture) for capture in captures),
        model=" and ".join(dict.fromkeys(capture.model.title for capture in captures)),
        tags=comparison.tags,
        num_prompt_tokens=sum(capture.num_prompt_tokens for capture in captures),
        num_steps=sum(capture.num_generated_tokens for capture in captures),
        thumbnail=_draw_variations(captures, found.variations),
        said=to_json(_say_read(captures, reads[0])) if reads else [],
        head=f"L{reads[0].layer} H{reads[0].head}" if reads else "",
        compares=(first.prompt.title, second.prompt.title),
        sides=(first.prompt.slug, second.prompt.slug),
    )


def make_compare_context(
    comparison: Comparison, first: Capture, second: Capture, options: PageOptions = PageOptions(),
    precision: Precision = FULL, differences: Differences | None = None, patching: Patching | str = "",
) -> CompareContext:  # fmt: skip
    """Return the data for the templates of a comparison."""
    captures = first, second
    found = differences or find_differences(captures)
    alignment, variations, reads = found.alignment, found.variations, found.reads
    answer = make_pair_answer(captures, alignment, variations, reads)
    opening = find_pair_opening(captures, reads)
    program = make_program(COMPARE_SCRIPTS, shared_assets=options.shared_assets)
    dropped = [measure_dropped_mass(capture, precision) for capture in captures]
    described = [describe_dropped_mass(mass, precision) for mass in dropped]
    next_tokens = _list_next_tokens(captures)
    layers, heads = list_numbers(captures)
    panels = make_pair_panels(captures, alignment, opening, precision)
    shared = _describe_shared(captures, found, opening, next_tokens)
    shared |= {"patching": describe_patching(captures, patching)}
    patched = say_patched(patching, reads) if isinstance(patching, Patching) else ()
    return CompareContext(
        sides=_view_sides(captures, opening, alignment, described, precision),
        size=f"{len(layers)} × {len(heads)} heads",
        answer={"claim": to_json(answer.claim), "details": to_json(make_sentence(*patched, *answer.details))},
        opening=opening,
        query=to_json(_name_query(captures, opening.queries)),
        panels=panels.panels,
        limit=f"{panels.largest:.2f}",
        variation_map=make_variation_map(captures, variations, opening),
        has_difference=alignment is not None,
        reads=[_make_read_row(captures, read, patching) for read in reads],
        row_patches=isinstance(patching, Patching),
        patching=view_patching(captures, patching, opening),
        evidence=find_pair_evidence(captures),
        next_tokens=next_tokens[0] if next_tokens else [],
        score_lines=_make_score_lines(captures, opening),
        precision=describe_precision(precision, *captures),
        card=embed_json(asdict(make_compare_card(comparison, first, second, found))),
        bokeh_file=program.bokeh_file,
        blocks={**program.blocks, "figure": make_figure_block(), "shared": encode_json(shared)}
        | _make_blocks(captures, opening, precision),
        early_blocks=_make_early_blocks(captures, dropped),
        layer_blocks=_make_layer_blocks(captures, precision),
        script=program.boot,
        policy=program.policy,
        **_describe_comparison(comparison, captures, options),
    )


def _describe_comparison(
    comparison: Comparison, captures: tuple[Capture, Capture], options: PageOptions
) -> dict[str, Any]:
    """Return the texts and settings of a comparison by their field in ``CompareContext``."""
    first, second = captures
    description = f"Attention side by side: {first.prompt.title}, and {second.prompt.title}"
    return {
        "title": comparison.title,
        "note": comparison.note,
        "tags": comparison.tags,
        "description": description,
        "link": make_link(options.site_url, comparison.slug, comparison.title, description),
        "same_model": is_same_model(captures),
        "legends": _draw_legends(),
        "palettes": tuple(PALETTES),
        "key_list": _list_keys(),
        "recipe": make_comparison_file(comparison, captures, options),
        "style": read_styles(*COMPARE_STYLES),
        "first_script": read_scripts((FIRST_SCRIPT,)),
    }


def _describe_shared(
    captures: tuple[Capture, Capture], found: Differences, opening: PairOpening, next_tokens: Sequence[Any]
) -> dict[str, Any]:
    """Return what the scripts read of both sides together, as JSON values."""
    layers, heads = list_numbers(captures)
    return {
        "palettes": describe_ramps(PALETTES),
        "sides": describe_ramps(SIDES),
        "alignment": None if found.alignment is None else asdict(found.alignment),
        "axes": [asdict(axis) for axis in list_axes(captures, found.alignment)],
        "before": BEFORE,
        "opening": {"layer": opening.layer, "head": opening.head, "queries": list(opening.queries)},
        "variations": to_numbers(tabulate_variations(layers, heads, found.variations)),
        "places": [[one.layer, one.head, one.place] for one in found.variations],
        "next": [
            [[row.shown, [shorten(share) for share in row.shares], row.probs] for row in rows] for rows in next_tokens
        ],
        "scores": [asdict(score) for score in _common_scores(*captures)],
    }


@cache
def _draw_legends() -> Mapping[str, Still]:
    return {"weight": draw_legend(signed=False), "difference": draw_legend(signed=True, sides=True)}


def _view_sides(
    captures: tuple[Capture, Capture],
    opening: PairOpening,
    alignment: Alignment | None,
    dropped: Sequence[str],
    precision: Precision,
) -> list[SideView]:
    starts = (0, 0) if alignment is None or alignment.is_whole else alignment.starts
    rows = [
        round_weights(capture.attention[*head, query_pos, : query_pos + 1], precision)
        for capture, head, query_pos in zip(captures, opening.heads, opening.queries, strict=True)
    ]
    return [
        SideView(
            name=name,
            title=capture.prompt.title,
            note=capture.prompt.note,
            href=f"{capture.prompt.slug}.html",
            model=capture.model,
            summary=summarize_settings(capture),
            dropped=lost,
            warning=warn_of_drift(capture),
            shade=name_shade(capture),
            is_forecast=capture.is_forecast,
            origin=capture.origin,
            num_prompt_tokens=capture.num_prompt_tokens,
            first_common=start,
            query_pos=query_pos,
            tokens=make_token_views(capture, shade_weights(row)),
            direction=find_direction(capture.tokens[: capture.num_prompt_tokens]),
            steps=make_step_rows(capture),
            prompt_rows=make_prompt_rows(capture),
            settings=[*make_settings(capture), *make_layer_type_rows(capture)],
        )
        for name, capture, row, start, query_pos, lost in zip(
            "ab", captures, rows, starts, opening.queries, dropped, strict=True
        )
    ]


def _name_query(captures: tuple[Capture, Capture], queries: tuple[int, int]) -> Sentence:
    """Return the tokens that read: one name where they look alike."""
    names = [name_token(capture, query) for capture, query in zip(captures, queries, strict=True)]
    return names[0] if names[0][0] == names[1][0] else (*names[0], " | ", *names[1])


def _make_read_row(captures: tuple[Capture, Capture], read: PairRead, patching: Patching | str) -> ReadRow:
    first, second = (
        (to_json(name_token(capture, key)), format_weight(weight))
        for capture, key, weight in zip(captures, read.keys, read.weights, strict=True)
    )
    query = to_json(_name_query(captures, read.queries))
    patched = ""
    if isinstance(patching, Patching):
        shares = (format_share(patching.find_share(read.layer, read.head, into)) for into in (0, 1))
        patched = " / ".join(share.removesuffix(" %") for share in shares)
    return ReadRow(read.layer, read.head, format_weight(read.total_variation), query, (first, second), patched)


def _list_next_tokens(captures: tuple[Capture, Capture]) -> list[list[NextToken]]:
    """Return the most probable tokens of each step, those that one side at least found likely."""
    count = max(len(capture.steps) for capture in captures)
    return [_list_of_step([capture.steps[step] if step < len(capture.steps) else None for capture in captures])
            for step in range(count)]  # fmt: skip


def _list_of_step(steps: Sequence[Step | None]) -> list[NextToken]:
    known = [_read_probs(step.raw) if step else {} for step in steps]
    # Tokens of two models are the same if they look the same.
    most = {shown: max(probs.get(shown, 0) for probs in known) for probs in known for shown in probs}
    listed = sorted(most, key=lambda shown: -most[shown])[:_LISTED_TOKENS]
    largest = max(most.values())
    rows = []
    for shown in listed:
        first, second = known
        shares = first.get(shown, 0) / largest, second.get(shown, 0) / largest
        rows.append(NextToken(shown, shares, (_say_prob(first, shown), _say_prob(second, shown))))
    return rows


def _read_probs(prediction: Prediction) -> dict[str, float]:
    return {token.shown: math.exp(logprob) for token, logprob in reversed(prediction.alternatives)}


def _say_prob(probs: Mapping[str, float], shown: str) -> str:
    if not probs:
        return "n/a"
    return format_percent(probs[shown]) if shown in probs else f"≤{format_percent(min(probs.values()))}"


def _common_scores(first: Capture, second: Capture) -> list[HeadScore]:
    """Return the head scores that both sides have."""
    return [
        score for score in HEAD_SCORES if score.name in first.evidence.scores and score.name in second.evidence.scores
    ]


def _make_score_lines(captures: tuple[Capture, Capture], opening: PairOpening) -> list[ScoreLine]:
    lines = []
    for score in _common_scores(*captures):
        first, second = (
            float(capture.evidence.scores[score.name][capture.layers.index(layer), capture.heads.index(head)])
            for capture, (layer, head) in zip(captures, opening.heads, strict=True)
        )
        decimals = 3 if score.is_share else 1
        shown = ["n/a" if math.isnan(value) else f"{value:.{decimals}f}" for value in (first, second)]
        lines.append(ScoreLine(score, (shown[0], shown[1], _say_difference(first - second, decimals))))
    return lines


def _say_difference(value: float, decimals: int) -> str:
    """Return a difference with its sign, which zero has none of; ``n/a`` for NaN."""
    text = f"{value:+.{decimals}f}".replace("-", "−")
    return "n/a" if math.isnan(value) else text if text.strip("+−0.") else text[1:]


def _list_keys() -> list[tuple[str, str]]:
    return [
        ("← →", "token that reads: previous, next; with Shift that of B"),
        ("k j", "layer: previous, next"),
        ("h l", "head: previous, next"),
        ("u", "tokens that read together, or each alone"),
        ("s", "scale of weights"),
        ("f", "first token: shown, left out, rest renormalised"),
        ("d", "light or dark"),
        ("c", "cite this view"),
        ("?", "this list"),
        ("Esc", "close what is open"),
    ]


def _make_blocks(captures: tuple[Capture, Capture], opening: PairOpening, precision: Precision) -> dict[str, Markup]:
    """Return the blocks that the page needs first."""
    blocks = {}
    for name, capture, head, query_pos in zip("ab", captures, opening.heads, opening.queries, strict=True):
        blocks[f"{name}-content"] = encode_json(_describe(capture, Opening(*head, None, query_pos, None), precision))
        blocks[f"{name}-opening-head"] = encode_pattern(capture, *head, precision)
    return blocks


def _describe(capture: Capture, opening: Opening, precision: Precision) -> dict[str, object]:
    """Return the data of a capture for the page's script, without evidence."""
    return (
        describe_capture(capture, precision)
        | describe_layer_types(capture)
        | {
            "opening": asdict(opening),
            "has_overview": False,
            "has_rows": False,
            "heatmap_modes": ["weight"],
            "grid_metrics": [],
            "contrasts": [],
            "has_read": False,
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


def _draw_variations(captures: tuple[Capture, Capture], variations: Sequence[Variation]) -> str:
    """Return the map of how much heads differ as a thumbnail, the last layer at the top; empty without heads."""
    if not variations:
        return ""
    values = tabulate_variations(*list_numbers(captures), variations)
    return draw_thumbnail(np.sqrt(np.nan_to_num(values))[::-1], signed=False)


def _say_read(captures: tuple[Capture, Capture], read: PairRead) -> Sentence:
    """Return what a head reads in both where it differs most."""
    reads = [
        make_sentence(f" {name} reads ", TokenPart(capture.tokens[key_pos].shown), f" ({format_weight(weight)})")
        for name, capture, key_pos, weight in zip("AB", captures, read.keys, read.weights, strict=True)
    ]
    query = TokenPart(captures[0].tokens[read.queries[0]].shown)
    head = HeadPart(read.layer, read.head)
    return make_sentence(head, " reads the two most differently: at ", query, *reads[0], ",", *reads[1])
