"""Render a capture as an HTML page. One frozen dataclass holds the data for the page's templates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.head_summary import summarize_heads
from reportgen.evidence.kinds import DEFINITIONS, KINDS
from reportgen.evidence.kinds.ablation import ABLATIONS
from reportgen.evidence.kinds.attribution import LogitAttribution
from reportgen.evidence.kinds.kind import Definition, Kind
from reportgen.evidence.kinds.scores import HEAD_SCORES, LABEL_FROM
from reportgen.evidence.kinds.screening import ESTIMATES
from reportgen.evidence.opening import Opening, find_opening
from reportgen.pages.answer import make_answers
from reportgen.pages.assets import (
    FIRST_SCRIPT,
    PAGE_SCRIPTS,
    PAGE_STYLES,
    embed_json,
    make_program,
    read_scripts,
    read_styles,
)
from reportgen.pages.cards import Card, excerpt, make_card
from reportgen.pages.claims import count_claims, say_claims
from reportgen.pages.direction import find_direction
from reportgen.pages.encoding import (
    describe_capture,
    encode_json,
    encode_layer,
    encode_overview,
    encode_pattern,
    encode_row_sums,
    encode_rows,
    has_overview,
)
from reportgen.pages.evidence_blocks import (
    describe_evidence,
    encode_grids,
    encode_sources,
    list_grids,
    list_heatmap_modes,
    make_evidence_blocks,
)
from reportgen.pages.figures import make_figure_block
from reportgen.pages.findings import make_findings
from reportgen.pages.layer_notes import (
    TraitView,
    describe_layer_types,
    make_layer_type_rows,
    make_sink_blocks,
    make_trait_views,
    name_gaps,
    name_shade,
)
from reportgen.pages.links import Link, make_link
from reportgen.pages.options import PageOptions
from reportgen.pages.page_data import PageParts, restore
from reportgen.pages.page_keys import PageKeys
from reportgen.pages.palettes import DIVERGING, PALETTES, describe_ramps
from reportgen.pages.panels import (
    Panel,
    StepRead,
    make_map_panel,
    make_pattern_panel,
    make_read_panel,
    make_row_panels,
    measure_foil_reads,
    measure_reads,
    shade_tokens,
)
from reportgen.pages.precision import (
    FULL,
    Precision,
    describe_dropped_mass,
    describe_precision,
    measure_dropped_mass,
    measure_row_sums,
    quantize,
)
from reportgen.pages.reproduction import make_prompt_file
from reportgen.pages.sentences import to_json
from reportgen.pages.size_limit import render_within
from reportgen.pages.stills import Still, draw_legend
from reportgen.pages.story import ToldStep, tell_story
from reportgen.pages.summaries import encode_summary
from reportgen.pages.tables import (
    EvidenceRow,
    PromptRow,
    ScoreRow,
    StepRow,
    TokenView,
    describe_drift,
    make_evidence_rows,
    make_prompt_rows,
    make_score_rows,
    make_settings,
    make_step_rows,
    make_token_views,
    summarize_settings,
    warn_of_drift,
)
from reportgen.pages.templates import GENERATOR, compile_templates, render
from reportgen.pages.views import open_view
from reportgen.pages.words import find_words, label_words
from reportgen.records import PREDICTIONS
from reportgen.records.json_values import describe_token, shorten


@dataclass(frozen=True)
class PageContext:
    """Data for ``page.html.jinja2`` and the templates that it includes.

    Sentences are in the form of ``sentences.to_json``.
    """

    capture: Capture
    description: str
    link: Link | None
    opening: Opening
    answer: Mapping[str, Any]
    claims: Sequence[Mapping[str, Any]]
    story: Sequence[ToldStep]
    story_data: Markup
    claims_count: str
    findings: Mapping[str, Any]
    panels: Mapping[str, Panel | None]
    legends: Mapping[str, Still]
    features: Sequence[TraitView]
    shade: str
    gaps: str
    tokens: Sequence[TokenView]
    direction: str
    steps: Sequence[StepRow]
    prompt_rows: Sequence[PromptRow]
    score_rows: Sequence[ScoreRow]
    evidence_rows: Sequence[EvidenceRow]
    label_from: float
    heatmap_modes: Sequence[str]
    grid_metrics: Sequence[str]
    contrasts: Mapping[str, str]
    sections: Sequence[Kind]
    unmeasured: Sequence[tuple[str, str]]
    attribution_note: str
    definitions: Mapping[str, Definition]
    titles: Mapping[str, Mapping[str, str]]
    key_list: Sequence[tuple[str, str]]
    summary: str
    settings: Sequence[tuple[str, str]]
    recipe: str
    drift: str
    precision: str
    dropped: str
    min_weight: str
    warning: str
    palettes: Sequence[str]
    card: Markup
    bokeh_file: str
    blocks: Mapping[str, Markup]
    evidence_blocks: Mapping[str, Markup]
    layer_blocks: Iterable[tuple[int, Markup, Markup | None]]
    head_summary: Markup
    style: Markup
    script: Markup
    first_script: Markup
    policy: str
    keys: PageKeys = PageKeys()
    has_index: bool = True
    generator: str = GENERATOR


@dataclass(frozen=True)
class DrawnPage:
    """A page within its maximum size.

    Attributes:
        html: HTML document.
        precision: precision of its weights.
        card: its card for the index.
        dropped: description of the weights that it leaves out; empty if it leaves out none.
    """

    html: str
    precision: Precision
    card: Card
    dropped: str


def warm_up(options: PageOptions) -> None:
    """Make what all pages of a process share, which takes the first page half a second otherwise."""
    make_program(PAGE_SCRIPTS, shared_assets=options.shared_assets)
    make_figure_block()
    compile_templates()


def render_page(capture: Capture, options: PageOptions = PageOptions(), *, precision: Precision = FULL) -> str:
    """Return the page of one capture, whatever its size.

    Args:
        capture: capture to show.
        options: options of the page; its maximum size and precision are ignored.
        precision: precision of the weights on the page.

    Returns:
        The HTML document; the same capture gives the same text.
    """
    return render("page.html.jinja2", make_page_context(capture, options, precision))


def draw_page(
    capture: Capture, options: PageOptions = PageOptions(), *, keys: PageKeys = PageKeys(), has_index: bool = True
) -> DrawnPage:
    """Return the page of one capture within the maximum page size.

    Args:
        capture: capture to show.
        options: options of the page.
        keys: what the page was made from, to store in its head.
        has_index: whether the page links to the index next to it.

    Raises:
        PromptError: the page does not fit into its maximum size with a useful part of its weights.
    """
    card = make_card(capture)
    parts = _make_parts(capture, options, card)
    dropped: dict[Precision, str] = {}

    def draw(precision: Precision, *, with_layers: bool = True) -> str:
        context = replace(_make_context(parts, precision), keys=keys, has_index=has_index)
        dropped[precision] = context.dropped
        if not with_layers:
            empty = zip(capture.layers, [Markup()] * len(capture.layers), parts.source_blocks, strict=True)
            context = replace(context, layer_blocks=empty)
        return render("page.html.jinja2", context)

    html, precision = render_within([capture], options, draw, capture.prompt.place.of())
    return DrawnPage(html, precision, card, dropped[precision])


def make_page_context(
    capture: Capture, options: PageOptions = PageOptions(), precision: Precision = FULL
) -> PageContext:
    """Return the data for the page's templates."""
    return _make_context(_make_parts(capture, options, make_card(capture)), precision)


@dataclass(frozen=True)
class _Parts:
    """What is the same at every precision, because a page within a size is drawn more than once.

    Attributes:
        capture: capture to show.
        opening: what the page shows first.
        read_panel: panel of what attention read for each token.
        first_blocks: blocks before the first one that depends on the precision.
        overview_blocks: the overview block, if the page has one.
        answer_blocks: blocks of the sentences, of what attention read and of learned sinks, before other evidence.
        evidence_blocks: blocks of evidence, without the sums of rows.
        said: what the page says of each step, as JSON values.
        card: the card of the page.
        source_blocks: block of the attribution by key of each layer.
        make_context: makes the context from all that depends on the precision.
    """

    capture: Capture
    opening: Opening
    read_panel: Panel | None
    first_blocks: Mapping[str, Markup]
    overview_blocks: Mapping[str, Markup]
    answer_blocks: Mapping[str, Markup]
    evidence_blocks: Mapping[str, Markup]
    said: Mapping[str, Any]
    card: Card
    source_blocks: Sequence[Markup | None]
    make_context: Callable[..., PageContext]

    @cached_property
    def row_sums(self) -> Mapping[str, NDArray[np.float32]]:
        """What ``measure_row_sums`` returns; only pages that leave out weights need it."""
        return measure_row_sums(self.capture)


def _make_context(parts: _Parts, precision: Precision) -> PageContext:
    capture, opening = parts.capture, parts.opening
    view = open_view(capture, opening)
    dropped = measure_dropped_mass(capture, precision)
    heads_panel, layers_panel = make_row_panels(capture, view, precision)
    row_sums = {} if dropped is None else encode_row_sums({"dropped": dropped, **parts.row_sums})
    content = _describe_content(capture, opening, precision)
    weights = (encode_layer(capture, layer, precision) for layer in capture.layers)
    return parts.make_context(
        story=_tell_story(parts, content, precision),
        panels={
            "read": parts.read_panel,
            "heads": heads_panel,
            "layers": layers_panel,
            "head": make_pattern_panel(capture, view, precision),
            "map": make_map_panel(capture, view, precision),
        },
        tokens=make_token_views(capture, shade_tokens(capture, view, precision)),
        precision=describe_precision(precision, capture),
        dropped=describe_dropped_mass(dropped, precision),
        min_weight=f"{precision.min_weight:.2g}" if precision.threshold else "",
        blocks={
            **parts.first_blocks,
            "content": encode_json(content),
            "opening-head": encode_pattern(capture, opening.layer, opening.head, precision),
            "opening-rows": encode_rows(capture, opening.query_pos, precision),
            **parts.overview_blocks,
            **parts.answer_blocks,
        },
        evidence_blocks={**parts.evidence_blocks, **row_sums},
        layer_blocks=zip(capture.layers, weights, parts.source_blocks, strict=True),
    )


def _tell_story(parts: _Parts, content: Mapping[str, Any], precision: Precision) -> list[ToldStep]:
    """Return the story of a page, with stills of what its blocks have."""
    capture = parts.capture
    if not capture.prompt.story:
        return []
    data = restore(
        PageParts(
            card=asdict(parts.card),
            content=content,
            evidence=describe_evidence(capture),
            grids=encode_grids(capture),
            read=getattr(capture.evidence.attribution, "read", None),
            said=parts.said,
            codes=quantize(capture.triangles, precision),
            story=[asdict(step) for step in capture.prompt.story],
        )
    )
    return tell_story(data, capture.prompt.place)


def _make_parts(capture: Capture, options: PageOptions, card: Card) -> _Parts:
    program = make_program(PAGE_SCRIPTS, shared_assets=options.shared_assets)
    opening, reads, foil_reads = find_opening(capture), measure_reads(capture), measure_foil_reads(capture)
    answers, findings = _say_all(capture, reads)
    step = opening.step or 0
    make_context = partial(
        PageContext,
        opening=opening,
        answer=answers[step],
        findings={name: said[min(step, len(said) - 1)] for name, said in findings.items()},
        card=embed_json(asdict(card)),
        bokeh_file=program.bokeh_file,
        script=program.boot,
        policy=program.policy,
        head_summary=encode_summary(summarize_heads(capture)),
        **_describe(capture, options),
    )
    said: dict[str, Any] = {"answers": answers, "findings": findings}
    if foil_reads:
        said["foil_reads"] = [read and _describe_read(read) for read in foil_reads]
    evidence = {"answers": encode_json(said)} | make_evidence_blocks(capture)
    compared = [capture.foil_of_step(step) for step in range(len(reads))]
    shown_reads = [read if foil is None else foil_reads[foil] for read, foil in zip(reads, compared, strict=True)]
    return _Parts(
        capture=capture,
        opening=opening,
        read_panel=make_read_panel(capture, open_view(capture, opening), shown_reads),
        first_blocks={**program.blocks, "figure": make_figure_block()},
        overview_blocks={"overview": encode_overview(capture)} if has_overview(capture) else {},
        answer_blocks={name: evidence.pop(name) for name in ("answers", "read") if name in evidence}
        | make_sink_blocks(capture),
        evidence_blocks=evidence,
        said=said,
        card=card,
        source_blocks=[*encode_sources(capture)],
        make_context=make_context,
    )


def _describe(capture: Capture, options: PageOptions) -> dict[str, Any]:
    """Return the texts, rows and settings of a page by their field in ``PageContext``."""
    description = f"Attention of {capture.model.title} on: {excerpt(capture)}"
    claims = say_claims(capture)
    return {
        "capture": capture,
        "claims": [
            {
                "claim": to_json(said.claim, capture.tokens),
                "found": to_json(said.found),
                "holds": said.holds,
            }
            for said in claims
        ],
        "claims_count": count_claims(claims),
        "story_data": embed_json([asdict(step) for step in capture.prompt.story]),
        "description": description,
        "link": make_link(options.site_url, capture.prompt.slug, capture.prompt.title, description),
        "legends": _draw_legends(),
        "features": make_trait_views(capture),
        "shade": name_shade(capture),
        "gaps": name_gaps(capture),
        "direction": find_direction(capture.tokens[: capture.num_prompt_tokens]),
        "steps": make_step_rows(capture),
        "prompt_rows": make_prompt_rows(capture),
        "score_rows": make_score_rows(capture),
        "evidence_rows": make_evidence_rows(capture),
        "label_from": LABEL_FROM,
        "heatmap_modes": list_heatmap_modes(capture),
        "grid_metrics": tuple(list_grids(capture)),
        "contrasts": _name_contrasts(capture),
        "sections": [kind for kind in KINDS if kind.template and kind.has_figure(capture)],
        "unmeasured": _list_unmeasured(capture),
        "attribution_note": getattr(capture.evidence.attribution, "note", ""),
        "titles": _make_titles(capture),
        "definitions": DEFINITIONS,
        "key_list": list_keys(with_steps=bool(capture.steps)),
        "summary": summarize_settings(capture),
        "settings": [*make_settings(capture), *make_layer_type_rows(capture)],
        "recipe": make_prompt_file(capture, options),
        "drift": describe_drift(capture),
        "warning": warn_of_drift(capture),
        "palettes": tuple(PALETTES),
        "style": read_styles(*PAGE_STYLES),
        "first_script": read_scripts((FIRST_SCRIPT,)),
    }


@cache
def _draw_legends() -> Mapping[str, Still]:
    return {"weight": draw_legend(signed=False), "effect": draw_legend(signed=True)}


def _say_all(capture: Capture, reads: Sequence[StepRead | None]) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Return what the page says of each step, and the titles of its folds, as JSON values.

    Without steps, there is one answer.
    """
    answers = [
        {
            "claim": to_json(answer.claim, capture.tokens),
            "details": to_json(answer.details, capture.tokens),
            "read": read and _describe_read(read),
        }
        for answer, read in zip(make_answers(capture), reads or [None], strict=True)
    ]
    return answers, {
        name: [to_json(one, capture.tokens) for one in said] for name, said in make_findings(capture).items()
    }


def _describe_read(read: StepRead) -> dict[str, Any]:
    return {name: shorten(value) if isinstance(value, float) else value for name, value in asdict(read).items()}


def _list_unmeasured(capture: Capture) -> list[tuple[str, str]]:
    """Return the titles of what was not measured, with the reasons; what has the same reason is named together."""
    titles = {kind.name: kind.definitions[0].title if kind.definitions else f"head {kind.name}" for kind in KINDS}
    titles[PREDICTIONS] = "predictions of the prompt’s tokens"
    by_reason: dict[str, list[str]] = {}
    for name, reason in capture.evidence.missing.items():
        by_reason.setdefault(reason, []).append(titles.get(name, f"effects by token ({name})"))
    return [(", ".join(named), reason) for reason, named in by_reason.items()]


def _name_contrasts(capture: Capture) -> dict[str, str]:
    """Return what a token can be compared with, by the name of its grid."""
    known = {"attribution": "the alternatives", "attribution-mean": "the mean of the vocabulary"}
    known |= {f"foil-{number + 1}": foil.token.shown for number, foil in enumerate(capture.measured_foils)}
    measured = capture.evidence.attribution
    grids = LogitAttribution().list_grids(measured) if measured else {}
    return {name: known.get(name, name.replace("runner-up-", "runner-up ")) for name in grids}


def _make_titles(capture: Capture) -> dict[str, dict[str, str]]:
    """Return the titles of modes, columns and metrics; the page's script adds the runners-up of the selected step."""
    metrics = {kind.name: kind.title for kind in (*ABLATIONS, *ESTIMATES)}
    metrics |= {name: f"against {title}" for name, title in _name_contrasts(capture).items()}
    for number, foil in enumerate(capture.measured_foils):
        against = f", against {foil.token.shown}"
        metrics |= {f"{kind.name}-foil-{number + 1}": kind.title + against for kind in ABLATIONS}
    return {
        "modes": {"weight": "weight", "weighted": "weight × value", "attribution": "effect"},
        "columns": {"weight": "weight", "weighted": "w × value", "attribution": "effect"},
        "metrics": {name: metrics[name] for name in list_grids(capture)},
    }


def list_keys(*, with_steps: bool) -> list[tuple[str, str]]:
    """Return the keys of a page, separated by spaces, and what they do."""
    of_steps = [("b n", "previous token, next token"), ("space", "step through the generation, pause")]
    return [
        ("← →", "token that reads: previous, next"),
        *(of_steps if with_steps else []),
        ("k j", "layer: previous, next"),
        ("h l", "head: previous, next"),
        ("w", "pattern shows weight, weight × value, effect"),
        ("r", "rows or patterns"),
        ("s", "scale of weights"),
        ("f", "first token: shown, left out, rest renormalised"),
        ("t", "tokens or whole words"),
        ("a", "lines over the text"),
        ("m", "mark the most-read token of each row"),
        ("p", "compare with another head"),
        ("d", "light or dark"),
        ("c", "cite this view"),
        ("?", "this list"),
        ("Esc", "close what is open"),
    ]


def _describe_content(capture: Capture, opening: Opening, precision: Precision) -> dict[str, Any]:
    """Return what the page's script reads first, as JSON values."""
    words = find_words(capture.tokens, capture.num_prompt_tokens)
    return (
        describe_capture(capture, precision)
        | describe_layer_types(capture)
        | {
            "opening": asdict(opening),
            "words": words,
            "word_labels": label_words(capture.tokens, words),
            "palettes": describe_ramps(PALETTES),
            "diverging": describe_ramps(DIVERGING),
            "heatmap_modes": list_heatmap_modes(capture),
            "grid_metrics": list(list_grids(capture)),
            "contrasts": list(_name_contrasts(capture)),
            "foils": [[*describe_token(foil.token), foil.step] for foil in capture.measured_foils],
            "has_rows": True,
            "has_read": getattr(capture.evidence.attribution, "read", None) is not None,
            "label_from": LABEL_FROM,
            "score_kinds": [asdict(score) for score in HEAD_SCORES if score.name in capture.evidence.scores],
        }
    )
