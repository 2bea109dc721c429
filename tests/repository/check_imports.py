"""The law of imports: they point one way."""

from __future__ import annotations

import ast
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
    "pages.detail", "pages.triangles", "pages.payload", "pages.budget", "pages.kinds",
    "pages.evidence_blocks", "pages.palettes", "pages.figures", "pages.templates", "pages.assets",
    "pages.tables", "pages.words", "pages.alignment", "pages.cards", "pages.citation", "pages.links",
    "pages.index", "pages.page", "pages.compare", "pages.preview",
    "export", "pictures", "starter", "page_keys", "drawing", "lock", "interrupts", "site", "quota", "render",
    "resume", "pairs", "shares", "tally", "engines.jobs", "engines.worker", "engines.local", "engines.ray", "run",
    "notebook", "progress", "completion", "cli", "__main__",
)  # fmt: skip
"""Each module may import those before it, and the package's own names."""


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
