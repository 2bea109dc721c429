"""Models that several tests run prompts on; each is made once and must be left as it was found."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from tiny import make_gpt2, make_llama, make_tokenizer

from reportgen.models.model import LoadedModel, load_model, wrap_model

# Machines are shared: no test fails for being slow. One that fails fails again. Fixtures are not changed by examples.
ALLOWED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("shared", deadline=None, suppress_health_check=ALLOWED, derandomize=True)
settings.load_profile("shared")


@pytest.fixture(scope="session")
def tiny_llama() -> LoadedModel:
    """Return a Llama with rotary positions and grouped heads: 3 layers, 4 query heads, 2 key/value heads."""
    return wrap_model(make_llama(), make_tokenizer(), name="tiny-llama")


@pytest.fixture(scope="session")
def tiny_gpt2() -> LoadedModel:
    """Return a GPT-2 with learned positions: 2 layers, 2 heads."""
    return wrap_model(make_gpt2(), make_tokenizer(), name="tiny-gpt2")


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    """Return the embedded model; the set-up has put it into the user's cache."""
    return load_model("smollm2-135m", device="cpu")
