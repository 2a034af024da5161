"""Where probes are fitted: a GPU when there is one, unless the caller says otherwise."""

from __future__ import annotations

__all__ = ["default_device"]


def default_device() -> str:
    """Return "cuda" when a GPU is present, else "cpu".

    >>> default_device() in ("cpu", "cuda")
    True
    """
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
