"""Collectors: one file for each kind of evidence, which measures it during a run.

Input: attention, head outputs and residual streams of a run, as they pass.
Output: the value of the kind. A new file here needs no entry anywhere else.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from reportgen.evidence.traced_run import KindCollector

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

COLLECTORS: dict[str, type[KindCollector]] = {collector.kind: collector for collector in KindCollector.__subclasses__()}
"""By the name of the kind."""
