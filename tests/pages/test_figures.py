"""The figure of every heatmap as JSON: stable ids, no data, no code, and every model that the scripts ask for."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from bokeh.document import Document
from bokeh.plotting import figure
from unpacking import decode_bytes

from reportgen.pages.figures import NAME, make_figure, make_figure_block, rename_ids
from reportgen.paths import find_templates

MODELS = {"image", "mapper", "x_range", "y_range"}
"""Suffixes of the models' names."""

FIGURE = make_figure()


def load() -> Document:
    """Return the figure as a document of Bokeh, which changes what it is made from."""
    return Document.from_json(copy.deepcopy(FIGURE["doc"]))


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary in a JSON value, outer ones first."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(item)


def test_bokeh_finds_the_models_by_name() -> None:
    document = load()
    assert document.roots[0].name == NAME
    found = {model.name for model in document.models if model.name}
    assert found == {NAME} | {f"{NAME}.{suffix}" for suffix in MODELS}


def test_scripts_ask_for_models_that_exist() -> None:
    scripts = "".join(path.read_text("utf-8") for path in (find_templates() / "js").rglob("*.js"))
    asked = set(re.findall(r"""\bmodel\(["'](\w+)["']\)""", scripts))
    assert asked
    assert asked <= MODELS


def test_block_holds_the_figure() -> None:
    assert json.loads(decode_bytes(str(make_figure_block()))) == json.loads(json.dumps(FIGURE))


def test_ids_are_numbered_in_order_of_appearance() -> None:
    ids = [FIGURE["root_id"], *(found["id"] for found in objects_in(FIGURE["doc"]) if "id" in found)]
    assert list(dict.fromkeys(ids)) == [f"{NAME}-{number}" for number in range(len(set(ids)))]
    # A model is written out once, under its id; wherever else it is needed there is the id alone.
    defined = [found["id"] for found in objects_in(FIGURE["doc"]) if "id" in found and found.get("type") == "object"]
    assert sorted(defined) == sorted(set(ids))
    assert FIGURE["root_id"] == FIGURE["doc"]["roots"][0]["id"]


def test_no_id_of_bokehs_own_is_left() -> None:
    text = json.dumps(FIGURE)
    assert not re.findall(r'"p?\d{3,}"', text)
    assert not re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)


def test_a_copy_of_the_figure_has_names_and_ids_of_its_own() -> None:
    """Scripts replace the name of the figure wherever a text begins with it, and no other text begins so."""
    text = json.dumps(FIGURE).replace(f'"{NAME}', '"head')
    assert f'"{NAME}' not in text
    document = Document.from_json(json.loads(text)["doc"])
    assert {model.name for model in document.models if model.name} == {"head", *(f"head.{one}" for one in MODELS)}
    assert all(model.id.startswith("head-") for model in document.models if model.name)


def test_figure_does_not_depend_on_what_was_drawn_before() -> None:
    before = json.dumps(make_figure())
    figure().scatter([1, 2], [3, 4])
    assert json.dumps(make_figure()) == before


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
    types = {found["name"] for found in objects_in(FIGURE) if found.get("type") == "object"}
    assert {"Figure", "Image", "LinearColorMapper"} <= types
    assert not [name for name in types if "Custom" in name or "JS" in name]


def test_data_sources_are_empty() -> None:
    sources = [model for model in load().models if hasattr(model, "column_names")]
    assert sources
    assert all(len(column) == 0 for source in sources for column in source.data.values())
    assert len(json.dumps(FIGURE)) < 10_000


def test_rows_go_downwards() -> None:
    y_range = load().select_one({"name": f"{NAME}.y_range"})
    assert y_range.start > y_range.end


def test_the_image_fills_the_figure_and_cells_without_a_value_are_empty() -> None:
    """So that it stands where its still stood, and on the colour of the card."""
    document = load()
    plot = document.roots[0]
    assert (plot.above, plot.below, plot.left, plot.right, plot.title.text) == ([], [], [], [], "")
    assert plot.min_border == 0
    assert not plot.outline_line_color
    assert not plot.background_fill_color
    assert not plot.border_fill_color
    assert document.select_one({"name": f"{NAME}.mapper"}).nan_color == "rgba(0, 0, 0, 0)"


def test_a_range_of_tokens_can_be_dragged_and_nothing_zoomed() -> None:
    tools = load().roots[0].toolbar.tools
    assert [type(tool).__name__ for tool in tools] == ["BoxSelectTool"]
