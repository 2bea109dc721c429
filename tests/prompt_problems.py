"""What is wrong with a prompt file, on a tiny model that needs not be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from reportgen.prompts.prompt_file import check_selections, read_prompts
from reportgen.records import ModelInfo
from reportgen.records.errors import PromptFileError

INFO = ModelInfo("tiny", "", "LlamaForCausalLM", 3, 4, 4, 16, 259, "float32", "cpu")


def problems_of(content: str) -> tuple[str, ...]:
    """Return what is wrong with a file, on a model of 3 layers and 4 heads."""
    Path("p.yaml").write_text(content, "utf-8")
    prompts, problems = read_prompts("p.yaml")
    with pytest.raises(PromptFileError) as caught:
        check_selections(prompts, {"tiny": INFO}, problems)
    return tuple(caught.value.problems)
