"""Writing a store so that it is either whole or absent, by one process or by many.

Shards are written one by one into `<root>/<key>.part/` (temporary file, fsync, rename); when all are there
the manifest follows and the folder is renamed to `<root>/<key>`. A killed run leaves finished shards, and
the next run goes on from them. Every process that extracts the same key works on the same `.part` folder:
each claims shards through file locks, which the system releases when a process dies, so several GPUs or
machines with a shared folder are just several processes running the same program.
"""

import errno
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activations.store import MANIFEST, Shard, dump_manifest, hash_bytes_of

logger = logging.getLogger(__name__)

PLAN = "plan.json"
LOCKS = ".locks"
POLL_SECONDS = 0.2


class StoreWriteError(OSError):
    """The store's folder cannot be written; the message says what to do."""


class StoreWriter:
    """Writes the shards of one key under one root, together with any other process doing the same."""

    def __init__(self, root: Path, key: str, plan: Sequence[Sequence[int]]) -> None:
        self.root, self.key = root, key
        self.final, self.part = root / key, root / f"{key}.part"
        self.locks = root / LOCKS
        with _explained(self.part):
            self.plan = self._agree_on(plan)

    def _agree_on(self, plan: Sequence[Sequence[int]]) -> list[list[int]]:
        """Rows of every shard: the plan in the folder if an earlier run left one, else ours."""
        path = self.part / PLAN
        with self._lock("store"):
            if self.finished:
                return [list(rows) for rows in plan]
            self.part.mkdir(exist_ok=True)
            if not path.is_file():
                _write_whole(path, json.dumps([list(map(int, rows)) for rows in plan]).encode())
            return json.loads(path.read_text())

    @property
    def finished(self) -> bool:
        """Whether the whole store exists."""
        return (self.final / MANIFEST).is_file()

    def name(self, shard: int) -> str:
        """File name of a shard."""
        return f"shard-{shard:05d}.safetensors"

    def done(self, shard: int) -> bool:
        """Whether this shard is complete, here or in the finished store."""
        return (self.part / self.name(shard)).is_file() or self.finished

    def claims(self) -> Iterator[int]:
        """Shards for this process to compute, each locked while it is out, until all are done.

        When only shards claimed by other processes are left, waits; takes over those of dead ones.
        """
        from filelock import Timeout

        while open_shards := [i for i in range(len(self.plan)) if not self.done(i)]:
            claimed = False
            for shard in open_shards:
                try:
                    with self._lock(str(shard), timeout=0.0):
                        if not self.done(shard):
                            claimed = True
                            yield shard
                except Timeout:
                    continue  # another process has it
            if not claimed:
                time.sleep(POLL_SECONDS)

    def write(self, shard: int, tensors: Shard) -> None:
        """Write one shard; it exists whole or not at all."""
        from safetensors.torch import save

        with _explained(self.part):
            _write_whole(self.part / self.name(shard), save(tensors))

    def finish(self, head: dict[str, Any]) -> Path:
        """Write the manifest (`head` plus the shard list) and give the store its final name."""
        with self._lock("store"):
            if not self.finished:
                with _explained(self.part):
                    self._seal(head)
        for lock in self.locks.glob(f"{self.key}-*.lock"):
            lock.unlink(missing_ok=True)  # the folder stays: another process may be about to use it
        return self.final

    def _seal(self, head: dict[str, Any]) -> None:
        shards = []
        for index, rows in enumerate(self.plan):
            path = self.part / self.name(index)
            record = {"file": path.name, "rows": len(rows), "bytes": path.stat().st_size}
            shards.append({**record, "sha256": hash_bytes_of(path)})
        _write_whole(self.part / MANIFEST, dump_manifest({**head, "shards": shards}).encode())
        for path in self.part.iterdir():
            if path.name != MANIFEST and path.suffix != ".safetensors":
                path.unlink()  # the plan, and temporary files of processes that died
        if self.final.is_dir():  # damaged: its manifest is gone
            shutil.rmtree(self.final)
        self.part.replace(self.final)
        _sync_folder(self.root)

    @contextmanager
    def _lock(self, name: str, timeout: float = -1.0) -> Iterator[None]:
        """Hold a lock; raises `filelock.Timeout` when another process has it that long."""
        from filelock import FileLock

        lock = FileLock(self.locks / f"{self.key}-{name}.lock", timeout=timeout)
        with _explained(self.locks):
            self.locks.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # also Ctrl-C: leave no half file behind
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _explained:  # noqa: N801 - used as a statement
    """Turn the system's errors about the store's folder into ones that say what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, OSError) or isinstance(error, (StoreWriteError, TimeoutError)):
            return  # a lock's timeout is no trouble with the folder
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreWriteError(
                f"No space left for {self.folder}. Free some (`python -m activations prune` lists unfinished "
                "stores) and run again: finished shards are kept and not computed twice."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StoreWriteError(
                f"{self.folder} cannot be written ({error.strerror}). Pass a store folder you may write "
                "to, or store=None to keep activations in memory."
            ) from error
        raise StoreWriteError(f"{self.folder} cannot be used as a store ({error}).") from error


def check_folder(root: Path) -> None:
    """Make the folder of stores, and refuse now if nothing can be written there.

    Raises:
        StoreWriteError: it cannot be made, or no file in it.
    """
    with _explained(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass


def check_space(root: Path, needed: int) -> None:
    """Refuse to start when the disk cannot hold the result.

    Raises:
        StoreWriteError: less than `needed` bytes are free.
    """
    existing = next(p for p in [root, *root.absolute().parents] if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise StoreWriteError(
            f"{root} has {free / 1e9:.2f} GB free, this extraction needs {needed / 1e9:.2f} GB. Choose fewer "
            "sites or layers, a pooled selection, or another folder."
        )


def shard_rows(order: Sequence[int], row_bytes: Sequence[int]) -> list[list[int]]:
    """Cut rows (in the order given) into shards of at most 64 MB and 512 rows.

    >>> shard_rows([2, 0, 1], [40_000_000] * 3)
    [[2], [0], [1]]
    """
    shards: list[list[int]] = []
    size = 0
    for row in order:
        size += row_bytes[row]
        if not shards or size > MAX_SHARD_BYTES or len(shards[-1]) >= MAX_SHARD_ROWS:
            shards.append([])
            size = row_bytes[row]
        shards[-1].append(row)
    return shards


MAX_SHARD_BYTES = 64_000_000
MAX_SHARD_ROWS = 512
