"""Render three captures or more as a series: the numbers of each head as lines, and one pattern at a time.

A series needs the same heads everywhere, so its models have one shape. Numbers of steps are those of the first token
behind each prompt, as on a comparison of two. The page has a picture of the lines of each number, which needs no
script; its script adds the line of the chosen head, and decodes a layer of a member when it is looked at.
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
from reportgen.evidence.head_summary import OF_STEPS
from reportgen.evidence.top_heads import list_numbers
from reportgen.pages.assets import (
    SERIES_SCRIPTS,
    SERIES_STYLES,
    embed_json,
    make_policy,
    read_scripts,
    read_styles,
)
from reportgen.pages.cards import Card, excerpt
from reportgen.pages.encoding import encode_bytes, encode_json, encode_layer
from reportgen.pages.heads import AT_OPENING, NumberKind, describe_theme_ramps, format_number, list_kinds
from reportgen.pages.layer_notes import describe_layer_types
from reportgen.pages.links import Link, make_link
from reportgen.pages.options import PageOptions
from reportgen.pages.page_keys import PageKeys
from reportgen.pages.panels import Panel, make_pattern_panel
from reportgen.pages.precision import FULL, Precision, describe_dropped_mass, describe_precision, measure_dropped_mass
from reportgen.pages.reproduction import make_comparison_file
from reportgen.pages.sentences import to_json
from reportgen.pages.size_limit import render_within
from reportgen.pages.stills import Still, draw_legend, draw_thumbnail
from reportgen.pages.tables import summarize_settings, warn_of_drift
from reportgen.pages.templates import GENERATOR, render
from reportgen.pages.views import View
from reportgen.records import Comparison
from reportgen.records.choices import HEAD_SCORE_NAMES
from reportgen.records.errors import PromptError
from reportgen.records.sentences import HeadPart, Sentence, StrongPart, make_sentence

LETTERS = "ABCDEFGHIJKL"
"""What the members are called, in their order."""
LISTED = 10
"""Number of heads whose lines and values stand on the page without scripts: those that change most."""
AT_FIRST = "At the first token behind the prompt."
_PLOT = {"width": 460, "height": 250, "left": 44, "right": 396, "top": 12, "bottom": 222}
"""Size of the picture of lines, and the edges of the part with the lines, in its own pixels."""
_LABEL_HEIGHT, _CHARACTER_WIDTH = 13, 7
_LONGEST_NAME = 24


@dataclass(frozen=True, eq=False)
class Series:
    """Captures of a comparison in its order, and the numbers of the heads that all of them have.

    Attributes:
        comparison: title, slug, tags and note of the page.
        captures: its members; the results of ``alignment.slim`` are enough.
        names: short name of each member: its revision, adapter, model, title or slug, whichever tells them apart.
        heads: layer and head of each column of the numbers.
        kinds: the numbers, at least two members of which have them.
        numbers: values by name of the kind, float32 ``[member, head]``; NaN where a number is undefined.
    """

    comparison: Comparison
    captures: tuple[Capture, ...]
    names: tuple[str, ...]
    heads: Sequence[tuple[int, int]]
    kinds: Sequence[NumberKind]
    numbers: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Line:
    """The line of one head: its index in the series, its name, an SVG path, and where its name stands."""

    head: int
    name: str
    path: str
    label: tuple[float, float]


@dataclass(frozen=True)
class Lines:
    """The lines of the heads that change most in one number.

    Attributes:
        kind: the number.
        lines: one for each head, that which changes most first.
        ticks: values with a grid line, each with its place and text.
        low: value at the lower edge; all heads of the series are within.
        high: value at the upper edge.
        alt: description for readers who do not see it.
    """

    kind: NumberKind
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    low: float
    high: float
    alt: str


@dataclass(frozen=True)
class Member:
    """A member for the template."""

    letter: str
    name: str
    title: str
    href: str
    model: str
    summary: str
    warning: str
    dropped: str


@dataclass(frozen=True)
class SeriesContext:
    """Data for ``series.html.jinja2``; texts of rows are head, change, and the value of each member."""

    title: str
    note: str
    tags: tuple[str, ...]
    description: str
    link: Link | None
    members: Sequence[Member]
    size: str
    sentence: Any
    lines: Sequence[Lines]
    plot: Mapping[str, int]
    axis: Sequence[tuple[float, str]]
    opening: tuple[int, int]
    rows: Sequence[Sequence[str]]
    panel: Panel
    legend: Still
    precision: str
    min_weight: str
    recipe: str
    card: Markup
    blocks: Mapping[str, Markup]
    layer_blocks: Iterable[tuple[str, Markup]]
    style: Markup
    script: Markup
    policy: str
    bokeh_file: str = ""
    keys: PageKeys = PageKeys()
    generator: str = GENERATOR


def measure_series(comparison: Comparison, captures: Sequence[Capture]) -> Series:
    """Return the numbers of a series.

    Args:
        comparison: title, slug, tags and note of the page.
        captures: its members, in the order of the comparison.

    Raises:
        PromptError: the models differ in shape, or no head was captured on all members.
    """
    where = f"{comparison.place.of('compare')}: {comparison.slug}"
    _check_shapes(captures, where)
    layers = [layer for layer in captures[0].layers if all(layer in one.layers for one in captures)]
    heads = [head for head in captures[0].heads if all(head in one.heads for one in captures)]
    if not layers or not heads:
        raise PromptError(
            f"{where}: no head is captured on all {len(captures)} prompts; select the same layers and heads"
        )
    measured = [_read_numbers(capture, layers, heads) for capture in captures]
    unknown = np.full(len(layers) * len(heads), np.nan, np.float32)
    kinds = [kind for kind in _list_kinds() if sum(kind.name in values for values in measured) > 1]
    return Series(
        comparison=comparison,
        captures=tuple(captures),
        names=name_members(captures),
        heads=[(layer, head) for layer in layers for head in heads],
        kinds=kinds,
        numbers={kind.name: np.array([one.get(kind.name, unknown) for one in measured]) for kind in kinds},
    )


def _check_shapes(captures: Sequence[Capture], where: str) -> None:
    shapes = [(capture.model.num_layers, capture.model.num_heads) for capture in captures]
    other = next((place for place, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        said = [
            f"{captures[place].prompt.slug!r} runs on {captures[place].model.title} with {shapes[place][0]} layers of "
            f"{shapes[place][1]} heads"
            for place in (0, other)
        ]
        raise PromptError(
            f"{where}: the models of a series need the same shape: {said[0]}, and {said[1]}; name prompts of one "
            "architecture, or compare two"
        )


@cache
def _list_kinds() -> tuple[NumberKind, ...]:
    """Return the numbers that a series may have: those of whole heads, of steps at the first one."""
    return tuple(
        replace(kind, definition=kind.definition.replace(AT_OPENING, AT_FIRST))
        for kind in list_kinds()
        if not kind.is_mean
    )


def _read_numbers(capture: Capture, layers: Sequence[int], heads: Sequence[int]) -> dict[str, NDArray[np.float32]]:
    """Return the numbers of some heads by name, ``[head]`` each, those of steps at the first."""
    places = np.ix_([capture.layers.index(layer) for layer in layers], [capture.heads.index(head) for head in heads])
    numbers = {}
    for name, values in list_numbers(capture).items():
        if values.ndim == 2:
            numbers[name] = values[places].ravel()
        elif name in OF_STEPS and len(values):
            numbers[name] = values[0][places].ravel()
    return numbers


def name_members(captures: Sequence[Capture]) -> tuple[str, ...]:
    """Return a short name of each capture, which no two share; the slugs where nothing else is short and differs."""
    revisions = [capture.prompt.model.partition("@")[2].partition(":")[0] for capture in captures]
    adapters = [capture.model.adapter.rstrip("/").rpartition("/")[2] or "no adapter" for capture in captures]
    models, titles = ([one.model.title for one in captures], [one.prompt.title for one in captures])
    for names in (revisions, adapters, models, titles):
        if all(names) and len(set(names)) == len(names) and max(map(len, names)) <= _LONGEST_NAME:
            return tuple(names)
    return tuple(capture.prompt.slug for capture in captures)


def measure_changes(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the largest value of each head minus its smallest, of numbers ``[member, head]``.

    NaN where fewer than two members have the number.
    """
    wide = values.astype(np.float64)
    known = ~np.isnan(wide)
    change = np.where(known, wide, -np.inf).max(0) - np.where(known, wide, np.inf).min(0)
    return np.where(known.sum(0) > 1, change, np.nan)


def rank_heads(values: NDArray[np.float32]) -> list[int]:
    """Return the indices of the heads whose change is defined, the largest change first."""
    changes = measure_changes(values)
    return [int(head) for head in np.argsort(-changes, kind="stable") if not math.isnan(changes[head])]


def _choose_opening(series: Series) -> tuple[NumberKind, int] | None:
    """Return the number that the page opens with, and the head that changes most in it; ``None`` without numbers.

    It is the score, among those that are shares, in which a head changes most; if none of these changes, the first
    other number in which a head does.
    """
    found = []
    for kind in series.kinds:
        if order := rank_heads(series.numbers[kind.name]):
            change = float(measure_changes(series.numbers[kind.name])[order[0]])
            found.append((change > 0, kind.unit == "share", change if kind.unit == "share" else 0.0, kind, order[0]))
    if not found:
        return None
    *_, kind, head = max(found, key=lambda one: one[:3])  # of equal ones the first
    return kind, head


def _say_change(series: Series) -> Sentence:
    """Return which head changes most, with its numbers."""
    opening, ends = _choose_opening(series), (series.names[0], series.names[-1])
    if opening is None:
        return ("The members have no number in common that could be compared.",)
    kind, head = opening
    values = series.numbers[kind.name]
    if not measure_changes(values)[head]:
        return (f"No head changes in any number from {ends[0]} to {ends[1]}.",)
    said = ", ".join(_format(float(value), kind) for value in values[:, head])
    score = "the head score " if kind.name in HEAD_SCORE_NAMES else ""
    return make_sentence(
        f"From {ends[0]} to {ends[1]}, ", HeadPart(*series.heads[head]), f" changes most in {score}",
        StrongPart(kind.title), f": {said}.",
    )  # fmt: skip


def _format(value: float, kind: NumberKind) -> str:
    return "n/a" if math.isnan(value) else format_number(value, kind)


def draw_series(
    series: Series, options: PageOptions = PageOptions(), *, keys: PageKeys = PageKeys()
) -> tuple[str, Precision]:
    """Return the page of a series within the maximum page size, and the precision of its weights.

    Args:
        series: its members and their numbers.
        options: options of the page.
        keys: what the page was made from, to store in its head.

    Raises:
        PromptError: the page does not fit into its maximum size with a useful part of its weights.
    """
    comparison = series.comparison

    def draw(precision: Precision, *, with_layers: bool = True) -> str:
        context = replace(make_series_context(series, options, precision), keys=keys)
        return render("series.html.jinja2", context if with_layers else replace(context, layer_blocks=()))

    return render_within(series.captures, options, draw, f"{comparison.place.of('compare')}: {comparison.slug}")


def make_series_card(series: Series) -> Card:
    """Return the card of a series; its thumbnail is the map of how much each head changes in the opening number."""
    comparison, captures, opening = series.comparison, series.captures, _choose_opening(series)
    return Card(
        slug=comparison.slug,
        title=comparison.title,
        text=" | ".join(dict.fromkeys(excerpt(capture) for capture in captures)),
        model=", ".join(dict.fromkeys(capture.model.title for capture in captures)),
        tags=comparison.tags,
        num_prompt_tokens=sum(capture.num_prompt_tokens for capture in captures),
        num_steps=sum(capture.num_generated_tokens for capture in captures),
        thumbnail=_draw_changes(series, opening[0]) if opening else "",
        said=to_json(_say_change(series)),
        head="L{} H{}".format(*series.heads[opening[1]]) if opening else "",
        compares=tuple(capture.prompt.title for capture in captures),
        sides=tuple(capture.prompt.slug for capture in captures),
    )


def _draw_changes(series: Series, kind: NumberKind) -> str:
    """Return the map of the changes in a number as a thumbnail, the last layer at the top."""
    changes = np.nan_to_num(measure_changes(series.numbers[kind.name]))
    num_heads = len({head for _, head in series.heads})
    shares = changes / max(1.0, float(changes.max()))
    return draw_thumbnail(np.sqrt(shares).reshape(-1, num_heads)[::-1], signed=False)


def make_series_context(series: Series, options: PageOptions, precision: Precision = FULL) -> SeriesContext:
    """Return the data for the template of a series."""
    comparison, opening = series.comparison, _choose_opening(series)
    kind, head = opening or (None, 0)
    lines = [draw_lines(series, one) for one in series.kinds if rank_heads(series.numbers[one.name])]
    lines.sort(key=lambda one: one.kind is not kind)  # without scripts, the first is shown
    script = read_scripts(SERIES_SCRIPTS)
    description = f"Heads over a series: {', '.join(series.names)}"
    return SeriesContext(
        title=comparison.title,
        note=comparison.note,
        tags=comparison.tags,
        description=description,
        link=make_link(options.site_url, comparison.slug, comparison.title, description),
        members=_view_members(series, precision),
        size=f"{len(series.heads):,} heads",
        sentence=to_json(_say_change(series)),
        lines=lines,
        plot=_PLOT,
        axis=_label_axis(series.names),
        opening=series.heads[head],
        rows=_list_rows(series, kind) if kind else [],
        panel=make_first_panel(series, head, precision),
        legend=draw_legend(signed=False),
        precision=describe_precision(precision, *series.captures),
        min_weight=f"{precision.min_weight:.2g}" if precision.threshold else "",
        recipe=make_comparison_file(comparison, series.captures, options),
        card=embed_json(asdict(make_series_card(series))),
        blocks=_make_blocks(series, [one.kind for one in lines], head, precision),
        layer_blocks=_make_layer_blocks(series, precision),
        style=read_styles(*SERIES_STYLES),
        script=script,
        policy=make_policy((script,)),
    )


def _view_members(series: Series, precision: Precision) -> list[Member]:
    return [
        Member(
            letter=letter,
            name=name,
            title=capture.prompt.title,
            href=f"{capture.prompt.slug}.html",
            model=capture.model.title,
            summary=summarize_settings(capture),
            warning=warn_of_drift(capture),
            dropped=describe_dropped_mass(measure_dropped_mass(capture, precision), precision),
        )
        for letter, name, capture in zip(LETTERS, series.names, series.captures, strict=False)
    ]


def make_first_panel(series: Series, head: int, precision: Precision = FULL) -> Panel:
    """Return the pattern of a head at the first member."""
    view = View(*series.heads[head], step=None, query_pos=-1, key_pos=None)
    return replace(make_pattern_panel(series.captures[0], view, precision), name="pattern")


def draw_lines(series: Series, kind: NumberKind) -> Lines:
    """Return the lines of the heads that change most in a number; one scale holds the lines of all heads."""
    values = series.numbers[kind.name].astype(np.float64)
    low, high = min(0.0, float(np.nanmin(values))), max(0.0, float(np.nanmax(values)))
    high = high if high > low else low + 1
    order = rank_heads(series.numbers[kind.name])[:LISTED]
    xs, ys = place_members(len(values)), place_values(values, low, high)
    labels = _spread([float(ys[~np.isnan(ys[:, head]), head][-1]) for head in order])
    lines = [
        Line(head, "L{} H{}".format(*series.heads[head]), _draw_path(xs, ys[:, head]), (_PLOT["right"] + 8, label))
        for head, label in zip(order, labels, strict=True)
    ]
    levels = [low, 0.0, high] if low < 0 < high else [low, (low + high) / 2, high]
    ticks = [(float(place_values(np.array(level), low, high)), _format(level, kind)) for level in levels]
    alt = f"{kind.title} over the series, of the {len(lines)} heads that change most: " + ", ".join(
        f"{line.name} from {_format(values[0, line.head], kind)} to {_format(values[-1, line.head], kind)}"
        for line in lines
    )
    return Lines(kind, lines, ticks, low, high, alt)


def place_members(count: int) -> NDArray[np.float64]:
    """Return where members stand along the picture of lines."""
    return np.linspace(_PLOT["left"], _PLOT["right"], count).round(1)


def place_values(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return where values stand, from the top of the picture of lines."""
    return (_PLOT["bottom"] - (values - low) / (high - low) * (_PLOT["bottom"] - _PLOT["top"])).round(1)


def _draw_path(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> str:
    """Return the path through the known values; it has a gap where one is missing."""
    gaps = [True, *np.isnan(ys[:-1])]
    return "".join(
        f"{'M' if gap else 'L'}{x:g} {y:g}" for x, y, gap in zip(xs, ys, gaps, strict=True) if not math.isnan(y)
    )


def _spread(places: Sequence[float]) -> list[float]:
    """Return places as near as possible to those given, from the top, at which labels do not overlap."""
    spread: dict[int, float] = {}
    lowest = -math.inf
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        lowest = spread[index] = max(places[index], lowest + _LABEL_HEIGHT)
    beyond = max(0.0, lowest - _PLOT["bottom"])
    highest = math.inf
    for index in sorted(spread, key=lambda index: -spread[index]):
        if beyond:
            highest = spread[index] = min(spread[index], _PLOT["bottom"], highest - _LABEL_HEIGHT)
    return [spread[index] for index in range(len(places))]


def _label_axis(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return the label of each member below the lines: its name if the names have room, else its letter."""
    room = int((_PLOT["right"] - _PLOT["left"]) / (len(names) - 1) / _CHARACTER_WIDTH) - 1
    has_room = max(map(len, names)) <= room
    labels = names if has_room else LETTERS
    return [(float(x), label) for x, label in zip(place_members(len(names)), labels, strict=False)]


def _list_rows(series: Series, kind: NumberKind) -> list[list[str]]:
    """Return the heads that change most as texts: name, change, and the value of each member."""
    values = series.numbers[kind.name]
    changes = measure_changes(values)
    return [
        [
            "L{} H{}".format(*series.heads[head]),
            format_number(float(changes[head]), kind, sign=""),
            *(_format(float(value), kind) for value in values[:, head]),
        ]
        for head in rank_heads(values)[:LISTED]
    ]


def _make_blocks(series: Series, kinds: Sequence[NumberKind], head: int, precision: Precision) -> dict[str, Markup]:
    """Return what the script reads first: the facts in JSON, and the numbers, float32 ``[member, head]`` each."""
    content = {
        "kinds": [asdict(kind) for kind in kinds],
        "heads": series.heads,
        "opening": head,
        "plot": _PLOT,
        "precision": precision.bits,
        "members": [
            {
                "name": name,
                "href": f"{capture.prompt.slug}.html",
                "tokens": [token.shown for token in capture.tokens],
                "layers": capture.layers,
                "heads": capture.heads,
                "layer_types": describe_layer_types(capture)["layer_types"],
            }
            for name, capture in zip(series.names, series.captures, strict=True)
        ],
        **describe_theme_ramps(),
    }
    numbers = {kind.name: series.numbers[kind.name].astype("<f4").tobytes() for kind in kinds}
    return {"content": encode_json(content)} | {f"number-{name}": encode_bytes(data) for name, data in numbers.items()}


def _make_layer_blocks(series: Series, precision: Precision) -> Iterator[tuple[str, Markup]]:
    """Yield the weights of each layer that all members have; the members of a layer are adjacent."""
    for layer in sorted({layer for layer, _ in series.heads}):
        for place, capture in enumerate(series.captures):
            yield f"{place}-layer-{layer}", encode_layer(capture, layer, precision)
