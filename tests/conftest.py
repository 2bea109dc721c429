"""How tests run: one thread a process, what each test needs, and models that several tests share.

Nothing heavy is imported here: a test that needs no torch does not wait for it.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
from counts import FULL, count
from hypothesis import HealthCheck, settings
from root import ROOT

if TYPE_CHECKING:
    from reportgen.models.model import LoadedModel

# Before torch is imported, and for all commands that tests start: other tests run beside each one, and tiny models
# only wait for a second thread.
os.environ["OMP_NUM_THREADS"] = "1"

# Machines are shared: no test fails for being slow. One that fails fails again. Fixtures are not changed by examples.
ALLOWED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "shared", deadline=None, suppress_health_check=ALLOWED, derandomize=True, max_examples=count("other examples")
)
settings.load_profile("shared")


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes ``-n auto`` starts: at least three, as tests in browsers wait more than they work."""
    return max(3, os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests whose folder or fixtures say what they need, and leave those of the full run to it."""
    for item in items:
        for folder in {"browser", "engines"}.intersection(item.path.relative_to(ROOT).parts):
            item.add_marker(folder)
        if "smollm2" in getattr(item, "fixturenames", ()):
            item.add_marker("model")
    if not FULL:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("full")])
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def pytest_collection_finish() -> None:
    """Keep what is imported by now out of garbage collection: a run collects when it lets go of a model."""
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_llama() -> LoadedModel:
    """Return a Llama with rotary positions and grouped heads: 3 layers, 4 query heads, 2 key/value heads."""
    from tiny import make_llama, make_tokenizer

    from reportgen.models.model import wrap_model

    return wrap_model(make_llama(), make_tokenizer(), name="tiny-llama")


@pytest.fixture(scope="session")
def tiny_gpt2() -> LoadedModel:
    """Return a GPT-2 with learned positions: 2 layers, 2 heads."""
    from tiny import make_gpt2, make_tokenizer

    from reportgen.models.model import wrap_model

    return wrap_model(make_gpt2(), make_tokenizer(), name="tiny-gpt2")


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    """Return the bundled model; the set-up has put it into the user's cache."""
    from reportgen.models.model import load_model

    return load_model("smollm2-135m", device="cpu")
