"""A given continuation is scored as if the model had generated it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import make_network
from tiny import make_llama, make_sentencepiece, make_tokenizer

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.captures.tokenization import encode_prompt
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.pages.answer import make_answer
from reportgen.pages.data_tables import make_tables
from reportgen.pages.page import render_page
from reportgen.prompts.prompt_file import load_prompts, override, read_prompt_file
from reportgen.prompts.slugs import name_pages
from reportgen.records import Foil, Generation, Prompt
from reportgen.records.errors import PromptError, PromptTooLong

TEXT = "The cat ate the rat."


def run(network: Any, **keys: Any) -> Capture:
    return capture(wrap_model(network, make_tokenizer(), name="tiny"), Prompt(TEXT, **keys))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "mistral", "gpt_oss", "bloom"])
def test_what_the_model_would_have_written_has_the_same_numbers(family: str) -> None:
    """The tokens of the tokenizer's bytes are the text's, so that greedy output read again is the same tokens."""
    network: Any = make_network(family)
    allowed = torch.zeros(259, dtype=torch.bool)
    allowed[[make_tokenizer().convert_tokens_to_ids(letter) for letter in "abcdefgh"]] = True
    network.get_output_embeddings().weight.data[~allowed] = 0  # only letters are likely, not halves of characters
    written = run(network, max_new_tokens=5)
    text = "".join(token.text for token in written.tokens[written.num_prompt_tokens :])
    given = run(network, continuation=(text,))
    assert given.strategy == "second pass"
    assert given.is_given
    assert not written.is_given
    if [token.token_id for token in given.tokens] != [token.token_id for token in written.tokens]:
        pytest.fail(f"{text!r} is read as other tokens")
    assert np.abs(given.attention[...] - written.attention[...]).max() < 1e-3
    for one, other in zip(given.steps, written.steps, strict=True):
        assert one.raw.logprob == pytest.approx(other.raw.logprob, abs=2e-4)
        assert one.raw.rank == other.raw.rank == 1
        assert one.filtered is None
    for name in ("heads", "other_parts", "sources", "read", "log_odds"):
        one, other = (getattr(made.evidence.attribution, name) for made in (given, written))
        assert one == pytest.approx(other, abs=2e-3, nan_ok=True), name
    assert given.evidence.lens is not None
    assert written.evidence.lens is not None
    assert given.evidence.lens.logprobs == pytest.approx(written.evidence.lens.logprobs, abs=2e-3)


def test_probability_and_rank_of_each_token_are_those_of_a_plain_pass(smollm2: LoadedModel) -> None:
    made = capture(smollm2, Prompt("The capital of France is", continuation=(" London, of course",), foils=(" Paris",)))
    ids = torch.tensor([[token.token_id for token in made.tokens]])
    with torch.inference_mode():
        logprobs = smollm2.network(ids).logits[0].double().log_softmax(-1)
    assert [token.text for token in made.tokens[made.num_prompt_tokens :]] == [" London", ",", " of", " course"]
    for step in made.steps:
        position = made.query_pos_of_step(step.step)
        expected = logprobs[position, ids[0, position + 1]]
        assert step.raw.logprob == pytest.approx(float(expected), abs=1e-3)
        assert step.raw.rank == 1 + int((logprobs[position] > expected).sum())
    (foil,) = made.measured_foils
    assert foil.rank == 1
    answer = "".join(
        part if isinstance(part, str) else getattr(part, "shown", "") for part in make_answer(made, 0).claim
    )
    assert answer.startswith(
        f"The given token ␣London has 1 %, rank {made.steps[0].raw.rank}. The model’s own is ␣Paris ("
    )


def test_a_page_says_given_and_not_generated() -> None:
    made = run(make_llama(), continuation=(" abc",), evidence=("ablation",))
    assert made.evidence.ablations["ablation"].shape[0] == 4
    html = render_page(made)
    assert "given from here on" in html
    assert "Given tokens" in html
    assert "continuation given" in html
    said = html.partition("<script")[0] + html.rpartition("</script>")[2]
    for word in ("generated from here", "Generated tokens", "generated token", "the generation", "greedy"):
        assert word not in said, word
    assert set(make_tables(made)["tokens"]["generated"]) == {"no", "given"}


def test_the_prompt_is_read_as_it_is_without_a_continuation() -> None:
    """Where the tokenizer joins both, they are read apart, and the run says so."""
    model = wrap_model(make_llama(), tokenizer := make_sentencepiece(), name="tiny")
    encoded = encode_prompt(model, Prompt("a", continuation=(" cat",)))
    alone = encode_prompt(model, Prompt("a"))
    assert list(encoded.token_ids) == list(alone.token_ids)
    assert tokenizer.convert_ids_to_tokens(list(encoded.continuation_ids)) == ["▁cat"]
    assert not encoded.warnings
    joined = encode_prompt(model, Prompt("a ", continuation=("c",)))
    assert tokenizer.convert_ids_to_tokens(list(joined.token_ids)) == ["▁", "a", "▁"]
    assert tokenizer.convert_ids_to_tokens(list(joined.continuation_ids)) == ["c"]
    assert "are read apart here" in joined.warnings[0]


def test_a_chat_is_continued_behind_its_template() -> None:
    model = wrap_model(make_llama(), make_tokenizer(), name="tiny")
    messages = ({"role": "user", "content": "Hi"},)
    made = capture(model, Prompt(messages=messages, continuation=("yes",)))
    alone = encode_prompt(model, Prompt(messages=messages))
    assert [token.token_id for token in made.tokens[: made.num_prompt_tokens]] == list(alone.token_ids)
    assert "".join(token.text for token in made.tokens[made.num_prompt_tokens :]) == "yes"


def test_wrong_continuations_are_refused() -> None:
    for keys, says in (
        (
            {"max_new_tokens": 3},
            "a continuation is given, not generated, and max_new_tokens is 3; leave one of them out",
        ),
        ({"generation": Generation(seed=3)}, "so that generation does nothing; leave one of them out"),
        ({"continuation": ("x", "x")}, "continuation has 'x' twice; keep one"),
        ({"continuation": ""}, "continuation[1] is empty; write something or leave the key out"),
        ({"continuation": 3}, "continuation must be a list, got the number 3"),
    ):
        with pytest.raises(PromptError) as error:
            Prompt(**{"text": "a", "continuation": " b", **keys})  # pyright: ignore[reportArgumentType]
        assert says in str(error.value)
    with pytest.raises(PromptError, match="2 continuations make as many pages, and one is wanted; keep one of them"):
        run(make_llama(), continuation=(" a", " b"))
    with pytest.raises(PromptError, match="is for step 3, and the last step is 1; lower its step or lengthen the cont"):
        run(make_llama(), continuation=("ab",), foils=(Foil("x", 3),))
    with pytest.raises(PromptTooLong, match="20 prompt tokens and 600 of the continuation do not fit into"):
        run(make_llama(), continuation=("x" * 600,))


def write(folder: Path, text: str) -> Path:
    path = folder / "prompts.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_several_continuations_make_a_page_each_and_one_comparison(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
defaults: {max_new_tokens: 5, generation: {do_sample: true, temperature: 0.5}}
prompts:
  - {text: A drink to, slug: drink, continuation: [" Mary", " John"], compare: true}
  - {text: A drink to, continuation: " Bob"}
""",
    )
    file = read_prompt_file(path)
    file.problems.check_none()
    assert [(prompt.slug, prompt.title, prompt.continuation) for prompt in file.prompts] == [
        ("drink-1", "A drink to Mary", (" Mary",)),
        ("drink-2", "A drink to John", (" John",)),
        ("a-drink-to-bob", "A drink to Bob", (" Bob",)),
    ]
    assert [comparison.prompts for comparison in file.comparisons] == [("drink-1", "drink-2")]
    assert {prompt.generation for prompt in file.prompts} == {Generation()}
    changed = override(file.prompts, max_new_tokens=3, seed=4)
    assert [prompt.max_new_tokens for prompt in changed] == [10, 10, 10]
    titled = name_pages([Prompt("A", title="Who?", continuation=(" Mary", " John"))])
    assert [prompt.title for prompt in titled] == ["Who?: Mary", "Who?: John"]


def test_mistakes_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
- text: a
  continuation: " b"
  max_new_tokens: 3
- text: a
  continuation: [" b", " c", " d"]
  compare: true
- text: a
  continuation: []
- text: a
  compare: true
""",
    )
    with pytest.raises(Exception) as error:
        load_prompts(path)
    assert str(error.value).replace(f"{path}:", "").splitlines() == [
        "3: prompt 1: a continuation is given, not generated; leave out 'max_new_tokens' or 'continuation'",
        "6: prompt 2: 'compare' needs two continuations, got 3; write a list of two under 'continuation'",
        "8: continuation of prompt 3 is an empty list; add an item or leave the key out",
        "10: prompt 4: 'compare' needs two continuations, got 0; write a list of two under 'continuation'",
    ]
