"""Render a capture as an HTML page. One frozen dataclass holds the data for the page's templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.default_head import find_default_head
from reportgen.evidence.kinds import DEFINITIONS, KINDS
from reportgen.evidence.kinds.ablation import ABLATIONS
from reportgen.evidence.kinds.kind import Definition, Heatmap, Kind
from reportgen.evidence.kinds.scores import HEAD_SCORES, LABEL_FROM
from reportgen.pages.assets import (
    PAGE_SCRIPTS,
    embed_json,
    make_program,
    read_styles,
)
from reportgen.pages.cards import excerpt, make_card
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
from reportgen.pages.evidence_blocks import encode_sources, list_grids, list_heatmap_modes, make_evidence_blocks
from reportgen.pages.layer_notes import (
    TraitView,
    describe_layer_types,
    group_heads,
    list_marks,
    make_layer_type_rows,
    make_sink_blocks,
    make_trait_views,
    name_reach,
    name_shade,
)
from reportgen.pages.links import Link, make_link
from reportgen.pages.options import PageOptions
from reportgen.pages.page_keys import PageKeys
from reportgen.pages.palettes import DIVERGING, PALETTES, describe_ramps
from reportgen.pages.precision import (
    FULL,
    Precision,
    describe_dropped_mass,
    describe_precision,
    measure_dropped_mass,
    measure_row_sums,
)
from reportgen.pages.reproduction import make_prompt_file
from reportgen.pages.size_limit import render_within
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
from reportgen.pages.templates import GENERATOR, render
from reportgen.pages.words import find_words, label_words


@dataclass(frozen=True)
class PageContext:
    """Data for ``page.html.jinja2`` and the templates that it includes."""

    capture: Capture
    description: str
    link: Link | None
    features: Sequence[TraitView]
    shade: str
    has_gaps: bool
    reaches: Mapping[int, str]
    key_heads: Mapping[int, Sequence[int]]
    tokens: Sequence[TokenView]
    direction: str
    steps: Sequence[StepRow]
    prompt_rows: Sequence[PromptRow]
    score_rows: Sequence[ScoreRow]
    evidence_rows: Sequence[EvidenceRow]
    label_from: float
    heatmap_modes: Sequence[str]
    grid_metrics: Sequence[str]
    sections: Sequence[Kind]
    missing: Mapping[str, str]
    attribution_note: str
    definitions: Mapping[str, Definition]
    titles: Mapping[str, Mapping[str, str]]
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
    style: Markup
    script: Markup
    policy: str
    keys: PageKeys = PageKeys()
    has_index: bool = True
    generator: str = GENERATOR


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
) -> tuple[str, Precision]:
    """Return the page of one capture within the maximum page size, and the precision of its weights.

    Args:
        capture: capture to show.
        options: options of the page.
        keys: what the page was made from, to store in its head.
        has_index: whether the page links to the index next to it.

    Raises:
        PromptError: the page does not fit into its maximum size with a useful part of its weights.
    """

    def draw(precision: Precision, *, with_layers: bool = True) -> str:
        context = replace(make_page_context(capture, options, precision), keys=keys, has_index=has_index)
        if not with_layers:
            empty = zip(capture.layers, [Markup()] * len(capture.layers), encode_sources(capture), strict=True)
            context = replace(context, layer_blocks=empty)
        return render("page.html.jinja2", context)

    return render_within([capture], options, draw, capture.prompt.place.of())


def make_page_context(
    capture: Capture, options: PageOptions = PageOptions(), precision: Precision = FULL
) -> PageContext:
    """Return the data for the page's templates."""
    program = make_program(PAGE_SCRIPTS, shared_assets=options.shared_assets)
    dropped = measure_dropped_mass(capture, precision)
    description = f"Attention of {capture.model.title} on: {excerpt(capture)}"
    return PageContext(
        capture=capture,
        description=description,
        link=make_link(options.site_url, capture.prompt.slug, capture.prompt.title, description),
        features=make_trait_views(capture),
        shade=name_shade(capture),
        has_gaps="gaps" in list_marks(capture),
        reaches={layer: name_reach(capture.layer_type(layer)) for layer in capture.layers},
        key_heads=group_heads(capture),
        tokens=make_token_views(capture),
        direction=find_direction(capture.tokens[: capture.num_prompt_tokens]),
        steps=make_step_rows(capture),
        prompt_rows=make_prompt_rows(capture),
        score_rows=make_score_rows(capture),
        evidence_rows=make_evidence_rows(capture),
        label_from=LABEL_FROM,
        heatmap_modes=list_heatmap_modes(capture),
        grid_metrics=tuple(list_grids(capture)),
        sections=_list_sections(capture),
        missing=dict.fromkeys(("sources", *(kind.name for kind in KINDS)), "") | dict(capture.evidence.missing),
        attribution_note=getattr(capture.evidence.attribution, "note", ""),
        titles=_make_titles(list_grids(capture)),
        definitions=DEFINITIONS,
        summary=summarize_settings(capture),
        settings=[*make_settings(capture), *make_layer_type_rows(capture)],
        recipe=make_prompt_file(capture, options),
        drift=describe_drift(capture),
        precision=describe_precision(precision, capture),
        dropped=describe_dropped_mass(dropped, precision),
        min_weight=f"{precision.min_weight:.2g}" if precision.threshold else "",
        warning=warn_of_drift(capture),
        palettes=tuple(PALETTES),
        card=embed_json(asdict(make_card(capture))),
        bokeh_file=program.bokeh_file,
        blocks={**program.blocks, **_make_blocks(capture, precision)},
        evidence_blocks=_encode_row_sums(capture, dropped) | make_sink_blocks(capture) | make_evidence_blocks(capture),
        layer_blocks=_encode_layers(capture, precision),
        style=read_styles(),
        script=program.boot,
        policy=program.policy,
    )


def _encode_row_sums(capture: Capture, dropped: NDArray[np.float32] | None) -> dict[str, Markup]:
    return {} if dropped is None else encode_row_sums({"dropped": dropped, **measure_row_sums(capture)})


def _encode_layers(capture: Capture, precision: Precision) -> Iterable[tuple[int, Markup, Markup | None]]:
    """Return the number of each layer with the blocks of its weights and of its attribution by key."""
    weights = (encode_layer(capture, layer, precision) for layer in capture.layers)
    return zip(capture.layers, weights, encode_sources(capture), strict=True)


def _make_titles(metrics: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the titles of modes, columns and metrics; the page's script adds the runners-up of the selected step."""
    ablations = {kind.name: kind.title for kind in ABLATIONS}
    known = {
        "attribution": "effect against the alternatives",
        "attribution-mean": "effect against the vocabulary's mean",
    }
    known |= ablations
    return {
        "modes": {"weight": "weight", "weighted": DEFINITIONS["value_norms"].title, "attribution": "attribution"},
        "columns": {"weight": "weight", "weighted": "weighted", "attribution": "logits"},
        "overview": {"attribution": "attribution, this step", **ablations},
        "metrics": {name: known.get(name, f"effect against {name.replace('up-', 'up ')}") for name in metrics},
    }


def _make_blocks(capture: Capture, precision: Precision) -> dict[str, Markup]:
    default_head = find_default_head(capture)
    words = find_words(capture.tokens, capture.num_prompt_tokens)
    content = (
        describe_capture(capture, precision)
        | describe_layer_types(capture)
        | {
            "default_head": list(default_head),
            "words": words,
            "word_labels": label_words(capture.tokens, words),
            "palettes": describe_ramps(PALETTES),
            "diverging": describe_ramps(DIVERGING),
            "heatmap_modes": list_heatmap_modes(capture),
            "grid_metrics": list(list_grids(capture)),
            "label_from": LABEL_FROM,
            "score_kinds": [asdict(score) for score in HEAD_SCORES if score.name in capture.evidence.scores],
        }
    )
    blocks = {
        "figures": _figures_block(bool(capture.steps), _list_heatmaps(capture), list_marks(capture)),
        "content": encode_json(content),
        "default-head": encode_pattern(capture, *default_head, precision),
    }
    return blocks | ({"overview": encode_overview(capture)} if has_overview(capture) else {})


def _list_sections(capture: Capture) -> list[Kind]:
    """Return the kinds of evidence with a section on the page; the section may only say why the evidence is missing."""
    return [
        kind
        for kind in KINDS
        if kind.template and (capture.steps or not kind.needs_steps)
        if kind.has_heatmap(capture) or kind.name in capture.evidence.missing
    ]


def _list_heatmaps(capture: Capture) -> tuple[Heatmap, ...]:
    """Return the figures of the evidence that a capture has."""
    return tuple(kind.heatmap for kind in KINDS if kind.heatmap and kind.has_heatmap(capture))


@cache
def _figures_block(with_steps: bool, evidence: tuple[Heatmap, ...], marks: frozenset[str]) -> Markup:
    # Imported here, because importing Bokeh's models takes most of the time of a run with all pages up to date.
    from reportgen.pages.figures import make_figures

    return encode_json(make_figures(with_steps=with_steps, evidence=evidence, marks=marks))
