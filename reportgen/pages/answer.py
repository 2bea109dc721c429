"""Say what the model wrote and which heads pushed for it, from the numbers of a capture.

Every step has an answer of two sentences: the claim, which a page shows first, and the details, which it shows smaller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.content import find_content
from reportgen.captures.record import Capture
from reportgen.evidence.default_head import MIN_TOKENS, find_default_head
from reportgen.evidence.kinds.attribution import Attribution
from reportgen.evidence.reads import Read, find_foil_reads, find_reads
from reportgen.records import FoilToken, Token
from reportgen.records.sentences import (
    HeadPart,
    Sentence,
    StrongPart,
    TokenPart,
    format_effect,
    format_percent,
    format_weight,
    make_sentence,
)

_READS = 4
"""Number of reads that are named: one in the claim, the others in the details."""
_ALTERNATIVES = 3


@dataclass(frozen=True)
class Odds:
    """From the logit of a token over its alternatives to its log-odds: ``total + soft_cap - entropy``.

    Attributes:
        soft_cap: what a soft cap of the logits changes; 0 without one.
        entropy: entropy of the alternatives, in nats: how many they are.
        log_odds: log-odds of the token, in nats.
    """

    soft_cap: float
    entropy: float
    log_odds: float


@dataclass(frozen=True)
class Account:
    """How the parts of the network make up the logit of a written token over the alternatives, or over a foil.

    ``total`` is ``attention + mlps + other``.

    Attributes:
        total: logit of the token minus that of the alternatives or the foil.
        attention: all heads, captured or not.
        mlps: what layers added next to their heads: MLPs, and layers without attention.
        other: embedding, biases and rounding.
        odds: from the total to the log-odds of the token; ``None`` against a foil.
    """

    total: float
    attention: float
    mlps: float
    other: float
    odds: Odds | None


@dataclass(frozen=True)
class Answer:
    """What the model wrote in a step, and which heads pushed for it.

    Attributes:
        step: generation step; ``None`` if nothing was generated.
        claim: what the model wrote, and the read with the largest effect.
        details: the next reads, the largest one against, and the account; or why there are none. May be empty.
        token: token that was written; ``None`` if nothing was generated.
        prob: its probability before sampling filters; ``None`` if nothing was generated.
        best: the read with the largest effect through one earlier token; ``None`` if none is known or all are 0.0 or
            less in print.
        account: how the parts add up; ``None`` if the step was withheld or attribution is unknown.
    """

    step: int | None
    claim: Sentence
    details: Sentence
    token: Token | None
    prob: float | None
    best: Read | None
    account: Account | None


def make_answer(capture: Capture, step: int | None) -> Answer:
    """Return the answer of one step, or of a capture without generated tokens if ``step`` is ``None``.

    Raises:
        IndexError: there is no such step.
    """
    return _Answers(capture).make(step)


def make_answers(capture: Capture) -> list[Answer]:
    """Return the answer of each step; of a capture without generated tokens, one answer without a step."""
    answers = _Answers(capture)
    return [answers.make(step.step) for step in capture.steps] or [answers.make(None)]


def make_account(attribution: Attribution, step: int, contrast: int = 0) -> Account | None:
    """Return the account of a step against the alternatives, or another contrast; ``None`` if it was withheld."""
    if attribution.withheld[contrast][step]:
        return None
    at = {
        name: float(getattr(attribution, name)[contrast, step])
        for name in ("logits", "embedding", "biases", "rounding", "other_heads")
    }
    return Account(
        total=at["logits"],
        attention=float(attribution.heads[contrast, step].sum(dtype=float)) + at["other_heads"],
        mlps=float(attribution.other_parts[contrast, step].sum(dtype=float)),
        other=at["embedding"] + at["biases"] + at["rounding"],
        odds=None if contrast else _read_odds(attribution, step),
    )


def _read_odds(attribution: Attribution, step: int) -> Odds:
    values = (attribution.soft_cap, attribution.entropy, attribution.log_odds)
    return Odds(*(float(value[step]) for value in values))


def find_most_read(capture: Capture, layer: int, head: int, query_pos: int) -> tuple[int, float]:
    """Return the token that a head reads most at a position, and its weight.

    The first token, the token before and the position itself are left out, if there are others.
    """
    weights = capture.attention[layer, head, query_pos, : query_pos + 1]
    elsewhere = range(1, query_pos - 1) or range(query_pos + 1)
    key_pos = max(elsewhere, key=lambda position: weights[position])
    return key_pos, float(weights[key_pos])


class _Answers:
    """The answers of a capture, with what is looked for once for all steps."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._attribution: Attribution | None = capture.evidence.attribution
        with_gaps = not all(layer_type.has_attention for layer_type in capture.layer_types)
        self._mlps = "MLPs and layers without attention" if with_gaps else "MLPs"

    @cached_property
    def _content(self) -> NDArray[np.bool_]:
        return find_content(self._capture)

    @cached_property
    def _reads(self) -> list[tuple[Read, ...]]:
        return self._merge(find_reads(self._capture, self._content, _READS), self._foil_reads)

    @cached_property
    def _against(self) -> list[tuple[Read, ...]]:
        foils = find_foil_reads(self._capture, self._content, 1, sign=-1)
        return self._merge(find_reads(self._capture, self._content, 1, sign=-1), foils)

    @cached_property
    def _foil_reads(self) -> list[tuple[Read, ...]]:
        return find_foil_reads(self._capture, self._content, _READS)

    def _merge(self, steps: Sequence[tuple[Read, ...]], foils: Sequence[tuple[Read, ...]]) -> list[tuple[Read, ...]]:
        """Return the reads of each step, against its first foil if it has one."""
        compared = [self._capture.foil_of_step(step) for step in range(len(steps))]
        pairs = zip(steps, compared, strict=True)
        return [_leave_out_none(reads if foil is None else foils[foil]) for reads, foil in pairs]

    @cached_property
    def _default_head(self) -> tuple[int, int]:
        return find_default_head(self._capture)

    def make(self, step: int | None) -> Answer:
        """Return the answer of a step, or of a capture without steps."""
        if step is None:
            count = self._capture.num_tokens
            given = f"Nothing was generated after this text of {count} token{'s' * (count > 1)}. "
            singled = self._say_default_head(self._capture.num_prompt_tokens - 1)
            return Answer(None, make_sentence(given, singled), (), None, None, None, None)
        query_pos = self._capture.query_pos_of_step(step)
        account = None
        if self._attribution is not None:
            account = make_account(self._attribution, step, self._contrast(self._attribution, step))
        balance = () if account is None else self._say_balance(account)
        best = next(iter(self._reads[step]), None)
        with_sources = account is not None and self._attribution is not None and self._attribution.sources is not None
        effect = self._say_best(step, best) if with_sources else self._say_default_head(query_pos)
        others = self._say_others(step) if with_sources else self._say_missing(step)
        accounted = () if account is None else self._say_account(account)
        return Answer(
            step=step,
            claim=make_sentence(self._say_written(step), " ", *_spaced(self._say_foil(step), balance, effect)),
            details=make_sentence(*_spaced(others, accounted, *self._say_other_foils(step))),
            token=self._capture.tokens[query_pos + 1],
            prob=self._prob(step),
            best=best,
            account=account,
        )

    def _token(self, position: int) -> TokenPart:
        return TokenPart(self._capture.tokens[position].shown, position)

    def _prob(self, step: int) -> float:
        return math.exp(self._capture.steps[step].raw.logprob)

    def _contrast(self, attribution: Attribution, step: int) -> int:
        """Return the index of what a step is compared with: its first foil, or the alternatives."""
        return attribution.foil_contrast(self._capture.foil_of_step(step))

    def _say_written(self, step: int) -> Sentence:
        position = self._capture.query_pos_of_step(step) + 1
        if self._capture.is_given:
            return self._say_given(step, position)
        ends = self._capture.tokens[position].special and position == self._capture.num_tokens - 1
        verb = "ended with" if ends else "wrote"
        if self._capture.is_forecast:
            verb = "would end the text here with" if ends else "would write next"
        return make_sentence(f"The model {verb} ", self._token(position), f" ({format_percent(self._prob(step))}).")

    def _say_given(self, step: int, position: int) -> Sentence:
        raw = self._capture.steps[step].raw
        said = ("The given token ", self._token(position), f" has {format_percent(self._prob(step))}, rank {raw.rank}.")
        if raw.rank == 1:
            return said
        best, logprob = raw.alternatives[0]
        return (*said, " The model’s own is ", TokenPart(best.shown), f" ({format_percent(math.exp(logprob))}).")

    def _say_balance(self, account: Account) -> Sentence:
        """Return what comes first if attention is not the larger part, or speaks against the token."""
        attention, mlps, total = map(format_effect, (account.attention, account.mlps, account.total))
        if account.mlps > max(account.attention, 0):
            return (f"Mostly {self._mlps}: {mlps} of {total}; attention {attention}.",)
        if account.attention <= 0:
            return (f"Attention does not speak for it: {attention} of {total}; {self._mlps} {mlps}.",)
        return ()

    def _say_best(self, step: int, best: Read | None) -> Sentence:
        if best is None:
            return ("No single earlier token adds even 0.1 logits, the first token aside.",)
        captured = "" if self._capture.has_all_heads else " of a captured head"
        written = self._token(self._capture.query_pos_of_step(step) + 1)
        return make_sentence(
            f"The largest effect{captured} through one earlier token: ",
            HeadPart(best.layer, best.head), " reads ", self._token(best.key_pos),
            f" with weight {format_weight(best.weight)}, ", StrongPart(format_effect(best.effect)),
            " logits for ", written, *self._say_over(step), ".",
        )  # fmt: skip

    def _say_over(self, step: int) -> Sentence:
        """Return what a step's token is compared with."""
        number = self._capture.foil_of_step(step)
        if number is None:
            return make_sentence(" over its alternatives", self._list_alternatives(step))
        return " over ", TokenPart(self._capture.measured_foils[number].token.shown)

    def _say_foil(self, step: int) -> Sentence:
        """Return how probable the first foil of a step is; nothing if it has none."""
        number = self._capture.foil_of_step(step)
        return () if number is None else self._say_probable(self._capture.measured_foils[number])

    def _say_probable(self, foil: FoilToken) -> Sentence:
        assert foil.logprob is not None
        return make_sentence(
            "Its foil ", TokenPart(foil.token.shown), f" has {format_percent(math.exp(foil.logprob))}."
        )

    def _say_other_foils(self, step: int) -> list[Sentence]:
        """Return a sentence for each further foil of a step, and for each foil that nothing is compared with."""
        said, first = [], self._capture.foil_of_step(step)
        for number, foil in enumerate(self._capture.measured_foils):
            if foil.step == step and number != first:
                said.append(self._say_other_foil(number, foil))
        for foil in self._capture.foils:
            if foil.missing and (foil.step == step or foil.step >= len(self._capture.steps)):
                said.append(make_sentence("The foil ", TokenPart(foil.token.shown), f" is n/a: {foil.missing}."))
        return said

    def _say_other_foil(self, number: int, foil: FoilToken) -> Sentence:
        account, attribution = None, self._attribution
        if attribution is not None:
            account = make_account(attribution, foil.step, attribution.foil_contrast(number))
        if account is None:
            return self._say_probable(foil)
        parts = f" {format_effect(account.total)}: attention {format_effect(account.attention)}, {self._mlps} "
        read = [make_sentence("; ", self._say_read(read)) for read in _leave_out_none(self._foil_reads[number][:1])]
        over = make_sentence("Over ", TokenPart(foil.token.shown), f"{parts}{format_effect(account.mlps)}", *read, ".")
        return make_sentence(self._say_probable(foil), " ", over)

    def _list_alternatives(self, step: int) -> Sentence:
        """Return the most probable other tokens in brackets; nothing if no other token was possible."""
        chosen = self._capture.tokens[self._capture.query_pos_of_step(step) + 1].token_id
        predicted = self._capture.steps[step].raw.alternatives
        others = [TokenPart(token.shown) for token, _ in predicted if token.token_id != chosen][:_ALTERNATIVES]
        return make_sentence(" (", *_join([(other,) for other in others]), " …)") if others else ()

    def _say_others(self, step: int) -> Sentence:
        clauses = []
        if others := self._reads[step][1:]:
            clauses.append(make_sentence("then ", *_join([self._say_read(read) for read in others])))
        if against := self._against[step]:
            clauses.append(make_sentence("most against: ", self._say_read(against[0])))
        if not clauses:
            return ()
        first, *rest = make_sentence(*_join(clauses, "; "), ".")
        return (str(first)[0].upper() + str(first)[1:], *rest)

    def _say_read(self, read: Read) -> Sentence:
        effect = f" {format_effect(read.effect)}"
        return HeadPart(read.layer, read.head), " through ", self._token(read.key_pos), effect

    def _say_account(self, account: Account) -> Sentence:
        parts = (account.total, account.attention, account.mlps, account.other)
        total, attention, mlps, other = map(format_effect, parts)
        summed = f"In all {total}: attention {attention}, {self._mlps} {mlps}, other {other}"
        if (odds := account.odds) is None:
            return (f"{summed}.",)
        capped = f"; soft cap {format_effect(odds.soft_cap)}" if odds.soft_cap else ""
        return (
            f"{summed}{capped}; less {odds.entropy:.1f} for the spread of the alternatives: log-odds "
            f"{format_effect(odds.log_odds)}.",
        )

    def _say_missing(self, step: int) -> Sentence:
        """Return why the effects through single tokens of a step are unknown; nothing if the reason is unknown."""
        missing = self._capture.evidence.missing
        if self._attribution is None:
            what, reason = "No effects", missing.get("attribution", "")
        elif reason := self._attribution.withheld[self._contrast(self._attribution, step)][step]:
            what = "The effects on this token are withheld"
        else:
            what, reason = "No effects through single tokens", missing.get("sources", "")
        return (f"{what}: {reason}.",) if reason else ()

    def _say_default_head(self, query_pos: int) -> Sentence:
        """Return what the head of ``find_default_head`` reads at a position, and the rule that it was chosen by."""
        capture, (layer, head) = self._capture, self._default_head
        key_pos, weight = find_most_read(capture, layer, head, query_pos)
        rule = (
            "Of all heads, {} singles out one token most, the first token, the one before and the query itself aside"
            if capture.num_tokens >= MIN_TOKENS
            else "In a text this short no head singles out a token; {} is the first one"
        )
        before, after = rule.split("{}")
        reads = (" reads ", self._token(key_pos), f" with weight {format_weight(weight)}.")
        return make_sentence(before, HeadPart(layer, head), after, ": at ", self._token(query_pos), " it", *reads)


def _leave_out_none(reads: Sequence[Read]) -> tuple[Read, ...]:
    """Return the reads whose effect is not printed as 0.0."""
    return tuple(read for read in reads if format_effect(read.effect) != format_effect(0))


def _join(pieces: Sequence[Sentence], separator: str = ", ") -> list[Sentence]:
    """Return sentences with a separator between them."""
    return [piece for sentence in pieces for piece in ((separator,), sentence)][1:]


def _spaced(*sentences: Sentence) -> list[Sentence]:
    """Return the sentences that say something, with a space between them."""
    return _join([sentence for sentence in sentences if sentence], " ")
