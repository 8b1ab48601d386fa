"""Triangle meshes: read and write OBJ (text) and binary glTF 2.0, simplify by welding and clustering."""

import json
import struct
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vertices = NDArray[np.float32]
Faces = NDArray[np.uint32]

# Numbers of the glTF 2.0 specification (https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html)
GLB_MAGIC, GLB_VERSION = 0x46546C67, 2
CHUNK_JSON, CHUNK_BIN = 0x4E4F534A, 0x004E4942
FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


@dataclass(frozen=True)
class Mesh:
    """Vertices of shape (n, 3), and triangles of shape (m, 3) as vertex indices."""

    vertices: Vertices
    faces: Faces

    @property
    def edges(self) -> NDArray[np.uint32]:
        """Return every edge once, shape (k, 2), the lower index first."""
        pairs = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        return np.unique(np.sort(pairs, axis=1), axis=0)

    def welded(self) -> "Mesh":
        """Return the mesh with equal vertices merged, without the triangles that become degenerate."""
        vertices, number = np.unique(self.vertices.round(6), axis=0, return_inverse=True)
        return Mesh(vertices.astype(np.float32), _sound(number.reshape(-1)[self.faces].astype(np.uint32)))

    def clustered(self, cells: int) -> "Mesh":
        """Return a coarser mesh: the mean replaces the vertices in each cell of a grid with `cells` per side."""
        low, high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        cell = np.floor((self.vertices - low) / (float((high - low).max()) / cells + 1e-9)).astype(np.int64)
        _, cluster, count = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
        cluster = cluster.reshape(-1)
        means = np.zeros((len(count), 3))
        np.add.at(means, cluster, self.vertices)
        faces = _sound(cluster[self.faces].astype(np.uint32))
        used, renumbered = np.unique(faces, return_inverse=True)
        vertices = (means / count[:, None])[used].astype(np.float32)
        return Mesh(vertices, renumbered.reshape(-1, 3).astype(np.uint32))

    def simplified(self, most: int) -> "Mesh":
        """Return the finest clustering with at most `most` triangles, or the mesh itself if it is that small."""
        if len(self.faces) <= most:
            return self
        fit, over = 1, 128
        while over - fit > 1:
            cells = (fit + over) // 2
            if len(self.clustered(cells).faces) <= most:
                fit = cells
            else:
                over = cells
        return self.clustered(fit)


def _sound(faces: Faces) -> Faces:
    """Return the triangles without those that have two equal corners, and without duplicates."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return faces[np.sort(first)]


def obj(mesh: Mesh) -> bytes:
    """Return the mesh as Wavefront OBJ."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces.tolist()]
    return ("\n".join(lines) + "\n").encode()


def read_obj(content: bytes) -> Mesh:
    """Return the mesh of an OBJ file made of `v` and triangular `f` lines.

    Raises:
        ValueError: a line of another kind, an invalid number, or a triangle with a missing vertex.
    """
    vertices, faces = [], []
    for line in content.decode().splitlines():
        kind, *numbers = line.split()
        if kind == "v":
            vertices.append([float(number) for number in numbers])
        elif kind == "f":
            faces.append([int(number) - 1 for number in numbers])
        else:
            raise ValueError(f"unexpected line {line!r}")
    return _checked(np.asarray(vertices, np.float32), np.asarray(faces, np.int64))


def glb(mesh: Mesh, name: str) -> bytes:
    """Return the mesh as a binary glTF file with one node."""
    positions, indices = mesh.vertices.astype("<f4").tobytes(), mesh.faces.astype("<u4").tobytes()
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": FLOAT,
                "count": len(mesh.vertices),
                "type": "VEC3",
                "min": mesh.vertices.min(axis=0).tolist(),
                "max": mesh.vertices.max(axis=0).tolist(),
            },
            {"bufferView": 1, "componentType": UNSIGNED_INT, "count": mesh.faces.size, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": len(positions), "target": ARRAY_BUFFER},
            {"buffer": 0, "byteOffset": len(positions), "byteLength": len(indices), "target": ELEMENT_ARRAY_BUFFER},
        ],
        "buffers": [{"byteLength": len(positions) + len(indices)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = positions + indices
    return (
        struct.pack("<III", GLB_MAGIC, GLB_VERSION, 12 + 8 + len(text) + 8 + len(binary))
        + struct.pack("<II", len(text), CHUNK_JSON)
        + text
        + struct.pack("<II", len(binary), CHUNK_BIN)
        + binary
    )


def read_glb(content: bytes) -> Mesh:
    """Return the mesh of a file that `glb` wrote.

    Raises:
        ValueError: the file has another format, or is truncated.
    """
    if len(content) < 20 or struct.unpack_from("<III", content) != (GLB_MAGIC, GLB_VERSION, len(content)):
        raise ValueError("not a binary glTF 2.0 file, or cut short")
    length, _ = struct.unpack_from("<II", content, 12)
    document = json.loads(content[20 : 20 + length])
    binary = content[20 + length + 8 :]
    positions, indices = document["bufferViews"]
    vertices = np.frombuffer(binary[: positions["byteLength"]], "<f4").reshape(-1, 3)
    start = indices["byteOffset"]
    faces = np.frombuffer(binary[start : start + indices["byteLength"]], "<u4").reshape(-1, 3)
    return _checked(vertices, faces.astype(np.int64))


def _checked(vertices: Vertices, faces: NDArray[np.int64]) -> Mesh:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError("vertices and faces must have three numbers each")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError("a face names a vertex that is not there")
    return Mesh(vertices, faces.astype(np.uint32))


def lathe(profile: list[tuple[float, float]], sides: int) -> Mesh:
    """Return the solid of revolution of a profile around the vertical axis; triangles do not share vertices.

    Args:
        profile: points (radius, height) from the top to the bottom.
        sides: the number of flat sides around the axis.
    """
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = [np.stack([r * np.cos(angles), np.full(sides, h), r * np.sin(angles)], axis=1) for r, h in profile]
    triangles = []
    for upper, lower in pairwise(rings):
        for side in range(sides):
            following = (side + 1) % sides
            triangles.append((upper[side], lower[side], lower[following]))
            triangles.append((upper[side], lower[following], upper[following]))
    vertices = np.asarray(triangles, np.float32).reshape(-1, 3)
    return Mesh(vertices, np.arange(len(vertices), dtype=np.uint32).reshape(-1, 3))
