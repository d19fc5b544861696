"""Arguments of transformers' from_pretrained and save_pretrained that are about the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Arguments of transformers' from_pretrained about the download and the framework: what of them asks for nothing.
_HUB_ARGUMENTS = {
    "cache_dir": (None,),
    "force_download": (None, False),
    "resume_download": (None, False),
    "local_files_only": (None, False),
    "proxies": (None,),
    "token": (None, False),
    "use_auth_token": (None, False),
    "trust_remote_code": (None, False),
    "subfolder": (None, ""),
    "mirror": (None,),
}


def without_hub_arguments(caller: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments without those of the hub's client that request nothing.

    Raises:
        TypeError: one of them that requests something.
    """
    wanted = sorted(
        name for name, value in arguments.items() if name in _HUB_ARGUMENTS and value not in _HUB_ARGUMENTS[name]
    )
    if wanted:
        raise TypeError(
            f"{caller} takes no {', '.join(wanted)}: the environment variables HF_HOME, HF_TOKEN and HF_HUB_OFFLINE "
            "set up the download, and bertx runs no code from a checkpoint"
        )
    return {name: value for name, value in arguments.items() if name not in _HUB_ARGUMENTS}


def refuse_upload(push_to_hub: bool) -> None:
    """Raises ValueError for an upload, which is huggingface_hub's to do."""
    if push_to_hub:
        raise ValueError(
            "push_to_hub: bertx uploads nothing; save to a folder, then huggingface_hub.upload_folder(repo_id=…, "
            "folder_path=…)"
        )
