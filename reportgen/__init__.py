"""See attention: prompts in, self-contained pages of heatmaps out.

The names below are the public ones. They are imported when first used, so that ``import reportgen`` does not wait for
torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reportgen.build.build import build_site
    from reportgen.build.capture import capture
    from reportgen.build.options import BuildOptions, CaptureOptions, Outcome
    from reportgen.evidence.kinds import Capture
    from reportgen.models.model import LoadedModel, load_model, wrap_model
    from reportgen.notebook import Report, report
    from reportgen.pages.options import PageOptions
    from reportgen.pages.page import render_page
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
    "Generation",
    "LoadedModel",
    "Outcome",
    "PageOptions",
    "Prompt",
    "Report",
    "ReportgenError",
    "build_site",
    "capture",
    "load_model",
    "load_prompts",
    "render_page",
    "report",
    "wrap_model",
]

_HOMES = {
    "BuildOptions": "build.options",
    "Capture": "evidence.kinds",
    "CaptureOptions": "build.options",
    "Comparison": "records",
    "Generation": "records",
    "LoadedModel": "models.model",
    "Outcome": "build.options",
    "PageOptions": "pages.options",
    "Prompt": "records",
    "Report": "notebook",
    "ReportgenError": "records.errors",
    "build_site": "build.build",
    "capture": "build.capture",
    "load_model": "models.model",
    "load_prompts": "prompts.prompt_file",
    "render_page": "pages.page",
    "report": "notebook",
    "wrap_model": "models.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reportgen' has no attribute {name!r}")
    return getattr(import_module(f"reportgen.{_HOMES[name]}"), name)
