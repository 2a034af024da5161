"""Keeps other libraries' progress bars and notices about their own future off a person's terminal and log.

What we do with weights takes one line of our own log; a bar per file, or a deprecation in somebody else's
code, is nothing a reader can act on.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

# what is said -> by which module (as regular expressions of `warnings`)
_NOTICES = {
    "`is_gradient_checkpointing` is deprecated": "",
    # checkpoints look for the base's config on a hub; embeddings are never trained, so nothing is missing
    "Unable to fetch remote file": "peft",
    "Could not find a config file": "peft",
    # a base is named as the user names it, not by its folder in the cache
    "The PEFT config's `base_model_name_or_path` was renamed": "peft",
}


@contextmanager
def quiet_libraries(*uses: str) -> Iterator[None]:
    """Silence bars and notices of transformers, peft and datasets inside a block, or in a decorated function.

    Errors, and warnings about data or weights, are shown as before. `datasets` is slow to import and is only
    silenced where somebody has imported it already: a block that imports it says so (`uses`).

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as shown:
    ...     warnings.simplefilter("always")
    ...     with quiet_libraries():
    ...         warnings.warn("`is_gradient_checkpointing` is deprecated", FutureWarning)
    >>> shown
    []
    """
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging as transformers_logging

    with ExitStack() as stack:
        if transformers_logging.is_progress_bar_enabled():
            transformers_logging.disable_progress_bar()
            stack.callback(transformers_logging.enable_progress_bar)
        for name in uses:
            import_module(name)
        datasets = sys.modules.get("datasets")
        if datasets is not None and datasets.are_progress_bars_disabled() is False:
            datasets.disable_progress_bars()
            stack.callback(datasets.enable_progress_bars)
        tqdm: Any = getattr(gguf, "tqdm")  # noqa: B009 its own, which transformers' switch does not reach
        stack.enter_context(patch.object(gguf, "tqdm", partial(tqdm, disable=True)))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
        for message, module in _NOTICES.items():
            warnings.filterwarnings("ignore", message=message, module=module)
        yield
