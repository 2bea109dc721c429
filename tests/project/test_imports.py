"""torch and what it brings is imported by what needs it alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import reportgen

PACKAGE = Path(reportgen.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if not path.stem.startswith("__")
)
WITH_TORCH = {
    "models.config", "models.model", "models.reading",
    "captures.attention", "captures.batches", "captures.capture", "captures.chat", "captures.collector",
    "captures.spans", "captures.tokenization", "captures.generation", "captures.predictions", "build.capture",
    "build.engines.local", "build.engines.ray", "build.engines.worker",
}  # fmt: skip
WITH_TORCH |= {name for name in MODULES if name.startswith("instrumentation.")}
WITH_TORCH |= {name for name in MODULES if name.startswith("evidence.") and ".kinds." not in name} - {
    "evidence.claims", "evidence.default_head", "evidence.opening", "evidence.reads", "evidence.top_heads",
}  # fmt: skip
HEAVY = ("torch", "transformers", "peft", "ray")

pytestmark = pytest.mark.system


def test_only_what_needs_torch_imports_it() -> None:
    # One process for all: what a module brings in is looked at before the next one is imported.
    light = [module for module in MODULES if module not in WITH_TORCH]
    program = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"for module in {light!r}:\n"
        "    importlib.import_module('reportgen.' + module)\n"
        f"    found[module] = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {module: [] for module in light}


def test_help_does_not_wait_for_heavy_packages() -> None:
    program = (
        "import sys\n"
        "from reportgen.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'bokeh', 'pydantic', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
