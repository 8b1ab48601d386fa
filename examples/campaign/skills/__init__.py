"""The skills of the campaign example. Importing this package registers them.

Skills, by medium: `planning`, `image`, `video`, `audio`, `asset3d`, `game`, `validation`, `manifest`.
Shared modules: `plan` (the types of a plan), `seed` (repeatable random numbers), `scene` and `lettering` (backdrops
and text on them), `synth` (tones and WAV files), `mesh` (models as OBJ and glTF).
"""

from .asset3d import generate_asset, optimize_asset
from .audio import generate_bgm, generate_sfx, mix
from .game import bundle, configure
from .image import generate_intro, segment_button
from .manifest import assemble_manifest
from .planning import generate_campaign_plan
from .validation import validate
from .video import generate_loop, generate_outcome

__all__ = [
    "assemble_manifest",
    "bundle",
    "configure",
    "generate_asset",
    "generate_bgm",
    "generate_campaign_plan",
    "generate_intro",
    "generate_loop",
    "generate_outcome",
    "generate_sfx",
    "mix",
    "optimize_asset",
    "segment_button",
    "validate",
]
