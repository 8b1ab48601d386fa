"""The treasure of the 3D campaign: generate a detailed mesh, and simplify it for the game."""

from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from orchestrator import SkillError, StepContext, skill

from .mesh import Mesh, glb, lathe, obj, read_obj
from .plan import Treasure
from .seed import chance

# Profiles: (radius, height) points from top to bottom; the generator adds rings between them.
PROFILES: dict[Treasure, list[tuple[float, float]]] = {
    "gem": [(0.0, 0.55), (0.55, 0.55), (0.95, 0.15), (0.45, -0.5), (0.0, -0.95)],
    "lantern": [(0.0, 1.0), (0.15, 0.8), (0.55, 0.6), (0.62, 0.0), (0.55, -0.6), (0.3, -0.75), (0.0, -0.8)],
    "star": [(0.0, 0.95), (0.3, 0.3), (0.95, 0.0), (0.3, -0.3), (0.0, -0.95)],
}


class AssetRequest(BaseModel):
    """Input of `asset3d.generate`. `detail` is the number of rings between two points of the profile."""

    shape: Treasure
    detail: int = Field(default=8, ge=1, le=16)
    seed: int


@skill("asset3d.generate", version="1")
def generate_asset(request: AssetRequest, ctx: StepContext) -> dict[str, Any]:
    """Rotate a profile around its axis, and make the surface slightly uneven, as if cut by hand."""
    profile = PROFILES[request.shape]
    knots = np.arange(len(profile))
    places = np.linspace(0, len(profile) - 1, (len(profile) - 1) * request.detail + 1)
    radii = np.interp(places, knots, [radius for radius, _ in profile])
    heights = np.interp(places, knots, [height for _, height in profile])
    ctx.progress(0.3, "turning")
    draw = chance("asset3d", request.model_dump())
    smooth = lathe(list(zip(radii.tolist(), heights.tolist(), strict=True)), 6 * request.detail)
    mesh = Mesh(_carved(smooth, request.shape, draw), smooth.faces)
    ctx.artifact(obj(mesh), type="model/obj", filename=f"{request.shape}_raw.obj")
    return {"shape": request.shape, "vertices": len(mesh.vertices), "faces": len(mesh.faces)}


def _carved(mesh: Mesh, shape: Treasure, draw: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Scale each vertex by a smooth function of its direction, so that shared corners stay together."""
    x, y, z = mesh.vertices.astype(np.float64).T
    around = np.arctan2(z, x)
    phases = draw.random(3) * 2 * np.pi
    factor = 1 + 0.04 * np.sin(3 * around + phases[0]) * np.cos(4 * y + phases[1]) + 0.03 * np.sin(5 * y + phases[2])
    if shape == "star":
        factor *= 0.72 + 0.28 * np.cos(5 * around)
    carved = np.stack([x * factor, y, z * factor], axis=1)
    return carved.astype(np.float32)


class OptimizeRequest(BaseModel):
    """Input of `asset3d.optimize`: an OBJ artifact, and the maximum number of triangles."""

    mesh: dict[str, Any]
    name: str
    faces: int = Field(default=160, ge=24, le=2000)


@skill("asset3d.optimize", version="1")
def optimize_asset(request: OptimizeRequest, ctx: StepContext) -> dict[str, Any]:
    """Merge duplicate vertices, reduce the number of triangles, and write the mesh as binary glTF.

    Raises:
        SkillError: `MESH_UNREADABLE`, not retryable, because the file stays the same.
    """
    try:
        raw = read_obj(ctx.read_artifact(request.mesh))
    except ValueError as error:
        raise SkillError("MESH_UNREADABLE", str(error), retryable=False) from error
    ctx.progress(0.3, "welding")
    welded = raw.welded()
    ctx.progress(0.6, "thinning out")
    small = welded.simplified(request.faces)
    counts = {
        stage: {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}
        for stage, mesh in (("raw", raw), ("welded", welded), ("optimized", small))
    }
    ctx.artifact(
        glb(small, request.name),
        type="model/gltf-binary",
        filename=f"{request.name}.glb",
        metadata={"vertices": len(small.vertices), "faces": len(small.faces)},
    )
    return counts
