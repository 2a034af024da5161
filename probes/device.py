"""Where probes are fitted: a GPU when there is one and it is worth it, unless the caller says otherwise."""

from __future__ import annotations

__all__ = ["default_device", "solver_device"]

# Numbers in a layer's activations (rows x d) from which a GPU solves a logistic grid sooner than a CPU core.
# Below, it waits for the many small steps: an H200 took .26 s against .18 s at 1,000 x 576, and .21 s against
# .51 s at 1,000 x 2,048.
LARGE = 2_000_000


def default_device() -> str:
    """Return "cuda" when a GPU is present, else "cpu".

    >>> default_device() in ("cpu", "cuda")
    True
    """
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def solver_device(asked: str | None, size: int) -> str:
    """Return where the logistic grid of a layer with `size` numbers is solved.

    As asked; otherwise on a GPU when there is one and it is faster there.

    >>> solver_device(None, 576_000), solver_device("cuda:1", 576_000)
    ('cpu', 'cuda:1')
    """
    if asked is not None:
        return asked
    return default_device() if size >= LARGE else "cpu"
