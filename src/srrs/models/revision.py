"""Revisions of models on the hub: `owner/name@revision`, and the commit that was loaded."""

from pathlib import Path


def split_revision(name: str) -> tuple[str, str | None]:
    """Return the repository and the revision (a commit, tag or branch) of `owner/name@revision`; None without one."""
    repository, _, revision = name.partition("@")
    return repository, revision or None


def commit_of(folder: Path) -> str:
    """Return the commit of a snapshot in the hub's cache; '' for any other folder."""
    return folder.name if folder.parent.name == "snapshots" else ""


def pinned(name: str, commit: str) -> str:
    """Return the name of a hub model with a commit (`owner/name@commit`); the name itself if `commit` is empty."""
    return f"{split_revision(name)[0]}@{commit}" if commit else name
