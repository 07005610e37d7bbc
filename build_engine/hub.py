"""Repositories of the Hugging Face hub: which files they have, what of them the library's own cache
holds, and what a refusal means to the user.

HF_TOKEN, HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from build_engine.errors import EnginebenchError, EnvironmentFault, UsageError

_TIMEOUT_S = 20.0  # for the list of files; the library's own limit holds for the files


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository of the hub, and how its user is told about it."""

    hub_id: str
    kind: Literal["model", "dataset"]
    fault: type[UsageError]
    """What a refusal is that the user can fix."""
    otherwise: str
    """What else the user may do: the end of a sentence."""
    taken_for: str = ""
    """What its name was not, where it may have been meant as something else: a sentence's begin."""

    @property
    def folder_name(self) -> str:
        """Its name as that of a folder."""
        return self.hub_id.replace("/", "--")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub lists it; `num_bytes` is None where the hub does not say, `sha256` for a
    file that is not in large-file storage.
    """

    name: str
    num_bytes: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]


def list_files(repository: Repository, revision: str | None = None) -> Listing:
    """Ask the hub; of a `revision` that is None it tells the newest. Raises the repository's fault
    (gated, not there, refused) or EnvironmentFault (the hub cannot be reached).
    """
    import huggingface_hub

    library = tools()
    library.disable_progress_bars()
    library.logging.set_verbosity_error()  # it announces each retry; the user hears once
    try:
        info: Any = huggingface_hub.HfApi().repo_info(
            repository.hub_id,
            repo_type=repository.kind,
            revision=revision,
            files_metadata=True,
            timeout=_TIMEOUT_S,
        )
    except network_errors() as error:
        raise explain(error, repository, revision) from error
    return Listing(str(info.sha), tuple(_remote(each) for each in info.siblings or []))


def library_file(repository: Repository, name: str, commit: str) -> Path | None:
    """A file from the cache of huggingface_hub, None where it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        repository.hub_id, name, revision=commit, repo_type=repository.kind
    )
    return Path(found) if isinstance(found, str) else None


def library_folder(
    repository: Repository, revision: str | None, patterns: Sequence[str]
) -> Path | None:
    """What the cache of huggingface_hub has of a revision, whole or not; None for nothing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repository.hub_id,
            repo_type=repository.kind,
            revision=revision,
            local_files_only=True,
            allow_patterns=list(patterns),
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return Path(folder)


def explain(
    error: Exception, repository: Repository, revision: str | None = None
) -> EnginebenchError:
    """What a failure of the hub means to the user, and what to do."""
    from huggingface_hub import constants, errors

    hub_id, endpoint, otherwise = repository.hub_id, constants.ENDPOINT, repository.otherwise
    if isinstance(error, errors.GatedRepoError):
        return repository.fault(f"{_gated(repository, endpoint)}, {otherwise}.")
    if isinstance(error, errors.RevisionNotFoundError):
        return repository.fault(
            f"{hub_id} has no commit {revision} on {endpoint}; check HF_ENDPOINT, {otherwise}."
        )
    absent = isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError)
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if status in (401, 403) and not absent:
        return repository.fault(
            f"{endpoint} refuses access to {hub_id} (HTTP {status}); check HF_TOKEN, or log in "
            f"anew with `hf auth login`, {otherwise}."
        )
    if absent:
        return repository.fault(
            f"{repository.taken_for}{endpoint} has no {repository.kind} {hub_id} that you can "
            "read; check the name and HF_ENDPOINT, log in with `hf auth login` (or set HF_TOKEN), "
            f"{otherwise}."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return EnvironmentFault(
            f"{repository.taken_for}HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set and {hub_id} is "
            f"not in the cache; unset it to download, {otherwise}."
        )
    if status is not None:
        return EnvironmentFault(
            f"{endpoint} answers HTTP {status} for {hub_id}; start again later, what has arrived "
            f"is kept, {otherwise}."
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    return EnvironmentFault(
        f"{repository.taken_for}{hub_id} cannot be fetched from {endpoint} ({reason}); check the "
        f"network and start again, what has arrived is kept, {otherwise}."
    )


def _gated(repository: Repository, endpoint: str) -> str:
    """Where to ask for access, and what to set: by whether there is a token already."""
    from huggingface_hub import get_token

    place = "datasets/" if repository.kind == "dataset" else ""
    page = f"{endpoint}/{place}{repository.hub_id}"
    if get_token() is None:
        return (
            f"{repository.hub_id} is gated on {endpoint}, and no token is set; accept its terms on "
            f"{page}, make a token on {endpoint}/settings/tokens, and log in with it by "
            "`hf auth login` (or set HF_TOKEN to it)"
        )
    return (
        f"{repository.hub_id} is gated on {endpoint}, and your token has no access to it; ask for "
        f"access on {page} (granting it may take a while), or log in with `hf auth login` (or set "
        "HF_TOKEN) by the token of an account that has it, which may read gated repositories"
    )


def network_errors() -> tuple[type[Exception], ...]:
    """What a failing hub may raise: huggingface_hub has used requests (whose errors are OSErrors),
    httpx and httpx2. ValueErrors come of a page that is no JSON, and of a malformed endpoint or
    token.
    """
    clients = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    raised = [(client.HTTPError, client.InvalidURL) for client in clients]
    return (OSError, ValueError, *chain.from_iterable(raised))


def tools() -> Any:
    """`huggingface_hub.utils`, whose functions are there for all and typed for none."""
    return importlib.import_module("huggingface_hub.utils")


def _remote(sibling: Any) -> RemoteFile:
    sha256 = sibling.lfs["sha256"] if sibling.lfs else None
    num_bytes = None if sibling.size is None else int(sibling.size)
    return RemoteFile(str(sibling.rfilename), num_bytes, sha256)
