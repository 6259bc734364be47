"""The upload of a shared folder to Hugging Face, or to the server that ``HF_ENDPOINT`` names."""

from typing import Literal

import rich
from lightning_utilities.core.imports import RequirementCache

from wsvad_lightning import __version__
from wsvad_lightning.errors import WSVADError

LOG_IN = "Log in by `hf auth login`"
DENIED = 401, 403  # HTTP status where the token is unknown, or may not write


def check_push(name: str | None) -> None:
    """Validate what an upload takes, before anything is written.

    Args:
        name: owner/name on Hugging Face; None where nothing is uploaded.

    Raises:
        WSVADError: if huggingface_hub is missing, it is no such name, or no token is stored.
    """
    if name is None:
        return
    if not RequirementCache("huggingface_hub"):
        raise WSVADError("--push", name, "needs huggingface_hub", 'Install "wsvad-lightning[share]"')
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # its __all__ is short

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise WSVADError("--push", name, f"is not owner/name ({error})", "Give such as me/gate") from None
    if name.count("/") != 1:
        raise WSVADError("--push", name, "is not owner/name", "Give such as me/gate")
    if get_token() is None:
        raise WSVADError("--push", name, "takes a token, and none is stored", LOG_IN)


def upload(folder: str, name: str, kind: Literal["model", "dataset"]) -> None:
    """Upload a shared model or store.

    Args:
        folder: what to upload; it stays, whatever happens.
        name: owner/name on Hugging Face, which :func:`check_push` accepted.
        kind: of repository.

    Raises:
        WSVADError: if Hugging Face refuses or cannot be reached.
    """
    from huggingface_hub import HfApi, errors

    http = errors.HTTPError  # type: ignore[attr-defined]  # of httpx, or of httpx2 since huggingface_hub 2
    try:
        api = HfApi()
        api.create_repo(name, repo_type=kind, exist_ok=True)
        message = f"wsvad {__version__}"
        api.upload_folder(repo_id=name, repo_type=kind, folder_path=folder, commit_message=message)
    except (http, OSError, ValueError) as error:
        denied = isinstance(error, errors.HfHubHTTPError) and error.response.status_code in DENIED
        problem = f"cannot be uploaded ({' '.join(str(error).split())[:150]})"
        later = f"`hf upload {name} {folder} --repo-type {kind}` uploads {folder}, which is written"
        raise WSVADError("--push", name, problem, f"{LOG_IN}; {later}" if denied else later) from None
    rich.get_console().print(f"uploaded to {name}", markup=False, soft_wrap=True)
