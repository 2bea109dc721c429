"""The prompt file: what it means, and every mistake with its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from counts import count
from hypothesis import example, given, settings
from hypothesis import strategies as st
from messages import unlike
from root import ROOT

from reportgen.prompts.prompt_file import (
    check_selections,
    load_prompts,
    name_pages,
    override,
    prompt_file_schema,
    read_prompt_file,
    read_prompts,
)
from reportgen.records import DEFAULT_MODEL, Comparison, Generation, ModelInfo, Prompt, SourceLocation
from reportgen.records.errors import OptionError, PromptError, PromptFileError
from reportgen.records.selection import ALL, Selection, parse_selection
from reportgen.records.slug import check_slug

SHIPPED = ("prompts.yaml", "docs/examples/gpt2-medium.yaml")
NOTEBOOK = [
    "The cat ate the mat. And then sat on a rat. But what he wanted was a hat.",
    "Jonathanapisario wanted cheese so he ate a pizza",
    "John wanted cheese so he ate a pizza",
    "John wanted some pizza so",
]
NO_SELECTION = "write numbers, ranges such as 0-4, 20-23, or all"
NO_SLUG = (
    "must be 1 to 80 of the letters A to Z, digits, '-' and '_', and not begin with '-', since it names the page's file"
)
EMPTY = "is empty; write something or leave the key out"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(content: str | bytes) -> tuple[Prompt, ...]:
    """Load a file of that content, called p.yaml."""
    Path("p.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_prompts("p.yaml")


def problems_of(content: str | bytes) -> list[str]:
    """Return what is wrong with that content, without the name of the file."""
    with pytest.raises(PromptFileError) as caught:
        load(content)
    return [problem.removeprefix("p.yaml:") for problem in caught.value.problems]


GOOD = """\
model: gpt2
defaults:
  layers: 0-4, 20-23
  without: [lens]
  tags: [a, b]
  generation: {do_sample: true, temperature: 0.7, seed: 3}
prompts:
  - one
  - text: |
      two
      lines
    title: Two
    slug: my_two
    note: says much
    model: other
    layers: [-1, 0-1]
    heads: 3
    tags: [c]
    max_new_tokens: 0
    generation: {seed: 4, top_p: 1, top_k: 5, repetition_penalty: 1e-1, num_beams: 2}
    add_special_tokens: false
    evidence: [ablation]
    without: [rollout, predictions]
  - messages:
      - {role: system, content: ""}
      - {role: user, content: Hi there}
    generation:
      do_sample: false
"""


def test_reads_every_key() -> None:
    one, two, chat = load(GOOD)
    layers, sampling = parse_selection("0-4, 20-23"), Generation(do_sample=True, temperature=0.7, seed=3)
    assert one == Prompt(
        "one",
        title="one",
        slug="one",
        model="gpt2",
        layers=layers,
        tags=("a", "b"),
        generation=sampling,
        without=("lens",),
    )
    assert two == Prompt(
        text="two\nlines\n", title="Two", slug="my_two", note="says much", model="other", tags=("c",),
        layers=Selection(((-1, -1), (0, 1))), heads=Selection(((3, 3),)), max_new_tokens=0, add_special_tokens=False,
        evidence=("ablation",), without=("rollout", "predictions"),
        generation=Generation(
            do_sample=True, temperature=0.7, top_k=5, top_p=1.0, repetition_penalty=0.1, num_beams=2, seed=4
        ),
    )  # fmt: skip
    assert chat.messages == ({"role": "system", "content": ""}, {"role": "user", "content": "Hi there"})
    assert (chat.text, chat.title, chat.slug) == ("", "Hi there", "hi-there")
    # A prompt that turns sampling off lays down what shaped it, and keeps the rest.
    assert chat.generation == Generation(seed=3)


def test_places_name_the_lines() -> None:
    one, two, _ = load(GOOD)
    assert [one.place.of(), one.place.of("text"), one.place.of("heads")] == ["p.yaml:8"] * 3
    assert [two.place.of(key) for key in ("", "text", "heads", "layers")] == [f"p.yaml:{n}" for n in (9, 9, 17, 16)]
    # A key that the prompt inherits stands where the defaults say it.
    assert one.place.of("layers") == "p.yaml:3"
    assert one.place.of("model") == "p.yaml:1"


def test_a_list_of_texts_is_enough() -> None:
    first, second = load("\ufeff- Größe 😀 \\n\n- 'it''s: \"quoted\"'\n")
    assert first == Prompt("Größe 😀 \\n", title="Größe 😀 \\n", slug="groe-n")
    assert second.text == 'it\'s: "quoted"'
    assert second.model == DEFAULT_MODEL
    assert second.layers == second.heads == ALL


def test_words_that_yaml_would_change_stay_text() -> None:
    texts = ["2024-01-01", "12:30", "010", "0x10", "1_000", "="]
    assert [prompt.text for prompt in load("".join(f"- {text}\n" for text in texts))] == texts


def test_a_tag_makes_a_number_text() -> None:
    assert [prompt.text for prompt in load("- text: !!str 7\n- !!str yes\n- !!str ~\n- !!str 1.5\n")] == [
        "7", "yes", "~", "1.5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- 12345678901234567890\n", "2: prompt 2 must be a text or a mapping, got the number "
         '12345678901234567890; put it in quotes: "12345678901234567890"'),
        ("- ~\n", '1: prompt 1 must be a text or a mapping, got ~; put it in quotes: "~"'),
        ("- text: null\n", "1: 'text' is null, which is no value; put it in quotes: \"null\" or leave the key out"),
        ('- a\n- "\\uD83E\\uDD8A runs"\n', "2: broken YAML at column 6: found invalid Unicode character escape code; "
         "write 🦊 itself, or \\U0001F98A, for the pair \\uD83E\\uDD8A"),
        ("- text: a\n\n    note: b\n", "3: broken YAML at column 9: mapping values are not allowed in this "
         "context; line 3 is indented further than line 1; begin keys of one mapping in one column"),
        ("- text: a\n  note: see: b\n", "2: broken YAML at column 12: mapping values are not allowed in this "
         "context; put text that contains ': ' in quotes"),
    ],
)  # fmt: skip
def test_advice_says_what_would_work(content: str, message: str) -> None:
    with pytest.raises(PromptFileError) as refused:
        load(content)
    assert str(refused.value) == f"p.yaml:{message}"


def test_aliases_are_filled_in() -> None:
    first, second = load("- {text: a, generation: &g {seed: 5}}\n- {text: b, generation: *g}\n")
    assert first.generation == second.generation == Generation(seed=5)


MANY = """\
- text: 3
- yes
- text: No
- txt: hello
- text: a
  messages: []
- title: t
- ""
- text: x
  slug: ../a
- text: x
  slug: Index
- {text: x, slug: a}
- text: x
  slug: A
  max_new_token: 3
- text: x
  layers: 0..4
  heads: []
  tags: foo
- text: x
  generation: {temperature: 0.5, seed: -1, top_k: 2.5}
- text: x
  temperature: 1
  generation: 3
- messages:
  - {role: asistant, content: hi}
  - {rol: user, content: 3}
  - x
- text: x
  title:
- - a
-
- text: x
  text: y
  tags: [a, 3, " "]
  generation: {do_sample: 1, top_p: 1.5, num_beams: 0}
"""
MANY_PROBLEMS = [
    '1: text of prompt 1 … text … 3 … quotes: "3"',
    '2: prompt 2 … text or a mapping … boolean yes … quotes: "yes"',
    '3: text of prompt 3 … text … boolean No … quotes: "No"',
    "4: unknown key 'txt' in prompt 4 … 'text'?",
    "6: messages of prompt 5 … empty",
    "6: prompt 5 … 'text' … 'messages' … one",
    "7: prompt 't' … 'text' … 'messages' … add",
    "8: text of prompt 7 … empty",
    "10: slug of prompt '../a' … 80 … letters",
    "12: slug of prompt 'Index' … 'Index' … reserved",
    "15: slug 'A' … line 13",
    "16: unknown key 'max_new_token' in prompt 'A' … 'max_new_tokens'?",
    "18: layers of prompt 12 … '0..4' … 0-4",
    "19: heads of prompt 12 … empty … 0-4",
    "20: tags of prompt 12 … list … 'foo' … [foo]",
    "22: generation.top_k of prompt 13 … whole number … 2.5",
    "22: generation.seed of prompt 13 … 0 … -1",
    "22: generation.temperature of prompt 13 … 'do_sample: true'",
    "22: generation.top_k of prompt 13 … 'do_sample: true'",
    "24: unknown key 'temperature' in prompt 14 … 'generation'",
    "25: generation of prompt 14 … mapping … 3",
    "27: messages[1].role of prompt 15 … 'system' … 'tool' … 'asistant' … did you mean 'assistant'?",
    "28: messages[2] of prompt 15 … 'role'",
    '28: messages[2].content of prompt 15 … text … 3 … quotes: "3"',
    "28: unknown key 'rol' in messages[2] of prompt 15 … 'role'?",
    "29: messages[3] of prompt 15 … mapping … 'x'",
    "31: 'title' … no value",
    "32: prompt 17 … text or a mapping … list",
    "33: prompt 18 … text or a mapping … nothing",
    "35: key 'text' … line 34",
    '36: tags[2] of prompt 19 … text … 3 … quotes: "3"',
    "36: tags[3] of prompt 19 … empty",
    "37: generation.do_sample of prompt 19 … true or false … 1",
    "37: generation.top_p of prompt 19 … 1 … 1.5",
    "37: generation.num_beams of prompt 19 … 1 … 0",
]


def test_evidence_cannot_be_asked_for_and_left_out() -> None:
    """In one mapping, or in that of a prompt and the defaults; what is given twice in the defaults is said once."""
    content = """\
defaults:
  evidence: [ablation]
  without: [lens, ablation]
prompts:
  - a
  - text: b
    evidence: [mean-ablation]
  - text: c
    without: [ablation]
  - text: d
    without: []
  - text: e
    evidence: [mean-ablation]
    without: [mean-ablation]
"""
    expected = [
        "3: defaults … 'ablation' … 'evidence' … 'without' … keep one",
        "9: prompt 3 … 'ablation' … keep one",
        "14: prompt 5 … 'mean-ablation' … keep one",
    ]
    assert unlike(problems_of(content), expected) == []


def test_every_mistake_at_once_in_the_order_of_the_file() -> None:
    assert unlike(problems_of(MANY), MANY_PROBLEMS) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ["1: … empty … list of prompts"]),
        ("# nothing\n", ["1: … empty … list of prompts"]),
        ("---\n", ["1: … empty … list of prompts"]),
        ("[]", ["1: … empty … a prompt"]),
        ("prompts: []", ["1: … empty … a prompt"]),
        ("prompts:\n", ["1: 'prompts' … no value"]),
        ("prompts: a", ["1: prompts … list … 'a' … '- '"]),
        (
            "hello",
            ["1: … list … 'prompts' … 'hello' … '- '"],
        ),
        (
            "text: a\nlayers: 3\n",
            [
                "1: … 'prompts'",
                "1: unknown key 'text' … prompt",
                "2: unknown key 'layers' … 'defaults'",
            ],
        ),
        (
            "model: m\ndefaults:\n  model: n\n  slug: x\n  generation: {temperature: 1, sed: 1}\nprompts: [a]\n",
            [
                "3: … model … twice",
                "4: unknown key 'slug' … defaults … prompt",
                "5: unknown key 'sed' in defaults.generation … 'seed'?",
                "5: generation.temperature of defaults … 'do_sample: true'",
            ],
        ),
        (
            "defaults:\n  generation: {num_beams: 2}\n  max_new_tokens: 5\nprompts:\n"
            "- text: a\n  generation:\n    seed: 1\n    num_return_sequences: 3\n"
            "- {text: b, generation: {num_beams: 1, num_return_sequences: 2, return_sequence: 3, min_p: 2}}\n"
            "- {text: c, generation: {num_return_sequences: 2}, max_new_tokens: 0}\n"
            "- {text: d, generation: {stop_strings: [], min_p: 0.1, do_sample: no}}\n",
            [
                "8: generation.num_return_sequences of prompt 1 is 3 … 2 beams; set num_beams to 3",
                "9: generation.min_p of prompt 2 … 1 … 2",
                "9: generation.min_p of prompt 2 … 'do_sample: true'",
                "10: generation.num_return_sequences of prompt 3 is 2, and nothing is generated",
                "11: generation.stop_strings of prompt 4 is an empty list",
                "11: generation.min_p of prompt 4 … 'do_sample: true'",
            ],
        ),
        (
            "- {text: b, generation: {num_return_sequences: 2, return_sequence: 3}}\n",
            [
                "1: generation.num_return_sequences of prompt 1 is 2, and without sampling",
                "1: generation.return_sequence of prompt 1 is 3, and num_return_sequences is 2",
            ],
        ),
        ("defaults: [a]\nprompts: [a]", ["1: defaults … mapping … list"]),
        ("prompts: [a]\nprompts: [b, c]", ["2: key 'prompts' … line 1"]),
        ("- !foo x", ["1: … '!foo' … quotes"]),
        (
            "- {text: x, generation: {do_sample: on, temperature: .inf, repetition_penalty: 1e999}}",
            [
                "1: generation.temperature of prompt 1 … number … '.inf'",
                "1: generation.repetition_penalty of prompt 1 … finite … 1e999",
            ],
        ),
        (
            "- {<<: {text: x}}",
            [
                "1: … << … 'defaults'",
                "1: prompt 1 … 'text' … 'messages' … add",
            ],
        ),
        (
            "- a\n- Jon: yes\n",
            ["2: unknown key 'Jon' in prompt 2 … model, … text, … slug … ': ' … quotes"],
        ),
    ],
)
def test_mistakes(content: str, expected: list[str]) -> None:
    assert unlike(problems_of(content), expected) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "- a\n- John: said: x\n",
            "2: … column 13 … ': ' … quotes",
        ),
        ("- 'a\n- b\n", "1: … column 3 … quote or bracket"),
        ("- a\n- *x\n", "2: … column 3 … '*' … quotes"),
        ("- a\n---\n- b\n", "2: … column 1 … '---'"),
        ("-\ta\n\t- b\n", "1: … column 2 … spaces"),
        ('- "\\ud800"', "1: … column 6 … quotes"),
        ("- a\n- b\x07\n", '2: … U+0007 … \\u0007'),
        (b"- a\n- \xff\n", "2: … byte 3 … 0xff … UTF-8"),
        (b"\xef\xbb\xbf- a\n\xe9", "2: … byte 1 … 0xe9 … UTF-8"),
        ("- a".encode("utf-16"), "1: … byte 1 … 0xff … UTF-8"),
        ("- &a [*a]", "1: … alias … remove"),
        ("- a\n- " + "- " * 100_000, "2: … 20 levels"),
        ("- a\n- " + "[" * 100_000, "2: … column 1002 … '[' … quotes"),
    ],
)  # fmt: skip
def test_unreadable_yaml(content: str | bytes, expected: str) -> None:
    assert unlike(problems_of(content), [expected]) == []


@pytest.mark.parametrize("width", [2, 9])
def test_an_alias_bomb_is_refused_in_under_a_second(width: int) -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, 3000)]
    started = time.process_time()
    (problem,) = problems_of("\n".join(lines))
    assert time.process_time() - started < 1
    assert "too large or too deep, with aliases expanded (more than 200,000 values or 20 levels)" in problem


def test_a_long_text_multiplied_by_aliases_is_refused() -> None:
    (problem,) = problems_of(f"- &a {'x' * 1_000_000}\n" + "- *a\n" * 100)
    assert problem.startswith("1: too large or too deep")


def test_a_file_over_the_limit_is_refused() -> None:
    (problem,) = problems_of(b"- " + b"x" * 10_000_000)
    assert problem == " larger than 10,000,000 bytes; split it into several files"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("none.yaml", "none.yaml: there is no such file; name a file of prompts"),
        (".", ".: this is a folder; name a file of prompts in it"),
        ("a\0b", "a\0b: cannot be read: embedded null byte; name a file of prompts"),
    ],
)
def test_a_file_that_cannot_be_opened(path: str, expected: str) -> None:
    with pytest.raises(PromptFileError) as caught:
        load_prompts(path)
    assert caught.value.problems == (expected,)


_SCRAPS = st.sampled_from(
    ["- ", "\n", "  ", "text", "messages", "prompts", "defaults", "generation", "slug", "layers", ": ", "[", "]", "{",
     "}", "&a ", "*a", "yes", "3", "-1", "x", "'", '"', "|\n", "<<", "? ", "!!int ", "!x ", "~", ",", "#", "1.5", "%"]
)  # fmt: skip


@settings(max_examples=count("prompt files"))
@given(st.one_of(st.text(), st.binary(), st.lists(_SCRAPS, max_size=25).map("".join)))
@example("? [a]\n: b")
@example("prompts: {prompts: }\nprompts: [a]")
@example("- {text: !!int x, tags: !!bool maybe}")
@example("- \ufeff\n- \ufffe")
def test_any_content_gives_prompts_or_the_file_error(content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
    Path("any.yaml").write_bytes(raw)
    try:
        prompts = load_prompts("any.yaml")
    except PromptFileError as error:
        assert error.problems
        assert all(problem.startswith("any.yaml:") for problem in error.problems)
    else:
        assert prompts
        assert all(bool(prompt.text) != bool(prompt.messages) for prompt in prompts)
        assert all(prompt.slug and prompt.title for prompt in prompts)


def test_a_thousand_prompts_load_quickly() -> None:
    content = "".join(f"- text: the same words\n  layers: 0-{n}\n  generation: {{seed: {n}}}\n" for n in range(1000))
    started = time.process_time()
    prompts = load(content)
    assert time.process_time() - started < 2
    assert len({prompt.slug for prompt in prompts}) == 1000
    assert prompts[999].slug == "the-same-words-1000"


def test_names_pages_made_by_hand() -> None:
    long = "A very long title that goes on and on, " * 5
    texts = ["Hello, World!", "hello world", "日本語", "index", "con", long, "x" * 200, "\n a \n b ", "prompt 3", ""]
    named = name_pages([Prompt(text=text) for text in texts] + [Prompt(text="z", slug="Hello-World-2", title="Z")])
    assert [prompt.slug for prompt in named] == [
        "hello-world", "hello-world-3", "prompt-3", "index-2", "con-2",
        "a-very-long-title-that-goes-on-and-on-a-very-long-title-that", "x" * 60, "a-b", "prompt-3-2", "prompt-10",
        "Hello-World-2",
    ]  # fmt: skip
    assert [named[n].title for n in (2, 7, 9, 10)] == ["日本語", "a b", "prompt-10", "Z"]
    assert named[5].title == "A very long title that goes on and on, A very long title that goes on and on, A…"
    assert named[6].title == "x" * 79 + "…"


def test_names_a_chat_by_what_the_user_said_last() -> None:
    roles = [("user", "first"), ("assistant", "no"), ("user", "Last words"), ("assistant", "Well,")]
    chat = Prompt(messages=tuple({"role": role, "content": content} for role, content in roles))
    assistant = Prompt(messages=({"role": "assistant", "content": "Alone"},))
    assert [(p.title, p.slug) for p in name_pages([chat, assistant])] == [
        ("Last words", "last-words"),
        ("Alone", "alone"),
    ]


def test_slugs_given_by_hand_are_checked() -> None:
    with pytest.raises(PromptFileError) as caught:
        name_pages([Prompt("a", slug="a"), Prompt("b", slug="A"), Prompt("c", slug="A")])
    assert caught.value.problems == ("prompt: slug 'A' is used before, at prompt; choose another",) * 2
    with pytest.raises(PromptError, match=f"^prompt: slug {NO_SLUG}"):
        Prompt("c", slug="../c")


@pytest.mark.parametrize(
    "slug",
    ["", ".", "..", "../a", "a/b", "a\\b", "/a", "~a", "a.html", "a\0", "a\n", " a", "-rf", "é", "e\u0301", "ａ",
     "a" * 81, "index", "CON", "Aux", "nul", "COM1", "lpt9", "C:", "a?b", "a#b", "%2e%2e", "\u202ea", "<b>"],
)  # fmt: skip
def test_a_slug_that_is_no_file_name_everywhere_is_refused(slug: str) -> None:
    with pytest.raises(ValueError):
        check_slug(slug)


def test_names_that_differ_in_spelling_alone_get_files_of_their_own() -> None:
    """Composed and decomposed accents, full-width letters and case are one name on some disks."""
    texts = [
        "caf\u00e9",
        "cafe\u0301",
        "CAFÉ",
        "ｃａｆｅ",
        "../../etc/passwd",
        "..\\con",
        "CON",
        "<script>",
        "-rf /",
        "\0",
    ]
    slugs = [prompt.slug for prompt in name_pages([Prompt(text) for text in texts])]
    assert slugs == [
        "cafe", "cafe-2", "cafe-3", "cafe-4", "etc-passwd", "con-2", "con-3", "script", "rf", "prompt-10",
    ]  # fmt: skip


@given(st.lists(st.text().filter(str.strip), min_size=1))
def test_derived_slugs_are_safe_and_differ_on_any_disk(texts: list[str]) -> None:
    slugs = [prompt.slug for prompt in name_pages([Prompt(text=text) for text in texts])]
    for slug in slugs:
        check_slug(slug)
    assert len({slug.lower() for slug in slugs}) == len(texts)


def _info(name: str, num_layers: int, num_heads: int) -> ModelInfo:
    return ModelInfo(name, "", "X", num_layers, num_heads, num_heads, None)


def test_selections_that_the_model_lacks() -> None:
    prompts = load(
        "model: small\ndefaults:\n  layers: 0-5\nprompts:\n- a\n- b\n- text: c\n  model: big\n"
        "  heads: 3, -9\n- text: d\n  layers: -1-2\n  model: big\n- {text: e, model: other, heads: 99}\n"
    )
    with pytest.raises(PromptFileError) as caught:
        check_selections(prompts, {"small": _info("small", 5, 4), "big": _info("big", 6, 8)})
    assert caught.value.problems == (
        "p.yaml:3: layers '0-5' of small: there is no 5: the model has 5, 0 to 4",
        "p.yaml:9: heads '3, -9' of big: there is no -9: the model has 8, 0 to 7",
        "p.yaml:11: layers '-1-2' of big: the range -1-2 runs backwards",
    )
    check_selections(prompts, {})
    check_selections(prompts[:2], {"small": _info("small", 6, 4)})


WRONG = """\
model: small
defaults: {layers: 4-9, tag: [a]}
prompts:
- a
- {text: b, layer: 3, heads: "4"}
- {text: c, messages: [{role: user, content: x}], heads: 3-1}
- {text: d, model: 3, heads: 99}
- {text: e, model: big, layers: [1, 99]}
"""


def test_what_a_model_lacks_is_told_with_the_mistakes_of_the_file() -> None:
    Path("p.yaml").write_text(WRONG, "utf-8")
    prompts, problems = read_prompts("p.yaml")
    with pytest.raises(PromptFileError) as caught:
        check_selections(prompts, {"small": _info("small", 5, 4), "big": _info("big", 12, 8)}, problems)
    assert [problem.removeprefix("p.yaml:") for problem in caught.value.problems] == [
        "2: unknown key 'tag' in defaults; did you mean 'tags'?",
        "2: layers '4-9' of small: there is no 9: the model has 5, 0 to 4",
        "5: unknown key 'layer' in prompt 2; did you mean 'layers'?",
        "5: heads '4' of small: there is no 4: the model has 4, 0 to 3",
        f"6: heads of prompt 3 cannot be read: the range 3-1 runs backwards; {NO_SELECTION}",
        "6: prompt 3 has both 'text' and 'messages'; keep one",
        '7: model of prompt 4 must be text, got the number 3; put it in quotes: "3"',
        "8: layers '1, 99' of big: there is no 99: the model has 12, 0 to 11",
    ]


def test_an_option_is_blamed_for_what_it_says() -> None:
    infos = {"small": _info("small", 5, 4)}
    for prompts in (
        load("- {text: a, model: small, layers: 1}\n- {text: b, model: small}\n"),
        [Prompt("a", model="small")],
    ):
        with pytest.raises(OptionError) as caught:
            check_selections(override(prompts, layers=parse_selection("99")), infos)
        assert str(caught.value) == "--layers: layers '99' of small: there is no 99: the model has 5, 0 to 4"
    wrong = load("- {text: a, model: small, heads: 4}\n")
    with pytest.raises(PromptFileError) as both:
        check_selections(override(wrong, layers=parse_selection("99")), infos)
    assert [problem.split(": ")[0] for problem in both.value.problems] == ["p.yaml:1", "--layers"]


def test_flags_go_over_the_file() -> None:
    prompts = load("- {text: a, model: m, max_new_tokens: 3, generation: {do_sample: true, seed: 1}}\n- b\n")
    assert override(prompts) == prompts
    changed = override(
        prompts, model="n", layers=Selection(((0, 1),)), heads=parse_selection("2"), max_new_tokens=0, seed=0
    )
    assert {(p.model, str(p.layers), str(p.heads), p.max_new_tokens, p.generation.seed) for p in changed} == {
        ("n", "0-1", "2", 0, 0)
    }
    assert changed[0].generation == Generation(do_sample=True, seed=0)
    assert [p.text for p in changed] == ["a", "b"]


def test_committed_schema_is_the_schema() -> None:
    assert (
        json.loads((ROOT / "reportgen" / "prompts" / "prompts.schema.json").read_text("utf-8")) == prompt_file_schema()
    )
    assert prompt_file_schema() == prompt_file_schema()
    assert json.dumps(prompt_file_schema()).count('"null"') == 1  # the content of a message that calls tools


def _described(schema: dict[str, object]) -> bool:
    properties = schema["properties"]
    return isinstance(properties, dict) and all(item.get("description") for item in properties.values())


def test_schema_describes_every_key_and_allows_no_other() -> None:
    parts = prompt_file_schema()["$defs"]
    assert set(parts) == {
        "CompareKeys",
        "DefaultKeys",
        "FileKeys",
        "GenerationKeys",
        "MessageKeys",
        "PromptKeys",
        "StepKeys",
    }
    assert all(_described(part) and part["additionalProperties"] is False for part in parts.values())
    assert set(parts["PromptKeys"]["properties"]) - {"compare", "revisions"} == set(Prompt.__dataclass_fields__) - {
        "place"
    }
    assert set(parts["GenerationKeys"]["properties"]) == set(Generation.__dataclass_fields__)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_end_with_the_four_prompts_of_the_notebook(name: str) -> None:
    prompts = load_prompts(ROOT / name)
    assert [prompt.text for prompt in prompts[-4:]] == NOTEBOOK
    assert prompts[-1].max_new_tokens == 10
    first_line = (ROOT / name).read_text("utf-8").splitlines()[0]
    schema = first_line.removeprefix("# yaml-language-server: $schema=")
    assert (ROOT / name).parent.joinpath(schema).resolve() == ROOT / "reportgen" / "prompts" / "prompts.schema.json"


def test_shipped_prompts_begin_with_two_that_speak_for_themselves() -> None:
    first, second, *others = load_prompts(ROOT / "prompts.yaml")
    assert (first.slug, first.text) == ("capital-of-france", "The capital of France is")
    assert (second.slug, second.tags) == ("mary-and-john", ("names", "copying"))
    assert len(others) == len(NOTEBOOK)


def test_shipped_models() -> None:
    own, notebook = (load_prompts(ROOT / name) for name in SHIPPED)
    assert {prompt.model for prompt in own} == {DEFAULT_MODEL}
    assert "openai-community/gpt2-medium" in (ROOT / "prompts.yaml").read_text("utf-8")
    assert {(prompt.model, str(prompt.layers), str(prompt.heads)) for prompt in notebook} == {
        ("openai-community/gpt2-medium", "0-4, 20-23", "all")
    }
    check_selections(notebook, {"openai-community/gpt2-medium": _info("gpt2-medium", 24, 16)})
    check_selections(own, {DEFAULT_MODEL: _info(DEFAULT_MODEL, 30, 9)})


def test_place_is_no_part_of_a_prompt() -> None:
    assert Prompt("a") == Prompt("a", place=SourceLocation("p.yaml", 3))


@pytest.mark.system
def test_importing_prompts_imports_no_network_code() -> None:
    heavy = "{'torch', 'transformers', 'bokeh', 'ray'}"
    code = f"import sys, reportgen.prompts.prompt_file; print(sorted({heavy} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "[]"


def test_tools_are_read_with_messages_alone(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    tool = "{type: function, function: {name: weather, parameters: {type: object, properties: {}}}}"
    path.write_text(f"- messages: [{{role: user, content: Rain?}}]\n  tools: [{tool}]\n")
    (prompt,) = load_prompts(path)
    assert prompt.tools[0]["function"]["name"] == "weather"
    path.write_text(f"- text: Rain?\n  tools: [{tool}]\n- messages: [{{role: user, content: a}}]\n  tools: [x]\n")
    with pytest.raises(PromptFileError) as caught:
        load_prompts(path)
    assert caught.value.problems == (
        f"{path}:2: prompt 1 has 'tools' without 'messages'; tools need a chat, write messages",
        f"{path}:4: tools[1] of prompt 2 must be a mapping of keys, got the text 'x'",
    )


def test_keys_of_a_chat_need_its_messages(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    chat = "messages: [{role: user, content: Who?}, {role: assistant, content: It was}]"
    path.write_text(f"- {chat}\n  continue_final_message: true\n  chat_template_kwargs: {{day: 2024-07-26, n: 3}}\n")
    (prompt,) = load_prompts(path)
    assert prompt.continue_final_message
    assert prompt.chat_template_kwargs == {"day": "2024-07-26", "n": 3}
    path.write_text(
        "- text: a\n  chat_template_kwargs: {day: Monday}\n  continue_final_message: true\n"
        "- messages: [{role: user, content: Who?}]\n  continue_final_message: true\n"
    )
    with pytest.raises(PromptFileError) as caught:
        load_prompts(path)
    assert caught.value.problems == (
        f"{path}:2: prompt 1 has 'chat_template_kwargs' without 'messages'; only a chat has a template, write messages",
        f"{path}:3: prompt 1 has 'continue_final_message' without 'messages'; only a chat has messages to continue, "
        "write messages",
        f"{path}:5: prompt 2: 'continue_final_message' needs a message of the assistant at the end; leave it out, or "
        "write how the assistant's message begins",
    )


BESIDE = """\
- {slug: cat, text: A cat, title: The cat}
- A dog
- compare: [cat, a-dog]
- compare: [a-dog, cat]
  title: A dog first
  slug: dog-first
  tags: [pets]
  note: A note.
"""


def test_comparisons_name_two_prompts_by_their_slugs() -> None:
    Path("p.yaml").write_text(BESIDE, "utf-8")
    file = read_prompt_file("p.yaml")
    assert not file.problems
    assert [prompt.slug for prompt in file.prompts] == ["cat", "a-dog"]
    assert file.prompts == load_prompts("p.yaml")
    assert file.comparisons == (
        Comparison(("cat", "a-dog"), "The cat beside A dog", "cat-and-a-dog"),
        Comparison(("a-dog", "cat"), "A dog first", "dog-first", ("pets",), "A note."),
    )
    assert [one.place.of("compare") for one in file.comparisons] == ["p.yaml:3", "p.yaml:4"]


def test_series_keeps_the_order_of_its_prompts() -> None:
    Path("p.yaml").write_text(f"{BESIDE}- {{slug: z, text: Z}}\n- compare: [z, cat, a-dog]\n", "utf-8")
    *_, series = read_prompt_file("p.yaml").comparisons
    assert series == Comparison(("z", "cat", "a-dog"), "Z, The cat, A dog", "z-and-cat-and-a-dog")


def test_comparison_without_a_slug_gets_one_that_is_free() -> None:
    Path("p.yaml").write_text(f"- {{text: x, slug: cat-and-a-dog}}\n{BESIDE}- compare: [cat, a-dog]\n", "utf-8")
    slugs = [one.slug for one in read_prompt_file("p.yaml").comparisons]
    assert slugs == ["cat-and-a-dog-2", "dog-first", "cat-and-a-dog-3"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("compare: [cat, a-dgo]", "3: compare names 'a-dgo', which no prompt has; did you mean 'a-dog'?"),
        ("compare: [cat, zzz]", "3: compare names 'zzz', which no prompt has; the slugs are cat, a-dog"),
        ("compare: [cat, cat]", "3: compare of comparison 3 names 'cat' twice; name each prompt once"),
        (
            "compare: [cat]",
            "3: compare of comparison 3 must name two prompts or more by their slugs, got 1; write [slug-a, slug-b]",
        ),
        (
            "compare: cat",
            "3: compare of comparison 3 must be a list, got the text 'cat'; write the slugs of the prompts: "
            "[slug-a, slug-b]",
        ),
        (
            f"compare: [{', '.join(f's{i}' for i in range(13))}]",
            "3: compare of comparison 3 names 13 prompts; name at most 12",
        ),
        ("compare: [cat, a-dog, cat]", "3: compare of comparison 3 names 'cat' twice; name each prompt once"),
        ("compare: [cat, a-dog, zzz]", "3: compare names 'zzz', which no prompt has; the slugs are cat, a-dog"),
        (
            "{compare: [cat, a-dog, x], evidence: [patching]}",
            "3: comparison 3 has evidence: [patching], which needs two prompts, and compares 3; compare two, or leave "
            "it out",
        ),
        ("{compare: [cat, a-dog], titel: x}", "3: unknown key 'titel' in comparison 3; did you mean 'title'?"),
        ("{compare: [cat, a-dog], slug: cat}", "3: slug 'cat' is used before, on line 1; choose another"),
        (
            "{compare: [cat, a-dog], slug: A-Dog}",
            "3: slug 'A-Dog' is used before, by the prompt 'A dog'; choose another",
        ),
        (
            "{compare: [cat, a-dog], evidence: [ablation]}",
            "3: evidence[1] of comparison 3 must be 'patching', got the text 'ablation'",
        ),
        (
            "{compare: [cat, a-dog], evidence: [patching], answers: [x]}",
            "3: answers of comparison 3 must be two different tokens, that of the first prompt and that of the second",
        ),
        (
            "{compare: [cat, a-dog], answers: [x, y]}",
            "3: comparison 3 has 'answers' that nothing compares; add evidence: [patching], or leave them out",
        ),
        ("compair: [cat, a-dog]", "3: unknown key 'compair' in prompt 3; did you mean 'compare'?"),
    ],
)  # fmt: skip
def test_mistakes_of_a_comparison_are_told(entry: str, problem: str) -> None:
    assert problems_of(f"- {{slug: cat, text: A cat}}\n- A dog\n- {entry}\n") == [problem]


def test_comparisons_alone_are_nothing_to_run() -> None:
    assert problems_of("- compare: [cat, dog]\n") == [
        "1: the file has comparisons and no prompts; write the prompts that they name"
    ]
