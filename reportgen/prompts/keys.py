"""The keys of ``prompts.yaml``: their types, bounds and descriptions, and the JSON Schema made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from reportgen.prompts.slugs import SLUG_PATTERN, check_slug
from reportgen.records import DEFAULT_MODEL, DEFAULT_NEW_TOKENS, EXTRA_EVIDENCE
from reportgen.records.selection import Selection, parse_selection

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


def _check_file_name(slug: str) -> str:
    check_slug(slug)
    return slug


def _check_some(items: list[Any]) -> list[Any]:
    if not items:
        raise ValueError("is an empty list; put something in or leave the key out")
    return items


def _check_two(slugs: list[str]) -> list[str]:
    if len(slugs) != 2:
        raise ValueError(f"must name two prompts by their slugs, got {len(slugs)}; write [slug-a, slug-b]")
    if slugs[0] == slugs[1]:
        raise ValueError(f"names {slugs[0]!r} twice; name two prompts")
    return slugs


def _select(value: Any) -> Selection:
    try:
        return parse_selection(value)
    except ValueError as error:
        reason = str(error) if len(str(error)) < 100 else f"{str(error)[:80]}…"
        raise ValueError(f"cannot be read: {reason}; write numbers, ranges such as 0-4, 20-23, or all") from error


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return value.given() if isinstance(value, _Keys) else value


Words = Annotated[str, AfterValidator(_check_not_blank), WithJsonSchema({"type": "string", "pattern": r"\S"})]
Slug = Annotated[
    str, AfterValidator(_check_file_name), WithJsonSchema({"type": "string", "pattern": f"^{SLUG_PATTERN}$"})
]
Layers = Annotated[Selection, PlainValidator(_select), WithJsonSchema(_SELECTION_SCHEMA)]


class _Keys(BaseModel):
    """Strict: no key beside those listed, no silent conversion. ``None`` means not given; the file cannot say it."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """Return the keys that were written, as plain values; pydantic's own dump would take selections apart."""
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set}


class MessageKeys(_Keys):
    """One chat message."""

    role: Literal["system", "user", "assistant", "tool"] = Field(description="Who speaks.")
    content: str = Field(description="What is said.")


class GenerationKeys(_Keys):
    """How tokens are chosen; what is left out keeps the value that transformers gives it."""

    do_sample: bool = Field(False, description="Draw tokens at random instead of taking the most probable one.")
    temperature: float | None = Field(None, gt=0, description="Divides the logits; needs do_sample: true.")
    top_k: int | None = Field(None, ge=1, description="Draw from the k most probable tokens; needs do_sample: true.")
    top_p: float | None = Field(
        None, gt=0, le=1, description="Draw from the fewest tokens of this total probability; needs do_sample: true."
    )
    repetition_penalty: float | None = Field(
        None, gt=0, description="Above 1, tokens that were there before become less probable."
    )
    num_beams: int = Field(1, ge=1, description="Beams of the beam search; 1 means none.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Start of the random numbers.")


class DefaultKeys(_Keys):
    """What holds for every prompt that does not say otherwise."""

    model: Words = Field(
        DEFAULT_MODEL,
        description="A hub name (optionally name@revision), a local folder, a .gguf file, repo:file.gguf, or "
        f"{DEFAULT_MODEL}.",
    )
    adapter: Words | None = Field(
        None,
        description="A peft adapter (LoRA and the like) that is merged into the model: a local folder or a hub name "
        "(optionally name@revision).",
    )
    layers: Layers | None = Field(
        None, description="Layers to keep, such as 0-4, 20-23 or -1, which counts from the end; all of them by default."
    )
    heads: Layers | None = Field(None, description="Heads to keep, written as layers are; all of them by default.")
    max_new_tokens: int = Field(
        DEFAULT_NEW_TOKENS, ge=0, description="Tokens to generate at most; 0 is the forward pass alone."
    )
    generation: GenerationKeys | None = Field(
        None, description="How tokens are chosen; merged key by key over the defaults."
    )
    add_special_tokens: bool = Field(True, description="Whether the tokenizer adds its special tokens to text.")
    evidence: list[Literal[*EXTRA_EVIDENCE]] | None = Field(  # pyright: ignore[reportInvalidTypeForm]
        None, description="What to measure beyond what every page has; takes minutes on a processor."
    )
    tags: list[Words] | None = Field(None, description="Free words, shown on the index.")
    note: Words | None = Field(None, description="What you want to say about the prompt.")


class PromptKeys(DefaultKeys):
    """One prompt: exactly one of text and messages, and how to run it."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["messages"]}]})

    text: Words | None = Field(None, description="The text that the model reads, to the letter.")
    messages: Annotated[list[MessageKeys], AfterValidator(_check_some)] | None = Field(
        None, description="A chat, written out by the tokenizer's chat template.", json_schema_extra={"minItems": 1}
    )
    tools: Annotated[list[dict[str, Any]], AfterValidator(_check_some)] | None = Field(
        None,
        description="Functions that the model may call, as JSON Schema, for the chat template; needs messages.",
        json_schema_extra={"minItems": 1},
    )
    title: Words | None = Field(None, description="Heading of the page; the text stands in for it.")
    slug: Slug | None = Field(None, description="File name of the page without .html; unique in the file.")


class CompareKeys(_Keys):
    """Two prompts of the file on a page of their own, side by side."""

    compare: Annotated[list[Slug], AfterValidator(_check_two)] = Field(
        description="Slugs of the two prompts.",
        json_schema_extra={"minItems": 2, "maxItems": 2, "uniqueItems": True},
    )
    title: Words | None = Field(None, description="Heading of the page; the titles of both stand in for it.")
    slug: Slug | None = Field(None, description="File name of the page without .html; unique in the file.")
    tags: list[Words] | None = Field(None, description="Free words, shown on the index.")
    note: Words | None = Field(None, description="What you want to say about the comparison.")


class HeadKeys(_Keys):
    """What stands beside ``prompts`` where the file is a mapping."""

    model: Words | None = Field(None, description="The model of every prompt that names no other.")
    defaults: DefaultKeys | None = Field(None, description="Keys for every prompt that does not give its own.")


class FileKeys(HeadKeys):
    """A file that says more than its prompts."""

    prompts: list[Words | PromptKeys | CompareKeys] = Field(
        description="The prompts, and which of them to put side by side.", json_schema_extra={"minItems": 1}
    )


class _Schema(GenerateJsonSchema):
    """Leaves ``null`` out: in a model it means not given, in the file it is an error."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        json_schema = super().default_schema(schema)
        return {key: value for key, value in json_schema.items() if key != "default" or value is not None}


def prompt_file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the prompt file, for editors.

    Returns:
        A new dict, the same every time.
    """
    prompts = Annotated[list[Words | PromptKeys | CompareKeys], Field(min_length=1)]
    schema = TypeAdapter(prompts | FileKeys).json_schema(schema_generator=_Schema)
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "Prompts of reportgen",
        "description": "A list of prompts, or a mapping with prompts, model and defaults.",
    }
    return {**head, **schema}
