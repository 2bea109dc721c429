"""Draws the pictures of docs/ anew, from the pages that docs/tutorial.md makes.

    python docs/tools/pictures.py

Needs a Chromium, as reportgen export does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from reportgen.pages.screenshot import View, draw_picture

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "pictures"
_HE = {"layer": "13", "head": "8", "query": "15", "first": "out"}
_HAVE = {"layer": "13", "head": "8", "step": "2", "first": "out"}
PICTURES = {
    "heads-of-a-layer": ("cat", View("layer_tiles", _HE)),
    "layers-of-a-head": ("cat", View("head_tiles", _HE)),
    "one-head": ("cat", View("head", _HE)),
    "steps": ("pizza", View("logprobs", _HAVE)),
    "step-layers": ("pizza", View("step_layers", _HAVE)),
    "step-heads": ("pizza", View("step_heads", _HAVE)),
    "lens": ("pizza", View("lens", _HAVE)),
    "induction-head": ("repeated", View("head", {"layer": "18", "head": "6", "first": "out"})),
}
"""By the name of the file: the slug of a page, and a view of it."""


def main() -> None:
    """Do what the pages say, and draw the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "prompts.yaml").write_text(read_code("tutorial.md", "yaml"), "utf-8")
        subprocess.run([sys.executable, "-m", "reportgen", "build"], cwd=folder, check=True)
        subprocess.run([sys.executable, "-c", read_code("how-to/induction.md", "python")], cwd=folder, check=True)
        for name, (slug, view) in PICTURES.items():
            picture = draw_picture(str(Path(folder) / "results" / f"{slug}.html"), view, "png")
            path = FOLDER / f"{name}.png"
            path.write_bytes(shrink(picture))
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def read_code(page: str, language: str) -> str:
    """Return all code of a language on a page of docs/."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


def shrink(picture: bytes) -> bytes:
    """Return a PNG of 256 colours: a third of the size, and no eye tells."""
    with Image.open(BytesIO(picture)) as image, BytesIO() as stream:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        return stream.getvalue()


if __name__ == "__main__":
    main()
