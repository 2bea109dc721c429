"""The keys of a prompt: their types, bounds and descriptions, and the JSON Schema of ``prompts.yaml`` made from them.

The same keys check a prompt file, and a ``Prompt`` created in Python.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticKnownError

from reportgen.records.address import EXAMPLE, parse_address
from reportgen.records.caption import parse_caption
from reportgen.records.choices import (
    COMPARED_EVIDENCE,
    DEFAULT_MODEL,
    DEFAULT_NEW_TOKENS,
    EXTRA_EVIDENCE,
    HEAD_SCORE_NAMES,
    MOST_COMPARED,
    OPTIONAL,
    PATCHING,
    ROLES,
)
from reportgen.records.claim import CLAIM_KEYS, KEYS_OF_CLAIMS, parse_claim
from reportgen.records.selection import Selection, parse_selection
from reportgen.records.slug import SLUG_PATTERN, check_slug
from reportgen.records.span import RESERVED_SPANS
from reportgen.records.story import FIGURES

_PART_SCHEMA = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
    "additionalProperties": False,
}
_CONTENT_SCHEMA = {
    "anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "minItems": 1, "items": _PART_SCHEMA}]
}
_SPANS_SCHEMA = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": r"\S", "not": {"enum": list(RESERVED_SPANS)}},
    "additionalProperties": {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {
                "type": "object",
                "properties": {"text": {"type": "string", "minLength": 1}, "nth": {"type": "integer", "minimum": 1}},
                "required": ["text"],
                "additionalProperties": False,
            },
        ]
    },
}
_RANGE = r"-?[0-9]{1,6}(\s*-\s*-?[0-9]{1,6})?"
_SELECTION_SCHEMA = {
    "anyOf": [
        {"type": "integer"},
        {"type": "string", "pattern": rf"^\s*(all|{_RANGE}(\s*,\s*{_RANGE})*)\s*$"},
        {"type": "array", "minItems": 1, "items": {"type": ["integer", "string"]}},
    ]
}


def _check_not_blank(text: str) -> str:
    if not text or text.isspace():
        raise ValueError("is empty; write something or leave the key out")
    return text


def _check_not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty; write something or leave the key out")
    return text


def _check_file_name(slug: str) -> str:
    check_slug(slug)
    return slug


def _check_some(items: list[Any]) -> list[Any]:
    if not items:
        raise ValueError("is an empty list; add an item or leave the key out")
    return items


def _make_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check_unlike(items: list[Any]) -> list[Any]:
    for i, item in enumerate(items):
        if item in items[:i]:
            said = f"names {item.token!r} twice for one step" if isinstance(item, FoilKeys) else f"has {item!r} twice"
            raise ValueError(f"{said}; keep one")
    return items


def _make_foil(value: Any) -> Any:
    return {"token": value} if isinstance(value, str) else value


def _check_content(content: Any) -> Any:
    if isinstance(content, list):
        for number, part in enumerate(_check_some(content), 1):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind != "text" or part.keys() != {"type", "text"} or not isinstance(part["text"], str):
                raise ValueError(f"has a part {number} that is no text; write parts as {{type: text, text: …}}")
    elif content is not None and not isinstance(content, str):
        raise PydanticKnownError("string_type")
    return content


def _check_spans(spans: Any) -> Any:
    if not isinstance(spans, dict):
        raise PydanticKnownError("dict_type")
    if not spans:
        raise ValueError("has no entry; add a name and a text, or leave the key out")
    for name, given in spans.items():
        if not isinstance(name, str) or not name.strip() or name in RESERVED_SPANS:
            raise ValueError(f"has the name {name!r}; take another, and none of {', '.join(RESERVED_SPANS)}")
        text, nth = (given.get("text"), given.get("nth", 1)) if isinstance(given, dict) else (given, 1)
        if not isinstance(text, str) or not text or (isinstance(given, dict) and not given.keys() <= {"text", "nth"}):
            raise ValueError(f".{name} must be a text, or {{text: …, nth: 2}}; put numbers in quotes")
        if not isinstance(nth, int) or isinstance(nth, bool) or nth < 1:
            raise ValueError(f".{name}.nth must be a whole number from 1, got {nth!r}")
    return spans


def _check_compared(slugs: list[str]) -> list[str]:
    if len(slugs) < 2:
        raise ValueError(f"must name two prompts or more by their slugs, got {len(slugs)}; write [slug-a, slug-b]")
    if len(slugs) > MOST_COMPARED:
        raise ValueError(f"names {len(slugs)} prompts; name at most {MOST_COMPARED}")
    for place, slug in enumerate(slugs):
        if slug in slugs[:place]:
            raise ValueError(f"names {slug!r} twice; name each prompt once")
    return slugs


def _check_revisions(revisions: list[str]) -> list[str]:
    if not 2 <= len(revisions) <= MOST_COMPARED:
        raise ValueError(f"must name from 2 to {MOST_COMPARED} revisions, got {len(revisions)}")
    for place, revision in enumerate(revisions):
        if wrong := next((mark for mark in "@: " if mark in revision), ""):
            raise ValueError(f"names {revision!r}, and no revision has {wrong!r} in it; write it without the model")
        if revision in revisions[:place]:
            raise ValueError(f"names {revision!r} twice; name each revision once")
    return revisions


def _check_answers(answers: list[str]) -> list[str]:
    if len(answers) != 2 or answers[0] == answers[1]:
        raise ValueError("must be two different tokens, that of the first prompt and that of the second")
    return answers


def _select(value: Any) -> Selection:
    if isinstance(value, Selection):
        return value
    try:
        return parse_selection(value)
    except ValueError as error:
        reason = str(error) if len(str(error)) < 100 else f"{str(error)[:80]}…"
        raise ValueError(f"cannot be read: {reason}; write numbers, ranges such as 0-4, 20-23, or all") from error


def _check_claim(claim: Any) -> Any:
    parse_claim(claim)
    return claim


def _check_address(view: str) -> str:
    parse_address(view)
    return view


def _check_caption(text: str) -> str:
    parse_caption(text)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return value.given() if isinstance(value, Keys) else value


Words = Annotated[str, AfterValidator(_check_not_blank), WithJsonSchema({"type": "string", "pattern": r"\S"})]
Text = Annotated[str, AfterValidator(_check_not_empty), WithJsonSchema({"type": "string", "minLength": 1})]
"""A text that may be blank, such as a line break."""
Slug = Annotated[
    str, AfterValidator(_check_file_name), WithJsonSchema({"type": "string", "pattern": f"^{SLUG_PATTERN}$"})
]
Layers = Annotated[Selection, PlainValidator(_select), WithJsonSchema(_SELECTION_SCHEMA)]


class Keys(BaseModel):
    """Base class of all mappings: no unknown keys, no conversions. ``None`` means not given; files cannot have it."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """Return the keys in the file as plain values; pydantic's ``model_dump`` would convert selections to dicts."""
        given = self.model_fields_set  # read once: most keys of a long file are not given
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields if name in given}


class MessageKeys(Keys):
    """One chat message."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["content"]}, {"required": ["tool_calls"]}]})

    role: Literal[*ROLES] = Field(  # pyright: ignore[reportInvalidTypeForm]
        description="Author of the message; developer only if the chat template knows it."
    )
    content: Annotated[Any, PlainValidator(_check_content), WithJsonSchema(_CONTENT_SCHEMA)] = Field(
        None,
        description="Text of the message, or a list of parts; null, or left out, if the message only calls tools.",
        examples=["What is attention?", [{"type": "text", "text": "What is attention?"}]],
    )
    name: Words | None = Field(None, description="Name of the author, or of the tool.", examples=["forecast"])
    tool_calls: Annotated[list[dict[str, Any]], AfterValidator(_check_some)] | None = Field(
        None,
        description="Calls of functions by the assistant.",
        examples=[[{"type": "function", "function": {"name": "forecast", "arguments": {"city": "Oslo"}}}]],
        json_schema_extra={"minItems": 1},
    )
    tool_call_id: Words | None = Field(
        None, description="Which call a message of a tool answers.", examples=["call00001"]
    )

    @model_validator(mode="after")
    def _check_says_something(self) -> MessageKeys:
        if self.content is None and not self.tool_calls:
            missing = "is null" if "content" in self.model_fields_set else "lacks the key 'content'"
            raise ValueError(f"{missing}; write some, or the tool_calls of the assistant")
        return self


class GenerationKeys(Keys):
    """How tokens are chosen; without a key, nothing is set: no filter applies that was not requested."""

    do_sample: bool = Field(False, description="Sample tokens instead of taking the most probable one.")
    temperature: float | None = Field(None, gt=0, description="Divides the logits; needs do_sample: true.")
    top_k: int | None = Field(None, ge=1, description="Sample from the k most probable tokens; needs do_sample: true.")
    top_p: float | None = Field(
        None, gt=0, le=1, description="Sample from the fewest tokens of this total probability; needs do_sample: true."
    )
    min_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Sample from the tokens of at least this share of the largest probability; needs do_sample: true.",
        examples=[0.05],
    )
    repetition_penalty: float | None = Field(
        None, gt=0, description="Values above 1 make tokens that already occurred less probable."
    )
    num_beams: int = Field(1, ge=1, description="Number of beams; 1 means no beam search.")
    num_return_sequences: int = Field(
        1,
        ge=1,
        description="Number of texts to generate, with a page each, whose slugs end in -1, -2 and so on; needs "
        "do_sample: true, or as many beams.",
        examples=[3],
    )
    return_sequence: int | None = Field(
        None,
        ge=1,
        description="Make only the page of this one of the num_return_sequences texts, counted from 1.",
        examples=[2],
    )
    stop_strings: Annotated[list[Text], AfterValidator(_check_some)] | None = Field(
        None,
        description="Texts at which the generation ends; the token that completes one is the last.",
        examples=[["\n\n", "Q:"]],
        json_schema_extra={"minItems": 1},
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the random number generator.")


class FoilKeys(Keys):
    """A token that the written token is compared with."""

    token: Text = Field(description="The exact text of one token, with its leading space.")
    step: int = Field(0, ge=0, description="Step of the written token that it is compared with, from 0.")


class StepKeys(Keys):
    """A step of a story: a figure and its caption."""

    view: Annotated[str, AfterValidator(_check_address)] = Field(
        "",
        description="What stands behind # in the address of the page when it shows the view. Default: the view that "
        "the page opens with.",
        examples=[EXAMPLE],
    )
    figure: Literal["head", "heads", "layers", "read", "effect", "map"] = Field(
        description="Figure of the page: " + "; ".join(f"{name}, {says}" for name, says in FIGURES.items()) + "."
    )
    text: Annotated[Words, AfterValidator(_check_caption)] = Field(
        description="Caption of the figure in Markdown: emphasis, code and links."
    )


_FOIL_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"token": {"type": "string", "minLength": 1}, "step": {"type": "integer", "minimum": 0}},
            "required": ["token"],
            "additionalProperties": False,
        },
    ]
}
_CONTINUATION_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string", "minLength": 1}},
    ]
}
Continuations = Annotated[
    list[Text], BeforeValidator(_make_list), AfterValidator(_check_some), AfterValidator(_check_unlike),
    WithJsonSchema(_CONTINUATION_SCHEMA),
]  # fmt: skip
AnyFoil = Annotated[FoilKeys, BeforeValidator(_make_foil), WithJsonSchema(_FOIL_SCHEMA)]


_BOUND_SCHEMA = {"type": "string", "pattern": r"^\s*[<>]=?\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"}
_HEAD_SCHEMA = {"type": "string", "pattern": "^L[0-9]+ ?H[0-9]+$"}
_TOKEN_SCHEMA = {"type": "string", "minLength": 1}
_PLACE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        _TOKEN_SCHEMA,
        {
            "type": "object",
            "properties": {"token": _TOKEN_SCHEMA, "nth": {"type": "integer", "minimum": 1}},
            "required": ["token"],
            "additionalProperties": False,
        },
    ]
}
_CLAIM_PROPERTIES = {
    **dict.fromkeys(CLAIM_KEYS, _BOUND_SCHEMA),
    **dict.fromkeys(("head", *EXTRA_EVIDENCE), _HEAD_SCHEMA),
    **dict.fromkeys(("token", "against"), _TOKEN_SCHEMA),
    **dict.fromkeys(("from", "to"), _PLACE_SCHEMA),
    "step": {"type": "integer", "minimum": 0},
}


def _make_claim_schema(measure: str, *required: str, **more: Any) -> dict[str, Any]:
    """Return the schema of the claims on a measure; ``properties`` are added to those of its keys."""
    properties = {key: _CLAIM_PROPERTIES[key] for key in KEYS_OF_CLAIMS[measure]} | more.pop("properties", {})
    closed = {"required": list(required), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed, **more}


_CLAIM_SCHEMA = {
    "oneOf": [
        _make_claim_schema("weight", "head", "weight", "from", "to"),
        _make_claim_schema("effect", "head", "effect"),
        _make_claim_schema(
            HEAD_SCORE_NAMES[0],
            "head",
            properties=dict.fromkeys(HEAD_SCORE_NAMES, _BOUND_SCHEMA),
            oneOf=[{"required": [name]} for name in HEAD_SCORE_NAMES],
        ),
        *(_make_claim_schema(name, name, "change") for name in EXTRA_EVIDENCE),
        _make_claim_schema("token", "token", anyOf=[{"required": ["prob"]}, {"required": ["rank"]}]),
    ]
}
AnyClaim = Annotated[dict[str, Any], PlainValidator(_check_claim), WithJsonSchema(_CLAIM_SCHEMA)]


class DefaultKeys(Keys):
    """Defaults of the keys of all prompts."""

    model: Words = Field(
        DEFAULT_MODEL,
        description="A hub name (optionally name@revision), a local folder, a .gguf file, repo:file.gguf, or "
        f"{DEFAULT_MODEL}.",
    )
    adapter: Words | None = Field(
        None,
        description="A peft adapter, such as LoRA, that is merged into the model: a local folder or a hub name "
        "(optionally name@revision).",
    )
    layers: Layers | None = Field(
        None, description="Layers to keep, such as 0-4, 20-23; -1 is the last layer. Default: all layers."
    )
    heads: Layers | None = Field(None, description="Heads to keep, in the same notation as layers. Default: all heads.")
    max_new_tokens: int = Field(
        DEFAULT_NEW_TOKENS,
        ge=0,
        description="Most tokens to generate; with 0, the token that the model would write next is measured.",
    )
    generation: GenerationKeys | None = Field(
        None, description="How tokens are chosen; keys given here override those of the defaults."
    )
    add_special_tokens: bool = Field(True, description="Whether the tokenizer adds its special tokens to the text.")
    evidence: list[Literal[*EXTRA_EVIDENCE]] | None = Field(  # pyright: ignore[reportInvalidTypeForm]
        None, description="Additional evidence to measure; takes minutes on a CPU."
    )
    without: list[Literal[*OPTIONAL]] | None = Field(  # pyright: ignore[reportInvalidTypeForm]
        None,
        description="Evidence to leave out, which saves its time and memory; predictions are those of the prompt's "
        "tokens.",
    )
    tags: list[Words] | None = Field(None, description="Free words, shown on the index.")
    note: Words | None = Field(None, description="Your note on the prompt.")


class PromptKeys(DefaultKeys):
    """One prompt: exactly one of text and messages, and how to run it."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["messages"]}]})

    text: Words | None = Field(None, description="The exact text that the model reads.")
    messages: Annotated[list[MessageKeys], AfterValidator(_check_some)] | None = Field(
        None, description="A chat, formatted with the tokenizer's chat template.", json_schema_extra={"minItems": 1}
    )
    tools: Annotated[list[dict[str, Any]], AfterValidator(_check_some)] | None = Field(
        None,
        description="Functions that the model may call, as JSON Schema, for the chat template; needs messages.",
        json_schema_extra={"minItems": 1},
    )
    chat_template_kwargs: dict[str, Annotated[JsonValue, WithJsonSchema({})]] | None = Field(
        None,
        description="Variables of the chat template, such as enable_thinking: false, or a date that the template would "
        "take from the clock; needs messages.",
    )
    chat_template: Words | None = Field(
        None,
        description="Name of the chat template, for a tokenizer that has several; needs messages.",
        examples=["tool_use"],
    )
    continue_final_message: bool = Field(
        False, description="Continue the last message, of the assistant, instead of answering it; needs messages."
    )
    continuation: Continuations | None = Field(
        None,
        description='A text behind the prompt that is scored as if the model had generated it, such as " Mary went '
        'home"; a list makes a page for each. Not together with max_new_tokens or generation.',
        json_schema_extra={"examples": [" Mary went home", [" Mary", " John"]]},
    )
    compare: bool = Field(False, description="Also compare the pages of the two continuations of the prompt.")
    revisions: Annotated[list[Words], AfterValidator(_check_revisions)] | None = Field(
        None,
        description="Branches, tags or commits of the model on the hub, in order: a page for each, and one that shows "
        "them side by side or as a series.",
        json_schema_extra={
            "minItems": 2, "maxItems": MOST_COMPARED, "uniqueItems": True,
            "examples": [["step1000", "step2000", "main"]],
        },
    )  # fmt: skip
    foils: Annotated[list[AnyFoil], AfterValidator(_check_some), AfterValidator(_check_unlike)] | None = Field(
        None,
        description='Tokens that the model might have written instead, such as [" John"]: effects are also given for '
        'the written token against each. A text is compared with the first written token, {token: " John", step: 2} '
        "with that of step 2, from 0.",
        json_schema_extra={"minItems": 1, "examples": [[" John", {"token": " Bob", "step": 1}]]},
    )
    spans: Annotated[dict[str, Any], PlainValidator(_check_spans), WithJsonSchema(_SPANS_SCHEMA)] | None = Field(
        None,
        description="Named parts of the text, each as a text that is in it once, or with nth, the number of its "
        "occurrence; weights and effects are summed by them.",
        examples=[{"needle": {"text": "the code is 4217", "nth": 2}, "question": "What is the code?"}],
    )
    claims: Annotated[list[AnyClaim], AfterValidator(_check_some)] | None = Field(
        None,
        description="What you say about the run, which the build checks: the page says what holds, what was measured "
        "and how many of all heads would pass. docs/how-to/claims.md has the grammar.",
        json_schema_extra={
            "minItems": 1,
            "examples": [
                [
                    {"head": "L21H6", "from": "last", "to": " France", "weight": "> 0.8"},
                    {"head": "L21H6", "effect": "> 1", "rank": "<= 1"},
                    {"head": "L21H6", "effect": "> 0.5", "to": " France", "against": " London"},
                    {"head": "L5H1", "induction": "> 0.5"},
                    {"ablation": "L21H6", "change": "< -0.5"},
                    {"token": " Paris", "prob": "> 0.5", "rank": "<= 1"},
                ]
            ],
        },
    )
    story: Annotated[list[StepKeys], AfterValidator(_check_some)] | None = Field(
        None,
        description="A story: what you say about the run, in steps with a figure each. docs/how-to/story.md has "
        "examples.",
        json_schema_extra={
            "minItems": 1,
            "examples": [[{"view": EXAMPLE, "figure": "head", "text": "One head of layer 21 reads *France*."}]],
        },
    )
    title: Words | None = Field(None, description="Heading of the page. Default: the start of the text.")
    slug: Slug | None = Field(None, description="File name of the page without .html; unique in the file.")


class CompareKeys(Keys):
    """A page that shows two prompts of the file side by side, or more of them as a series."""

    compare: Annotated[list[Slug], AfterValidator(_check_compared)] = Field(
        description=f"Slugs of two prompts, which are shown side by side, or of up to {MOST_COMPARED} as a series in "
        "this order.",
        json_schema_extra={"minItems": 2, "maxItems": MOST_COMPARED, "uniqueItems": True},
    )
    title: Words | None = Field(None, description="Heading of the page. Default: the titles of the prompts.")
    slug: Slug | None = Field(None, description="File name of the page without .html; unique in the file.")
    tags: list[Words] | None = Field(None, description="Free words, shown on the index.")
    note: Words | None = Field(None, description="Your note on the comparison.")
    evidence: (
        Annotated[
            list[Literal[*COMPARED_EVIDENCE]],  # pyright: ignore[reportInvalidTypeForm]
            AfterValidator(_check_some),
        ]
        | None
    ) = Field(
        None,
        description="Evidence that needs both of two prompts: patching puts activations of one run into the other; "
        "takes minutes on a CPU.",
        json_schema_extra={"minItems": 1},
    )
    answers: Annotated[list[Text], AfterValidator(_check_answers)] | None = Field(
        None,
        description="Two tokens, that of the first prompt and that of the second, whose log-probabilities patching "
        "compares; needs evidence: [patching]. Default: the first token behind each prompt.",
        examples=[[" Mary", " John"]],
        json_schema_extra={"minItems": 2, "maxItems": 2, "uniqueItems": True},
    )

    @model_validator(mode="after")
    def _check_needs_patching(self) -> CompareKeys:
        if self.answers and PATCHING not in (self.evidence or ()):
            raise ValueError("has 'answers' that nothing compares; add evidence: [patching], or leave them out")
        if len(self.compare) > 2 and self.evidence:
            raise ValueError(
                f"has evidence: [{PATCHING}], which needs two prompts, and compares {len(self.compare)}; compare two, "
                "or leave it out"
            )
        return self


class HeadKeys(Keys):
    """The keys next to ``prompts`` if the file is a mapping."""

    model: Words | None = Field(None, description="The model of every prompt that does not name one.")
    defaults: DefaultKeys | None = Field(None, description="Keys for every prompt that does not have its own.")


class FileKeys(HeadKeys):
    """A file that is a mapping instead of a list."""

    prompts: list[Words | PromptKeys | CompareKeys] = Field(
        description="The prompts and comparisons.", json_schema_extra={"minItems": 1}
    )


class _Schema(GenerateJsonSchema):
    """Omits ``null``: in a model it means not given, in the file it is an error."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        json_schema = super().default_schema(schema)
        return {key: value for key, value in json_schema.items() if key != "default" or value is not None}


def prompt_file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the prompt file, for editors.

    Returns:
        A new dict with the same content on every call.
    """
    prompts = Annotated[list[Words | PromptKeys | CompareKeys], Field(min_length=1)]
    schema = TypeAdapter(prompts | FileKeys).json_schema(schema_generator=_Schema)
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "Prompts of reportgen",
        "description": "A list of prompts, or a mapping with the keys prompts, model and defaults.",
    }
    return {**head, **schema}
