"""Where transformers loads a model or an adapter from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """Location of a model or an adapter.

    Attributes:
        repo: a local folder, or a repository of the hub.
        is_local: whether ``repo`` is a local folder.
        revision: branch, tag or commit of a hub repository; ``None`` for its default.
        gguf_file: name of a GGUF file in it; ``None`` if it has a ``config.json`` and weights.
        is_converted: whether ``repo`` is a folder that a GGUF file was converted to.
    """

    repo: str
    is_local: bool
    revision: str | None = None
    gguf_file: str | None = None
    is_converted: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for ``from_pretrained``, except the repository itself."""
        arguments = {"revision": self.revision, "gguf_file": self.gguf_file}
        return {key: value for key, value in arguments.items() if value is not None}
