"""Ray workers that fail on purpose. A file of their own, so that Ray's processes can import them."""

import os
from pathlib import Path

from activations.ray_engine import ShardActor

MARKER = "MORTAL_WORKER_MARKER"


class MortalActor(ShardActor):
    """A worker whose process ends without a word at its second shard, once on this machine."""

    def __init__(self, shared):
        super().__init__(shared)
        self.shards = 0

    def __call__(self, batch):
        self.shards += 1
        marker = Path(os.environ[MARKER])
        if self.shards == 2 and not marker.exists():
            marker.touch()
            os._exit(9)
        return super().__call__(batch)


class BrokenActor(ShardActor):
    """A worker that can compute the first shard only."""

    def __call__(self, batch):
        if batch["shard"].tolist() != [0]:
            raise MemoryError("row 'x' does not fit")
        return super().__call__(batch)


class LateActor(ShardActor):
    """A worker for what a first run left: the first shard is not asked for again."""

    def __call__(self, batch):
        assert batch["shard"].tolist() != [0]
        return super().__call__(batch)
