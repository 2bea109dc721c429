"""See attention: prompts in, self-contained pages of heatmaps out.

The names below are the public ones. They are imported when first used, so that ``import reportgen`` does not wait for
torch.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reportgen.build.build import build_site
    from reportgen.build.options import BuildOptions, CaptureOptions, Outcome
    from reportgen.evidence.kinds.patching import Patching
    from reportgen.models.model import LoadedModel, load_model, wrap_model
    from reportgen.notebook.capture import Capture
    from reportgen.notebook.comparison import ComparisonPage, compare, patch
    from reportgen.notebook.run import capture
    from reportgen.pages.options import PageOptions
    from reportgen.prompts.prompt_file import load_prompts
    from reportgen.records import Comparison, Generation, Prompt
    from reportgen.records.errors import ReportgenError

__version__ = "0.1.0"

DISTRIBUTION = "attention-reportgen"
"""The name of the package that is installed; ``reportgen`` on PyPI is somebody else's."""

__all__ = [
    "BuildOptions",
    "Capture",
    "CaptureOptions",
    "Comparison",
    "ComparisonPage",
    "Generation",
    "LoadedModel",
    "Outcome",
    "PageOptions",
    "Patching",
    "Prompt",
    "ReportgenError",
    "build_site",
    "capture",
    "compare",
    "load_model",
    "load_prompts",
    "patch",
    "wrap_model",
]

_HOMES = {
    "BuildOptions": "build.options",
    "Capture": "notebook.capture",
    "CaptureOptions": "build.options",
    "Comparison": "records",
    "ComparisonPage": "notebook.comparison",
    "Generation": "records",
    "LoadedModel": "models.model",
    "Outcome": "build.options",
    "PageOptions": "pages.options",
    "Patching": "evidence.kinds.patching",
    "Prompt": "records",
    "ReportgenError": "records.errors",
    "build_site": "build.build",
    "capture": "notebook.run",
    "compare": "notebook.comparison",
    "load_model": "models.model",
    "load_prompts": "prompts.prompt_file",
    "patch": "notebook.comparison",
    "wrap_model": "models.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reportgen' has no attribute {name!r}")
    home = f"reportgen.{_HOMES[name]}"
    if home not in sys.modules:
        with warnings.catch_warnings():  # in a notebook, about a progress bar that is not shown
            warnings.filterwarnings("ignore", "IProgress not found")
            import_module(home)
    return getattr(sys.modules[home], name)


def __dir__() -> list[str]:
    return [*__all__]
