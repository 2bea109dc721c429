"""The page of all heads: its numbers are those of the tables of the pages, whatever the order; it never grows large."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import replace
from typing import Any

import induction
import numpy as np
import pytest
from html_tree import Element, parse_html
from numpy.typing import NDArray
from samples import HOSTILE, make_capture, make_random, make_whole, withhold
from unpacking import decode_bytes

from reportgen.captures.record import Capture
from reportgen.evidence.head_summary import SUMMARY_NUMBERS, HeadSummary, summarize_heads
from reportgen.models.model import LoadedModel
from reportgen.pages.data_tables import encode_tables
from reportgen.pages.heads import MOST_PROMPTS, PageSummary, list_kinds, measure, render_heads

FLOATS, COUNTS = ("mean", "deviation", "lowest", "highest"), ("count", "lowest_page", "highest_page")


def name(capture: Capture, slug: str, *tags: str) -> Capture:
    return replace(capture, prompt=replace(capture.prompt, slug=slug, title=f"Title of {slug}", tags=tags))


CAPTURES = [
    name(make_random(3, 4, seed=1), "noise", "random"),
    name(make_random(3, 4, seed=2, num_steps=3), "more-noise", "random"),
    name(make_capture(), "cat"),
    name(make_whole(), "whole", "spans"),
    name(withhold(make_capture(), 1), "withheld"),
    name(make_capture(layers=(1,), heads=(0, 3)), "some-heads", "random"),
    name(make_capture(generated=()), "prompt-alone"),
]


def summarize(capture: Capture) -> PageSummary:
    return PageSummary(capture.prompt.slug, capture.prompt.title, capture.prompt.tags, summarize_heads(capture))


def read_blocks(html: str) -> tuple[Element, dict[str, bytes]]:
    page = parse_html(html)
    scripts = page.find("script", type="text/plain")
    return page, {script.attributes["id"].removeprefix("block-"): decode_bytes(script.text) for script in scripts}


def read_statistics(block: bytes, num_heads: int) -> dict[str, NDArray[Any]]:
    """Return the fields of a block of statistics, ``[group, head]`` each."""
    parts = np.split(np.frombuffer(block, np.uint8), len(FLOATS) + len(COUNTS))
    kinds = dict.fromkeys(FLOATS, "<f4") | dict.fromkeys(COUNTS, "<u4")
    return {
        field: part.view(kind).reshape(-1, num_heads) for part, (field, kind) in zip(parts, kinds.items(), strict=True)
    }


def read_cells(block: bytes, num_heads: int) -> NDArray[np.float16]:
    """Return the cells of a block, ``[head, page]``."""
    high, low = np.frombuffer(block, np.uint8).reshape(2, -1).astype(np.uint16)
    return (high << 8 | low).view(np.float16).reshape(num_heads, -1)


def read_csv(content: bytes) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(content.decode("utf-8")))]


def recompute(capture: Capture, shape: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of a page from its CSV files, ``[layer, head]``; the opening step is that of the summary."""
    files = {path: read_csv(content) for path, content in encode_tables(capture, "csv").items()}
    step = summarize_heads(capture).step
    found: dict[str, NDArray[np.float64]] = {}

    def put(number: str, row: dict[str, str], value: float) -> None:
        found.setdefault(number, np.full(shape, np.nan))[int(row["layer"]), int(row["head"])] = value

    for row in files["heads.csv"]:
        for number in row.keys() - {"layer", "head"}:
            put(number, row, float(row[number] or "nan"))
    wholes = [("effect", row, "logit") for row in files.get("attribution.csv", ())
              if (row["part"], row["against"]) == ("head", "alternatives")]  # fmt: skip
    wholes += [(row["method"], row, "logprob_change") for row in files.get("ablation.csv", ())]
    steps: dict[tuple[str, str, str], list[float]] = {}
    for number, row, column in wholes:
        value = float(row[column] or "nan")
        if int(row["step"]) == step:
            put(number, row, value)
        steps.setdefault((number, row["layer"], row["head"]), []).append(value)
    for (number, layer, head), values in steps.items():
        known = [value for value in values if not np.isnan(value)]
        put(f"{number}_over_steps", {"layer": layer, "head": head}, float(np.mean(known)) if known else np.nan)
    return found


def test_numbers_equal_a_recomputation_from_the_csv_files() -> None:
    """Cells are the CSV's numbers with 11 bits; those in the middle of two may be either, as the CSV has 7 digits."""
    _, blocks = read_blocks(render_heads([*map(summarize, CAPTURES)]))
    content = json.loads(blocks["content"])
    (table,) = content["tables"]
    heads = [tuple(head) for head in table["heads"]]
    assert heads == [(layer, head) for layer in range(3) for head in range(4)]
    by_slug = {capture.prompt.slug: recompute(capture, (3, 4)) for capture in CAPTURES}
    pages = [slug for slug, *_ in table["pages"]]
    assert pages == sorted(by_slug)
    assert set(table["numbers"]) == set().union(*by_slug.values())
    undefined = np.full((3, 4), np.nan)
    for number in table["numbers"]:
        expected = np.array([by_slug[slug].get(number, undefined).ravel() for slug in pages]).T
        cells = read_cells(blocks[f"cells-0-{number}"], len(heads))
        near = [(expected * (1 + error)).astype(np.float16) for error in (-1e-6, 0, 1e-6)]
        assert np.any([(cells == one) | (np.isnan(cells) & np.isnan(one)) for one in near], axis=0).all(), number
        check_statistics(read_statistics(blocks[f"statistics-0-{number}"], len(heads)), cells, table)


def check_statistics(found: dict[str, NDArray[Any]], cells: NDArray[np.float16], table: dict[str, Any]) -> None:
    """Check the statistics of all prompts, and of each tag, against plain loops over the cells."""
    groups = [range(len(table["pages"]))]
    groups += [[i for i, page in enumerate(table["pages"]) if tag in page[3]] for tag in range(len(table["tags"]))]
    for number, group in enumerate(groups):
        for head, row in enumerate(cells.astype(float)):
            known = {page: row[page] for page in group if not np.isnan(row[page])}
            got = {field: values[number, head] for field, values in found.items()}
            assert got["count"] == len(known)
            if not known:
                assert np.isnan([got[field] for field in FLOATS]).all()
                continue
            values = [*known.values()]
            assert got["mean"] == pytest.approx(np.mean(values), abs=1e-6, rel=1e-6)
            deviation = np.std(values, ddof=1) if len(values) > 1 else np.nan
            assert got["deviation"] == pytest.approx(deviation, abs=1e-6, rel=1e-6, nan_ok=True)
            for field, extreme in (("lowest", min), ("highest", max)):
                assert got[field] == extreme(values)
                assert got[f"{field}_page"] == next(page for page, value in known.items() if value == got[field])


def test_any_order_of_pages_gives_the_same_bytes() -> None:
    pages = [*map(summarize, CAPTURES)]
    html = render_heads(pages)
    for seed in range(3):
        random.Random(seed).shuffle(pages)
        assert render_heads(pages) == html


def test_heads_of_different_models_are_never_averaged() -> None:
    def of(model: str, revision: str, slug: str) -> PageSummary:
        page = summarize(name(make_capture(), slug))
        return replace(page, summary=replace(page.summary, model=model, revision=revision))

    pages = [of("tiny", "abc", "a"), of("small", "", "b"), of("tiny", "def", "c"), of("tiny", "abc", "d")]
    page, blocks = read_blocks(render_heads(pages))
    tables = json.loads(blocks["content"])["tables"]
    found = {table["name"]: [slug for slug, *_ in table["pages"]] for table in tables}
    assert found == {"small": ["b"], "tiny (abc)": ["a", "d"], "tiny (def)": ["c"]}
    assert [option.text for option in page.find("select", id="model")[0].find("option")] == list(found)
    assert [title.text for title in page.find("section", id="strongest")[0].find("h3")] == list(found)


def make_pages(count: int, seed: int = 0) -> list[PageSummary]:
    """Return random summaries, each of two heads."""
    values = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float16)
    return [
        PageSummary(f"p{i:05}", f"Prompt {i}", (f"t{i % 3}",),
                    HeadSummary("tiny", "", (0,), (0, 1), 0, {"effect": row[None], "sink": row[None]}))
        for i, row in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [MOST_PROMPTS, MOST_PROMPTS + 1])
def test_past_a_thousand_prompts_means_deviations_and_extremes_stay(count: int) -> None:
    pages = make_pages(count)
    page, blocks = read_blocks(render_heads(pages))
    is_kept = count <= MOST_PROMPTS
    assert {block for block in blocks if block.startswith("cells")} == (
        {"cells-0-effect", "cells-0-sink"} if is_kept else set()
    )
    assert json.loads(blocks["content"])["has_cells"] == is_kept
    assert len(page.find("select", id="side")) == is_kept
    assert ("keeps means, deviations and extremes alone" in page.text) == (not is_kept)
    values = np.array([one.summary.numbers["effect"][0] for one in pages]).T
    table = {"tags": ["t0", "t1", "t2"], "pages": [["", "", 0, [i % 3]] for i in range(count)]}
    check_statistics(read_statistics(blocks["statistics-0-effect"], 2), values, table)


def test_one_prompt_has_no_spread() -> None:
    measured = measure(np.array([[0.5, np.nan]], np.float16))
    assert measured.count.tolist() == [1, 0]
    np.testing.assert_array_equal(measured.mean, [0.5, np.nan])
    assert np.isnan(measured.deviation).all()
    page, _ = read_blocks(render_heads(make_pages(1)))
    assert page.find("span", class_="hint")[0].text == "1 prompt · tiny"
    assert "±" not in page.find("section", id="strongest")[0].find("tbody")[0].text


def test_means_stand_there_without_scripts() -> None:
    page, _ = read_blocks(render_heads([summarize(CAPTURES[2]), summarize(name(make_capture(), "dog"))]))
    rows = page.find("section", id="strongest")[0].find("tbody")[0].find("tr")
    effect, removed = (next(row for row in rows if row.find("th")[0].text.startswith(title))
                       for title in ("effect of the whole head", "ablation, head set to zero"))  # fmt: skip
    assert effect.find("td")[0].text.startswith("L2 H0 +0.60 ± 0.00 (n 2) L1 H0 +0.40 ± 0.00 (n 2)")
    assert effect.find("a")[0].attributes["href"] == "#model=tiny&number=effect&layer=2&head=0"
    assert removed.find("td")[0].text.startswith("L0 H3 −0.60 ± 0.00 (n 2)")  # the largest loss first


def test_a_site_without_prompts_says_so() -> None:
    page, blocks = read_blocks(render_heads([]))
    assert "No prompts yet" in page.text
    assert json.loads(blocks["content"])["tables"] == []


def test_hostile_texts_stay_texts() -> None:
    pages = [replace(page, title=HOSTILE[0], tags=HOSTILE) for page in make_pages(2)]
    pages = [replace(page, summary=replace(page.summary, model=HOSTILE[5])) for page in pages]
    page, _ = read_blocks(render_heads(pages))
    harmless, _ = read_blocks(render_heads([replace(page, tags=tuple("abcdefghijkl")) for page in make_pages(2)]))
    assert [element.tag for element in page] == [element.tag for element in harmless]


def test_induction_finds_the_heads_that_the_benchmark_takes_out(smollm2: LoadedModel) -> None:
    captured = induction.capture_repeated(smollm2, seed=0)
    page, _ = read_blocks(render_heads([summarize(captured)]))
    rows = page.find("section", id="strongest")[0].find("tr")
    (found,) = ([link.text for link in row.find("a")] for row in rows if row.find("th")[0].text == "induction")
    assert found == [f"L{layer} H{head}" for layer, head in induction.list_strongest(captured)]


def test_every_number_is_explained() -> None:
    kinds = list_kinds()
    assert tuple(kind.name for kind in kinds) == SUMMARY_NUMBERS
    assert all(kind.title and kind.definition and kind.source for kind in kinds)
