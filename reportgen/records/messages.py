"""The text of chat messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text_of(message: Mapping[str, Any]) -> str:
    """Return what a message says: its content, or the joined texts of its parts; empty if it only calls tools."""
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part["text"] for part in content or ())
