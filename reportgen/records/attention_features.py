"""What may be special about a model's attention: what it is called, what it is, and how a picture of it misleads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionFeature:
    """One peculiarity of attention, as pages and documents name it.

    Attributes:
        name: of ``ModelInfo.features``.
        title: what a reader sees.
        definition: what it is.
        caution: what it means for what a page shows.
    """

    name: str
    title: str
    definition: str
    caution: str


GROUPED = AttentionFeature(
    "grouped", "grouped heads",
    "Several query heads share one key head and one value head: of H heads on K key heads, head h uses number "
    "⌊h / (H / K)⌋.",
    "Heads that share look for different things in the same keys, and write the same values.",
)  # fmt: skip
WINDOW = AttentionFeature(
    "window", "sliding window",
    "In some layers a query sees the last N tokens alone, itself among them.",
    "Hatched cells are outside the window: they have no weight, not a weight of 0 that the head chose.",
)  # fmt: skip
CHUNK = AttentionFeature(
    "chunk", "chunked attention",
    "In some layers the text is cut into pieces of N tokens, and a query sees its own piece alone.",
    "Hatched cells are in earlier pieces: they have no weight, not a weight of 0 that the head chose.",
)  # fmt: skip
SINK = AttentionFeature(
    "sink", "learned sinks",
    "Each head has a learned score that takes part in the softmax and stands for no token; what it takes is "
    "1 − Σ of the row.",
    "Rows sum to less than 1. The rest was not read from anywhere, and nothing is written for it.",
)  # fmt: skip
HYBRID = AttentionFeature(
    "hybrid", "hybrid",
    "Some layers have no attention; something else, such as a convolution or a recurrence, passes tokens on there.",
    "What such a layer moves from token to token is on no heatmap.",
)  # fmt: skip
LATENT = AttentionFeature(
    "latent", "multi-latent attention",
    "Keys and values are made from one short vector for each token (DeepSeek-V2), with a part for positions beside it.",
    "Weights are those of ordinary attention over the keys so made; no head has keys of its own in the cache.",
)  # fmt: skip
ALIBI = AttentionFeature(
    "alibi", "ALiBi",
    "Before the softmax each score loses a fixed slope times the distance to the key (Press et al. 2022); the slope "
    "differs by head.",
    "A weight holds that loss too: a steep head looks near whatever the tokens say.",
)  # fmt: skip
SOFT_CAP = AttentionFeature(
    "soft-cap", "soft-capped scores",
    "Before the softmax a score s becomes c · tanh(s / c), so none exceeds c.",
    "The sharpest rows are flatter than the scores alone would make them.",
)  # fmt: skip
DIFFERENTIAL = AttentionFeature(
    "differential", "differential attention",
    "Of H heads, h and h + H/2 are a pair: what they write is (a[h] − λ · a[h + H/2]) · v, λ learned in each layer "
    "(Ye et al. 2024).",
    "A weight shown is one of the two before they are subtracted: what both have in common counts for little.",
)  # fmt: skip
FEATURES = {
    trait.name: trait for trait in (GROUPED, WINDOW, CHUNK, SINK, HYBRID, LATENT, ALIBI, SOFT_CAP, DIFFERENTIAL)
}
"""By name, in the order in which a page lists them."""
