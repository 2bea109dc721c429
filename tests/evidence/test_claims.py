"""Claims are judged as a person would who reads the arrays of a capture, head by head."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from counts import count, sample
from families import make_network
from root import ROOT
from samples import make_capture, make_random, make_token, with_attribution, with_foil, withhold
from tiny import make_tokenizer

from reportgen import capture as run
from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.claims import ClaimResult, judge_claims
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records import Foil, Prompt, SourceLocation
from reportgen.records.errors import PromptError

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip
TEXT = "The cat ate the rat. The cat sat"
METHODS = ("ablation", "mean-ablation")


@cache
def make_measured() -> Capture:
    """Return a capture of a tiny network with all that claims are about."""
    network = make_network("gpt2")
    foils = ("x", Foil("q", 2), "e")
    prompt = Prompt(TEXT, max_new_tokens=4, foils=foils, evidence=METHODS)
    return capture(wrap_model(network, make_tokenizer(), name="tiny"), prompt)


@cache
def make_drawn() -> Capture:
    """Return a capture of 60 heads with random numbers, of which some heads have no ablation."""
    made = make_random()
    draws = np.random.default_rng(0)
    changes = draws.normal(size=(8, 20, 3)).astype(np.float32)
    changes[:, draws.random((20, 3)) < 0.3] = np.nan
    scores = {name: draws.random((20, 3)).astype(np.float32) for name in made.evidence.scores}
    evidence = made.evidence.replace(ablations={"ablation": changes}, scores=scores)
    return replace(made, prompt=replace(made.prompt, evidence=("ablation",)), evidence=evidence)


@cache
def make_tied() -> Capture:
    """Return a capture in which many heads have equal numbers, with a foil."""
    made = with_foil(make_capture(layers=(1, 3, 4), heads=(0, 2, 3, 5)))
    prompt = replace(made.prompt, evidence=("ablation",), layers="1, 3-4", heads="0, 2-3, 5")  # type: ignore[arg-type]
    return replace(made, prompt=prompt)


CAPTURES = {"measured": make_measured, "drawn": make_drawn, "tied": make_tied}


class Reader:
    """Reads the arrays of a capture by hand: nothing here is shared with the program but the capture."""

    def __init__(self, made: Capture) -> None:
        self.made = made
        self.first = made.num_prompt_tokens - 1
        self.foils = [foil for foil in made.foils if not foil.missing]
        lengths = [self.first + step + 1 for step in range(len(made.steps))]
        lengths += [self.first + foil.step + 1 for foil in self.foils]
        self.starts = [sum(lengths[:i]) for i in range(len(lengths))]

    def number_of(self, against: str, step: int) -> int:
        return [(foil.token.text, foil.step) for foil in self.foils].index((against, step))

    def read(self, what: str, row: int, column: int, about: dict[str, Any]) -> float:
        """Return the number of one head; row and column are those of the arrays."""
        evidence, step = self.made.evidence, about.get("step", 0)
        against = about.get("against")
        if what == "weight":
            query, key = about["from"], about["to"]
            return float(self.made.triangles[row, column, query * (query + 1) // 2 + key])
        if what == "effect":
            attribution = evidence.attribution
            number = None if against is None else self.number_of(against, step)
            if "to" in about:
                start = self.starts[step if number is None else len(self.made.steps) + number]
                return float(attribution.sources[row, column, start + about["to"]])
            contrast = 0 if number is None else len(attribution.heads) - len(self.foils) + number
            return float(attribution.heads[contrast, step, row, column])
        if what in METHODS:
            if against is None:
                return float(evidence.ablations[what][step, row, column])
            return float(evidence.foil_ablations[what][self.number_of(against, step), step, row, column])
        return float(evidence.scores[what][row, column])


def draw_claim(reader: Reader, draws: np.random.Generator) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return what a random claim measures, the keys that say where, and the same with plain numbers as positions."""
    made = reader.made
    step = int(draws.integers(len(made.steps)))
    methods = [name for name in METHODS if name in made.evidence.ablations]
    defined = [name for name, values in made.evidence.scores.items() if not np.isnan(values).all()]
    kind = draws.choice(["weight", "effect", "through", "score", "ablation"])
    about: dict[str, Any] = {}
    if kind == "weight":
        query = int(draws.integers(made.num_tokens))
        about = {"from": query, "to": int(draws.integers(query + 1))}
        if query >= reader.first and query < made.num_tokens - 1 and draws.random() < 0.5:
            step = query - reader.first
            return "weight", {"from": "last", "to": about["to"], "step": step}, about
        return "weight", about, about
    if kind == "score":
        return str(draws.choice(defined)), {}, {}
    if reader.foils and draws.random() < 0.4:
        foil = reader.foils[int(draws.integers(len(reader.foils)))]
        step = foil.step
        about["against"] = foil.token.text
    about["step"] = step
    if kind == "ablation":
        return str(draws.choice(methods)), about, about
    if kind == "through":
        about["to"] = int(draws.integers(reader.first + step + 1))
    return "effect", about, about


@pytest.mark.parametrize("name", CAPTURES)
def test_mutated_claims_hold_exactly_where_they_are_true(name: str) -> None:
    """Thresholds lie on, just beside and far from what heads have, ranks too; all heads are gone through one by one."""
    made = CAPTURES[name]()
    reader, draws = Reader(made), np.random.default_rng(7)
    claims, expected = [], []
    while len(claims) < count("claims"):
        what, keys, about = draw_claim(reader, draws)
        grid = {
            (layer, head): reader.read(what, row, column, about)
            for row, layer in enumerate(made.layers)
            for column, head in enumerate(made.heads)
        }
        known = {head: value for head, value in grid.items() if not math.isnan(value)}
        heads, values = list(known), list(known.values())
        chosen = heads[int(draws.integers(len(heads)))]
        nearby = values[int(draws.integers(len(values)))] if draws.random() < 0.5 else known[chosen]
        threshold = nearby + float(draws.choice([0, 0, 1e-9, -1e-9, 0.01, -0.01, 1, -1]))
        sign, rank_sign = (str(draws.choice(["<", "<=", ">", ">="])) for _ in range(2))
        limit = int(draws.integers(1, len(heads) + 1)) if draws.random() < 0.5 else None
        ranks = {
            head: 1 + sum(other < value if sign[0] == "<" else other > value for other in values)
            for head, value in known.items()
        }
        passing = {
            head
            for head, value in known.items()
            if COMPARE[sign](value, threshold) and (limit is None or COMPARE[rank_sign](ranks[head], limit))
        }
        shown = f"L{chosen[0]}H{chosen[1]}"
        measure = {what: shown, "change": f"{sign} {threshold!r}"}
        if what not in METHODS:
            measure = {"head": shown, what: f"{sign} {threshold!r}"}
        rank = {} if limit is None else {"rank": f"{rank_sign} {limit}"}
        claims.append({**measure, **keys, **rank})
        expected.append((chosen in passing, known[chosen], ranks[chosen], len(passing), len(known), len(grid)))
    results = judge_claims(with_claims(made, *claims))
    for claim, result, wanted in zip(claims, results, expected, strict=True):
        found = (result.holds, result.value, result.rank, result.num_passing, result.num_measured, result.num_heads)
        assert found == wanted, claim
    assert 0.2 < np.mean([holds for holds, *_ in expected]) < 0.8


def with_claims(made: Capture, *claims: Any) -> Capture:
    return replace(made, prompt=replace(made.prompt, claims=claims))


def judge(made: Capture, **claim: Any) -> ClaimResult:
    claim = {"from" if key == "at" else key.replace("mean_", "mean-"): value for key, value in claim.items()}
    (result,) = judge_claims(with_claims(made, claim))
    return result


@pytest.mark.parametrize("name", CAPTURES)
def test_token_has_its_probability_and_rank(name: str) -> None:
    """The written token, those that were nearly written, and foils, at random bounds."""
    made, draws = CAPTURES[name](), np.random.default_rng(3)
    for step in made.steps:
        texts = [token.text for token, _ in step.raw.alternatives]
        known = {token.text: logprob for token, logprob in step.raw.alternatives if texts.count(token.text) == 1}
        known |= {foil.token.text: foil.logprob for foil in made.foils if foil.step == step.step}
        ranks = {foil.token.text: foil.rank for foil in made.foils if foil.step == step.step}
        for text, logprob in known.items():
            rank = ranks.get(text) or 1 + sum(other > logprob for _, other in step.raw.alternatives)
            prob, bound = math.exp(logprob), math.exp(logprob) + float(draws.choice([-0.1, 0, 0.1]))
            for sign, compare in COMPARE.items():
                result = judge(made, token=text, prob=f"{sign} {bound!r}", step=step.step)
                assert (result.holds, result.value, result.rank) == (compare(prob, bound), prob, rank)
                at = int(draws.integers(1, 5))
                assert judge(made, token=text, rank=f"{sign} {at}", step=step.step).holds == compare(rank, at)
            both = judge(made, token=text, prob=f">= {prob!r}", rank=f"< {rank}", step=step.step)
            assert (both.holds, both.num_passing, both.num_heads) == (False, None, None)


@pytest.mark.parametrize(
    ("claim", "positions"),
    [
        ({"at": "last", "to": " mat"}, (5, 4)),
        ({"at": " mat", "to": "first"}, (4, 0)),
        ({"at": {"token": "The", "nth": 1}, "to": 0}, (0, 0)),
        ({"at": {"token": " cat", "nth": 2}, "to": {"token": " cat", "nth": 1}}, (3, 1)),
        ({"at": "last", "to": "last", "step": 2}, (6, 6)),
        ({"at": 7, "to": 6}, (7, 6)),
    ],
)
def test_places_are_found(claim: dict[str, Any], positions: tuple[int, int]) -> None:
    """The page of this capture opens on step 1, so that ``last`` is the position that predicts its token."""
    made = make_capture(("The", " cat", " ate", " cat", " mat"))
    assert judge(made, head="L0H0", effect="> 0").step == 1
    result = judge(made, head="L0H1", weight="> 0", **claim)
    assert (result.query_pos, result.key_pos) == positions


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"head": "L0H0", "weight": "> 0", "at": 9, "to": 0}, "the text has no position 9, it ends with 7"),
        ({"head": "L0H0", "weight": "> 0", "at": 3, "to": 5}, "position 5 comes after 3, which cannot read it"),
        ({"head": "L0H0", "weight": "> 0", "at": "last", "to": 0, "step": 3}, "the text ends before token 4"),
        ({"head": "L0H0", "effect": "> 0", "step": 3}, "the text ends before token 4"),
        ({"head": "L0H0", "effect": "> 0", "to": 6, "step": 0}, "position 6 comes after 4, which cannot read it"),
        ({"head": "L0H0", "retrieval": "> 0"}, "this text does not define the score"),
        ({"head": "L0H0", "sink": "< 0"}, "undefined for this text"),
        ({"mean_ablation": "L0H0", "change": "< 0"}, "mean-ablation was not measured"),
        ({"ablation": "L0H1", "change": "< 0"}, "this head was only estimated, not removed"),
        ({"token": " bird", "prob": "< 1"}, "it is none of the 2 most probable tokens; name it under “foils”"),
        ({"token": " twin", "prob": "< 1", "step": 1}, "2 tokens have this text; name one under “foils”"),
    ],
)
def test_claim_without_a_value_is_not_held(claim: dict[str, Any], reason: str) -> None:
    made = make_capture(max_new_tokens=9, evidence=METHODS)
    changes = np.ones((3, 3, 4), np.float32)
    changes[:, 0, 1] = np.nan
    scores = {**made.evidence.scores, "sink": np.full((3, 4), np.nan, np.float32)}
    twins = tuple((make_token(" twin", number), -1.0) for number in (1, 2))
    steps = list(made.steps)
    steps[1] = replace(steps[1], raw=replace(steps[1].raw, alternatives=twins))
    evidence = made.evidence.replace(ablations={"ablation": changes}, scores=scores)
    result = judge(replace(made, steps=tuple(steps), evidence=evidence), **claim)
    assert (result.holds, result.value, result.rank, result.num_passing) == (False, None, None, None)
    assert result.missing == reason


def test_reasons_of_the_capture_are_given() -> None:
    made = make_capture()
    assert judge(withhold(made, 1), head="L0H0", effect="> 0", step=1).missing == "x"
    for kind, keys in (("attribution", {}), ("sources", {"to": 0})):
        left = made.evidence.replace(missing={kind: "too large"})
        left = left.replace(attribution=None) if kind == "attribution" else left
        one = replace(made, evidence=left)
        one = with_attribution(one, sources=None) if kind == "sources" else one
        assert judge(one, head="L0H0", effect="> 0", **keys).missing == "too large"
    none = make_capture(generated=())
    assert judge(none, head="L0H0", effect="> 0").missing == "nothing was generated"
    assert judge(none, head="L0H1", weight="> 0.9", at="last", to=3).holds


def test_foil_that_was_written_has_no_value() -> None:
    made = with_foil(make_capture())
    foil = replace(made.foils[0], missing="it is what the model wrote")
    result = judge(replace(made, foils=(foil,)), head="L0H0", effect="> 0", against=" dog")
    assert (result.holds, result.missing) == (False, "it is what the model wrote")


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ({"head": "L3H0", "effect": "> 0"}, "there is no layer 3: the model has 3, 0 to 2"),
        ({"head": "L0H4", "effect": "> 0"}, "there is no head 4: the model has 4, 0 to 3"),
        ({"head": "L0H0", "weight": "> 0", "from": "last", "to": " dog"}, "the text does not have; write the exact"),
        ({"head": "L0H0", "weight": "> 0", "from": "last", "to": "cat"}, "does not have; did you mean ' cat'?"),
    ],
)
def test_claim_of_a_redrawn_page_is_checked_too(claim: dict[str, Any], says: str) -> None:
    made = with_claims(make_capture(), {"head": "L0H0", "effect": "> 0"}, claim)
    place = SourceLocation("p.yaml", 2, {"claims[1]": 5, "claims[2]": 6})
    with pytest.raises(PromptError) as caught:
        judge_claims(replace(made, prompt=replace(made.prompt, place=place)))
    assert str(caught.value).startswith("p.yaml:6: claims[2]")
    assert says in str(caught.value)


def test_claims_of_a_run_in_python() -> None:
    model = wrap_model(make_network("gpt2"), make_tokenizer(), name="tiny")
    claims = [
        {"head": "L1H2", "weight": ">= 0", "from": "last", "to": "first"},
        {"head": "L1H2", "weight": "< 0", "from": 5, "to": {"token": "a", "nth": 1}},
    ]
    first, second = run(model, TEXT, max_new_tokens=1, claims=claims).claims
    assert (first.holds, first.num_passing, first.num_heads) == (True, 8, 8)
    assert (second.holds, second.num_passing, second.key_pos) == (False, 0, 5)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"to": "a"}, "names the token 'a', which the text has 5 times; say which with nth: {token: …, nth: 5}"),
        ({"to": {"token": "a", "nth": 6}}, "names the token 'a', which the text has 5 times, and nth is 6"),
        ({"to": {"token": "T", "nth": 3}}, "which the text has 2 times, and nth is 3"),
        ({"to": "z"}, "names the token 'z', which the text does not have; write the exact text of one token"),
        ({"to": 37}, "names position 37, and the text has at most 34 tokens"),
        ({"to": 5, "from": 4}, "is from position 4 to 5, which comes later; attention reads what is before"),
    ],
)
def test_place_that_is_not_in_the_text_is_refused_before_the_run(keys: dict[str, Any], says: str) -> None:
    model = wrap_model(make_network("gpt2"), make_tokenizer(), name="tiny")
    claim = {"head": "L1H2", "weight": "> 0", "from": "last", **keys}
    with pytest.raises(PromptError) as caught:
        run(model, TEXT, max_new_tokens=2, claims=[claim])
    assert str(caught.value) == f"prompt: claims[1] {says}" or says in str(caught.value)


def test_steps_of_a_given_text_are_known_before_the_run() -> None:
    model = wrap_model(make_network("gpt2"), make_tokenizer(), name="tiny")
    given = {"continuation": " on", "claims": [{"token": "n", "rank": "> 0", "step": 2}]}
    (result,) = run(model, TEXT, **given).claims
    assert (result.holds, result.step) == (True, 2)
    with pytest.raises(PromptError, match="is for step 2, and the last step is 1; lower its step or lengthen the cont"):
        run(model, TEXT, **{**given, "continuation": "on"})


@pytest.mark.parametrize(
    ("slug", "failing"), sample([("story-of-mary", 4), ("story-of-the-hat", 3), ("story-of-france", 4)], 3)
)
def test_of_each_story_in_the_documentation_one_claim_does_not_hold(
    smollm2: LoadedModel, slug: str, failing: int
) -> None:
    """It is the last one, and each story says why."""
    prompts = load_prompts(ROOT / "docs" / "examples" / "stories.yaml")
    (prompt,) = (one for one in prompts if one.slug == slug)
    results = judge_claims(capture(smollm2, prompt))
    assert [index for index, result in enumerate(results) if not result.holds] == [failing]
    assert all(result.value is not None for result in results)
