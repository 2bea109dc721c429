"""Render ``heads.html``: the numbers of every head over all prompts of a site.

Heads of different models do not correspond, so each model has a table of its own. Statistics are computed here, in
float64 from the float16 numbers of the summaries; the page's script only sorts and draws them. It decodes the block of
a number when the reader chooses that number. Columns are sorted by slug, so that the order in which prompts ran changes
no byte.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reportgen.evidence.head_summary import OVER_STEPS, SUMMARY_NUMBERS, HeadSummary, mean_known
from reportgen.evidence.kinds.ablation import ABLATIONS
from reportgen.evidence.kinds.attribution import ATTRIBUTION
from reportgen.evidence.kinds.kind import Definition
from reportgen.evidence.kinds.scores import HEAD_SCORES, LABEL_FROM
from reportgen.evidence.top_heads import EFFECT
from reportgen.pages.assets import HEADS_SCRIPTS, HEADS_STYLES, make_policy, read_scripts, read_styles
from reportgen.pages.cards import Card
from reportgen.pages.encoding import encode_bytes, encode_json
from reportgen.pages.links import Link
from reportgen.pages.palettes import DIVERGING, OPENING_PALETTES, PALETTES, describe_ramps
from reportgen.pages.stills import Still, draw_effects, draw_shares
from reportgen.pages.summaries import pack_halves
from reportgen.pages.templates import GENERATOR, render

MOST_PROMPTS = 1_000
"""Number of prompts of a site up to which the page has the number of every head on every prompt."""
MOST_CELLS = 4_000_000
"""Number of these numbers up to which it has them; they take two bytes each, and the page stays under 10 MB."""
_MOST_OF_TAGS = 100_000
"""Number of statistics of tags, one for each head, number and tag; the most frequent tags have them."""
_STRONGEST = 5
AT_OPENING = "At the step that the page opens with."


@dataclass(frozen=True)
class NumberKind:
    """A number of each head, as the page shows it.

    Attributes:
        name: its name, one of ``SUMMARY_NUMBERS``.
        title: title shown to the reader.
        unit: ``share``, ``tokens``, ``logits`` or ``nats``.
        definition: the formula in words.
        source: publication that defined it.
        lowest_first: whether the lowest value is of the head that does most.
        bound: the bound that the page opens with: above it, or below it if the lowest values come first.
        is_mean: whether it is a mean over the steps.
    """

    name: str
    title: str
    unit: str
    definition: str
    source: str
    lowest_first: bool = False
    bound: float = LABEL_FROM
    is_mean: bool = False


@dataclass(frozen=True)
class PageSummary:
    """The summary of a page, and how the page is called."""

    slug: str
    title: str
    tags: tuple[str, ...]
    summary: HeadSummary


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of a number over some prompts, ``[head]`` each; NaN where they are undefined.

    Attributes:
        mean: mean over the prompts on which the number is defined.
        deviation: standard deviation over these prompts, divided by n − 1; NaN for a single prompt.
        count: number of these prompts.
        lowest: smallest value.
        lowest_page: index of the first page that has it; 0 if there is none.
        highest: largest value.
        highest_page: index of the first page that has it; 0 if there is none.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    count: NDArray[np.int64]
    lowest: NDArray[np.float64]
    lowest_page: NDArray[np.int64]
    highest: NDArray[np.float64]
    highest_page: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeadTable:
    """The numbers of all heads of one model.

    Attributes:
        name: name of the model.
        pages: its pages, sorted by slug.
        heads: layer and head of each row; every head that was captured on some page.
        values: numbers by name, float16 ``[page, head]`` each.
    """

    name: str
    pages: Sequence[PageSummary]
    heads: Sequence[tuple[int, int]]
    values: Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True)
class StrongestRow:
    """The heads of a model with the largest means of one number, each with its address, name and statistics."""

    kind: NumberKind
    heads: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class HeadsContext:
    """Data for ``heads.html.jinja2``."""

    link: Link | None
    count: str
    models: Sequence[tuple[str, Sequence[StrongestRow]]]
    kinds: Sequence[NumberKind]
    tags: Sequence[str]
    has_cells: bool
    most_prompts: int
    legends: Mapping[str, Still]
    blocks: Mapping[str, Markup]
    style: Markup
    script: Markup
    policy: str
    key: str = ""
    generator: str = GENERATOR


def make_heads_key(pages: Iterable[tuple[Card, str]], link: Link | None = None) -> str:
    """Return the hash of everything that the page of the heads depends on.

    Args:
        pages: card and page key of each page; the key covers the numbers of the page.
        link: as for ``render_heads``.

    Returns:
        A SHA-256 hash in hexadecimal; empty if a page key is unknown.
    """
    known = sorted((card.slug, key, card.title, card.tags) for card, key in pages)
    if not all(key for _, key, *_ in known):
        return ""
    empty = render_heads([], link)  # the template, its scripts and styles
    return hashlib.sha256(json.dumps([empty, known]).encode("utf-8", "surrogatepass")).hexdigest()


def render_heads(pages: Sequence[PageSummary], link: Link | None = None, key: str = "") -> str:
    """Return the page of the heads of a site.

    Args:
        pages: summaries of its pages, in any order.
        link: link metadata of the page; ``None`` if the site's URL is unknown.
        key: hash of what the page is made from, as returned by ``make_heads_key``.
    """
    tables = make_head_tables(pages)
    num_cells = sum(values.size for table in tables for values in table.values.values())
    has_cells = len(pages) <= MOST_PROMPTS and num_cells <= MOST_CELLS
    kinds = [kind for kind in list_kinds() if any(kind.name in table.values for table in tables)]
    blocks: dict[str, Markup] = {}
    described, strongest = [], []
    for number, table in enumerate(tables):
        tags = _choose_tags(table)
        described.append(_describe(table, tags))
        rows = []
        for kind in kinds:
            if kind.name in table.values:
                overall = _add_blocks(blocks, f"{number}-{kind.name}", table, kind, tags, has_cells=has_cells)
                rows.append(_list_strongest(table, kind, overall))
        strongest.append((table.name, rows))
    shown = {
        "tables": described,
        "kinds": [asdict(kind) for kind in kinds],
        "has_cells": has_cells,
        **describe_theme_ramps(),
    }
    script = read_scripts(HEADS_SCRIPTS)
    return render(
        "heads.html.jinja2",
        HeadsContext(
            link=link,
            count=_count(len(pages)),
            models=strongest,
            kinds=kinds,
            tags=sorted({tag for table in described for tag in table["tags"]}),
            has_cells=has_cells,
            most_prompts=MOST_PROMPTS,
            legends=_draw_legends(),
            blocks={"content": encode_json(shown), **blocks},
            style=read_styles(*HEADS_STYLES),
            script=script,
            policy=make_policy((script,)),
            key=key,
        ),
    )


def make_head_tables(pages: Sequence[PageSummary]) -> list[HeadTable]:
    """Return a table for each model, sorted by its name; models with the same name have their revision too."""
    groups: dict[tuple[str, str], list[PageSummary]] = {}
    for page in sorted(pages, key=lambda page: page.slug):
        groups.setdefault((page.summary.model, page.summary.revision), []).append(page)
    names = Counter(model for model, _ in groups)
    return [
        _make_table(f"{model} ({revision or 'no revision'})" if names[model] > 1 else model, group)
        for (model, revision), group in sorted(groups.items())
    ]


def _make_table(name: str, pages: Sequence[PageSummary]) -> HeadTable:
    summaries = [page.summary for page in pages]
    shape = tuple(1 + max(max(axis, default=-1) for axis in axes)
                  for axes in ([one.layers for one in summaries], [one.heads for one in summaries]))  # fmt: skip
    is_captured = np.zeros(shape, bool)
    places = [np.ix_(one.layers, one.heads) for one in summaries]
    for place in places:
        is_captured[place] = True
    values = {}
    for number in SUMMARY_NUMBERS:
        if any(number in one.numbers for one in summaries):
            grid = np.full((len(pages), *shape), np.nan, np.float16)
            for row, place, one in zip(grid, places, summaries, strict=True):
                if number in one.numbers:
                    row[place] = one.numbers[number]
            values[number] = grid[:, is_captured]
    layers, heads = np.nonzero(is_captured)
    return HeadTable(name, pages, [*zip(layers.tolist(), heads.tolist(), strict=True)], values)


def measure(values: NDArray[np.float16]) -> Statistics:
    """Return the statistics of a number over prompts, ``[page, head]``."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    mean = mean_known(values)
    squares = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(np.where(count > 1, squares / (count - 1), np.nan))
    return Statistics(mean, deviation, count, *_find_extreme(values, -1), *_find_extreme(values, 1))


def _find_extreme(values: NDArray[np.float16], sign: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the largest value of each head, or the smallest one for the sign -1, and the first page that has it."""
    ordered = np.where(np.isnan(values), -np.inf, sign * values)
    pages = ordered.argmax(axis=0)
    return np.take_along_axis(values, pages[None], axis=0)[0].astype(np.float64), pages


@cache
def list_kinds() -> tuple[NumberKind, ...]:
    """Return the numbers that a page may show, in the order of ``SUMMARY_NUMBERS``."""
    against = Definition(
        EFFECT, "effect of the whole head", f"{ATTRIBUTION.definition} Here against the alternatives.",
        ATTRIBUTION.source, ATTRIBUTION.caution,
    )  # fmt: skip
    kinds = [*_list_of_steps(against, "logits", bound=0.1)]
    for ablation in ABLATIONS:
        kinds += _list_of_steps(ablation, "nats", bound=-0.1, lowest_first=True)
    for score in HEAD_SCORES:
        unit, bound = ("share", LABEL_FROM) if score.is_share else ("tokens", 10)
        kinds.append(NumberKind(score.name, score.title, unit, score.definition, score.source, bound=bound))
    return tuple(kinds)


def _list_of_steps(number: Definition, unit: str, **settings: Any) -> Iterator[NumberKind]:
    """Yield a number at the opening step, and its mean over the steps."""
    says = (("", "", AT_OPENING),
            (OVER_STEPS, ", mean over the steps", "Mean over the steps where it is defined."))  # fmt: skip
    for end, ending, when in says:
        definition = f"{number.definition} {when}"
        name, title = number.name + end, number.title + ending
        yield NumberKind(name, title, unit, definition, number.source, is_mean=bool(end), **settings)


def _choose_tags(table: HeadTable) -> list[str]:
    """Return the tags that have statistics: the most frequent ones, sorted."""
    counts = Counter(tag for page in table.pages for tag in dict.fromkeys(page.tags))
    most = _MOST_OF_TAGS // max(1, len(table.heads) * len(table.values))
    frequent = sorted(counts, key=lambda tag: (-counts[tag], tag))[:most]
    return sorted(frequent)


def _describe(table: HeadTable, tags: Sequence[str]) -> dict[str, Any]:
    """Return what the page's script reads of a table, as JSON values."""
    places = {tag: place for place, tag in enumerate(tags)}
    return {
        "name": table.name,
        "numbers": list(table.values),
        "heads": table.heads,
        "tags": tags,
        "pages": [
            [page.slug, page.title, page.summary.step, [places[tag] for tag in page.tags if tag in places]]
            for page in table.pages
        ],
    }


def _add_blocks(
    blocks: dict[str, Markup], name: str, table: HeadTable, kind: NumberKind, tags: Sequence[str], *, has_cells: bool
) -> Statistics:
    """Add the blocks of one number of a table, and return its statistics over all prompts."""
    values = table.values[kind.name]
    tagged = [[index for index, page in enumerate(table.pages) if tag in page.tags] for tag in tags]
    groups = [np.arange(len(table.pages)), *map(np.array, tagged)]
    measured = [measure(values[group]) for group in groups]
    blocks[f"statistics-{name}"] = _encode_statistics(measured, groups)
    if has_cells:
        blocks[f"cells-{name}"] = encode_bytes(pack_halves(values.T))
    return measured[0]


def _encode_statistics(measured: Sequence[Statistics], groups: Sequence[NDArray[np.int64]]) -> Markup:
    """Return the block of the statistics of some groups of pages: field after field, ``[group, head]`` each.

    Numbers are float32, the count and indices of pages uint32, all little-endian.
    """
    parts = []
    for name in ("mean", "deviation", "lowest", "highest"):
        parts.append(np.array([getattr(one, name) for one in measured]).astype("<f4").tobytes())
    parts.append(np.array([one.count for one in measured]).astype("<u4").tobytes())
    for name in ("lowest_page", "highest_page"):
        pages = [group[getattr(one, name)] for one, group in zip(measured, groups, strict=True)]
        parts.append(np.array(pages).astype("<u4").tobytes())
    return encode_bytes(b"".join(parts))


def _list_strongest(table: HeadTable, kind: NumberKind, over: Statistics) -> StrongestRow:
    """Return the heads with the largest means, or with the lowest ones where these come first."""
    order = np.argsort(over.mean if kind.lowest_first else -over.mean, kind="stable")[:_STRONGEST]
    heads = []
    for index in order:
        if over.count[index]:
            layer, head = table.heads[index]
            address = urlencode({"model": table.name, "number": kind.name, "layer": layer, "head": head})
            mean, deviation = float(over.mean[index]), float(over.deviation[index])
            spread = "" if math.isnan(deviation) else f" ± {format_number(deviation, kind, '')}"
            said = f"{format_number(mean, kind)}{spread} (n {over.count[index]:,})"
            heads.append((f"#{address}", f"L{layer} H{head}", said))
    return StrongestRow(kind, heads)


def format_number(value: float, kind: NumberKind, sign: str = "+") -> str:
    """Return a number as the page's script shows it: with a sign if it can be below 0."""
    if kind.unit in ("logits", "nats"):
        return f"{value:{sign}.2f}".replace("-", "−")
    return f"{value:.{3 if kind.unit == 'share' else 1}f}"


def _count(num_pages: int) -> str:
    return f"{num_pages:,} {'prompt' if num_pages == 1 else 'prompts'}"


@cache
def describe_theme_ramps() -> Mapping[str, Any]:
    """Return the colours of each theme, as JSON values."""
    weights = {theme: PALETTES[name] for theme, name in OPENING_PALETTES.items()}
    return {"palettes": describe_ramps(weights), "diverging": describe_ramps(DIVERGING)}


@cache
def _draw_legends() -> Mapping[str, Still]:
    return {
        "plain": draw_shares(np.linspace(0, 1, 64)[None]),
        "signed": draw_effects(np.linspace(-1, 1, 64)[None], 1),
    }
