"""Figures as JSON: stable ids, no data, no code, and every model that the scripts ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.plotting import figure

from reportgen.evidence.kinds import KINDS
from reportgen.pages.figures import draw_pattern, make_figures, rename_ids
from reportgen.paths import find_templates

HEATMAP = {"image", "mapper", "x_range", "y_range", "x_axis", "y_axis"}
FRAMES = {"frame", "frame_glyph"}
DIVIDER = {"divider", "divider_glyph"}
BAR = {"bar", "bar_ticker"}
SHADE = {"shade", "shade_glyph"}
MARKS = {"marks", "marks_glyph"}
PATTERN = HEATMAP | FRAMES | DIVIDER | MARKS | BAR
NAMES = {
    "head": PATTERN | SHADE,
    "overview": HEATMAP | FRAMES | {"gaps", "text"},
    "layer_tiles": HEATMAP | FRAMES | SHADE | {"labels", "text"},
    "head_tiles": HEATMAP | FRAMES | SHADE | {"labels", "text"},
    "aggregate": PATTERN | SHADE,
    "pinned": PATTERN | SHADE,
    "difference": PATTERN | SHADE,
    "step_heads": HEATMAP | FRAMES | SHADE | DIVIDER,
    "step_layers": HEATMAP | FRAMES | SHADE | DIVIDER,
    "logprobs": {"bars", "marks", "filtered", "x_range", "y_range", "x_axis", "y_axis"},
    "grid": HEATMAP | FRAMES | BAR,
    "lens": HEATMAP | FRAMES | BAR,
    "rollout": PATTERN,
    "entropy": HEATMAP | FRAMES | BAR,
}
"""Suffixes of the models' names, by figure."""

EVIDENCE = tuple(kind.heatmap for kind in KINDS if kind.heatmap)
FIGURES = make_figures(with_steps=True, evidence=EVIDENCE, marks=frozenset({"shade", "gaps"}))


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary in a JSON value, outer ones first."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(item)


def test_figures_of_steps_are_there_where_steps_are() -> None:
    assert list(FIGURES) == list(NAMES)
    always = ["head", "overview", "layer_tiles", "head_tiles", "aggregate", "pinned", "difference"]
    assert list(make_figures(with_steps=False)) == always


def test_figures_of_evidence_are_there_where_the_evidence_is() -> None:
    there = make_figures(with_steps=True, evidence=[heatmap for heatmap in EVIDENCE if heatmap.name == "lens"])
    assert there.keys() & {heatmap.name for heatmap in EVIDENCE} == {"lens"}


@pytest.mark.parametrize(
    ("marks", "names"),
    [(frozenset(), set()), (frozenset({"shade"}), SHADE), (frozenset({"gaps"}), {"gaps"})],
)
def test_marks_are_there_where_a_model_needs_them(marks: frozenset[str], names: set[str]) -> None:
    made = json.dumps(make_figures(with_steps=True, marks=marks))
    assert {name for name in (*SHADE, "gaps") if f'.{name}"' in made} == names


@pytest.mark.parametrize("name", NAMES)
def test_bokeh_finds_the_models_by_name(name: str) -> None:
    document = Document.from_json(FIGURES[name]["doc"])
    assert document.roots[0].name == name
    found = {model.name for model in document.models if model.name}
    assert found == {name} | {f"{name}.{suffix}" for suffix in NAMES[name]}


def test_scripts_ask_for_models_that_exist() -> None:
    scripts = "".join(path.read_text("utf-8") for path in (find_templates() / "js").glob("*.js"))
    asked = {
        *re.findall(r"""model\(["'](\w+)["']\)""", scripts),
        *re.findall(r"""colorGlyph\(["'](\w+)["']""", scripts),
        *(f"{letter}_{what}" for what in re.findall(r"model\(`\$\{letter\}_(\w+)`\)", scripts) for letter in "xy"),
    }
    assert {"image", "x_range", "y_axis", "frame_glyph", "filtered"} <= asked
    assert asked <= set().union(*NAMES.values())


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_numbered_in_order_of_appearance(name: str) -> None:
    item = FIGURES[name]
    ids = [item["root_id"], *(found["id"] for found in objects_in(item["doc"]) if "id" in found)]
    assert list(dict.fromkeys(ids)) == [f"{name}-{number}" for number in range(len(set(ids)))]
    # A model is written out once, under its id; wherever else it is needed there is the id alone.
    defined = [found["id"] for found in objects_in(item["doc"]) if "id" in found and found.get("type") == "object"]
    assert sorted(defined) == sorted(set(ids))
    assert item["root_id"] == item["doc"]["roots"][0]["id"]


def test_no_id_of_bokehs_own_is_left() -> None:
    text = json.dumps(FIGURES)
    assert not re.findall(r'"p?\d{3,}"', text)
    assert not re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)


def test_figures_do_not_depend_on_what_was_drawn_before() -> None:
    before = json.dumps(make_figures(with_steps=True))
    figure().scatter([1, 2], [3, 4])
    draw_pattern("head")
    assert json.dumps(make_figures(with_steps=True)) == before


def test_ids_of_different_figures_differ() -> None:
    ids = [{found["id"] for found in objects_in(item["doc"]) if "id" in found} for item in FIGURES.values()]
    assert len(set().union(*ids)) == sum(len(some) for some in ids)


def test_rename_touches_ids_alone() -> None:
    item = {
        "root_id": "p7",
        "target_id": None,
        "doc": {"root_ids": ["p7", "p8"], "roots": [{"id": "p7", "name": "p7", "at": [{"id": "p8"}, {"id": "p7"}]}]},
    }
    assert rename_ids(item, "f") == {
        "root_id": "f-0",
        "target_id": None,
        "doc": {
            "root_ids": ["f-0", "f-1"],
            "roots": [{"id": "f-0", "name": "p7", "at": [{"id": "f-1"}, {"id": "f-0"}]}],
        },
    }


def test_no_model_brings_code() -> None:
    types = {found["name"] for found in objects_in(FIGURES) if found.get("type") == "object"}
    assert {"Figure", "Image", "LinearColorMapper"} <= types
    assert not [name for name in types if "Custom" in name or "JS" in name]


@pytest.mark.parametrize("name", NAMES)
def test_data_sources_are_empty(name: str) -> None:
    sources = [model for model in Document.from_json(FIGURES[name]["doc"]).models if hasattr(model, "column_names")]
    assert sources
    assert all(len(column) == 0 for source in sources for column in source.data.values())
    assert len(json.dumps(FIGURES[name])) < 20_000


@pytest.mark.parametrize("name", [name for name in NAMES if name != "logprobs"])
def test_rows_of_heatmaps_go_downwards(name: str) -> None:
    y_range = Document.from_json(FIGURES[name]["doc"]).select_one({"name": f"{name}.y_range"})
    assert y_range.start > y_range.end


def test_the_head_alone_has_tools() -> None:
    tools = {name: Document.from_json(item["doc"]).roots[0].toolbar.tools for name, item in FIGURES.items()}
    kinds = {type(tool).__name__ for tool in tools.pop("head")}
    assert kinds == {"BoxZoomTool", "PanTool", "WheelZoomTool", "ResetTool"}
    assert not any(tools.values())
