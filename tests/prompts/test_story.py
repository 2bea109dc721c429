"""Stories in a prompt file: what is wrong with them is said with the line of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from prompt_problems import problems_of
from root import ROOT

from reportgen.prompts.prompt_file import check_selections, load_prompts, prompt_file_schema
from reportgen.records import ModelInfo
from reportgen.records.story import StoryStep


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_wrong_steps_are_told_with_their_lines() -> None:
    assert problems_of(
        """\
- model: tiny
  text: The cat
  slug: cat
  story:
    - {view: "laier=1", figure: head, text: a}
    - view: "layer=1"
      figure: hed
      text: "[a](javascript:b)"
    - {figure: head}
    - {figure: head, text: a, titel: b}
    - text
"""
    ) == (
        "p.yaml:5: story[1].view of prompt 'cat' has the key 'laier'; did you mean 'layer'?",
        "p.yaml:7: story[2].figure of prompt 'cat' must be 'head', 'heads', 'layers', 'read', 'effect' or 'map', got "
        "the text 'hed'; did you mean 'head'?",
        "p.yaml:8: story[2].text of prompt 'cat' has a link to 'javascript:b'; a link begins with http://, https://, "
        "mailto:, #",
        "p.yaml:9: story[3] of prompt 'cat' lacks the key 'text'; add it",
        "p.yaml:10: unknown key 'titel' in story[4] of prompt 'cat'; the keys here are view, figure, text",
        "p.yaml:11: story[5] of prompt 'cat' must be a mapping of keys, got the text 'text'",
    )


def test_what_a_prompt_cannot_show_is_told_with_its_line() -> None:
    assert problems_of(
        """\
- model: tiny
  text: The cat
  max_new_tokens: 2
  without: [attribution]
  story:
    - {view: "step=2", figure: head, text: a}
    - {view: "step=1", figure: effect, text: a}
"""
    ) == (
        "p.yaml:6: story[1] of prompt 1 is for step 2, and the last step is 1; lower its step or raise max_new_tokens",
        "p.yaml:7: story[2] of prompt 1 needs 'attribution', which 'without' leaves out; keep one",
    )


def test_heads_that_the_model_or_the_selection_lacks_are_told_with_their_lines() -> None:
    assert problems_of(
        """\
- model: tiny
  text: The cat
  layers: 0-1
  story:
    - {view: "layer=3&head=0", figure: head, text: a}
    - {view: "head=4", figure: head, text: a}
    - {view: "layer=2", figure: head, text: a}
    - {view: "layer=1&head=3", figure: head, text: a}
"""
    ) == (
        "p.yaml:5: story[1] on a view of tiny: there is no layer 3: the model has 3, 0 to 2",
        "p.yaml:6: story[2] on a view of tiny: there is no head 4: the model has 4, 0 to 3",
        "p.yaml:7: story[3] on a view of tiny: layer 2 is not captured, layers are 0–1; add it to 'layers'",
    )


def test_example_of_the_schema_is_a_story() -> None:
    (example,) = prompt_file_schema()["$defs"]["PromptKeys"]["properties"]["story"]["examples"]
    content = [{"text": "x", "story": example}]
    assert Draft202012Validator(prompt_file_schema()).is_valid(content)
    Path("p.yaml").write_text('[{text: x, story: [{figure: map, text: "*a*"}]}]\n', "utf-8")
    (prompt,) = load_prompts("p.yaml")
    assert prompt.story == (StoryStep("map", "*a*"),)


def test_stories_of_the_documentation_fit_their_model() -> None:
    """Their claims are judged where the page about them is run."""
    prompts = load_prompts(ROOT / "docs" / "examples" / "stories.yaml")
    check_selections(prompts, {prompt.model: ModelInfo("smollm2", "", "", 30, 9, 3, 8192) for prompt in prompts})
    assert len(prompts) == 3
    assert all(prompt.story and prompt.claims for prompt in prompts)
