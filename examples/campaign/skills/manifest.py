"""The manifest: all files of the campaign, with the hash of their content."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from orchestrator import SkillError, StepContext, skill


class Item(BaseModel):
    """An artifact of an earlier step; `contentHash` is its SHA-256 in lower-case hex."""

    filename: str
    type: str
    contentHash: str  # noqa: N815 - the name that selectors use
    sizeBytes: int  # noqa: N815


class ManifestRequest(BaseModel):
    """Input of `campaign.manifest`; `button` is left, top, width and height in pixels of the intro picture."""

    title: str
    tagline: str
    button: tuple[int, int, int, int]
    files: list[Item]


@skill("campaign.manifest", version="1")
async def assemble_manifest(request: ManifestRequest, ctx: StepContext) -> dict[str, Any]:
    """List every file of the campaign. Two campaigns are equal if the digests of their manifests are equal.

    Raises:
        SkillError: `MANIFEST_AMBIGUOUS`: two files with different content have the same name.
    """
    contents = {item.filename: item.contentHash for item in request.files}
    clashes = sorted({item.filename for item in request.files if contents[item.filename] != item.contentHash})
    if clashes:
        raise SkillError("MANIFEST_AMBIGUOUS", f"different files are called {', '.join(clashes)}", retryable=False)
    ctx.progress(0.5, f"{len(contents)} files")
    left, top, width, height = request.button
    manifest = {
        "title": request.title,
        "tagline": request.tagline,
        "startButton": {"left": left, "top": top, "width": width, "height": height},
        "files": [item.model_dump() for item in sorted(request.files, key=lambda item: item.filename)],
    }
    content = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False).encode()
    ctx.artifact(content, type="application/json", filename="manifest.json")
    return {
        "digest": hashlib.sha256(content).hexdigest(),
        "files": len(contents),
        "totalBytes": sum(item.sizeBytes for item in request.files),
    }
