"""Evidence of a capture: numbers in addition to the weights that show what a head does and whether it matters.

This module defines no kind of evidence. ``reportgen.evidence.kinds`` registers the kinds, so that a capture and its
file can hold any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reportgen.records.equality import is_equal


class Shape(NamedTuple):
    """Name of an array, the array, and the shape and the dtype that it must have."""

    name: str
    array: NDArray[Any]
    shape: tuple[int, ...]
    dtype: type[np.generic] = np.float32


@dataclass(frozen=True)
class Sizes:
    """Sizes of a capture's axes.

    ``num_layers`` and ``num_heads`` count those that were captured, ``foil_steps`` has the step of each measured foil.
    """

    num_layers: int
    num_heads: int
    num_tokens: int
    num_steps: int
    foil_steps: tuple[int, ...] = ()
    num_spans: int = 0

    @property
    def num_cells(self) -> int:
        """Number of cells in the lower triangle of ``[query_pos, key_pos]``."""
        return self.num_tokens * (self.num_tokens + 1) // 2


class EvidenceType:
    """Name and type of one kind of evidence.

    Attributes:
        name: name of the attribute of ``Evidence`` that holds the value.
        annotation: type of the value: arrays, texts, numbers, or frozen dataclasses of these.
        empty: value if the evidence was not measured.
    """

    name: str
    annotation: Any
    empty: Any = None

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the shapes that the arrays of a value must have."""
        return ()


EVIDENCE_TYPES: dict[str, EvidenceType] = {}
"""Kinds of evidence by name, registered by ``reportgen.evidence.kinds``."""


class Evidence:
    """All evidence of one capture, with an attribute for each kind, such as ``evidence.lens`` and ``evidence.scores``.

    A kind that was not measured has its empty value, ``None`` or an empty mapping. The axes ``layer`` and ``head`` of
    arrays are those of the capture.

    Attributes:
        missing: reasons why kinds could not be measured, by name of the kind.
        measured: values of the kinds that were measured, by name.
    """

    missing: Mapping[str, str]
    measured: Mapping[str, Any]

    def __init__(self, *, missing: Mapping[str, str] | None = None, **kinds: Any) -> None:
        """Store the values of kinds of evidence.

        Args:
            missing: reasons why kinds could not be measured, by name of the kind.
            kinds: value of each kind by name; ``None`` means not measured.

        Raises:
            TypeError: there is no kind of that name.
        """
        if unknown := kinds.keys() - EVIDENCE_TYPES.keys():
            raise TypeError(f"no kind of evidence is called {min(unknown)!r}; there are {', '.join(EVIDENCE_TYPES)}")
        self.missing = MappingProxyType(dict(missing or {}))
        self.measured = MappingProxyType({name: kinds[name] for name in EVIDENCE_TYPES if kinds.get(name) is not None})

    def __getattr__(self, name: str) -> Any:
        if name not in EVIDENCE_TYPES:
            raise AttributeError(f"no kind of evidence is called {name!r}; there are {', '.join(EVIDENCE_TYPES)}")
        return self.measured.get(name, EVIDENCE_TYPES[name].empty)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evidence):
            return NotImplemented
        return is_equal((self.missing, self.measured), (other.missing, other.measured))

    def __reduce__(self) -> Any:
        return _make_evidence, (dict(self.missing), dict(self.measured))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *EVIDENCE_TYPES]

    def __repr__(self) -> str:
        return f"Evidence({', '.join(self.measured)})"

    def replace(self, **changes: Any) -> Evidence:
        """Return a copy with other values of some kinds or of ``missing``."""
        return Evidence(**{"missing": self.missing, **self.measured, **changes})


def _make_evidence(missing: Mapping[str, str], measured: Mapping[str, Any]) -> Evidence:
    return Evidence(missing=missing, **measured)
