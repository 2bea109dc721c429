"""Generation settings: the tokens are those that ``generate`` of transformers gives with the same settings and seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import make_llama, make_tokenizer

from reportgen.build.build import build_site
from reportgen.build.capture import capture, capture_in_turn
from reportgen.build.options import BuildOptions
from reportgen.captures.batches import make_batches
from reportgen.captures.record import ONE_PASS, SECOND_PASS, Capture
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.prompts.prompt_file import name_pages
from reportgen.records import Generation, Prompt
from reportgen.records.errors import PromptError

TEXT = "abc ab"
SAMPLED = Generation(do_sample=True, num_return_sequences=3, seed=4)
BEAMS = Generation(num_beams=4, num_return_sequences=3)


def generate(model: LoadedModel, generation: Generation, stop_token: int = 2) -> list[list[int]]:
    """Return the new tokens that transformers' own generation gives, without padding behind a stop token."""
    given: Any = model.tokenizer(TEXT, return_tensors="pt")
    settings: dict[str, Any] = {"top_k": 0} if generation.do_sample else {}
    settings |= {"stop_strings": list(generation.stop_strings)} if generation.stop_strings else {}
    torch.manual_seed(generation.seed)
    found = model.network.generate(  # pyright: ignore[reportCallIssue]
        **given, max_new_tokens=10, tokenizer=model.tokenizer, **generation.settings() | settings
    )
    rows = [row[given["input_ids"].shape[1] :] for row in found.tolist()]
    return [row[: row.index(stop_token) + 1] if stop_token in row else row for row in rows]


def new_tokens(made: Capture) -> list[int]:
    return [token.token_id for token in made.tokens[made.num_prompt_tokens :]]


@pytest.mark.parametrize(("generation", "strategy"), [(SAMPLED, ONE_PASS), (BEAMS, SECOND_PASS)])
def test_return_sequences_are_those_of_generate(generation: Generation, strategy: str) -> None:
    """Whether they are captured together or alone; some end early."""
    network = make_llama()
    with torch.no_grad():
        network.lm_head.weight[2] *= 2
    model = wrap_model(network, make_tokenizer(), name="tiny")
    prompts = name_pages([Prompt(TEXT, model="tiny", generation=generation)])
    (batch,) = make_batches(model, prompts)
    expected = generate(model, generation)
    assert len({*map(tuple, expected)}) == 3
    together = [made for made in capture_in_turn(model, batch) if isinstance(made, Capture)]
    assert [new_tokens(made) for made in together] == expected
    for prompt, made in zip(prompts, together, strict=True):
        assert made.strategy == strategy
        assert made.logprob_drift < 1e-4
        alone = capture(model, prompt)
        assert alone.tokens == made.tokens
        assert alone.prompt == made.prompt
        assert np.allclose(alone.attention, made.attention, atol=1e-3)


def test_weights_of_a_return_sequence_are_those_of_its_text(tiny_llama: LoadedModel) -> None:
    """The recorded row is its own, and not that of another sequence."""
    *_, last = name_pages([Prompt(TEXT, generation=SAMPLED)])
    made = capture(tiny_llama, last)
    tokens = torch.tensor([[token.token_id for token in made.tokens]])
    tiny_llama.network.set_attn_implementation("eager")
    with torch.inference_mode():
        eager = tiny_llama.network(tokens, output_attentions=True).attentions
    tiny_llama.network.set_attn_implementation("sdpa")
    for layer, weights in enumerate(eager):
        for head in range(weights.shape[1]):
            assert np.allclose(made.attention[layer, head], weights[0, head].numpy(), atol=1e-3)


def test_return_sequences_have_a_batch_and_pages_of_their_own(tiny_llama: LoadedModel) -> None:
    prompts = [
        Prompt("ab", generation=SAMPLED),
        Prompt("ba", generation=SAMPLED, slug="mine", title="Mine"),
        Prompt("ba", generation=replace(SAMPLED, return_sequence=2), slug="one"),
        Prompt("ab", generation=SAMPLED, evidence=("ablation",), slug="slow"),
    ]
    named = name_pages(prompts)
    assert [(prompt.slug, prompt.title) for prompt in named[2:8]] == [
        ("ab-3", "ab (3 of 3)"), ("mine-1", "Mine (1 of 3)"), ("mine-2", "Mine (2 of 3)"),
        ("mine-3", "Mine (3 of 3)"), ("one", "ba (2 of 3)"), ("slow-1", "ab (1 of 3)"),
    ]  # fmt: skip
    assert name_pages(named) == named
    batches = make_batches(tiny_llama, named)
    assert [[each.prompt.slug for each in batch] for batch in batches] == [
        ["ab-1", "ab-2", "ab-3"], ["mine-1", "mine-2", "mine-3", "one"], ["slow-1"], ["slow-2"], ["slow-3"],
    ]  # fmt: skip
    with pytest.raises(PromptError, match="^prompt: generation.num_return_sequences makes 3 pages, .* from 1 to 3$"):
        capture(tiny_llama, prompts[0])


def test_site_has_a_page_of_each_return_sequence(tiny_llama: LoadedModel, tmp_path: Any) -> None:
    """Another run with one page missing makes that page again, the same as before."""
    prompt = Prompt(TEXT, slug="cat", layers="0", max_new_tokens=3, generation=SAMPLED)  # pyright: ignore
    build_site([prompt], tmp_path, BuildOptions(model=tiny_llama))
    pages = {path.name: path.read_bytes() for path in tmp_path.glob("cat-*.html")}
    assert sorted(pages) == ["cat-1.html", "cat-2.html", "cat-3.html"]
    assert len({*pages.values()}) == 3
    other = tmp_path / "other"
    build_site([replace(prompt, slug="cat-2", title="abc ab (2 of 3)", generation=replace(SAMPLED, return_sequence=2))],
               other, BuildOptions(model=tiny_llama))  # fmt: skip
    assert (other / "cat-2.html").read_bytes() == pages["cat-2.html"]


def test_min_p_leaves_the_tokens_near_the_most_probable_one(tiny_llama: LoadedModel) -> None:
    generation = Generation(do_sample=True, min_p=0.3, seed=5)
    made = capture(tiny_llama, Prompt(TEXT, generation=generation))
    assert [new_tokens(made)] == generate(tiny_llama, generation)
    with torch.inference_mode():
        logits = tiny_llama.network(torch.tensor([[token.token_id for token in made.tokens]])).logits[0].double()
    for step in made.steps:
        assert step.filtered is not None
        probs = logits[made.query_pos_of_step(step.step)].softmax(-1)
        kept = {int(token_id) for token_id in (probs >= 0.3 * probs.max()).nonzero()}
        found = {token.token_id for token, logprob in step.filtered.alternatives if np.isfinite(logprob)}
        assert found <= kept
        assert len(found) == min(10, len(kept))


@pytest.mark.parametrize(
    "generation",
    [Generation(), replace(SAMPLED, seed=3, return_sequence=2), replace(BEAMS, num_beams=3, return_sequence=3)],
)
def test_stop_string_is_the_last_thing_written(generation: Generation) -> None:
    """Of each sequence, also where the model has no stop token and the others go on."""
    network = make_llama()
    network.generation_config.eos_token_id = None
    tokenizer: Any = make_tokenizer()
    tokenizer.eos_token = None
    model = wrap_model(network, tokenizer, name="tiny")
    row = (generation.return_sequence or 1) - 1
    plain = [[token_id] for token_id in generate(model, generation, -1)[row]]
    stop = next(
        text for text in map(tokenizer.decode, plain[1:8]) if len(text) == 1 and text.isascii() and text.isprintable()
    )
    generation = replace(generation, stop_strings=("nowhere", stop))
    whole = generate(model, generation, -1)[row]
    ends = [end for end in range(1, len(whole) + 1) if stop in tokenizer.decode(whole[:end])]
    assert ends or generation.num_beams > 1  # a beam may go another way instead
    assert new_tokens(capture(model, Prompt(TEXT, generation=generation))) == whole[: ends[0] if ends else None]
    if generation.num_beams == 1:
        assert ends[0] < 10


def test_prompts_with_stop_strings_run_alone(tiny_llama: LoadedModel) -> None:
    generation = Generation(stop_strings=("x",))
    batches = make_batches(tiny_llama, [Prompt("abc", generation=generation), Prompt("abd", generation=generation)])
    assert [len(batch) for batch in batches] == [1, 1]
