"""Show the weights of one attention module to the observers of a text, a few query rows at a time."""

from __future__ import annotations

import torch
from torch import nn

from reportgen.instrumentation.anatomy import tolerance_of
from reportgen.instrumentation.attention_weights import SdpaWeights, Weighing
from reportgen.instrumentation.hooks import LinearCall
from reportgen.instrumentation.observer import HeadTrace, RowTrace, TracedText
from reportgen.records.errors import CaptureMismatch

_CELLS = 1 << 19
"""Maximum number of weights computed at a time from queries and keys; few enough to stay in the CPU's cache."""
_CELLS_OF_GPU = 1 << 26
"""The same on other devices, which wait for the CPU after each block: 256 MB in float32."""


def show_attention(
    text: TracedText,
    layer: int,
    module: nn.Module,
    weighing: Weighing,
    projected: LinearCall | None,
    device: torch.device,
) -> None:
    """Show the activations of an attention module to the observers of a text.

    Args:
        text: the text.
        layer: number of the layer.
        module: the attention module.
        weighing: its weights on the text.
        projected: call of the output projection at the text's rows, ``[row, size]``; ``None`` if there is none.
        device: device to which the tensors are moved.
    """
    length = len(text.token_ids)
    at_rows = whole_rows(weighing, *text.rows.indices(length)[:2]).to(device)
    values = weighing.values
    values = None if values is None else values.to(device)
    empty = at_rows.new_empty(0, 1)
    projection, z, attn_out = projected or (None, empty, empty)
    heads = HeadTrace(layer, module, weighing.shape, at_rows, values, projection, z.to(device), attn_out.to(device))
    for observer in text.observers:
        observer.see_heads(heads)
    cells = _CELLS if device.type == "cpu" else _CELLS_OF_GPU
    block_size = max(1, cells // (weighing.shape[0] * length))
    for first in reversed(range(0, length, block_size)):
        weights = weighing.rows(first, min(first + block_size, length)).to(device)
        rows = RowTrace(layer, module, weighing.dtype, first, weights)
        for observer in text.observers:
            observer.see_rows(rows)


def whole_rows(weighing: Weighing, first: int, last: int) -> torch.Tensor:
    """Return the rows ``first .. last - 1`` over all keys; keys that were left out have weight 0."""
    rows = weighing.rows(first, max(first, last))
    return nn.functional.pad(rows, (0, weighing.shape[-1] - rows.shape[-1]))


def check_mixture(weighing: SdpaWeights, mixture: torch.Tensor) -> None:
    """Check computed weights against the output of fast attention.

    Args:
        weighing: the computed weights.
        mixture: output of fast attention at the last position, ``[head, size]``.

    Raises:
        CaptureMismatch: the weights do not give this output.
    """
    last = weighing.shape[1] - 1
    expected = mixture.float()
    computed = (whole_rows(weighing, last, last + 1) @ weighing.values.float())[:, 0]
    error = float((computed - expected).abs().max()) / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
    if not error <= tolerance_of(weighing.dtype):
        raise CaptureMismatch(
            f"weights computed from queries and keys differ by {error:.1%} from the output of fast attention; "
            "load the model with attn_implementation='eager'"
        )
