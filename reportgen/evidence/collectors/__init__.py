"""Collectors, one file per kind of evidence, which measure it during a run.

Input: attention, head outputs and residual streams, as the forward pass of a run computes them.
Output: the value of the kind of evidence. A new file in this folder is registered automatically.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from reportgen.evidence.traced_run import KindCollector

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

COLLECTORS: dict[str, type[KindCollector]] = {collector.kind: collector for collector in KindCollector.__subclasses__()}
"""Collector classes by the name of the kind of evidence."""
