"""What a page says of a model's attention, and what it carries for that."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from html_tree import parse_html
from root import ROOT
from samples import make_capture
from unpacking import decode_bytes

from reportgen.captures.record import Capture
from reportgen.pages.encoding import encode_bytes, quantize_sqrt
from reportgen.pages.layer_notes import (
    describe_layer_types,
    make_layer_type_rows,
    make_sink_blocks,
    make_trait_views,
    name_gaps,
    name_shade,
)
from reportgen.pages.page import render_page
from reportgen.records import LayerType
from reportgen.records.attention_features import FEATURES
from reportgen.records.selection import parse_selection


def make_special(
    *layer_types: LayerType, features: tuple[str, ...] = (), num_kv_heads: int = 4, **changes: object
) -> Capture:
    """Return the sample, of as many layers as have attention, with these layer types."""
    layers = tuple(kind.layer for kind in layer_types if kind.has_attention)
    capture = make_capture(layers=layers)
    model = replace(capture.model, num_layers=len(layer_types), num_kv_heads=num_kv_heads, features=features)
    return replace(capture, model=model, layer_types=layer_types, **changes)  # pyright: ignore[reportArgumentType]


HYBRID = make_special(
    LayerType(0, has_attention=False, what="Mamba"),
    LayerType(1, has_attention=False, what="Mamba"),
    LayerType(2),
    LayerType(3, has_attention=False),
    LayerType(4),
    features=("hybrid",),
)


def attention_of(capture: Capture) -> list[str]:
    """Return what the page says of the model's attention, question marks and what they open left out."""
    (fold,) = parse_html(render_page(capture)).find("details", id="made")
    (line,) = [hint for hint in fold.find("p", class_="hint") if hint.text.startswith("Attention: ")]
    return [span.text.partition("?")[0].strip() for span in line.find("span", class_="nowrap")]


def test_plain_model_says_nothing() -> None:
    capture = make_special(LayerType(0), LayerType(1))
    page = parse_html(render_page(capture))
    assert not [
        hint for hint in page.find("p", class_="hint") if hint.text.startswith(("Attention: ", "Layers without"))
    ]
    assert "Hatched" not in page.find("section", id="pattern")[0].text
    assert not page.find("script", id="block-sinks")
    assert (name_gaps(capture), name_shade(capture)) == ("", "")
    assert make_layer_type_rows(capture) == []
    layer_types = {"layer_types": [{"num_kv_heads": 4}] * 2, "gaps": [], "num_heads": 4, "paired": False}
    assert describe_layer_types(capture) == layer_types


@pytest.mark.parametrize(
    ("capture", "says"),
    [
        (make_special(LayerType(0), features=("grouped",), num_kv_heads=2), "4 query heads on 2 key heads"),
        (make_special(LayerType(0), features=("grouped",), num_kv_heads=1), "4 query heads on 1 key head"),
        (
            make_special(LayerType(0, num_kv_heads=1), LayerType(1, num_kv_heads=2), features=("grouped",)),
            "4 query heads on 1 or 2 key heads",
        ),
        (make_special(LayerType(0, window=8), features=("window",)), "window of 8 tokens in every layer"),
        (
            make_special(LayerType(0, window=8), LayerType(1), LayerType(2, window=4), features=("window",)),
            "windows of 4 or 8 tokens in 2 of 3 layers",
        ),
        (make_special(LayerType(0, chunk=5), LayerType(1), features=("chunk",)), "chunks of 5 tokens in 1 of 2 layers"),
        (HYBRID, "no attention in 3 of 5 layers"),
        (make_special(LayerType(0, what="Mamba"), features=("hybrid",)), "hybrid"),
        *((make_special(LayerType(0), features=(name,)), FEATURES[name].title) for name in ("sink", "latent", "alibi")),
        *(
            (make_special(LayerType(0), features=(name,)), FEATURES[name].title)
            for name in ("soft-cap", "differential")
        ),
    ],
)  # fmt: skip
def test_page_says_what_is_special(capture: Capture, says: str) -> None:
    assert attention_of(capture) == [says]
    (view,) = make_trait_views(capture)
    answer = parse_html(render_page(capture)).find(id=f"help-trait-{view.trait.name}")[0].text
    assert all(part in answer for part in (view.trait.title, view.trait.definition, view.trait.caution))


def test_traits_stand_in_the_order_of_their_list() -> None:
    capture = make_special(
        LayerType(0, window=4, has_sink=True), features=("sink", "window", "grouped"), num_kv_heads=2
    )
    assert attention_of(capture) == [
        "4 query heads on 2 key heads",
        "window of 4 tokens in every layer",
        "learned sinks",
    ]


def test_what_is_hatched_is_named_where_a_window_hides_something() -> None:
    """The sample has 8 tokens."""
    assert name_shade(make_special(LayerType(0, window=8))) == ""
    assert name_shade(make_special(LayerType(0, window=7))) == "outside the layer's window"
    assert name_shade(make_special(LayerType(0, chunk=3), features=("chunk",))) == "in an earlier chunk"
    (pattern,) = parse_html(render_page(make_special(LayerType(0, window=7)))).find("section", id="pattern")
    assert "Hatched: outside the layer's window." in pattern.text


def test_layers_without_attention_are_listed_run_by_run() -> None:
    (rail,) = parse_html(render_page(HYBRID)).find(id="rail")
    assert rail.find("p", class_="hint")[-1].text == "Layers without attention: 0–1 (Mamba), 3."
    assert describe_layer_types(HYBRID)["gaps"] == [{"layers": [0, 1], "what": "Mamba"}, {"layers": [3, 3], "what": ""}]
    selected = replace(HYBRID, prompt=replace(HYBRID.prompt, layers=parse_selection("1-2")), layers=(2,))
    assert name_gaps(selected) == "Layers without attention: 1 (Mamba)."
    assert describe_layer_types(selected)["gaps"] == [{"layers": [1, 1], "what": "Mamba"}]


def test_settings_say_what_differs_from_layer_to_layer() -> None:
    assert make_layer_type_rows(HYBRID) == [
        ("layers without attention, Mamba", "0–1"),
        ("layers without attention", "3"),
    ]
    layer_types = (LayerType(0, window=4), LayerType(1, window=4), LayerType(2, note="a note"), LayerType(3, chunk=2))
    assert make_layer_type_rows(make_special(*layer_types)) == [
        ("layers with a window of 4", "0–1"),
        ("layers in chunks of 2", "3"),
        ("layer 2", "a note"),
    ]


def test_sinks_have_a_block_of_their_own_before_the_evidence() -> None:
    """The first figures wait for it, and for nothing behind it but what the page says."""
    mass = np.linspace(0, 1, 32, dtype=np.float32).reshape(1, 4, 8)
    capture = make_special(LayerType(0, has_sink=True), sink_mass=mass)
    assert make_sink_blocks(capture) == {"sinks": encode_bytes(quantize_sqrt(mass).tobytes())}
    page = parse_html(render_page(capture))
    names = [script.attributes.get("id", "script") for script in page.find("script")]
    assert names[names.index("block-answers") + 1 : names.index("block-evidence")] == [
        "block-read",
        "block-sinks",
    ]
    (content,) = page.find("script", id="block-content")
    assert json.loads(decode_bytes(content.text))["layer_types"] == [{"num_kv_heads": 4, "has_sink": True}]


def test_hostile_names_stay_text() -> None:
    evil = "<img src=x onerror=alert(1)>"
    capture = make_special(LayerType(0), LayerType(1, has_attention=False, what=evil), features=("hybrid",))
    page = parse_html(render_page(capture))
    assert not [picture for picture in page.find("img") if not picture.attributes["src"].startswith("data:")]
    assert f"Layers without attention: 1 ({evil})." in [hint.text for hint in page.find("p", class_="hint")]
    assert f"layers without attention, {evil}" in [name.text for name in page.find("dt")]


def test_documents_explain_every_trait() -> None:
    text = (ROOT / "docs" / "numbers.md").read_text("utf-8")
    for trait in FEATURES.values():
        assert all(part in text for part in (f"**{trait.title}**", trait.definition, trait.caution)), trait.name
