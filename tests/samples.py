"""Captures made by hand, with attention that a person can check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from reportgen.captures.record import Capture
from reportgen.evidence.collectors.scores import HeadMeasurer
from reportgen.evidence.kinds.attribution import FOIL_WITHHELD, Attribution, list_rows
from reportgen.evidence.kinds.lens import Lens
from reportgen.evidence.kinds.patching import Patching
from reportgen.evidence.kinds.screening import Screen
from reportgen.records import FoilToken, Generation, ModelInfo, Prediction, Prompt, Span, Step, Token
from reportgen.records.evidence import Evidence

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "{{ 7*7 }}",
    "{# comment #}",
    "{% raw %}",
    "&amp;",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "שלום",
    "‮evil",
    "🤷🏽",
    "line\nbreak",
    "'); alert(1); ('",
)


def make_token(text: str, token_id: int = 7, *, special: bool = False) -> Token:
    """Return a token whose shown text differs from its text in spaces and line ends alone."""
    return Token(token_id, text, text.replace(" ", "␣").replace("\n", "↵") or "�", special)


def make_prediction(chosen: Token, others: tuple[Token, ...] = (), prob: float = 0.5) -> Prediction:
    """Return a distribution with the chosen token first and the others sharing the rest."""
    rest = math.log((1 - prob) / max(len(others), 1))
    alternatives = ((chosen, math.log(prob)), *((other, rest) for other in others))
    return Prediction(math.log(prob), 1, 0.69, alternatives)


def make_pattern(kind: str, n: int) -> np.ndarray:
    """Return a causal pattern ``[query_pos, key_pos]``: ``self``, ``previous``, ``first`` or ``uniform``."""
    rows = np.arange(n)
    if kind == "uniform":
        return np.tril(np.ones((n, n))) / (rows + 1)[:, None]
    key_pos = {"self": rows, "previous": np.maximum(rows - 1, 0), "first": rows * 0}[kind]
    pattern = np.zeros((n, n))
    pattern[rows, key_pos] = 1
    return pattern


def measure(patterns: np.ndarray, texts: list[str]) -> dict[str, np.ndarray]:
    """Return the scores of ``[layer, head, query_pos, key_pos]``, by name, ``[layer, head]`` each."""
    measurer = HeadMeasurer([texts.index(text) for text in texts], torch.device("cpu"))
    layers = [measure_layer(measurer, torch.from_numpy(layer)) for layer in patterns]
    return {name: np.stack([layer[name] for layer in layers]) for name in layers[0]}


def measure_layer(
    measurer: HeadMeasurer, weights: torch.Tensor, norms: torch.Tensor | None = None, **options: Any
) -> dict[str, np.ndarray]:
    """Return the scores of ``[head, query_pos, key_pos]``, some rows at a time as in a capture."""
    layer = measurer.begin(len(weights), norms, **options)
    for first in reversed(range(0, weights.shape[1], 3)):
        last = min(first + 3, weights.shape[1])
        rows = weights[:, first:last, :last].float()
        layer.add(first, rows, torch.special.entr(rows).sum(-1))
    return layer.result()


def make_evidence(
    patterns: np.ndarray,
    tokens: tuple[Token, ...],
    num_prompt_tokens: int,
    runners_up: tuple[Token, ...],
    num_layers: int,
    num_heads: int,
) -> Evidence:
    """Return evidence that a person can check.

    The first token is written from with a quarter of the length of the others. Head ``h`` of the captured layer ``l``
    adds ``(l + 1) * (1 - h)`` tenths of a logit at step 0, twice that at step 1 and so on, half of it against the mean
    and each runner-up, from the tokens as it reads them. An MLP adds 1, the embedding 2, biases 0.5, other heads -1
    from the first token or, if all heads are shown, 0. The lens gives the chosen token the probability
    ``(l + 1) / (num_layers + 1)``. Without head ``h`` the log-probability of the token of step ``s`` falls by
    ``0.1 * h * (s + 1)``.
    """
    num_steps = len(tokens) - num_prompt_tokens
    shape = patterns.shape[:2]
    scores = measure(patterns, [token.text for token in tokens])
    norms = np.ones((*shape, len(tokens)), np.float32)
    norms[:, :, 0] = 0.25
    rollout = make_pattern("uniform", len(tokens))[np.tril_indices(len(tokens))].astype(np.float32)
    entropy = -np.where(patterns > 0, patterns * np.log(np.maximum(patterns, 1e-30)), 0).sum(-1).astype(np.float32)
    if not num_steps:
        missing = dict.fromkeys(("attribution", "lens"), "no tokens were generated")
        return Evidence(scores=scores, value_norms=norms, rollout=rollout, entropy=entropy, missing=missing)
    layer, head = np.indices(shape)
    step = np.arange(num_steps)[:, None, None]
    share = np.array([1.0, 0.5, *(0.5 for _ in runners_up)])[:, None, None, None]
    heads = (share * (step + 1) * (layer + 1) * (1 - head) / 10).astype(np.float32)
    ones = np.ones(heads.shape[:2], np.float32)
    others = np.float32(0 if shape == (num_layers, num_heads) else -1)
    mlps = np.ones((*heads.shape[:2], num_layers), np.float32)
    rows = [patterns[:, :, num_prompt_tokens - 1 + s, : num_prompt_tokens + s] * heads[0, s][:, :, None]
            for s in range(num_steps)]  # fmt: skip
    read = [row.sum((0, 1)) for row in rows]
    for row in read:
        row[0] += others
    attribution = Attribution(
        runners_up=(runners_up,) * num_steps,
        heads=heads,
        other_parts=mlps,
        embedding=2 * ones,
        biases=0.5 * ones,
        other_heads=others * ones,
        logits=(heads.sum((2, 3)) + mlps.sum(2) + 2.5 + others).astype(np.float32),
        rounding=np.full(ones.shape, 1e-6, np.float32),
        log_odds=(heads[0].sum((1, 2)) + mlps[0].sum(1) + 0.5 + others).astype(np.float32),
        entropy=np.full(num_steps, 2, np.float32),
        soft_cap=np.zeros(num_steps, np.float32),
        withheld=(("",) * num_steps,) * len(heads),
        sources=np.concatenate(rows, axis=2).astype(np.float32),
        read=np.concatenate(read).astype(np.float32),
    )
    grown = (np.arange(num_layers)[:, None] + np.ones(num_steps)) / (num_layers + 1)
    chosen = tokens[num_prompt_tokens:]
    lens = Lens(
        layers=tuple(range(num_layers)),
        logprobs=np.log(grown).astype(np.float32),
        ranks=np.tile(np.arange(num_layers, 0, -1)[:, None], num_steps),
        best=((runners_up[0],) * num_steps,) * (num_layers - 1) + (chosen,),
        best_logprobs=np.log(np.full((num_layers, num_steps), 0.75)).astype(np.float32),
        foil_logprobs=np.empty((num_layers, 0), np.float32),
    )
    ablation = np.broadcast_to(-0.1 * head * (step + 1), (num_steps, *shape)).astype(np.float32)
    return Evidence(
        scores=scores, value_norms=norms, attribution=attribution, lens=lens, rollout=rollout, entropy=entropy,
        ablations={"ablation": ablation},
    )  # fmt: skip


def make_patching(num_places: int = 5, num_layers: int = 3) -> Patching:
    """Return what patching might find with 4 heads a layer: shares that rise from −20 % to 50 %, halves at the last."""
    shares = np.linspace(-0.2, 0.5, 8 * num_layers, dtype=np.float32).reshape(2, num_layers, 4)
    return Patching(
        answers=(make_token(" the"), make_token(" a")),
        differences=(2.5, -1.5),
        starts=(0, 0),
        length=num_places,
        layers=tuple(range(num_layers)),
        heads=shares,
        last=shares / 2,
        stream_layers=tuple(range(num_layers)),
        stream=np.linspace(0, 1, 2 * num_layers * num_places, dtype=np.float32).reshape(2, num_layers, -1),
    )


def make_screened() -> Evidence:
    """Return the evidence of the sample with only some heads ablated and all estimated."""
    evidence = make_capture().evidence
    reasons = np.array([[5, 0, 2, 4], [0, 0, 1, 0], [0, 4, 0, 0]], np.uint8)
    changes = np.where(reasons > 0, evidence.ablations["ablation"], np.nan).astype(np.float32)
    estimates = (1.25 * evidence.ablations["ablation"]).astype(np.float32)
    screen = Screen(estimates=estimates, reasons=reasons, correlation=0.5, found=1, sought=1)
    return evidence.replace(ablations={"ablation": changes}, screening={"estimate": screen})


def make_capture(
    texts: tuple[str, ...] = ("The", " cat", " ate", " the", " mat"),
    generated: tuple[str, ...] = (".", " And", " the"),
    *,
    layers: tuple[int, ...] = (0, 1, 2),
    heads: tuple[int, ...] = (0, 1, 2, 3),
    **prompt: object,
) -> Capture:
    """Return a capture in which head 0 reads itself, 1 the token before, 2 the first, 3 all alike, 4 itself again ….

    Layers differ by turns: layer 1's head 0 does what layer 0's head 1 does, and so on.
    """
    tokens = tuple(make_token(text, number) for number, text in enumerate((*texts, *generated), start=10))
    n, num_prompt_tokens = len(tokens), len(texts)
    kinds = ("self", "previous", "first", "uniform")
    patterns = [[make_pattern(kinds[(layer + head) % 4], n) for head in heads] for layer in layers]
    triangles = np.array(patterns, np.float16)[:, :, *np.tril_indices(n)]
    others = (make_token(" dog", 90), make_token(" hat", 91))
    steps = tuple(
        Step(
            step,
            raw=make_prediction(tokens[num_prompt_tokens + step], others, 0.5),
            filtered=make_prediction(tokens[num_prompt_tokens + step], others[:1], 0.8),
            logprob_drift=1e-6,
        )
        for step in range(len(generated))
    )
    settings = {
        "title": "A cat and a mat",
        "slug": "cat",
        "max_new_tokens": len(generated),
        "generation": Generation(),
        **prompt,
    }
    return Capture(
        prompt=Prompt(text="" if "messages" in prompt else "".join(texts), **settings),  # pyright: ignore[reportArgumentType]
        model=ModelInfo(
            "tiny", "", "LlamaForCausalLM", max(layers) + 1, max(heads) + 1, 2, 512, 7000, "float32", "cpu"
        ),
        tokens=tokens,
        num_prompt_tokens=num_prompt_tokens,
        layers=layers,
        heads=heads,
        triangles=triangles,
        prompt_predictions=tuple(make_prediction(token, others, 0.25) for token in tokens[1:num_prompt_tokens]),
        steps=steps,
        versions={"torch": "2.13.0", "transformers": "5.24.0"},
        evidence=make_evidence(np.array(patterns), tokens, num_prompt_tokens, others, max(layers) + 1, max(heads) + 1),
    )


def say(prompt: str, generated: str = "", **what: object) -> Capture:
    """Return a capture of letters, equal ones with equal token ids."""
    capture = make_capture(tuple(prompt), tuple(generated), **what)  # pyright: ignore[reportArgumentType]
    return replace(capture, tokens=tuple(make_token(letter, ord(letter)) for letter in prompt + generated))


def make_hostile() -> Capture:
    """Return a capture in which every text that a page shows is hostile."""
    capture = make_capture(
        HOSTILE, HOSTILE, title=HOSTILE[0], note=HOSTILE[5], tags=HOSTILE, messages=({"role": "user", "content": ""},)
    )
    # A line end is drawn as one, so it would be no difference of text alone.
    tokens = tuple(replace(token, text=token.text.replace("\n", " ")) for token in capture.tokens)
    evil = make_token(HOSTILE[6])
    steps = tuple(replace(step, raw=replace(step.raw, alternatives=((evil, -1.0),) * 3)) for step in capture.steps)
    model = replace(capture.model, name=HOSTILE[0], revision=HOSTILE[6], architecture=HOSTILE[5])
    return replace(
        capture, tokens=tokens, steps=steps, model=model, versions={HOSTILE[0]: HOSTILE[5]},
        evidence=with_tokens(capture, evil),
    )  # fmt: skip


def with_tokens(capture: Capture, token: Token) -> Evidence:
    """Return the evidence of a capture in which every token is this one."""
    evidence, num_steps = capture.evidence, len(capture.steps)
    assert evidence.attribution
    assert evidence.lens
    return evidence.replace(
        attribution=replace(evidence.attribution, runners_up=((token,),) * num_steps, note=token.text),
        lens=replace(evidence.lens, best=((token,) * num_steps,) * len(evidence.lens.layers)),
    )


def make_harmless() -> Capture:
    """Return the same capture with plain texts."""
    texts = tuple("abcdefghijkl")
    capture = make_capture(texts, texts, title="a", note="b", tags=texts, messages=({"role": "user", "content": ""},))
    steps = tuple(
        replace(step, raw=replace(step.raw, alternatives=((make_token("g"), -1.0),) * 3)) for step in capture.steps
    )
    model = replace(capture.model, name="a", revision="b", architecture="c")
    return replace(
        capture, steps=steps, model=model, versions={"a": "b"}, evidence=with_tokens(capture, make_token("g"))
    )


def make_noisy(num_tokens: int = 96, seed: int = 5) -> Capture:
    """Return a capture with random weights, which deflate badly."""
    tokens = tuple(f"t{number}" for number in range(num_tokens - 2))
    capture = make_capture(tokens, ("x", "y"), layers=(0, 1, 4), heads=(0, 1, 2, 3))
    drawn = np.random.default_rng(seed).gamma(0.3, size=(3, 4, num_tokens, num_tokens))
    patterns = np.tril(drawn) / np.tril(drawn).sum(axis=-1, keepdims=True)
    return replace(capture, triangles=patterns[:, :, *np.tril_indices(num_tokens)].astype(np.float16))


def make_random(
    num_layers: int = 20, num_heads: int = 3, num_prompt_tokens: int = 6, num_steps: int = 8, seed: int = 3
) -> Capture:
    """Return a capture with random weights and effects; what attention read adds up, by head and over all heads."""
    texts = tuple(f" p{position}" for position in range(num_prompt_tokens))
    generated = tuple(f" g{step}" for step in range(num_steps))
    capture = make_capture(texts, generated, layers=tuple(range(num_layers)), heads=tuple(range(num_heads)))
    draws = np.random.default_rng(seed)
    n = capture.num_tokens
    rows, columns = np.tril_indices(n)
    weights = draws.gamma(0.5, size=(num_layers, num_heads, len(rows)))
    sums = np.add.reduceat(weights, np.flatnonzero(columns == 0), axis=2)
    triangles = (weights / sums[:, :, rows]).astype(np.float16)
    attribution = capture.evidence.attribution
    if attribution is None:
        return replace(capture, triangles=triangles)
    assert attribution.sources is not None
    sources = draws.normal(size=attribution.sources.shape).astype(np.float32)
    starts = np.cumsum([0, *(num_prompt_tokens + step for step in range(num_steps - 1))])
    heads = attribution.heads.copy()
    heads[0] = np.moveaxis(np.add.reduceat(sources, starts, axis=2), 2, 0)
    attribution = replace(attribution, heads=heads, sources=sources, read=sources.sum((0, 1)))
    return replace(capture, triangles=triangles, evidence=capture.evidence.replace(attribution=attribution))


def make_series(count: int, num_prompt_tokens: Sequence[int] = (6,) * 12) -> list[Capture]:
    """Return captures of as many revisions of a model, each with weights, scores, effects and ablations of its own."""
    members = []
    for place, slug in enumerate("abcdefghijkl"[:count]):
        capture = make_random(5, 3, num_prompt_tokens[place], num_steps=2, seed=place)
        draws, known = np.random.default_rng(place), capture.evidence
        scores = {
            name: np.where(np.isnan(values), values, draws.random(values.shape, np.float32))
            for name, values in known.scores.items()
        }
        ablations = {name: draws.normal(size=one.shape).astype(np.float32) for name, one in known.ablations.items()}
        prompt = replace(capture.prompt, slug=slug, title=f"Run {place}", model=f"org/m@step{1000 * 2**place}")
        members.append(replace(capture, prompt=prompt, evidence=known.replace(scores=scores, ablations=ablations)))
    return members


def with_spans(capture: Capture) -> Capture:
    """Return a capture with two spans, the generated tokens as a third, a message that was not found, and weights."""
    last = capture.num_tokens - 1
    spans = (Span("cat", 0, 1), Span("rest of it", 3, 4), Span("generated", capture.num_prompt_tokens, last))
    members = np.array([[span.first <= key <= span.last for span in spans] for key in range(last + 1)])
    keys = np.concatenate([members, ~members.any(1, keepdims=True)], 1)
    patterns = capture.attention[...]
    weights = np.einsum("lhqk,ks,qr->lhrs", patterns, keys, members / members.sum(0))
    weights[:, :, 0, 1:] = weights[:, :, 1, 2] = np.nan
    evidence = capture.evidence.replace(spans=weights.astype(np.float32))
    return replace(capture, spans=spans, unplaced={"user 2": "it is empty"}, evidence=evidence)


def with_attribution(capture: Capture, **changes: object) -> Capture:
    """Return a capture with parts of its attribution changed."""
    assert capture.evidence.attribution
    attribution = replace(capture.evidence.attribution, **changes)  # pyright: ignore[reportArgumentType]
    return replace(capture, evidence=capture.evidence.replace(attribution=attribution))


def withhold(capture: Capture, *steps: int) -> Capture:
    """Return a capture whose parts do not add up at these steps, as the collector leaves it."""
    attribution = capture.evidence.attribution
    assert attribution
    assert attribution.read is not None
    assert attribution.sources is not None
    reasons = tuple("x" if step in steps else "" for step in range(len(capture.steps)))
    changes: dict[str, Any] = {"withheld": (reasons,) * len(attribution.heads)}
    for name in ("heads", "other_parts", "embedding", "biases", "other_heads", "rounding", "logits"):
        changes[name] = getattr(attribution, name).copy()
        changes[name][:, list(steps)] = np.nan
    sources, read = attribution.sources.copy(), attribution.read.copy()
    for step in steps:
        sources[:, :, list_rows(capture)[step]], read[list_rows(capture)[step]] = np.nan, np.nan
    return with_attribution(capture, **changes, sources=sources, read=read)


def with_foil(capture: Capture) -> Capture:
    """Return a capture with a foil at step 0, against which every effect and every change is half of what it was."""
    attribution, lens = capture.evidence.attribution, capture.evidence.lens
    assert attribution
    assert attribution.read is not None
    assert attribution.sources is not None
    assert lens

    def halve(values: np.ndarray) -> np.ndarray:
        half = np.full_like(values[:1], np.nan)
        half[0, 0] = values[0, 0] / 2
        return np.concatenate([values, half])

    row = list_rows(capture)[0]
    names = ("heads", "other_parts", "embedding", "biases", "other_heads", "rounding", "logits")
    changed = replace(
        attribution,
        **{name: halve(getattr(attribution, name)) for name in names},
        withheld=(*attribution.withheld, ("", *[FOIL_WITHHELD] * (len(capture.steps) - 1))),
        sources=np.concatenate([attribution.sources, attribution.sources[:, :, row] / 2], axis=2),
        read=np.concatenate([attribution.read, attribution.read[row] / 2]),
    )
    ablations = {name: halve(changes[None])[1:] for name, changes in capture.evidence.ablations.items()}
    evidence = capture.evidence.replace(
        attribution=changed,
        lens=replace(lens, foil_logprobs=lens.logprobs[:, :1] - 1),
        foil_ablations=ablations,
    )
    foil = FoilToken(make_token(" dog", 99), 0, -2.5, 3)
    prompt = replace(capture.prompt, foils=(" dog",))
    return replace(capture, prompt=prompt, foils=(foil,), evidence=evidence)


def make_whole() -> Capture:
    """Return a capture that has rows for every table: screened ablation, spans, retrieval, and a foil."""
    capture = with_spans(make_capture())
    scores = {**capture.evidence.scores, "retrieval": capture.evidence.scores["sink"]}
    evidence = make_screened().replace(spans=capture.evidence.spans, scores=scores)
    return with_foil(replace(capture, evidence=evidence))
