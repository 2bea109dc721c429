"""Defaults and allowed values of options in prompt files, in Python and on the command line."""

from __future__ import annotations

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_NEW_TOKENS = 10
DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "sequential")
EXPORT_FORMATS = ("csv", "parquet")
EXTRA_EVIDENCE = ("ablation", "mean-ablation")
"""Additional evidence, measured only on request because it takes long."""
PATCHING = "patching"
COMPARED_EVIDENCE = (PATCHING,)
"""Evidence about two prompts, measured only if a comparison asks for it."""
MOST_COMPARED = 12
"""Largest number of prompts of a comparison."""
PREDICTIONS = "predictions"
USUAL_EVIDENCE = ("scores", "value_norms", "attribution", "lens", "rollout", "entropy")
"""Kinds of evidence that are measured unless a prompt leaves them out."""
OPTIONAL = (*USUAL_EVIDENCE, PREDICTIONS, *EXTRA_EVIDENCE)
"""What a prompt can leave out: kinds of evidence, and the predictions of its own tokens."""
LEFT_OUT = "left out by “without”"
"""Reason why something is missing that a prompt leaves out."""
HEAD_SCORE_NAMES = (
    "sink", "sink_weighted", "previous", "duplicate", "induction", "self", "entropy", "distance", "distance_rest",
    "retrieval",
)  # fmt: skip
"""Names of the head scores, whose definitions are in ``evidence.kinds.scores``."""
ROLES = ("system", "developer", "user", "assistant", "tool")
"""Authors of chat messages."""
