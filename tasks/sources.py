"""Which file makes which dataset."""

from __future__ import annotations

from tasks.dataset import Dataset, DatasetSpec
from tasks.programming_dataset import open_programming_dataset
from tasks.qa_dataset import open_qa_dataset


def open_dataset(spec: DatasetSpec) -> Dataset:
    """Make or read the items of a dataset.

    Raises:
        FileNotFoundError: real text is asked for and `SOPHISTRY_DATA` does not hold it.
        ValueError: QuALITY holds fewer items than asked for, or nothing of APPS can be taught.
    """
    return open_programming_dataset(spec) if spec.task == "programming" else open_qa_dataset(spec)
