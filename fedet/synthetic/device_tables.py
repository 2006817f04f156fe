"""Fixed tables of numbers that renderers look up, made once for each device."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import torch


def table(make: Callable[[], Any]) -> Callable[[], Any]:
    """Keeps what `make` returns: built on the processor, moved to the default device that asks for it."""

    @lru_cache(maxsize=4)
    def on(device: torch.device) -> Any:
        with torch.device("cpu"):
            return moved(make(), device)

    return wraps(make)(lambda: on(torch.empty(0).device))


def moved(value: Any, device: torch.device | str) -> Any:
    """Tensors, alone or in tuples, lists and dicts, on another device; all else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: moved(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = [moved(item, device) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
