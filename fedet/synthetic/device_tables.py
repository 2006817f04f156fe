"""Fixed tables of numbers that renderers look up, computed once for each device."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import torch


def device_table(make: Callable[[], Any]) -> Callable[[], Any]:
    """Caches what `make` returns: computed on the CPU, copied once to each default device that uses it."""

    @lru_cache(maxsize=4)
    def on(device: torch.device) -> Any:
        with torch.device("cpu"):
            return to_device(make(), device)

    return wraps(make)(lambda: on(torch.empty(0).device))


def to_device(value: Any, device: torch.device | str) -> Any:
    """Tensors, alone or in tuples, lists and dicts, on another device; anything else unchanged."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: to_device(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = [to_device(item, device) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
