"""Follow calls of fast attention at less cost than a mode of torch, which follows every function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch.nn import functional

Receive = Callable[[tuple[Any, ...], dict[str, Any], Any], None]
"""Receives the arguments of a call, those given by name, and its result."""


class FastCalls:
    """Replaces ``torch.nn.functional.scaled_dot_product_attention`` inside ``with`` blocks; it calls the original.

    Every thread follows its own calls.
    """

    def __init__(self) -> None:
        """Replace nothing yet."""
        self._usual: Any = functional.scaled_dot_product_attention
        self._blocks, self._lock, self._by_thread = 0, threading.Lock(), threading.local()

    def __enter__(self) -> FastCalls:
        with self._lock:
            self._blocks += 1
            if self._blocks == 1:
                self._usual = functional.scaled_dot_product_attention
                functional.scaled_dot_product_attention = self
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0 and functional.scaled_dot_product_attention is self:
                functional.scaled_dot_product_attention = self._usual

    def follow(self, receive: Receive | None) -> None:
        """Call ``receive`` after each call of fast attention in this thread from now on; ``None`` ends that."""
        self._by_thread.receive = receive

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return fast attention."""
        result = self._usual(*args, **kwargs)
        receive = getattr(self._by_thread, "receive", None)
        if receive is not None:
            receive(args, kwargs, result)
        return result


FAST_CALLS = FastCalls()
"""What every recorder uses, since there is one function to replace."""
