"""Stills of figures as SVG, drawn without a browser: cells as a picture of one pixel each, text as text.

What they show, their colours and their labels are those of ``pages.panels``, as on the page. A still of a story and the
picture that is exported of the same address differ only in what a page adds for its dark theme.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reportgen.captures.record import Capture
from reportgen.pages.page_data import PageData
from reportgen.pages.panels import (
    Label,
    Panel,
    RowNote,
    make_effect_panel,
    make_map_panel,
    make_pattern_panel,
    make_read_panel,
    make_row_panels,
)
from reportgen.pages.stills import Still, draw_legend
from reportgen.pages.templates import GENERATOR, get_macro
from reportgen.pages.views import View, find_foil, hold, open_view, select_view
from reportgen.records.address import FIRSTS, format_address
from reportgen.records.choices import HEAD_SCORE_NAMES
from reportgen.records.story import FIGURES, OF_EFFECTS, explain_undrawn

_FONT, _GAP, _MARGIN = 11, 6, 12
_CELL_WIDTH, _CELL_HEIGHT, _SIDE = 28, 17, 20
"""Usual sizes of a cell, and of one of a pattern or a map, in pixels."""
_WIDEST, _NARROWEST, _HIGHEST = 640, 160, 640
"""Sizes of the cells together."""
_LINE_HEIGHT, _LEAST_WIDTH = 16, 420
_WIDE, _NARROW = 1.0, 0.58
"""Width of a character as a share of the font size: of East Asian ones, and of others on average."""
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot have."""
COLOURS: Mapping[str, Mapping[str, str]] = {
    "light": {"ink": "#17191c", "muted": "#59616b", "card": "#ffffff", "hatch": "#dfe2e6"},
    "dark": {"ink": "#eceef0", "muted": "#a2abb5", "card": "#181c21", "hatch": "#353c45"},
}
"""Colours of ``theme.css``, for pictures that know no variables."""
_SAID_SCALES = {"sqrt": "square-root scale", "linear": "linear scale", "log": "logarithmic scale"}
_SAID_FIRST = {
    "in": "",
    "out": "first token left out",
    "renormalised": "first token left out, rows divided by the rest",
}
_NOTE_TITLES = {
    "heads": "reads most · weight",
    "layers": "reads most · weight",
    "read": "most from · all heads · largest head",
}


@dataclass(frozen=True)
class Written:
    """A text of a still: where it stands, and how. ``turn`` is in degrees."""

    text: str
    x: float
    y: float
    kind: str = "ink"
    anchor: str = "start"
    turn: int = 0
    bold: bool = False


@dataclass(frozen=True)
class Shape:
    """A rectangle, a picture, a circle or a line of a still, by its corner and its sides."""

    x: float
    y: float
    width: float = 0
    height: float = 0


@dataclass(frozen=True)
class FigureStill:
    """A figure of a view, laid out in pixels.

    Attributes:
        figure: name of the figure.
        title: title of the figure.
        alt: description for readers who do not see it, with what stands out.
        source: program, page and address.
        width: width of the picture.
        height: its height.
        place: where the cells are.
        still: the cells.
        legend: the colours, from the lowest value to the highest.
        legend_place: where the legend is.
        texts: everything that is written.
        frame: where the selected cells are; ``None`` if none are.
        lines: where the prompt ends, from one corner to the other.
        marks: where cells are marked.
        is_hatched: whether the ground behind the cells is hatched.
    """

    figure: str
    title: str
    alt: str
    source: str
    width: int
    height: int
    place: Shape
    still: Still
    legend: Still
    legend_place: Shape
    texts: Sequence[Written]
    frame: Shape | None
    lines: Sequence[Shape]
    marks: Sequence[Shape]
    is_hatched: bool


def draw_figure(data: PageData, figure: str, address: Mapping[str, str]) -> FigureStill:
    """Return the still of a figure of a view.

    Args:
        data: what the figures of the page show.
        figure: name of the figure, one of ``FIGURES``.
        address: keys of the address, as ``parse_address`` returns them.

    Raises:
        ValueError: the page does not have the view, or the figure shows something that was not measured.
    """
    view = select_view(open_view(data.capture, data.opening), data.capture, address)
    if undrawn := explain_undrawn(figure, address):
        raise ValueError(f"no still of {figure!r} with {undrawn}; leave it out")
    if view.first == FIRSTS[-1] and not data.has_all_weights:
        raise ValueError(f"no still with first={view.first}: the page leaves weak weights out; raise --max-page-mb")
    panel = _make_panel(data, figure, view)
    said = format_address(address)
    return _lay_out(data, view, panel, f"{GENERATOR} · {data.capture.prompt.slug}.html{'#' * bool(said)}{said}")


def write_svg(still: FigureStill, theme: str = "light") -> bytes:
    """Return a still as a file.

    Args:
        still: the still.
        theme: ``light`` or ``dark``.
    """
    markup = get_macro("macros/still.html.jinja2", "still_file")(still, COLOURS[theme], theme)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{markup}'.encode()


def _make_panel(data: PageData, figure: str, view: View) -> Panel:
    capture = data.capture
    panel: Panel | None = None
    if figure == "head":
        panel = make_pattern_panel(capture, view, data.precision)
    elif figure in ("heads", "layers"):
        panel = make_row_panels(capture, view, data.precision)[figure == "layers"]
    elif figure == "map":
        panel = make_map_panel(capture, view, data.precision)
    elif figure == "effect":
        panel = make_effect_panel(capture, view)
    elif figure == "read":
        foils = [find_foil(capture, view.contrast, step) for step in range(len(data.reads))]
        reads = [read if foil is None else data.foil_reads[foil] for read, foil in zip(data.reads, foils, strict=True)]
        panel = make_read_panel(capture, view, reads)
    else:
        raise ValueError(f"no figure {figure!r}; there are {', '.join(FIGURES)}")
    if panel is None or (figure == "map" and view.by == "effect" and not panel.signed):
        raise ValueError(f"no figure {figure!r}: {_say_why(data, figure, view)}")
    return panel


def _say_why(data: PageData, figure: str, view: View) -> str:
    """Return why the effects that a figure shows are not known."""
    capture = data.capture
    attribution = capture.evidence.attribution
    if attribution is None:
        return capture.evidence.missing.get("attribution", "effects were not measured")
    if figure == "read" and len(capture.steps) < 2:
        return "only one token was written; take the figure 'heads' or 'effect'"
    reasons = {reason for withheld in attribution.withheld for reason in withheld if reason}
    return (
        next(iter(sorted(reasons)), "effects were not measured") if view.step is not None else "nothing was generated"
    )


def _lay_out(data: PageData, view: View, panel: Panel, source: str) -> FigureStill:
    rows, columns = panel.cells
    is_square = panel.name in ("head", "map", "effect")
    width = min(max(columns * (_SIDE if is_square else _CELL_WIDTH), _NARROWEST), _WIDEST)
    high = columns and width / columns if panel.name == "head" else _CELL_HEIGHT
    height = min(max(rows * high, 3 * _CELL_HEIGHT), _HIGHEST)
    notes = [_say_note(note) for note in panel.notes]
    left = _MARGIN + max((_measure(_say_label(label)) for label in panel.rows), default=0) + _GAP
    right = max(map(_measure, [*notes, _title_notes(panel) if any(notes) else ""]), default=0) + (_GAP if notes else 0)
    whole = max(left + width + right + _MARGIN, _LEAST_WIDTH)
    title, *facts = _say_facts(data, view, panel)
    head = [Written(title, _MARGIN, _MARGIN + 10, bold=True)]
    lines = _wrap(" · ".join(facts), whole - 2 * _MARGIN)
    head += [Written(line, _MARGIN, _MARGIN + 10 + _LINE_HEIGHT * (1 + i), "muted") for i, line in enumerate(lines)]
    labels = max((_measure(_say_label(label)) for label in panel.columns), default=0)
    is_flat = panel.is_flat or panel.name == "map"
    top = head[-1].y + _GAP + 8 + (_FONT if is_flat else labels)
    place = Shape(left, round(top, 1), round(width, 1), round(height, 1))
    legend_place = Shape(left, round(top + height + 12, 1), 120, 9)
    low = _format_end(-panel.largest) if panel.signed else "0"
    ends = f"{low} to {_format_end(panel.largest, signed=panel.signed)}"
    of = " times the largest of its row" if panel.name == "read" else ""
    texts = [
        *head,
        *_write_labels(panel, place),
        *_write_notes(panel, place, notes),
        Written(ends + of, left + 126, round(top + height + 20, 1), "muted"),
    ]
    return FigureStill(
        figure=panel.name,
        title=title,
        alt=_describe(data, view, panel),
        source=_clean(source),
        width=round(max(whole, left + 126 + _measure(ends + of) + _MARGIN)),
        height=round(top + height + 20 + _MARGIN),
        place=place,
        still=panel.still,
        legend=draw_legend(signed=panel.signed),
        legend_place=legend_place,
        texts=[replace(text, text=_clean(text.text)) for text in texts],
        frame=_place_frame(panel, place),
        lines=_place_border(panel, place),
        marks=[_place_mark(mark, panel, place) for mark in panel.marks],
        is_hatched=panel.is_hatched or panel.name == "read",
    )


def _write_labels(panel: Panel, place: Shape) -> Iterator[Written]:
    for label in panel.rows:
        y = place.y + place.height * label.at / 100 + 4
        yield Written(_say_label(label), place.x - _GAP, round(y, 1), anchor="end", bold=label.selected)
    for label in panel.columns:
        x = place.x + place.width * label.at / 100
        if panel.is_flat or panel.name == "map":
            yield Written(_say_label(label), round(x, 1), place.y - 5, anchor="middle", bold=label.selected)
        else:
            yield Written(_say_label(label), round(x + 4, 1), place.y - 5, turn=-90, bold=label.selected)


def _write_notes(panel: Panel, place: Shape, notes: Sequence[str]) -> Iterator[Written]:
    x = place.x + place.width + 2 * _GAP
    for row, (note, said) in enumerate(zip(panel.notes, notes, strict=True)):
        y = place.y + place.height * (row + 0.5) / len(notes) + 4
        yield Written(said, x, round(y, 1), bold=note.selected)
    if notes:
        yield Written(_title_notes(panel), x, place.y - 5, "muted")


def _title_notes(panel: Panel) -> str:
    title = _NOTE_TITLES.get(panel.name, "")
    has_effects = panel.name != "read" and any(note.effect for note in panel.notes)
    return f"{title} · whole head" if has_effects else title


def _place_frame(panel: Panel, place: Shape) -> Shape | None:
    if panel.frame is None:
        return None
    across, down = place.width / panel.still.columns, place.height / panel.still.rows
    x, y, width, height = panel.frame
    return Shape(
        *(round(value, 1) for value in (place.x + x * across, place.y + y * down, width * across, height * down))
    )


def _place_border(panel: Panel, place: Shape) -> list[Shape]:
    if panel.border is None:
        return []
    x = round(place.x + place.width * panel.border / panel.cells[1], 1)
    if panel.name != "head":
        return [Shape(x, place.y, 0, place.height)]
    y = round(place.height * panel.border / panel.cells[0], 1)
    return [Shape(x, place.y + y, 0, place.height - y), Shape(place.x, place.y + y, round(x - place.x, 1), 0)]


def _place_mark(mark: tuple[int, int], panel: Panel, place: Shape) -> Shape:
    across, down = place.width / panel.cells[1], place.height / panel.cells[0]
    return Shape(round(place.x + (mark[0] + 0.5) * across, 1), round(place.y + (mark[1] + 0.5) * down, 1))


def _say_facts(data: PageData, view: View, panel: Panel) -> list[str]:
    """Return the title of a figure and what a caption says of its selection."""
    capture, head = data.capture, f"L{view.layer} H{view.head}"
    titles = {
        "head": f"{head}, every position",
        "heads": f"Layer {view.layer}, every head",
        "layers": f"Head {view.head}, every layer",
        "read": "What attention read for each token",
        "effect": "Every head and MLP" if _is_effect(panel) else "Without each head",
        "map": "Whole heads",
    }
    written = (
        "" if view.step is None else f"token {view.step + 1}, {_quote(capture, capture.num_prompt_tokens + view.step)}"
    )
    if panel.name in OF_EFFECTS or panel.signed:
        against = "" if panel.name == "read" else _say_measure(data, view, panel)
        return [titles[panel.name], capture.model.title, written, *([against] if against else []), "linear scale"]
    reads = f"predicting {written}" if view.is_for_step(capture) else f"reading from {_quote(capture, view.query_pos)}"
    shown = _say_by(view) if panel.name == "map" else "weight"
    facts = [titles[panel.name], capture.model.title, reads, shown, _SAID_SCALES[view.scale]]
    return [*facts, *filter(None, [_SAID_FIRST[view.first] if panel.name != "map" else ""])]


def _is_effect(panel: Panel) -> bool:
    """Whether a figure of all heads shows effects, and no ablation."""
    return any(label.text == "MLP" for label in panel.columns)


def _say_by(view: View) -> str:
    return f"score “{view.by}”" if view.by in HEAD_SCORE_NAMES else "largest weight"


def _say_measure(data: PageData, view: View, panel: Panel) -> str:
    assert view.step is not None
    name = hold(data.capture, view.contrast if panel.name == "map" else view.measure, view.step)
    foil = find_foil(data.capture, name, view.step)
    against = f", against “{data.capture.measured_foils[foil].token.shown}”" if foil is not None else ""
    method = name.partition("-foil-")[0]
    if method.endswith("ablation"):
        return f"{method.replace('-', ' ')}{against}, change in {'logits' if against else 'nats'}"
    known = {"attribution": "the alternatives", "attribution-mean": "the mean of the vocabulary"}
    return (
        f"effect{against}" if against else f"effect against {known.get(name, name.replace('runner-up-', 'runner-up '))}"
    )


def _describe(data: PageData, view: View, panel: Panel) -> str:
    """Return the description of a figure, with what stands out in it."""
    parts = [panel.alt]
    if panel.name == "head" and view.query_pos < data.capture.num_tokens:
        heads = make_row_panels(data.capture, replace(view, span=None), data.precision)[0]
        notes = [note for note in heads.notes if note.selected and note.position >= 0]
        parts += [f"From {_quote(data.capture, view.query_pos)} it reads {_say_read(note)}" for note in notes]
    else:
        parts += [f"In the selected row most is read from {_say_read(note)}" for note in panel.notes
                  if note.selected and note.position >= 0]  # fmt: skip
    return _clean(". ".join(parts) + ".")


def _say_read(note: RowNote) -> str:
    return f"“{note.token.shown}” at {note.position}, {note.value}"


def _quote(capture: Capture, position: int) -> str:
    return f"“{capture.tokens[position].shown}” at {position}"


def _say_label(label: Label) -> str:
    return f"{label.text} {label.note}".strip()


def _say_note(note: RowNote) -> str:
    place = str(note.position) if note.position >= 0 else ""
    head = f"L{note.head[0]} H{note.head[1]} {note.effect}" if note.head else note.effect
    return " ".join(filter(None, [note.token.shown, place, note.value, head]))


def _format_end(value: float, *, signed: bool = True) -> str:
    text = f"{abs(value):.2g}"
    return (("−" if value < 0 else "+") if signed else "") + text


def _measure(text: str) -> int:
    """Return about how many pixels a text takes."""
    shares = (_WIDE if unicodedata.east_asian_width(character) in "WF" else _NARROW for character in text)
    return round(_FONT * sum(shares)) + 2


def _wrap(text: str, width: float) -> list[str]:
    """Return lines that are about as wide as this at most; a word may be wider."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and _measure(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
