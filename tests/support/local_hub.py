"""A hub that is a folder: what is uploaded lies there, what is downloaded is copied from there."""

import shutil
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError


class LocalHub:
    """Stands for `HfApi` and `snapshot_download`; repositories are folders `user/name`."""

    def __init__(self, root: Path) -> None:
        self.root, self.private = root, {}

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        self.private.setdefault(repo_id, private)

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        assert commit_message
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    def download(self, repo_id: str, revision: str | None = None, allow_patterns=None) -> str:
        folder, cache = self.root / repo_id, self.root / "cache" / repo_id
        if not folder.is_dir():
            raise LocalEntryNotFoundError(f"{repo_id} is not here")
        cache.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns or ["*"]):
                shutil.copy(path, cache)
        return str(cache)


def local_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    """Put a hub in a folder into the place of the real one."""
    made = LocalHub(folder)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.download)
    return made
