"""The record of one run of a prompt on a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.attention_view import Attention
from reportgen.captures.file import load_record, save_record
from reportgen.records import PREDICTIONS, FoilToken, LayerType, ModelInfo, Prediction, Prompt, Span, Step, Token
from reportgen.records.equality import WithArrays
from reportgen.records.evidence import EVIDENCE_TYPES, Evidence, Shape, Sizes

# Largest difference between the log-probabilities of generation and of the attention pass that rounding can explain.
# On SmolLM2 the difference is up to 2e-5 in float32, 0.03 in float16 and 0.23 in bfloat16. A larger one means that the
# two passes computed different things, or that the values of the attention pass are too imprecise for a page.
DRIFT_LIMIT = 0.01
HALF_DRIFT_LIMIT = 0.5

ONE_PASS, SECOND_PASS = "one pass", "second pass"
"""Which run the weights and the evidence of a capture are of: the generation, or a pass over the text after it."""


@dataclass(frozen=True, eq=False, repr=False)
class Capture(WithArrays):
    """The record of one run: tokens, attention and predictions.

    Captures are equal if all their fields are, with arrays compared number by number.

    Attributes:
        prompt: the prompt that was run.
        model: the model that ran the prompt.
        tokens: prompt tokens, then generated tokens or the token of a forecast, ``[position]``.
        num_prompt_tokens: number of prompt tokens.
        layers: numbers of the captured layers in the model, which are the selected layers that have attention.
        heads: numbers of the captured heads.
        triangles: attention weights as they are stored, float16, or the uint8 codes of ``captures.quantization`` if
            float16 would take over 2 GiB, ``[layer, head, cell]``: the lower triangle of ``[query_pos, key_pos]``, row
            by row. Axes 0 and 1 follow ``layers`` and ``heads``. ``attention`` is what one usually wants.
        prompt_predictions: prediction of each prompt token after the first, from the raw distribution,
            ``[position - 1]``; empty if the prompt leaves them out.
        steps: generation steps, one for each generated token; of a forecast, the one step of its token.
        versions: versions, by name, of the packages that the numbers depend on.
        evidence: evidence about the heads, in addition to the weights.
        layer_types: type of each layer of the model in order, captured or not; empty if the types were not detected.
        sink_mass: weight of the learned sink in each row, float32 ``[layer, head, query_pos]``, measured before the
            weights were rounded; ``None`` if no captured layer has one.
        foils: what the prompt asks to compare written tokens with, in its order.
        spans: the messages of a chat, the named parts of the text, and, if there are any, the generated tokens.
        unplaced: why a message of the chat has no span, by its name.
        strategy: which run the weights and the evidence are of: ``one pass``, the generation itself, or ``second
            pass``, a forward pass over the whole text after it.
    """

    prompt: Prompt
    model: ModelInfo
    tokens: tuple[Token, ...]
    num_prompt_tokens: int
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    triangles: NDArray[np.float16] | NDArray[np.uint8]
    prompt_predictions: tuple[Prediction, ...]
    steps: tuple[Step, ...]
    versions: Mapping[str, str]
    evidence: Evidence = field(default_factory=Evidence)
    layer_types: tuple[LayerType, ...] = ()
    sink_mass: NDArray[np.float32] | None = None
    foils: tuple[FoilToken, ...] = ()
    spans: tuple[Span, ...] = ()
    unplaced: Mapping[str, str] = field(default_factory=dict)
    strategy: str = SECOND_PASS

    @property
    def attention(self) -> Attention:
        """Attention weights, float32 ``[layer, head, query_pos, key_pos]``, indexed by the model's own numbers.

        ``attention[21, 6]`` is the pattern of head 6 of layer 21, ``[query_pos, key_pos]``; ``attention[...]`` has all
        captured layers and heads.
        """
        numbers = self.model.num_layers, self.model.num_heads
        return Attention(self.triangles, self.layers, self.heads, *numbers, self.num_tokens)

    @property
    def num_tokens(self) -> int:
        """Number of all tokens, which is the side length of every attention pattern."""
        return len(self.tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """Text of each token as pages show it, ``[position]``: a space is ``␣``, a line end ``↵``."""
        return tuple(token.shown for token in self.tokens)

    @property
    def generated_text(self) -> str:
        """What the model generated, without special tokens; empty if it generated nothing."""
        generated = self.tokens[self.num_prompt_tokens :][: self.num_generated_tokens]
        return "".join(token.text for token in generated if not token.special)

    @property
    def is_forecast(self) -> bool:
        """Whether nothing was generated, and the one step is of the token that the model would write next.

        That is the most probable token before sampling filters, whatever the generation settings. It is measured as a
        generated token is. A prompt that fills the context window, or whose next token cannot be found, has no step.
        """
        return self.prompt.max_new_tokens == 0 and not self.is_given and bool(self.steps)

    @property
    def is_given(self) -> bool:
        """Whether the tokens behind the prompt were given, and not generated."""
        return bool(self.prompt.continuation)

    @property
    def origin(self) -> str:
        """Where the tokens behind the prompt come from: ``generated``, ``given``, or ``next`` for a forecast."""
        return "given" if self.is_given else "next" if self.is_forecast else "generated"

    @property
    def num_generated_tokens(self) -> int:
        """Number of tokens behind the prompt, generated or given; the token of a forecast is neither."""
        return 0 if self.is_forecast else len(self.steps)

    @property
    def measured_foils(self) -> tuple[FoilToken, ...]:
        """The foils that written tokens were compared with."""
        return tuple(foil for foil in self.foils if not foil.missing)

    def foil_of_step(self, step: int) -> int | None:
        """Return the number of the first measured foil of a step; ``None`` if the step has none."""
        return next((number for number, foil in enumerate(self.measured_foils) if foil.step == step), None)

    @property
    def has_all_heads(self) -> bool:
        """Whether every head of every layer with attention was captured."""
        with_attention = sum(kind.has_attention for kind in self.layer_types) or self.model.num_layers
        return len(self.layers) == with_attention and len(self.heads) == self.model.num_heads

    @property
    def logprob_drift(self) -> float:
        """Largest log-probability drift of all steps; 0 if there are no steps."""
        return max((step.logprob_drift for step in self.steps), default=0.0)

    @property
    def drift_limit(self) -> float:
        """Largest log-probability drift that rounding can explain, for the dtype of the model."""
        return DRIFT_LIMIT if self.model.dtype in ("float32", "float64") else HALF_DRIFT_LIMIT

    def __repr__(self) -> str:
        texts = "".join(token.text for token in self.tokens[: self.num_prompt_tokens]), self.generated_text
        text, generated = (repr(text if len(text) <= 32 else f"{text[:31]}…") for text in texts)
        said = f"{text} → {generated}" if self.num_generated_tokens else text
        heads = f"{len(self.layers)} layers × {len(self.heads)} heads × {self.num_tokens} tokens"
        return f"<Capture of {said}, {heads}>"

    def save(self, path: Path | str, key: str = "") -> None:
        """Write the capture to a file; docs/capture-format.md describes the format.

        Args:
            path: the file, usually called ``NAME.safetensors``; an existing file is replaced.
            key: hash of everything that the numbers depend on; empty if it is unknown.

        Raises:
            OSError: the file cannot be written; the old file is unchanged.
            TypeError: the capture has a value of a type that no field of a capture has.
        """
        save_record(self, Path(path), key)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a capture from a file that ``save`` wrote.

        Returns:
            A capture that equals the saved one bit by bit.

        Raises:
            CaptureFileError: the file does not exist, is not a capture, is truncated, or has another version of the
                format.
        """
        return load_record(cls, Path(path), _check_shapes)[0]

    def query_pos_of_step(self, step: int) -> int:
        """Return the query position whose output predicted the token of a step.

        Args:
            step: 0-based generation step.

        Returns:
            The query position; the token of the step is at the next position.

        Raises:
            IndexError: there is no such step.
        """
        if not 0 <= step < len(self.steps):
            raise IndexError(f"step {step}: this capture has {len(self.steps)} steps")
        return self.num_prompt_tokens - 1 + step

    def layer_type(self, layer: int) -> LayerType:
        """Return the type of a layer; if it was not detected, a default type with the model's key/value heads."""
        layer_type = {kind.layer: kind for kind in self.layer_types}.get(layer, LayerType(layer))
        return layer_type if layer_type.num_kv_heads else replace(layer_type, num_kv_heads=self.model.num_kv_heads)

    def row(self, query_pos: int) -> slice:
        """Return the cells of one query in the axis ``cell`` of ``triangles``, keys from 0 to the query itself."""
        start = query_pos * (query_pos + 1) // 2
        return slice(start, start + query_pos + 1)


def load_with_key(path: Path | str) -> tuple[Capture, str]:
    """Read a capture from a file like ``Capture.load``, and return it with the key that it was saved with."""
    return load_record(Capture, Path(path), _check_shapes)


def _check_shapes(capture: Capture) -> None:
    """Check that the arrays of a capture match its numbers of tokens, layers, heads and steps.

    Raises:
        ValueError: an array has the wrong shape or dtype, or the numbers contradict one another.
    """
    num_tokens, steps = capture.num_tokens, len(capture.steps)
    grid = (len(capture.layers), len(capture.heads))
    if not 0 < capture.num_prompt_tokens == num_tokens - steps or not all(grid):
        raise ValueError(
            f"{num_tokens} tokens cannot be {capture.num_prompt_tokens} prompt tokens and {steps} generated tokens, or "
            "no layers or heads were captured"
        )
    num_predictions = 0 if PREDICTIONS in capture.prompt.without else capture.num_prompt_tokens - 1
    if len(capture.prompt_predictions) != num_predictions:
        raise ValueError(f"{len(capture.prompt_predictions)} predictions for {capture.num_prompt_tokens} prompt tokens")
    if any(not 0 <= span.first <= span.last < num_tokens for span in capture.spans):
        raise ValueError(f"a span is not in the {num_tokens} tokens")
    foil_steps = tuple(foil.step for foil in capture.measured_foils)
    sizes = Sizes(*grid, num_tokens, steps, foil_steps, len(capture.spans))
    weights = np.uint8 if capture.triangles.dtype == np.uint8 else np.float16
    shapes = [Shape("triangles", capture.triangles, (*grid, sizes.num_cells), weights)]
    if capture.sink_mass is not None:
        shapes.append(Shape("sink_mass", capture.sink_mass, (*grid, num_tokens)))
    for kind, value in capture.evidence.measured.items():
        for item in EVIDENCE_TYPES[kind].shapes(value, sizes):
            shapes.append(item._replace(name=f"evidence.{kind}.{item.name}".rstrip(".")))
    for name, array, shape, dtype in shapes:
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{name!r} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
