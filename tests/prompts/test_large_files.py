"""Prompt files made to eat time and memory: each is read or refused within limits that the kernel holds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SECONDS = 20
"""Of processor time, for one file; docs/reliability.md states it."""
MEGABYTES = 500
"""Of memory above that of the program, likewise."""

_MANY = 100_000
_PROGRAM = f"""
import json, os, resource, sys
from reportgen.records.errors import PromptFileError
from reportgen.prompts.prompt_file import load_prompts

def read(path):
    size = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (size + {MEGABYTES} * 10**6,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS},) * 2)
    try:
        return len(load_prompts(path))
    except PromptFileError as error:
        return [str(len(error.problems)), error.problems[0][len(path):][:60]]

found = {{}}
for path in sys.argv[1:]:
    there, here = os.pipe()
    if os.fork() == 0:
        os.write(here, json.dumps(read(path)).encode())
        os._exit(0)
    os.close(here)
    _, status = os.wait()
    found[path] = json.loads(os.read(there, 1000) or "null") if status == 0 else f"killed, {{status}}"
print(json.dumps(found))
"""

FILES: dict[str, tuple[Callable[[], str], object]] = {
    "100,000 texts": (lambda: "".join(f"- the cat number {i}\n" for i in range(_MANY)), _MANY),
    "40,000 prompts with two keys": (lambda: "- {text: a, title: b}\n" * 39_000, 39_000),
    "too many values": (
        lambda: "- {text: a, title: b}\n" * _MANY,
        ["1", ":66667: more than 200,000 values; split the file"],
    ),
    "one text of 9.9 MB": (lambda: "- " + "x" * 9_900_000, 1),
    "one text of 4.9 million words": (lambda: "- " + "a " * 4_900_000, 1),
    "9 million empty lines": (lambda: "- a\n" + "\n" * 9_000_000, 1),
    "100 MB": (lambda: "- " + "x" * 100_000_000, ["1", ": larger than 10,000,000 bytes; split it into several files"]),
    "5 million levels": (
        lambda: "- " * 4_900_000,
        ["1", ":1: nested deeper than 20 levels; prompts need five"],
    ),
    "9 million brackets": (
        lambda: "[" * 9_000_000,
        ["1", ":1: broken YAML at column 1001: exceeded maximum nesting dep"],
    ),
    "alias bomb": (
        lambda: "- &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"- &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)),
        ["1", ":6: too large or too deep, with aliases expanded (more than "],
    ),
    "60,000 wrong prompts": (
        lambda: "- {txt: a}\n" * 60_000,
        ["201", ":1: unknown key 'txt' in prompt 1; did you mean 'text'?"],
    ),
    "90,000 unknown keys": (
        lambda: "- {" + ", ".join(f"k{i}: a" for i in range(90_000)) + "}\n",
        ["201", ":1: unknown key 'k0' in prompt 1; the keys here are model, a"],
    ),
    "one key 90,000 times": (
        lambda: "- {" + ", ".join(["text: a"] * 90_000) + "}\n",
        ["2", ":1: key 'text' is given twice, first on line 1; keep one"],
    ),
    "4 million layers": (
        lambda: "- {text: a, layers: '" + ",".join(["1"] * 4_000_000) + "'}\n",
        ["1", ":1: layers of prompt 1 cannot be read: it is longer than 10,"],
    ),
    "39,000 messages": (lambda: "- messages: [" + "{role: user, content: a}, " * 39_000 + "]\n", 1),
}  # fmt: skip
"""By name: what is in the file, and how many prompts it gives, or how many problems and the first of them."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Read every file, each in a process of its own."""
    folder = tmp_path_factory.mktemp("large")
    paths = {str(folder / f"{number}.yaml"): name for number, name in enumerate(FILES)}
    for path, name in paths.items():
        Path(path).write_text(FILES[name][0](), "utf-8")
    command = [sys.executable, "-c", _PROGRAM, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {paths[path]: outcome for path, outcome in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", FILES)
def test_is_read_or_refused_within_the_limits(found: dict[str, object], name: str) -> None:
    assert found[name] == FILES[name][1]
