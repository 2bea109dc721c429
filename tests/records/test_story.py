"""Stories and addresses of views: what is one, and what an error says of what is none."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from reportgen.records import Prompt
from reportgen.records.address import KEYS, format_address, parse_address
from reportgen.records.caption import parse_caption
from reportgen.records.errors import PromptError
from reportgen.records.prompt_keys import StepKeys
from reportgen.records.story import FIGURES, StoryStep

ALL_KEYS = (
    "layer=21&head=6&step=0&query=5&key=3&first=out&words=on&lines=on&marks=on&tokens=2-9&pin=3.7&over=max%3A0-3%2C5%3Aall"
    "&all=steps%2Ccolumns&scale=log&by=induction&show=weighted&contrast=runner-up-2&measure=mean-ablation-foil-1"
    "&shading=weight&layout=patterns"
)


def test_address_with_every_key_is_read_and_written() -> None:
    found = parse_address(f"#{ALL_KEYS}")
    assert set(found) == set(KEYS)
    assert found["over"] == "max:0-3,5:all"
    assert format_address(found) == ALL_KEYS
    assert parse_address("") == parse_address("#") == {}


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("laier=3", "has the key 'laier'; did you mean 'layer'?"),
        ("xyz=3", "has the key 'xyz'; there are layer, head, step, query, key, first,"),
        ("layer=-1", "has layer='-1'; write a whole number from 0"),
        ("layer=", "has layer=''; write a whole number from 0"),
        ("layer=1&layer=2", "has 'layer' twice; keep one"),
        ("scale=cubic", "has scale='cubic'; write sqrt or linear or log"),
        ("words=off", "has words='off'; write on"),
        ("tokens=5", "has tokens='5'; write two positions, such as 2-9"),
        ("pin=L3H7", "has pin='L3H7'; write layer and head, such as 3.7"),
        ("over=sum:all:all", "write mean or max, layers and heads, such as mean:this:0-3"),
        ("all=rows", "write some of steps, heads, layers, columns"),
        ("contrast=ablation", "write attribution, attribution-mean, runner-up-1 or foil-1"),
        ("measure=score", "write attribution, attribution-mean, runner-up-1, foil-1, ablation or mean-ablation"),
        ("head", "has head=''; write a whole number from 0"),
    ],
)
def test_wrong_address_is_refused(address: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(address)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("step", "keys", "says"),
    [
        ({"figure": "head", "view": "words=on"}, {}, "has words=on, which only the page draws, no still of 'head'"),
        ({"figure": "heads", "view": "layout=patterns"}, {}, "has layout=patterns, which only the page draws"),
        ({"figure": "map", "view": "by=pattern"}, {}, "has by=pattern, which only the page draws"),
        ({"figure": "read"}, {"without": ["attribution"]}, "needs 'attribution', which 'without' leaves out"),
        ({"figure": "map", "view": "by=sink"}, {"without": ["scores"]}, "needs 'scores', which 'without' leaves out"),
        ({"figure": "effect", "view": "measure=ablation"}, {}, "needs the evidence 'ablation'; add evidence"),
        ({"figure": "effect", "view": "measure=foil-2"}, {"foils": ["a"]}, "names foil 2, and the prompt has 1; add"),
        ({"figure": "head", "view": "contrast=foil-1"}, {}, "names foil 1, and the prompt has none; add it"),
        ({"figure": "head", "view": "step=3"}, {"max_new_tokens": 3}, "is for step 3, and the last step is 2; lower"),
        ({"figure": "hed"}, {}, "did you mean 'head'?"),
        ({"figure": "head", "view": "hed=1"}, {}, "story[1].view has the key 'hed'; did you mean 'head'?"),
        ({"figure": "head", "text": " "}, {}, "story[1].text is empty"),
        ({"figure": "head", "text": "[x](file:///a)"}, {}, "story[1].text has a link to 'file:///a'; a link begins"),
    ],
)
def test_step_that_the_prompt_cannot_show_is_refused(step: dict[str, str], keys: Any, says: str) -> None:
    with pytest.raises(PromptError) as caught:
        Prompt("x", story=[{"text": "a", **step}], **keys)  # pyright: ignore[reportArgumentType]
    assert str(caught.value).startswith("prompt: story[1]")
    assert says in str(caught.value)


def test_steps_become_records_and_words_that_do_not_matter_for_a_figure_stay() -> None:
    prompt = Prompt("x", story=[{"figure": "map", "text": "a", "view": "words=on"}, StoryStep("head", "b")])
    assert prompt.story == (StoryStep("map", "a", "words=on"), StoryStep("head", "b"))
    assert {step.figure for step in prompt.story} <= set(FIGURES)


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "file:///a", "//a", "a.html"]
)
def test_links_lead_only_to_the_web_to_mail_and_into_the_page(link: str) -> None:
    for text in (f"[a]({link})", f"![a]({link})", f"*[a](<{link}>)*"):
        with pytest.raises(ValueError, match="has a link to"):
            parse_caption(text)


def test_every_figure_is_a_word_of_the_key() -> None:
    assert get_args(StepKeys.model_fields["figure"].annotation) == tuple(FIGURES)


def test_caption_has_no_html() -> None:
    kinds = {token.type for token in parse_caption("<b>*a*</b> `b` [c](https://d.e) ![f](#g) <script>h</script>")}
    assert kinds == {"text", "em_open", "em_close", "code_inline", "link_open", "link_close"}
