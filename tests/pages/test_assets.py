"""Styles, scripts and the policy of a page."""

from __future__ import annotations

import json
import re

import bokeh
import pytest
from html_tree import parse_html
from page_checks import directives_of, hash_of, read_page
from samples import HOSTILE, make_capture
from unpacking import decode_bytes

from reportgen.pages.assets import (
    BOKEH_FILE,
    BOOT_SCRIPTS,
    COMPARE_SCRIPTS,
    COMPARE_STYLES,
    FIRST_SCRIPT,
    HEADS_SCRIPTS,
    HEADS_STYLES,
    INDEX_SCRIPTS,
    INDEX_STYLES,
    PAGE_SCRIPTS,
    PAGE_STYLES,
    SERIES_SCRIPTS,
    SERIES_STYLES,
    embed_json,
    make_policy,
    read_bokeh,
    read_scripts,
    read_styles,
)
from reportgen.pages.index import render_index
from reportgen.pages.options import PageOptions
from reportgen.pages.page import render_page
from reportgen.paths import find_templates

STYLES = {
    "page": PAGE_STYLES,
    "compare": COMPARE_STYLES,
    "index": INDEX_STYLES,
    "heads": HEADS_STYLES,
    "series": SERIES_STYLES,
}
SHARED_STYLES = ("theme.css", "base.css")


def test_policy_lists_the_hash_of_a_script() -> None:
    # The example of the Content Security Policy specification, level 3.
    policy = make_policy(["alert('Hello, world.');"])
    assert directives_of(policy)["script-src"] == ["'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"]


def test_policy_forbids_all_else() -> None:
    assert directives_of(make_policy(["a", "b"])) == {
        "default-src": ["'none'"],
        "script-src": [hash_of("a"), hash_of("b")],
        "style-src": ["'unsafe-inline'"],
        "img-src": ["data:", "blob:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }


def test_policy_allows_files_beside_the_page_on_demand_alone() -> None:
    assert directives_of(make_policy(["a"], own_files=True))["script-src"] == ["'self'", hash_of("a")]


def test_page_may_run_what_it_carries() -> None:
    html = render_page(make_capture(HOSTILE))
    allowed, inline = read_page(html)
    carried = [parse_html(html).find("script", id=f"block-{name}")[0] for name in ("script", "bokeh")]
    assert [*inline, *(hash_of(decode_bytes(block.text).decode("utf-8")) for block in carried)] == allowed
    assert len(inline) == 2  # in the head, before anything is shown, and at the end


def test_page_with_shared_assets_may_run_its_script_and_files_beside_it() -> None:
    html = render_page(make_capture(), PageOptions(shared_assets=True))
    allowed, inline = read_page(html)
    (block,) = parse_html(html).find("script", id="block-script")
    assert len(inline) == 2
    assert ["'self'", *inline, hash_of(decode_bytes(block.text).decode("utf-8"))] == allowed
    assert [script.attributes["src"] for script in parse_html(html).find("script") if "src" in script.attributes] == [
        BOKEH_FILE
    ]
    assert not parse_html(html).find("script", id="block-bokeh")


def test_index_may_run_its_script() -> None:
    allowed, inline = read_page(render_index([]))
    assert inline == allowed
    assert len(inline) == 1


@pytest.mark.parametrize(
    "names",
    [(FIRST_SCRIPT,), BOOT_SCRIPTS, PAGE_SCRIPTS, COMPARE_SCRIPTS, INDEX_SCRIPTS, HEADS_SCRIPTS, SERIES_SCRIPTS],
)
def test_no_script_ends_its_element(names: tuple[str, ...]) -> None:
    """``<!--`` and ``<script`` change how HTML reads a script; a carriage return is read as another character."""
    assert not re.search(r"</script|<script|<!--|\r|\0", str(read_scripts(names)), re.IGNORECASE)


@pytest.mark.parametrize("own", STYLES.values(), ids=list(STYLES))
def test_no_style_ends_its_element_or_asks_for_a_file(own: tuple[str, ...]) -> None:
    style = str(read_styles(*own))
    assert not re.search(r"</style|<!--", style, re.IGNORECASE)
    assert not re.search(r"@import|url\((?!['\"]?data:)", style, re.IGNORECASE)


def test_every_file_is_used() -> None:
    templates = find_templates()
    assert {path.relative_to(templates / "js").as_posix() for path in (templates / "js").rglob("*.js")} == {
        FIRST_SCRIPT, *BOOT_SCRIPTS, *PAGE_SCRIPTS, *INDEX_SCRIPTS, *HEADS_SCRIPTS, *SERIES_SCRIPTS,
        *COMPARE_SCRIPTS,
    }  # fmt: skip
    styles = {path.name: path.read_text("utf-8") for path in (templates / "css").iterdir()}
    assert styles.keys() == {*SHARED_STYLES, *(name for own in STYLES.values() for name in own)}
    for own in STYLES.values():
        whole = re.sub(r"\s", "", read_styles(*own))
        assert "/*" not in whole
        for name in (*SHARED_STYLES, *own):
            rules = re.findall(r"^[^\s/*@][^{;\n]*\{$", styles[name].replace(",\n", ", "), re.MULTILINE)
            assert rules or name == "print.css"  # whose rules stand in an at-rule
            assert [rule for rule in rules if re.sub(r"\s", "", rule) not in whole] == []


def test_what_a_style_quotes_stays_as_it_is() -> None:
    quoted = [
        text
        for name in (*SHARED_STYLES, *PAGE_STYLES)
        for text in re.findall(r'"[^"]*"', (find_templates() / "css" / name).read_text("utf-8"))
    ]
    assert '"Helvetica Neue"' in quoted
    assert re.findall(r'"[^"]*"', read_styles(*PAGE_STYLES)) == quoted


def code_of(name: str) -> list[str]:
    """Return the lines of a script that are not comments, line by line rather than by a pattern."""
    lines, inside = [], False
    for line in (find_templates() / "js" / name).read_text("utf-8").split("\n"):
        begins = line.strip().startswith("/*")
        if not inside and not begins and line.strip() and not line.strip().startswith("//"):
            lines.append(line.lstrip())
        inside = (inside or begins) and not line.rstrip().endswith("*/")
    return lines


def test_scripts_are_joined_in_their_order_without_comments() -> None:
    expected = [line for name in PAGE_SCRIPTS for line in code_of(name)]
    assert str(read_scripts(PAGE_SCRIPTS)).split("\n") == expected
    assert not [line for line in expected if re.match(r"\s*(//|/\*|\* )", line)]
    assert len(expected) > 2000


def test_no_text_of_a_script_goes_over_the_end_of_a_line() -> None:
    """Or it would lose its indentation on the page."""
    for path in (find_templates() / "js").rglob("*.js"):
        texts = re.findall(r"`(?:[^`\\]|\\.)*`", path.read_text("utf-8"), re.DOTALL)
        assert not [text for text in texts if "\n" in text], path.name


def test_bokehjs_is_the_one_of_the_installed_bokeh() -> None:
    assert f'"{bokeh.__version__}"' in read_bokeh()
    assert f"assets/bokeh-{bokeh.__version__}.min.js" == BOKEH_FILE


@pytest.mark.parametrize("text", [*HOSTILE, "<!--<script>", "\u2028", "␣"])
def test_embedded_json_comes_back_and_cannot_end_its_element(text: str) -> None:
    embedded = embed_json({"b": text, "a": [text]})
    (script,) = parse_html(f'<script type="application/json">{embedded}</script>').find("script")
    assert list(json.loads(script.text).items()) == [("b", text), ("a", [text])]
    assert not set("<>&") & set(embedded)


def test_embedded_json_refuses_what_json_lacks() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        embed_json(float("nan"))
