"""Records that the other packages exchange, and the exceptions of reportgen.

Input: no other package of reportgen.
Output: frozen records. Positions are 0-based indices into prompt plus generated tokens; steps are 0-based generation
steps; layers and heads carry the model's own 0-based numbers. Logarithms are natural.
"""

from __future__ import annotations

from reportgen.records.choices import (
    COMPARED_EVIDENCE,
    DEFAULT_MODEL,
    DEFAULT_NEW_TOKENS,
    DEVICE_MAPS,
    DTYPES,
    EXPORT_FORMATS,
    EXTRA_EVIDENCE,
    LEFT_OUT,
    OPTIONAL,
    PATCHING,
    PREDICTIONS,
)
from reportgen.records.foil import Foil
from reportgen.records.generation import Generation
from reportgen.records.model import LayerType, ModelInfo, name_with_adapter, public_name
from reportgen.records.prediction import FoilToken, Prediction, Step, Token
from reportgen.records.prompt import Comparison, EncodedPrompt, Prompt, SourceLocation
from reportgen.records.run import Failure, Shard
from reportgen.records.span import Span

__all__ = [
    "COMPARED_EVIDENCE",
    "DEFAULT_MODEL",
    "DEFAULT_NEW_TOKENS",
    "DEVICE_MAPS",
    "DTYPES",
    "EXPORT_FORMATS",
    "EXTRA_EVIDENCE",
    "LEFT_OUT",
    "OPTIONAL",
    "PATCHING",
    "PREDICTIONS",
    "Comparison",
    "EncodedPrompt",
    "Failure",
    "Foil",
    "FoilToken",
    "Generation",
    "LayerType",
    "ModelInfo",
    "Prediction",
    "Prompt",
    "Shard",
    "SourceLocation",
    "Span",
    "Step",
    "Token",
    "name_with_adapter",
    "public_name",
]
