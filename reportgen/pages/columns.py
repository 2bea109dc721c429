"""Unit and definition of every column of the tables of numbers, which a table of its own lists next to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reportgen.evidence.kinds.scores import HEAD_SCORES

COLUMNS_TABLE = "columns"
"""Name of the table that describes the columns of the other tables."""


@dataclass(frozen=True)
class Column:
    """Description of one column.

    Attributes:
        unit: unit of the numbers, such as ``nats``, ``tokens`` or ``logits``; ``share`` is a number from 0 to 1,
            ``index`` a number that counts from 0 or identifies something, ``rank`` one that counts from 1.
        definition: what the numbers are, in one sentence.
    """

    unit: str
    definition: str


_TEXT = "in CSV a NUL character is written as ␀ (U+2400)"
_LAYER = Column("index", "number of the layer in the model, from 0")
_HEAD = Column("index", "number of the head in its layer, from 0")
_STEP = Column("index", "number of the generation step, from 0")
_QUERY = Column("index", "position of the query, from 0")
_TOKEN_ID = Column("index", "index of the token in the vocabulary")
_TOKEN_TEXT = Column("text", f"exact decoded text of the token; {_TEXT}")
_GENERATED = Column(
    "text",
    "yes if the token was generated, given if it was given, no if it is of the prompt, next if it is what the model "
    "would write without being asked to generate",
)
_LOGPROB = Column("nats", "natural logarithm of the probability of the token, before sampling filters")
_RANK = Column("rank", "place of the token by probability; 1 is the most probable")
_DISTRIBUTION_ENTROPY = Column("nats", "entropy of the distribution that predicted the token, before sampling filters")

COLUMNS: Mapping[str, Mapping[str, Column]] = {
    COLUMNS_TABLE: {
        "table": Column("text", "name of a table"),
        "column": Column("text", "name of a column of the table"),
        "unit": Column("text", "unit of the numbers in the column"),
        "definition": Column("text", "what the column holds"),
    },
    "tokens": {
        "position": Column("index", "position of the token, from 0"),
        "generated": _GENERATED,
        "token_id": _TOKEN_ID,
        "text": _TOKEN_TEXT,
        "logprob": _LOGPROB,
        "rank": _RANK,
        "entropy": _DISTRIBUTION_ENTROPY,
    },
    "steps": {
        "step": _STEP,
        "query_pos": Column("index", "position of the token before that of the step, from 0"),
        "generated": _GENERATED,
        "token_id": _TOKEN_ID,
        "text": _TOKEN_TEXT,
        "logprob": _LOGPROB,
        "rank": _RANK,
        "entropy": _DISTRIBUTION_ENTROPY,
        "filtered_logprob": Column(
            "nats", "natural logarithm of the probability of the token after sampling filters; empty with beam search"
        ),
        "logprob_drift": Column("nats", "absolute difference between logprob in generation and in the attention pass"),
    },
    "foils": {
        "step": _STEP,
        "token_id": Column("index", "token that the token of the step is compared with"),
        "text": _TOKEN_TEXT,
        "logprob": _LOGPROB,
        "rank": _RANK,
        "missing": Column("text", "why the comparison is not measured; empty if it is"),
    },
    "heads": {
        "layer": _LAYER,
        "head": _HEAD,
        **{score.name: Column("share" if score.is_share else "tokens", score.definition) for score in HEAD_SCORES},
    },
    "attribution": {
        "step": _STEP,
        "against": Column(
            "text",
            "what the token is compared with: alternatives, mean, runner-up or foil; or account, or by token read",
        ),
        "against_token_id": Column("index", "token to compare with; empty unless it is a runner-up or a foil"),
        "against_text": Column("text", f"its exact decoded text; {_TEXT}"),
        "part": Column("text", "part of the network; all is the sum of the other parts of a comparison"),
        "layer": Column("index", "number of the layer in the model, from 0; empty if the part is of no single layer"),
        "head": Column("index", "number of the head in its layer, from 0; empty if the part is no single head"),
        "key_pos": Column("index", "position of the token that attention read, from 0; empty for other parts"),
        "logit": Column("logits", "contribution of the part to the logit of the token minus that of the comparison"),
    },
    "spans": {
        "layer": _LAYER,
        "head": _HEAD,
        "step": Column("index", "number of the generation step, from 0; empty for weights"),
        "query_span": Column("text", f"name of the span that reads; empty for effects; {_TEXT}"),
        "key_span": Column("text", f"name of the span that is read; rest is all tokens in no span; {_TEXT}"),
        "weight": Column("share", "mean over the queries of a span of the summed weight on the keys of another"),
        "effect": Column("logits", "effect on the token of the step against the alternatives through the span, summed"),
    },
    "ablation": {
        "method": Column("text", "what replaces the output of the head: ablation is 0, mean-ablation is its mean"),
        "step": _STEP,
        "layer": _LAYER,
        "head": _HEAD,
        "logprob_change": Column(
            "nats", "change of logprob of the token of the step without the head; empty if only estimated"
        ),
    },
    "foil-ablation": {
        "method": Column("text", "what replaces the output of the head: ablation is 0, mean-ablation is its mean"),
        "step": _STEP,
        "against_token_id": Column("index", "the foil"),
        "against_text": Column("text", f"its exact decoded text; {_TEXT}"),
        "layer": _LAYER,
        "head": _HEAD,
        "logit_change": Column(
            "logits",
            "change of the logit of the token of the step minus that of the foil without the head; empty if "
            "only estimated",
        ),
    },
    "estimate": {
        "method": Column("text", "estimate is of a head set to 0, mean-estimate of a head set to its mean"),
        "step": _STEP,
        "layer": _LAYER,
        "head": _HEAD,
        "logprob_change_estimate": Column(
            "nats", "first-order estimate of the change of logprob of the token of the step without the head"
        ),
        "ablated_because": Column(
            "text", "why the head was also ablated: largest, flagged, drawn, or several of these; empty if it was not"
        ),
    },
    "lens": {
        "layer": Column("index", "number of the layer after which the logit lens reads, from 0"),
        "step": _STEP,
        "logprob": Column("nats", "natural logarithm of the probability that the lens gives the token of the step"),
        "rank": Column("rank", "place of that token by probability in the lens; 1 is the most probable"),
        "best_token_id": Column("index", "index of the most probable token of the lens in the vocabulary"),
        "best_text": Column("text", f"its exact decoded text; {_TEXT}"),
        "best_logprob": Column("nats", "natural logarithm of the probability that the lens gives that token"),
        "against_token_id": Column("index", "foil of the step; empty if it has none"),
        "against_text": Column("text", f"its exact decoded text; {_TEXT}"),
        "logit_difference": Column("logits", "logit that the lens gives the token of the step minus that of the foil"),
    },
    "entropy": {
        "layer": _LAYER,
        "head": _HEAD,
        "query_pos": _QUERY,
        "entropy": Column("nats", "entropy of the weights of the query over its keys, without a learned sink"),
    },
}
"""Columns by table and name, in the order of the tables."""


def list_columns(tables: Mapping[str, Mapping[str, object]]) -> Iterator[dict[str, str]]:
    """Yield a row of the table of columns for each column of other tables.

    Args:
        tables: tables by name, each with its columns by name.
    """
    for table, columns in tables.items():
        for name in columns:
            described = COLUMNS[table][name]
            yield {"table": table, "column": name, "unit": described.unit, "definition": described.definition}
