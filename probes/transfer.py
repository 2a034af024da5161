"""Does a probe fitted in one domain work in another? The evaluation, with selection on the source only.

The records that make up a result, and so the JSON schema, are in `results.py`.
"""

from probes.results import SCHEMA, TransferResult

__all__ = ["SCHEMA", "TransferResult"]
