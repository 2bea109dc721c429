"""Weight × value: the weight times the norm of the transformed value of the key (Kobayashi et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.kind import Definition, Kind
from reportgen.evidence.kinds.scaling import encode_roots, find_largest, scale_by
from reportgen.records.evidence import Shape, Sizes
from reportgen.records.json_values import list_numbers

WEIGHTED = Definition(
    "value_norms", "weight × value",
    "‖a[q,k] · v_k W_O‖, the length of what the head takes from a key, as a share of its sum over the row.",
    "Weighted attention: Kobayashi et al. 2020.",
    "A long vector need not point anywhere that matters, and lengths of several heads do not add up.",
)  # fmt: skip


class ValueNorms(Kind):
    """Norm of the vector that a head adds per unit of weight, ``‖v_k W_O‖``, float32 ``[layer, head, key_pos]``."""

    name = "value_norms"
    annotation = NDArray[np.float32]
    definitions = (WEIGHTED,)

    def list_modes(self, value: Any) -> tuple[str, ...]:
        """Return the mode ``weighted``, the share of each key in the norms of the vectors that a head adds."""
        return ("weighted",)

    def describe(self, capture: Capture, value: Any) -> Mapping[str, Any]:
        """Return the largest norm of each head, which scales the encoded norms."""
        return {"norm_scales": list_numbers(find_largest(value, (2,)))}

    def encode(self, capture: Capture, value: Any) -> Mapping[str, NDArray[Any]]:
        """Return ``norms``: 16-bit codes of ``norm / scale``, ``[layer, head, key_pos]``."""
        scales = find_largest(value, (2,))
        return {"norms": encode_roots(np.nan_to_num(scale_by(value, scales[:, :, None])))}

    def shapes(self, value: Any, sizes: Sizes) -> Iterable[Shape]:
        """Return the required shape of the value's array."""
        return [Shape("", value, (sizes.num_layers, sizes.num_heads, sizes.num_tokens))]
