"""Rows of text for the tables of a page, which also serve readers without scripts and screen readers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import DRIFT_LIMIT, ONE_PASS, Capture
from reportgen.evidence.kinds.attribution import Attribution
from reportgen.evidence.kinds.lens import Lens
from reportgen.evidence.kinds.scores import HEAD_SCORES, HeadScore
from reportgen.pages.stills import Shade
from reportgen.records import PREDICTIONS, Prediction, Token
from reportgen.records.span import GENERATED, GIVEN

_LINE_END = re.compile("↵")
_RUNNERS_UP = 3
_STRONGEST = 4
_LAST_LAYERS = 4


@dataclass(frozen=True)
class TokenView:
    """One token of the text.

    Attributes:
        position: position of the token.
        shown: text for display.
        lines: the same, in lines.
        special: whether the tokenizer calls the token special.
        generated: whether it stands behind the prompt: it was generated, or is the token of a forecast.
        is_forecast: whether it was not generated, and the model would write it next.
        shade: colours of what was read of the token.
        spans: names of the spans that hold it, and whether it is the first token of each.
        mark: number of the last span that holds it; ``None`` if there is none.
    """

    position: int
    shown: str
    lines: tuple[str, ...]
    special: bool
    generated: bool
    is_forecast: bool = False
    shade: Shade | None = None
    spans: tuple[tuple[str, bool], ...] = ()
    mark: int | None = None


@dataclass(frozen=True)
class PromptRow:
    """One token of the prompt and its predicted probability; the first token is not predicted, so it has none."""

    position: int
    token: Token
    prob: str = ""
    logprob: str = ""
    rank: str = ""


@dataclass(frozen=True)
class StepRow:
    """One generation step; of a forecast, the step of the token that the model would write next."""

    step: int
    token: Token
    prob: str
    logprob: str
    rank: int
    entropy: str
    filtered_prob: str
    runners_up: tuple[tuple[str, str], ...]
    is_forecast: bool = False


@dataclass(frozen=True)
class ScoreRow:
    """One head score and the heads with its largest values, ``(layer, head, value)`` each; none if undefined."""

    score: HeadScore
    strongest: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class EvidenceRow:
    """Evidence for the token of one step; unknown fields are empty.

    Attributes:
        step: 0-based number of the generation step.
        token: token that the step chose.
        check: sum of all attribution parts and the logit that it must equal, or why the parts are withheld.
        strongest_for: heads with the largest positive attribution, ``("L3 H7", "+0.512")`` each.
        strongest_against: heads with the largest negative attribution, in the same form.
        last_layers: most probable token after each of the last layers, ``("L28", token, probability)`` each.
    """

    step: int
    token: Token
    check: str = ""
    strongest_for: tuple[tuple[str, str], ...] = ()
    strongest_against: tuple[tuple[str, str], ...] = ()
    last_layers: tuple[tuple[str, Token, str], ...] = ()


def make_evidence_rows(capture: Capture) -> list[EvidenceRow]:
    """Return a row for each step; no rows if there is neither attribution nor a lens."""
    attribution, lens = capture.evidence.attribution, capture.evidence.lens
    if attribution is None and lens is None:
        return []
    rows = []
    for step in range(len(capture.steps)):
        values = None if attribution is None else attribution.heads[0, step]
        rows.append(
            EvidenceRow(
                step=step,
                token=capture.tokens[capture.num_prompt_tokens + step],
                check="" if attribution is None else describe_check(attribution, step),
                strongest_for=() if values is None else _top_heads(capture, values, 1),
                strongest_against=() if values is None else _top_heads(capture, values, -1),
                last_layers=() if lens is None else _last_layers(lens, step),
            )
        )
    return rows


def describe_check(attribution: Attribution, step: int) -> str:
    """Return a text that compares the sum of a step's parts with the logit that it must equal."""
    if reason := attribution.withheld[0][step]:
        return f"withheld: {reason}"
    parts = (attribution.embedding, attribution.biases, attribution.other_heads)
    total = sum(float(part[0, step]) for part in parts)
    total += float(attribution.heads[0, step].sum()) + float(attribution.other_parts[0, step].sum())
    logit = float(attribution.logits[0, step])
    rounding = float(attribution.rounding[0, step])
    return f"parts {format_signed(total)}, logit {format_signed(logit)}, rounding {rounding:.1e}"


def make_score_rows(capture: Capture) -> list[ScoreRow]:
    """Return a row for each score of the capture."""
    return [
        ScoreRow(score, _strongest_heads(capture, score))
        for score in HEAD_SCORES
        if score.name in capture.evidence.scores
    ]


def make_token_views(capture: Capture, shades: Sequence[Shade | None] = ()) -> list[TokenView]:
    """Return the tokens of the text.

    Args:
        capture: capture with the tokens.
        shades: colours of the first tokens.
    """
    views = []
    marked = [span for span in capture.spans if span.name not in (GENERATED, GIVEN)]
    for position, (token, shade) in enumerate(zip_longest(capture.tokens, shades)):
        held = [number for number, span in enumerate(marked) if span.first <= position <= span.last]
        views.append(
            TokenView(
                position=position,
                shown=token.shown,
                lines=tuple(_LINE_END.sub("\\g<0>\n", token.shown).split("\n"))
                if "\n" in token.text
                else (token.shown,),
                special=token.special,
                generated=position >= capture.num_prompt_tokens,
                is_forecast=capture.is_forecast and position >= capture.num_prompt_tokens,
                shade=shade,
                spans=tuple((marked[number].name, marked[number].first == position) for number in held),
                mark=held[-1] if held else None,
            )
        )
    return views


def make_prompt_rows(capture: Capture) -> list[PromptRow]:
    """Return a row for each token of the prompt; no rows if their predictions were left out."""
    if PREDICTIONS in capture.prompt.without:
        return []
    first, *rest = capture.tokens[: capture.num_prompt_tokens]
    rows = [PromptRow(0, first)]
    for position, (token, prediction) in enumerate(zip(rest, capture.prompt_predictions, strict=True), start=1):
        rows.append(
            PromptRow(
                position,
                token,
                prob=format_prob(prediction.logprob),
                logprob=format_logprob(prediction.logprob),
                rank=str(prediction.rank),
            )
        )
    return rows


def make_step_rows(capture: Capture) -> list[StepRow]:
    """Return a row for each step."""
    return [
        StepRow(
            step=step.step,
            token=capture.tokens[capture.num_prompt_tokens + step.step],
            prob=format_prob(step.raw.logprob),
            logprob=format_logprob(step.raw.logprob),
            rank=step.raw.rank,
            entropy=f"{step.raw.entropy:.3f}",
            filtered_prob=format_prob(step.filtered.logprob) if step.filtered else "n/a",
            runners_up=_runners_up(step.raw, capture.tokens[capture.num_prompt_tokens + step.step]),
            is_forecast=capture.is_forecast,
        )
        for step in capture.steps
    ]


def make_settings(capture: Capture) -> list[tuple[str, str]]:
    """Return the settings that are needed to reproduce the page, as rows of name and value."""
    prompt, model, generation = capture.prompt, capture.model, capture.prompt.generation
    rows = [
        ("model", model.name),
        ("revision", model.revision),
        ("adapter", model.adapter),
        ("tokenizer", "the adapter's own" if model.adapter_tokenizer else ""),
        ("architecture", model.architecture),
        ("parameters", f"{model.num_parameters:,}" if model.num_parameters else ""),
        ("key/value heads", str(model.num_kv_heads)),
        ("dtype and device", f"{model.dtype} on {model.device}"),
        ("layers shown", str(prompt.layers)),
        ("heads shown", str(prompt.heads)),
        ("continuation", "given" if capture.is_given else ""),
        ("most new tokens", "" if capture.is_given else str(prompt.max_new_tokens)),
        *((name, _say(value)) for name, value in generation.settings().items()),
        ("return_sequence", str(generation.return_sequence or "")),
        ("seed", "" if capture.is_given else str(generation.seed)),
        ("special tokens added", "by the chat template" if prompt.messages else str(prompt.add_special_tokens).lower()),
        ("tools", ", ".join(_name_tool(tool) for tool in prompt.tools)),
        ("chat template", prompt.chat_template),
        (
            "template variables",
            ", ".join(f"{name}: {_say(value)}" for name, value in prompt.chat_template_kwargs.items()),
        ),
        ("last message", "continued" if prompt.continue_final_message else ""),
        *capture.versions.items(),
    ]
    return [(name, value) for name, value in rows if value]


def summarize_settings(capture: Capture) -> str:
    """Return one line with the model, its dtype and device, and how tokens were chosen."""
    model, generation = capture.model, capture.prompt.generation
    kinds = ["sampled" if generation.do_sample else "greedy"]
    if generation.num_beams > 1:
        kinds.append(f"{generation.num_beams} beams")
    told = {"do_sample", "num_beams", "num_return_sequences"}
    settings = [f"{name} {_say(value)}" for name, value in generation.settings().items() if name not in told]
    if generation.do_sample:
        settings.append(f"seed {generation.seed}")
    if generation.return_sequence is not None:
        settings.append(f"sequence {generation.return_sequence} of {generation.num_return_sequences}")
    chosen = ", ".join((*kinds, *settings))
    if capture.is_given:
        chosen = "continuation given"
    elif not capture.prompt.max_new_tokens:
        chosen = "nothing generated, most probable next token" if capture.is_forecast else "forward pass alone"
    return " · ".join((model.architecture, f"{model.dtype} on {model.device}", chosen))


def describe_drift(capture: Capture) -> str:
    """Return which run the attention is of, and how far its log-probabilities are from those of the generation."""
    if not capture.steps:
        return ""
    if capture.strategy == ONE_PASS:
        run = "the run that chose the next token" if capture.is_forecast else "the generation itself"
        return f"Attention and evidence are of {run}."
    if capture.is_forecast:
        return (
            "Attention and evidence are of a second pass, over the prompt and the token that the model would write "
            f"next; its log-probability differs by {capture.logprob_drift:.1e} from that of the pass that chose it."
        )
    if capture.is_given:
        return (
            "The continuation was given and is scored. Log-probabilities of two passes, one of them with attention and "
            f"evidence, differ by at most {capture.logprob_drift:.1e}."
        )
    return (
        "Attention and evidence are of a second pass, over prompt and generated tokens; its log-probabilities differ "
        f"from those of the generation by at most {capture.logprob_drift:.1e}."
    )


def warn_of_drift(capture: Capture) -> str:
    """Return a warning if the log-probability drift exceeds its limit; otherwise an empty text."""
    if capture.logprob_drift <= capture.drift_limit:
        return ""
    dtype = capture.model.dtype
    if capture.drift_limit == DRIFT_LIMIT:
        advice = "do not cite it"
    else:
        advice = "take the model in full precision" if "quantised" in dtype else "try --dtype float32"
    chose, text = {
        "next": ("pass that chose the next token", "chose it"),
        "given": ("pass that scored the continuation", "scored the text"),
        "generated": ("generation", "generated the text"),
    }[capture.origin]
    return (
        f"log-probabilities of the {chose} and of the pass that attention comes from differ by up to "
        f"{capture.logprob_drift:.2g}, more than rounding in {dtype} does ({capture.drift_limit:g}): "
        f"the attention shown may not be what {text}; {advice}"
    )


def format_prob(logprob: float) -> str:
    """Return a probability with about three significant digits; only an impossible token gives ``0``."""
    prob = math.exp(logprob)
    return "0" if prob == 0 else f"{prob:.3f}" if prob >= 0.1 else f"{prob:.3g}"


def format_logprob(logprob: float) -> str:
    """Return a log-probability with three decimal places."""
    return f"{logprob:.3f}".replace("-inf", "−∞").replace("-", "−")


def format_signed(value: float) -> str:
    """Return a number with its sign and three decimal places; ``n/a`` for NaN."""
    return "n/a" if math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def _name_tool(tool: Mapping[str, Any]) -> str:
    """Return the name of a tool, which is in its mapping or under ``function``."""
    inner = tool.get("function")
    return str((inner if isinstance(inner, Mapping) else tool).get("name", "unnamed"))


def _say(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(repr, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _top_heads(capture: Capture, values: NDArray[np.float32], sign: int) -> tuple[tuple[str, str], ...]:
    """Return the names and values of the heads with the largest values of one sign; ``values``: ``[layer, head]``."""
    order = np.argsort(-sign * values, axis=None, kind="stable")[:_STRONGEST]  # NaN is sorted last
    entries = ((*divmod(int(cell), len(capture.heads)), float(values.flat[cell])) for cell in order)
    return tuple(
        (f"L{capture.layers[row]} H{capture.heads[column]}", format_signed(value))
        for row, column, value in entries
        if sign * value > 0
    )


def _last_layers(lens: Lens, step: int) -> tuple[tuple[str, Token, str], ...]:
    rows = list(zip(lens.layers, lens.best, lens.best_logprobs, strict=True))[-_LAST_LAYERS:]
    return tuple((f"L{layer}", best[step], format_prob(float(logprobs[step]))) for layer, best, logprobs in rows)


def _strongest_heads(capture: Capture, score: HeadScore) -> tuple[tuple[int, int, str], ...]:
    values = capture.evidence.scores[score.name]
    order = np.argsort(-values, axis=None, kind="stable")[:_STRONGEST]  # NaN is sorted last
    entries = ((*divmod(int(cell), len(capture.heads)), float(values.flat[cell])) for cell in order)
    return tuple(
        (capture.layers[row], capture.heads[column], f"{value:.3f}" if score.is_share else f"{value:.1f}")
        for row, column, value in entries
        if not math.isnan(value)
    )


def _runners_up(prediction: Prediction, chosen: Token) -> tuple[tuple[str, str], ...]:
    others = [(token, logprob) for token, logprob in prediction.alternatives if token.token_id != chosen.token_id]
    return tuple((token.shown, format_prob(logprob)) for token, logprob in others[:_RUNNERS_UP])
