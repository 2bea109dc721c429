"""The law of imports: they point one way, and torch is imported by what needs it alone."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import reportgen

PACKAGE = Path(reportgen.__file__).parent

ORDER = (
    "errors", "paths", "atomic", "selection", "records", "traits",
    "prompts.lines", "prompts.names", "prompts.keys", "prompts.problems", "prompts.prompt_file",
    "models.calls", "models.conversion", "models.embedded", "models.gguf_header", "models.source", "models.adapter",
    "models.config", "models.model", "models.fingerprint", "check", "options",
    "evidence.record", "captures.codes", "captures.record", "captures.disk", "evidence.definitions",
    "network.parts", "network.kinds", "network.norms", "network.weighing", "network.observer", "network.inputs",
    "network.trace", "network.logits", "network.route", "network.heads", "network.unembedding", "network.replay",
    "evidence.weighted", "evidence.head_scores", "evidence.rollout", "evidence.sources", "evidence.attribution",
    "evidence.lens", "evidence.ablation", "evidence.gather",
    "captures.tokens", "captures.predictions", "captures.generation", "captures.attention", "captures.encoding",
    "captures.batches", "captures.capture",
    "pages.septets", "pages.detail", "pages.triangles", "pages.payload", "pages.budget", "pages.kinds",
    "pages.evidence_blocks", "pages.palettes", "pages.figures", "pages.templates", "pages.assets",
    "pages.tables", "pages.words", "pages.alignment", "pages.cards", "pages.citation", "pages.links",
    "pages.index", "pages.page", "pages.compare", "pages.preview",
    "export", "pictures", "starter", "page_keys", "drawing", "lock", "interrupts", "site", "quota", "remote", "render",
    "resume", "pairs", "shares", "tally", "engines.jobs", "engines.worker", "engines.local", "engines.ray", "run",
    "notebook", "progress", "completion", "cli", "__main__",
)  # fmt: skip
"""Each module may import those before it, and the package's own names."""

WITH_TORCH = {
    "models.config", "models.model", "network.parts", "network.kinds", "network.norms", "network.weighing",
    "network.observer", "network.inputs", "network.trace", "network.logits", "network.route", "network.heads",
    "network.unembedding", "network.replay",
    "evidence.weighted", "evidence.head_scores", "evidence.rollout", "evidence.sources", "evidence.attribution",
    "evidence.lens", "evidence.ablation", "evidence.gather", "captures.predictions", "captures.generation",
    "captures.attention", "captures.encoding", "captures.batches", "captures.capture",
    "engines.worker", "engines.local", "engines.ray",
}  # fmt: skip
HEAVY = ("torch", "transformers", "peft", "ray")


def _path_of(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def _imports_of(module: str) -> set[str]:
    """Modules of this package that a module imports, inside functions too, type checking aside."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(_path_of(module).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "reportgen":
            package = node.module.removeprefix("reportgen").removeprefix(".")
            members = {".".join(filter(None, (package, alias.name))) for alias in node.names}
            found |= {member for member in members if _path_of(member).exists()} or {package} - {""}
    return found


def test_every_module_has_its_place() -> None:
    files = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")}
    assert {".".join(file.parts) for file in files if file.name != "__init__"} == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_one_way(module: str) -> None:
    assert _imports_of(module) <= set(ORDER[: ORDER.index(module)])


def test_only_what_needs_torch_imports_it() -> None:
    # One process for all: what a module brings in is looked at before the next one is imported, the light ones first.
    light = [module for module in ORDER if module not in WITH_TORCH and module != "__main__"]
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
        "from reportgen.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'bokeh', 'pydantic', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
