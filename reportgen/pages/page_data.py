"""What the figures of a page show, as the page itself has it: weights of 8 bits, effects of 16.

A still of a story is drawn from what is about to be written into the page, and a picture that is exported later from
what a page has, so both have the same cells.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import Attribution
from reportgen.evidence.opening import Opening
from reportgen.pages.panels import StepRead
from reportgen.pages.precision import Precision
from reportgen.pages.triangles import unpack_triangles
from reportgen.records import FoilToken, LayerType, ModelInfo, Prediction, Prompt, Step, Token
from reportgen.records.evidence import Evidence
from reportgen.records.story import StoryStep

_NO_GRID_VALUE = -(2**15)
_BLOCK = re.compile(
    r'<script type="(?:text/plain" id="block-|application/json" id=")([\w-]+)">(.*?)</script>', re.DOTALL
)


@dataclass(frozen=True)
class PageData:
    """What the figures of a page show.

    Attributes:
        capture: the capture as far as the page has it: without alternatives to tokens, effects by source and the like.
        opening: what the page shows first.
        precision: precision of the weights.
        reads: what attention read for each step against the alternatives; ``None`` where it is not known.
        foil_reads: the same for the step of each measured foil, against the foil.
        has_all_weights: whether the page has weak weights too.
        story: steps of its story.
    """

    capture: Capture
    opening: Opening
    precision: Precision
    reads: Sequence[StepRead | None]
    foil_reads: Sequence[StepRead | None]
    has_all_weights: bool
    story: Sequence[StoryStep]


@dataclass(frozen=True)
class PageParts:
    """The decoded blocks of a page.

    Attributes:
        card: its card.
        content: what its script reads first.
        evidence: evidence that the script looks up; empty if there is none.
        grids: codes of the numbers for each head, int16 ``[grid, step, layer, head]``; ``None`` if there are none.
        read: what attention read, float32 ``[cell]``; ``None`` if it is not known.
        said: what the page says of each step.
        codes: codes of the weights, ``[layer, head, cell]``.
        story: its story.
    """

    card: Mapping[str, Any]
    content: Mapping[str, Any]
    evidence: Mapping[str, Any]
    grids: NDArray[np.int16] | None
    read: NDArray[np.float32] | None
    said: Mapping[str, Any]
    codes: NDArray[np.uint8] | NDArray[np.uint16]
    story: Sequence[Mapping[str, str]]


def restore(parts: PageParts) -> PageData:
    """Return what the figures of a page show, from its decoded blocks."""
    content, said = parts.content, parts.said
    precision, grids = Precision(content["precision"]), _restore_grids(parts)
    layers = tuple(content["layers"])
    return PageData(
        capture=Capture(
            prompt=Prompt(text=parts.card["text"] or " ", title=parts.card["title"], slug=parts.card["slug"]),
            model=_restore_model(parts),
            tokens=tuple(map(_restore_token, content["tokens"])),
            num_prompt_tokens=content["num_prompt_tokens"],
            layers=layers,
            heads=tuple(content["heads"]),
            triangles=_restore_weights(parts.codes),
            prompt_predictions=(),
            steps=tuple(Step(i, _restore_prediction(step["raw"]), None, 0) for i, step in enumerate(content["steps"])),
            versions={},
            evidence=_restore_evidence(parts, grids),
            layer_types=tuple(
                LayerType(layer, window=kind.get("window"), chunk=kind.get("chunk"), has_sink="has_sink" in kind)
                for layer, kind in zip(layers, content["layer_types"], strict=True)
            ),
            foils=tuple(FoilToken(_restore_token(foil), foil[-1]) for foil in content["foils"]),
        ),
        opening=Opening(**content["opening"]),
        precision=precision,
        reads=[_restore_read(one.get("read")) for one in said["answers"]],
        foil_reads=[_restore_read(read) for read in said.get("foil_reads", ())],
        has_all_weights=not content["min_weight"],
        story=[StoryStep(**step) for step in parts.story],
    )


def read_parts(html: str) -> PageParts:
    """Return the decoded blocks of a page, as the browser would read them."""
    blocks = dict(_BLOCK.findall(html))
    content = json.loads(_inflate(blocks["content"]))
    shape = len(content["steps"]), len(content["layers"]), len(content["heads"])
    grids = None
    if "grids" in blocks:
        high, low = np.frombuffer(_inflate(blocks["grids"]), np.uint8).reshape(2, -1)
        grids = (high.view(np.int8).astype(np.int16) << 8 | low).reshape(-1, *shape)
    layers = [_unpack(_inflate(blocks[f"layer-{layer}"]), content) for layer in content["layers"]]
    return PageParts(
        card=json.loads(blocks["card"]),
        content=content,
        evidence=json.loads(_inflate(blocks["evidence"])) if "evidence" in blocks else {},
        grids=grids,
        read=np.frombuffer(_inflate(blocks["read"]), "<f4") if "read" in blocks else None,
        said=json.loads(_inflate(blocks["answers"])),
        codes=np.stack(layers),
        story=json.loads(blocks.get("story-data", "[]")),
    )


def _inflate(block: str) -> bytes:
    return zlib.decompress(base64.b64decode(block))


def _unpack(data: bytes, content: Mapping[str, Any]) -> NDArray[Any]:
    """Return the codes of a layer, ``[head, cell]``; of 16 bits the lower bytes stand behind the packed ones."""
    num_heads, n = len(content["heads"]), len(content["tokens"])
    num_codes = num_heads * n * (n + 1) // 2
    if content["precision"] == 8:
        return unpack_triangles(data, num_heads, n)
    high = unpack_triangles(data[:-num_codes], num_heads, n).astype(np.uint16)
    return high << 8 | np.frombuffer(data[-num_codes:], np.uint8).reshape(high.shape)


def _restore_weights(codes: NDArray[Any]) -> NDArray[Any]:
    if codes.dtype == np.uint8:
        return codes
    return np.square(codes.astype(np.float32) / np.float32(65535)).astype(np.float16)


def _restore_token(token: Sequence[Any]) -> Token:
    return Token(token[0], token[1], token[1], bool(token[2]))


def _restore_prediction(said: Mapping[str, Any]) -> Prediction:
    logprob = said["logprob"]
    return Prediction(-np.inf if logprob is None else logprob, said["rank"], np.nan, ())


def _restore_model(parts: PageParts) -> ModelInfo:
    content = parts.content
    num_layers, num_heads = max(content["layers"]) + 1, max(content["num_heads"], max(content["heads"]) + 1)
    return ModelInfo(parts.card["model"], "", "", num_layers, num_heads, num_heads, None)


def _restore_read(said: Mapping[str, Any] | None) -> StepRead | None:
    return None if said is None else StepRead(**{**said, "head": said["head"] and tuple(said["head"])})


def _restore_grids(parts: PageParts) -> dict[str, NDArray[np.float32]]:
    """Return the numbers for each head by name, ``[step, layer, head]``."""
    if parts.grids is None:
        return {}
    values = np.where(parts.grids == _NO_GRID_VALUE, np.nan, parts.grids / np.float32(32767)).astype(np.float32)
    scales = parts.evidence["grid_scales"]
    return {
        name: grid * _to_array(scales[name])[:, None, None]
        for name, grid in zip(parts.content["grid_metrics"], values, strict=True)
    }


def _restore_evidence(parts: PageParts, grids: Mapping[str, NDArray[np.float32]]) -> Evidence:
    scores = {name: _to_array(values) for name, values in parts.content["scores"].items()}
    foils: dict[str, list[NDArray[np.float32]]] = {}
    ablations: dict[str, NDArray[np.float32]] = {}
    for name, grid in grids.items():
        method, is_foil, _ = name.partition("-foil-")
        if method.endswith("ablation"):
            foils.setdefault(method, []).append(grid) if is_foil else ablations.update({method: grid})
    kinds: dict[str, Any] = {
        "scores": scores,
        "ablations": ablations,
        "foil_ablations": {method: np.stack(found) for method, found in foils.items()},
        "attribution": _restore_attribution(parts, grids),
    }
    missing = parts.evidence.get("missing", {})
    return Evidence(missing=missing, **{name: value for name, value in kinds.items() if value})


def _restore_attribution(parts: PageParts, grids: Mapping[str, NDArray[np.float32]]) -> Attribution | None:
    described = parts.evidence.get("attribution")
    if described is None:
        return None
    names = (
        "other_parts",
        "embedding",
        "biases",
        "other_heads",
        "rounding",
        "logits",
        "log_odds",
        "entropy",
        "soft_cap",
    )
    return Attribution(
        runners_up=tuple(tuple(map(_restore_token, step)) for step in described["runners_up"]),
        heads=np.stack([grids[name] for name in described["contrasts"]]),
        **{name: _to_array(described[name]) for name in names},
        withheld=tuple(tuple(reasons) for reasons in described["withheld"]),
        read=parts.read,
        dtype=described["dtype"],
        note=described["note"],
    )


def _to_array(values: Sequence[Any]) -> NDArray[np.float32]:
    """Return nested lists as an array; ``None`` is NaN."""
    return np.array(values, np.float32)
