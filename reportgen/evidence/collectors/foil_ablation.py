"""Hand on what ablation changes of the written token against its foils, which the ablation measures beside its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reportgen.evidence.traced_run import KindCollector


class FoilAblationCollector(KindCollector):
    """Returns what ``AblationCollector`` has measured against the foils; the kind comes after that of ablation."""

    kind = "foil_ablations"

    def finish(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the changes by method, float32 ``[foil, step, layer, head]``; ``None`` if nothing was ablated."""
        return self.run.foil_changes or None
