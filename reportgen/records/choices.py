"""What may be chosen, in prompt files, in Python and on the command line."""

from __future__ import annotations

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "sequential")
EXPORT_FORMATS = ("csv", "parquet")
EXTRA_EVIDENCE = ("ablation", "mean-ablation")
"""Evidence that takes so long that it is measured only where it is asked for."""
