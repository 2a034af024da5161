"""Folders on the Hugging Face hub: sent with a card, fetched by name. Data only, never code."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CARD = "README.md"
DATA = ("*.safetensors", "*.json", "*.jsonl", "*.yaml", "*.md", "*.jinja", "*.txt", "*.model")
"""Kinds of files that are sent and fetched."""


class HubError(ValueError):
    """Something could not be sent to the hub, or is not there; the message says what to do."""


def is_repo_id(reference: str | Path) -> bool:
    """Whether a reference that is no path here may name a repository, `user/name`.

    >>> is_repo_id("somebody/probe"), is_repo_id("./somebody/probe"), is_repo_id("probe")
    (True, False, False)
    """
    text = str(reference)
    parts = text.split("/")
    plain = all(part and part.strip(".") and "\\" not in part for part in parts)
    return len(parts) == 2 and plain and not text.startswith(("~", "."))


def fetch_folder(repo_id: str, wanted: Sequence[str], *, revision: str | None = None) -> Path:
    """Fetch those files of a model repository that match `wanted`; gives the folder in the hub's cache.

    Raises:
        HubError: there is no such repository, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(wanted)))
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise HubError(
            f"{repo_id!r} is no folder here and no repository on the Hugging Face hub. Check the spelling; "
            "private ones need `hf auth login`."
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise HubError(
            f"{repo_id!r} is no folder here, and the Hugging Face hub cannot be reached "
            f"({type(error).__name__})."
        ) from error


def send_folder(
    folder: Path, repo_id: str, card: str, *, private: bool = True, message: str = "Upload"
) -> str:
    """Send the data files of a folder to a model repository, with a card; gives its address.

    Args:
        folder: what lies in its subfolders stays here.
        card: text of README.md, with its YAML head.
        private: whether a repository that is made for it can be seen by its owner alone.

    Raises:
        HubError: `repo_id` is no `user/name`, nobody is logged in, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    if not is_repo_id(repo_id):
        raise HubError(f"{repo_id!r}: write the repository as user/name.")
    api = HfApi()
    with tempfile.TemporaryDirectory() as staged:
        for path in sorted(folder.iterdir()):
            if path.is_file() and any(path.match(kind) for kind in DATA) and path.name != CARD:
                shutil.copy2(path, staged)
        (Path(staged) / CARD).write_text(card, encoding="utf-8")
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=staged, commit_message=message)
        except LocalTokenNotFoundError as error:
            raise HubError(f"{repo_id}: nobody is logged in to the hub: `hf auth login`.") from error
        except (HfHubHTTPError, OSError) as error:
            raise HubError(f"{repo_id} could not be sent: {error}") from error
    return f"https://huggingface.co/{repo_id}"


def card_text(title: str, sections: Mapping[str, str], **head: Any) -> str:
    """Write a card: a YAML head that the hub reads, then sections.

    Args:
        title: heading of the page.
        sections: heading -> text, in order; empty ones are left out.
        head: `license`, `base_model`, `tags`, ... as the hub knows them.

    >>> print(card_text("A probe", {"Limits": "Many."}, license="mit"))
    ---
    license: mit
    ---
    <BLANKLINE>
    # A probe
    <BLANKLINE>
    ## Limits
    <BLANKLINE>
    Many.
    <BLANKLINE>
    """
    import yaml

    known = {name: value for name, value in head.items() if value not in (None, [], "")}
    lines = [
        "---",
        yaml.safe_dump(known, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {title}",
        "",
    ]
    for heading, text in sections.items():
        if text.strip():
            lines += [f"## {heading}", "", text.strip(), ""]
    return "\n".join(lines)
