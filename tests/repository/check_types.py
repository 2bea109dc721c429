"""Type checkers accept what users write: the examples of the documentation, and every kind of argument."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
from fences import PAGES, name_of, read_blocks
from root import ROOT

PYRIGHT = ROOT / "tests" / "js" / "node_modules" / ".bin" / "pyright"
VALUES_OF_CELLS = {"README.md", "docs/publishing.md", "docs/notebook.ipynb"}
"""Pages whose examples end in a value that a notebook displays."""
TYPED_BY_OTHERS = {"docs/capture-format.md", "docs/how-to/induction.md", "docs/how-to/own-model.md"}
"""Pages that call functions of packages that do not say what they return."""
UNKNOWN = ("reportUnknownMemberType", "reportUnknownVariableType", "reportUnknownArgumentType")

WRITTEN = """\
import numpy as np

import reportgen as rg

model = rg.load_model("smollm2-135m")
run = rg.capture(model, "a", heads=3)
runs = [
    rg.capture(model, "a", layers="0-4"),
    rg.capture(model, "a", layers=[0, 1], heads=range(3)),
    rg.capture(model, "a", layers=(0, -1), heads=["0-1", 3]),
    rg.capture(model, messages=[{"role": "user", "content": "Hi"}], tags=["x"], evidence=["ablation"]),
    rg.capture(model, rg.Prompt("a", layers="0-4", heads=[1, "2-3"], tags=("x",)), do_sample=True, top_p=0.9, seed=3),
    rg.capture(model, "a", generation={"num_beams": 2}),
]
prompt = rg.Prompt(text="a", generation=rg.Generation(seed=3), layers=range(3), max_new_tokens=1)
pattern = run.attention[21, 6]
sums = pattern.sum(axis=-1).tolist()
weight = float(run.attention[21, 6, 3, 2])
mean = float(np.asarray(run.attention).mean()) + float(run.attention[...].mean())
row = run.attention[:, 6, run.query_pos_of_step(0)]
some = run.attention[[1, 2], np.array([1, 2]), -1, :3]
names = [f"L{layer} H{head} {value:.2f}" for layer, head, value in run.top_heads(by="induction", n=3)]
shapes = {name: values.shape for name, values in run.table("heads").items()}
frame = run.to_pandas("heads")
figure = run.plot("head", layer=21, head=6)
address = rg.compare(run, runs[0]).to_html("both.html").as_uri()
outcome = rg.build_site([run, prompt], "results")
texts = [outcome.index.name, run.labels[0].upper(), run.generated_text.upper()]
again = rg.Capture.load("x.safetensors").num_tokens + 1
"""

WRONG = """\
import reportgen as rg

model = rg.load_model("smollm2-135m")
rg.capture(model, "a", layer=3)
rg.capture(model, "a", layers=3.5)
rg.capture(model, "a", evidence=["ablaton"])
rg.capture(model, 3)
rg.Prompt("a", title=3)
rg.capture(model, "a").plot("heads")
rg.capture(model, "a").attention["a"]
"""


def list_examples() -> dict[str, str]:
    """Return the Python code of each page of the documentation, by its path."""
    blocks = {name_of(page): [one.code for one in read_blocks(page) if one.language == "python"] for page in PAGES}
    cells = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4).cells
    blocks["docs/notebook.ipynb"] = [cell.source for cell in cells if cell.cell_type == "code"]
    return {name: "\n".join(codes) for name, codes in blocks.items() if codes}


def test_strict_pyright_accepts_what_users_write(tmp_path: Path) -> None:
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    (tmp_path / "written.py").write_text(WRITTEN, "utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, "utf-8")
    for place, (name, code) in enumerate(list_examples().items()):
        off = [*["reportUnusedExpression"] * (name in VALUES_OF_CELLS), *UNKNOWN * (name in TYPED_BY_OTHERS)]
        head = "# pyright: strict" + "".join(f", {rule}=false" for rule in off)
        (tmp_path / f"example_{place}.py").write_text(f"{head}\n{code}", "utf-8")
    done = subprocess.run(
        [PYRIGHT, "-p", tmp_path, "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in json.loads(done.stdout)["generalDiagnostics"]
        if one["severity"] == "error"
    ]
    assert [problem for problem in found if problem[0] != "wrong.py"] == []
    wrong = {line for name, line, _ in found if name == "wrong.py"}
    assert wrong == set(range(4, len(WRONG.splitlines()) + 1))
