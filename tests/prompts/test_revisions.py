"""One text on several revisions: as if the file had a prompt for each and compared them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reportgen.prompts.prompt_file import override, read_prompt_file
from reportgen.records import Comparison, Prompt
from reportgen.records.errors import OptionError, PromptFileError


def read(text: str) -> tuple[tuple[Prompt, ...], tuple[Comparison, ...]]:
    Path("p.yaml").write_text(text, "utf-8")
    file = read_prompt_file("p.yaml")
    file.problems.check_none()
    return file.prompts, file.comparisons


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("model", "named"), [("o/n", "o/n@{}"), ("o/n:f.gguf", "o/n@{}:f.gguf")])
@pytest.mark.parametrize("names", [("step1000", "main"), ("step1000", "step2000", "main")])
def test_revisions_are_prompts_in_their_order_that_are_compared(names: tuple[str, ...], model: str, named: str) -> None:
    key = f"revisions: [{', '.join(names)}]"
    prompts, comparisons = read(f"- text: x\n- {{text: A cat, slug: cat, model: '{model}', {key}}}\n- y\n")
    written = "".join(
        f"- {{text: A cat, slug: cat-{number}, title: '{name}: A cat', model: '{named.format(name)}'}}\n"
        for number, name in enumerate(names, 1)
    )
    slugs = [f"cat-{number}" for number in range(1, 1 + len(names))]
    assert (prompts, comparisons) == read(f"- text: x\n{written}- y\n- compare: [{', '.join(slugs)}]\n")


def test_page_of_a_revision_without_a_slug_is_named_by_it() -> None:
    prompts, (series,) = read("- text: A cat\n  model: o/n\n  revisions: [a, b, c]\n")
    assert [prompt.slug for prompt in prompts] == ["a-a-cat", "b-a-cat", "c-a-cat"]
    assert series.prompts == ("a-a-cat", "b-a-cat", "c-a-cat")
    assert series.place.of("compare") == "p.yaml:3"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            "revisions: [a, b]",
            "has 'revisions', and the model 'smollm2-135m' is not on the hub; name a hub model, such as",
        ),
        ("model: ./folder\n  revisions: [a, b]", "has 'revisions', and the model './folder' is not on the hub"),
        ("model: o/n@a\n  revisions: [a, b]", "has 'revisions', and the model 'o/n@a' names one; leave out what"),
        ("model: o/n\n  continuation: [a, b]\n  revisions: [a, b]", "has 'revisions' and several texts of each; keep"),
        ("model: o/n\n  revisions: [a]", "must name from 2 to 12 revisions, got 1"),
        ("model: o/n\n  revisions: [a, b, a]", "names 'a' twice; name each revision once"),
        ("model: o/n\n  revisions: [a, 'n@b']", "names 'n@b', and no revision has '@' in it; write it without"),
    ],
)
def test_mistakes_of_revisions_are_told_at_their_line(entry: str, problem: str) -> None:
    with pytest.raises(PromptFileError) as caught:
        read(f"- text: x\n- text: A cat\n  {entry}\n")
    (told,) = caught.value.problems
    assert told.startswith(f"p.yaml:{3 + entry.count(chr(10))}: ")
    assert problem in told


def test_model_of_the_command_line_does_not_replace_revisions() -> None:
    prompts, _ = read("- x\n- text: A cat\n  model: o/n\n  revisions: [a, b]\n")
    with pytest.raises(OptionError, match=r"--model: would replace the revisions of p\.yaml:4; leave out one of them"):
        override(prompts, model="o/m")
    assert override(prompts[:1], model="o/m")[0].model == "o/m"
