"""Special features of a model's attention: names, definitions and consequences for heatmaps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionFeature:
    """One feature of attention, as pages and the documentation describe it.

    Attributes:
        name: name in ``ModelInfo.features``.
        title: title on pages.
        definition: definition of the feature.
        caution: consequence of the feature for the views of a page.
    """

    name: str
    title: str
    definition: str
    caution: str


GROUPED = AttentionFeature(
    "grouped", "grouped heads",
    "Several query heads share one key head and one value head: with H heads and K key heads, head h uses key head "
    "⌊h / (H / K)⌋.",
    "Heads that share keys have different queries, but the same keys and values.",
)  # fmt: skip
WINDOW = AttentionFeature(
    "window", "sliding window",
    "In some layers a query sees only the last N tokens, including itself.",
    "Hatched cells are outside the window: they have no weight, not a weight of 0 that the head chose.",
)  # fmt: skip
CHUNK = AttentionFeature(
    "chunk", "chunked attention",
    "In some layers the text is split into chunks of N tokens, and a query sees only its own chunk.",
    "Hatched cells are in earlier chunks: they have no weight, not a weight of 0 that the head chose.",
)  # fmt: skip
SINK = AttentionFeature(
    "sink", "learned sinks",
    "Each head has a learned score that takes part in the softmax and belongs to no token; its weight is 1 − Σ of the "
    "row.",
    "Rows sum to less than 1. The rest is the weight of the sink, which has no value and adds nothing to the output.",
)  # fmt: skip
HYBRID = AttentionFeature(
    "hybrid", "hybrid",
    "Some layers have no attention; another mixer, such as a convolution or a recurrence, moves information "
    "between tokens there.",
    "Heatmaps do not show what such a layer moves between tokens.",
)  # fmt: skip
LATENT = AttentionFeature(
    "latent", "multi-latent attention",
    "Keys and values are made from one short vector for each token (DeepSeek-V2) and a separate part for positions.",
    "Weights are those of ordinary attention over these keys; the cache holds the short vectors, not "
    "keys of each head.",
)  # fmt: skip
ALIBI = AttentionFeature(
    "alibi", "ALiBi",
    "Before the softmax each score loses a fixed slope times the distance to the key (Press et al. 2022); the slope "
    "differs by head.",
    "A weight includes this penalty: a head with a steep slope attends to near tokens regardless of their content.",
)  # fmt: skip
SOFT_CAP = AttentionFeature(
    "soft-cap", "soft-capped scores",
    "Before the softmax a score s becomes c · tanh(s / c), so none exceeds c.",
    "The sharpest rows are flatter than without the cap.",
)  # fmt: skip
DIFFERENTIAL = AttentionFeature(
    "differential", "differential attention",
    "Of H heads, h and h + H/2 are a pair: their output is (a[h] − λ · a[h + H/2]) · v, λ learned in each layer "
    "(Ye et al. 2024).",
    "A heatmap shows one head of a pair before the subtraction: weights that both have in common largely cancel.",
)  # fmt: skip
FEATURES = {
    feature.name: feature for feature in (GROUPED, WINDOW, CHUNK, SINK, HYBRID, LATENT, ALIBI, SOFT_CAP, DIFFERENTIAL)
}
"""All features by name, in the order in which a page lists them."""
