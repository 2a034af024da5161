"""A store is whole or absent, names its content, and notices every changed byte."""

import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from activations import ActivationStore, StoreCorruptError, StoreWriteError, extract
from activations import writer as writer_module
from activations.housekeeping import find_leftovers
from activations.store import MANIFEST, dump_manifest
from activations.testing import tiny_model
from activations.writer import LOCKS, StoreWriter, check_space, shard_rows


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_SHARD_ROWS", 2)


@pytest.fixture
def store(models, rows, tmp_path):
    return extract(models("llama"), rows, layers=[0, 2], store=tmp_path / "stores", progress=False)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_stored_equals_kept_in_memory(models, rows, store):
    memory = extract(models("llama"), rows, layers=[0, 2], progress=False)
    assert memory.path is None
    assert memory.key == store.key == store.path.name
    assert len(store.manifest["shards"]) == 3
    opened = ActivationStore.open(store.path, verify=True)
    assert torch.equal(opened.tensor(), memory.tensor())
    assert opened.row_ids == memory.row_ids
    assert opened.groups == [row.get("group", row["id"]) for row in rows]
    assert opened.layers == (0, 2)


def test_a_store_opens_with_neither_model_nor_transformers(store):
    program = (
        "import sys; from activations.store import ActivationStore\n"
        f"acts = ActivationStore.open({str(store.path)!r}, verify=True)\n"
        "print(acts.array(2).shape, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "(5, 16) False"


def test_any_flipped_byte_is_found_and_its_file_named(store):
    generator = np.random.default_rng(0)
    for path in sorted(store.path.iterdir()):
        original = path.read_bytes()
        places = range(len(original)) if path.name == MANIFEST else generator.integers(len(original), size=40)
        places = list(places)[:: max(1, len(list(places)) // 120)]
        for place in places:
            data = bytearray(original)
            data[place] ^= 1 << int(generator.integers(8))
            path.write_bytes(data)
            with pytest.raises(StoreCorruptError, match=path.name):
                ActivationStore.open(store.path, verify=True)
        path.write_bytes(original)
    ActivationStore.open(store.path, verify=True)


def test_missing_cut_and_foreign_files_are_named(store):
    shard = store.path / "shard-00001.safetensors"
    data = shard.read_bytes()
    shard.write_bytes(data[:-3])
    with pytest.raises(StoreCorruptError, match=r"shard-00001.*bytes"):
        ActivationStore.open(store.path)
    shard.unlink()
    with pytest.raises(StoreCorruptError, match=r"shard-00001.*missing"):
        ActivationStore.open(store.path)
    shard.write_bytes(data)
    (store.path / "notes.txt").write_text("hello")
    with pytest.raises(StoreCorruptError, match=r"notes\.txt"):
        ActivationStore.open(store.path, verify=True)


def test_unknown_schemas_are_refused_with_both_versions(store):
    manifest = json.loads((store.path / MANIFEST).read_text())
    (store.path / MANIFEST).write_text(dump_manifest({**manifest, "schema": 99}))
    with pytest.raises(StoreCorruptError, match=r"schema 99.*reads 1"):
        ActivationStore.open(store.path)
    with pytest.raises(StoreCorruptError, match="holds no manifest"):
        ActivationStore.open(store.path.parent)


def test_a_run_that_fails_midway_resumes_to_the_same_bytes(models, rows, tmp_path, monkeypatch):
    model = models("llama")
    whole = extract(model, rows, store=tmp_path / "whole", progress=False)
    write, written = StoreWriter.write, []

    def fail_once(self, shard, tensors):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(shard)
        write(self, shard, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "write", fail_once)
        with pytest.raises(KeyboardInterrupt):
            extract(model, rows, store=tmp_path / "cut", progress=False)
    assert not (tmp_path / "cut" / whole.key).exists()
    assert (tmp_path / "cut" / f"{whole.key}.part" / "shard-00000.safetensors").is_file()

    def count(self, shard, tensors):
        written.append(shard)
        write(self, shard, tensors)

    monkeypatch.setattr(StoreWriter, "write", count)
    resumed = extract(model, rows, store=tmp_path / "cut", progress=False)
    assert written == [0, 1, 2]  # shard 0 was not computed again
    assert contents(resumed.path) == contents(whole.path)
    assert not list((tmp_path / "cut").glob("*.part"))
    assert not list((tmp_path / "cut").rglob("*.lock"))


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "No space left.*run again"), (errno.EROFS, "cannot be written")]
)
def test_disk_trouble_leaves_no_half_file_and_says_what_to_do(
    models, rows, tmp_path, monkeypatch, code, message
):
    fsync = os.fsync

    def fail(handle):
        if "shard-00001" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(code, os.strerror(code))
        fsync(handle)

    monkeypatch.setattr(writer_module.os, "fsync", fail)
    with pytest.raises(StoreWriteError, match=message):
        extract(models("llama"), rows, store=tmp_path, progress=False)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert sorted(left) == ["plan.json", "shard-00000.safetensors"]


def test_a_folder_that_is_no_folder_is_refused(models, rows, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreWriteError, match="cannot be used as a store"):
        extract(models("llama"), rows, store=tmp_path / "file", progress=False)


def unwritable(folder):
    """A folder in which this user, even root, may not make files."""
    if os.geteuid():
        folder.mkdir()
        folder.chmod(0o555)
        return folder
    return Path("/sys")  # of the kernel's own


def test_an_unwritable_folder_is_refused_before_the_model_is_checked(models, rows, tmp_path, monkeypatch):
    folder = unwritable(tmp_path / "closed")
    monkeypatch.setattr("activations.integrity.Gate.check", lambda *_: pytest.fail("too late"))
    with pytest.raises(StoreWriteError, match=r"cannot be written.*store=None"):
        extract(models("llama"), rows, store=folder, progress=False)


def test_locks_that_cannot_be_written_are_explained(tmp_path, monkeypatch):
    writer = StoreWriter(tmp_path, "key", [[0]])
    trouble = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("filelock.FileLock.acquire", lambda self: (_ for _ in ()).throw(trouble))
    with pytest.raises(StoreWriteError, match="No space left"):
        next(writer.claims())


def test_too_little_space_is_noticed_before_computing(tmp_path):
    with pytest.raises(StoreWriteError, match=r"needs 10000000\.00 GB"):
        check_space(tmp_path / "not" / "yet", 10**16)


def extract_into(folder):
    writer_module.MAX_SHARD_ROWS = 2
    rows = [{"id": str(i), "prompt": "p" * (i + 1), "response": "r" * (20 - i)} for i in range(10)]
    extract(tiny_model(), rows, store=folder, progress=False)


def test_two_processes_on_one_key_end_with_one_whole_store(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=extract_into, args=(tmp_path / "both",)) for _ in range(2)]
    [worker.start() for worker in workers]
    [worker.join(60) for worker in workers]
    assert [worker.exitcode for worker in workers] == [0, 0]
    extract_into(tmp_path / "one")
    (both,), (one,) = ([p for p in (tmp_path / n).iterdir() if p.name != LOCKS] for n in ("both", "one"))
    assert contents(both) == contents(one)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_interrupted_runs_resume_to_identical_bytes(tmp_path, stop):
    extract_into(tmp_path / "whole")
    (whole,) = [path for path in (tmp_path / "whole").iterdir() if path.name != LOCKS]
    context, generator, root = multiprocessing.get_context("fork"), random.Random(0), tmp_path / "killed"
    for shards in (0, 1, 3, 4):  # the signal comes once that many shards are finished
        worker = context.Process(target=extract_into, args=(root,))
        worker.start()
        while worker.is_alive() and len(list(root.glob("*.part/shard-*.safetensors"))) < shards:
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.02))
        if worker.is_alive():
            os.kill(worker.pid, stop)
        worker.join()
        if stop == signal.SIGINT:  # Ctrl-C cleans up after itself
            assert not list(root.rglob("*.tmp"))
    extract_into(root)
    (resumed,) = [path for path in root.iterdir() if path.name != LOCKS]
    assert contents(resumed) == contents(whole)


def test_claims_of_a_dead_process_are_taken_over(tmp_path):
    def claim_and_die(folder):
        claims = StoreWriter(folder, "key", [[0], [1]]).claims()
        next(claims)
        os._exit(9)

    context = multiprocessing.get_context("fork")
    worker = context.Process(target=claim_and_die, args=(tmp_path,))
    worker.start()
    worker.join(30)
    writer = StoreWriter(tmp_path, "key", [[0], [1]])
    claimed = []
    for shard in writer.claims():
        claimed.append(shard)
        writer.write(shard, {"x": torch.zeros(1)})
    assert claimed == [0, 1]


def test_a_claimed_shard_is_not_given_twice(tmp_path):
    first, second = (StoreWriter(tmp_path, "key", [[0], [1]]) for _ in range(2))
    mine, theirs = first.claims(), second.claims()
    assert (next(mine), next(theirs)) == (0, 1)


def test_prune_lists_leftovers_and_deletes_only_when_told(store, capsys):
    from activations.__main__ import main

    root = store.path.parent
    (root / "abc.part").mkdir()
    (root / "abc.part" / "shard-00000.safetensors").write_bytes(b"123")
    assert [leftover.bytes for leftover in find_leftovers(root)] == [3]
    assert main(["prune", str(root)]) == 0
    assert (root / "abc.part").exists()
    assert "add --yes" in capsys.readouterr().out
    main(["prune", str(root), "--yes"])
    assert sorted(path.name for path in root.iterdir()) == [LOCKS, store.key]


def test_inspect_and_verify_speak_for_the_store(store, capsys):
    from activations.__main__ import main

    assert main(["inspect", str(store.path.parent)]) == 0
    shown = capsys.readouterr().out
    assert "5 in 3 groups" in shown
    assert "resid_post of 2 layers" in shown
    assert main(["verify", str(store.path)]) == 0
    (store.path / "shard-00002.safetensors").write_bytes(b"x")
    assert main(["verify", str(store.path)]) == 1
    assert "DAMAGED" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["inspect", "verify", "prune"])
def test_commands_on_nothing_say_so_in_one_line(tmp_path, capsys, command):
    from activations.__main__ import main

    assert main([command, str(tmp_path / "missing")]) == 1
    shown = capsys.readouterr().err
    assert "missing" in shown
    assert shown.count("\n") == 1


KEYED = [
    {"layers": [0]},
    {"sites": "resid_pre"},
    {"tokens": "response_max"},
    {"tokens": "response_last"},
    {"store_dtype": "bfloat16"},
    {"strict": True},
]


def test_what_changes_numbers_changes_the_key_and_nothing_else_does(models, rows):
    model = models("llama")
    base = {"layers": [0, 1], "progress": False}
    keys = [extract(model, rows, **{**base, **change}).key for change in [{}, *KEYED]]
    keys.append(extract(models("gpt2"), rows, **base).key)
    keys.append(extract(model, rows[:-1], **base).key)
    keys.append(extract(model, rows[::-1], **base).key)
    keys.append(extract(model, [{**rows[0], "id": "renamed"}, *rows[1:]], **base).key)
    keys.append(extract(model, [{**rows[0], "response": " you"}, *rows[1:]], **base).key)
    assert len(set(keys)) == len(keys)
    for change in [{"token_budget": 33}, {"layers": [1, 0]}, {"layers": [-2, -3]}]:
        assert extract(model, rows, **{**base, **change}).key == keys[0]


@given(st.lists(st.integers(1, 70_000_000), min_size=1, max_size=20), st.randoms())
@settings(max_examples=60, deadline=None)
def test_shards_hold_every_row_once_in_order_and_keep_to_their_size(sizes, random):
    order = list(range(len(sizes)))
    random.shuffle(order)
    shards = shard_rows(order, sizes)
    assert [row for shard in shards for row in shard] == order
    for shard in shards:
        assert len(shard) == 1 or sum(sizes[row] for row in shard) <= writer_module.MAX_SHARD_BYTES
