"""The next release, played: a copy of the package with what a release may bring.

    a migration             0700_remarks: a table and a column
    a field of an event     `host` of RunStarted
    an event                RunRemarked, for runs whose payload has a `remark`
    a word of definitions   `team`

All but the migration are of format 3. `next_release.changes` has each change as a text of a file and what stands in its
place, so that the copy follows the package; a text that is not there any more is an error.
"""

import re
import shutil
from pathlib import Path

from tests.world.programs import ROOT

MIGRATION = "0700_remarks"
_CHANGES = Path(__file__).with_name("next_release.changes")
_CHANGE = re.compile(r"^@@ (?P<name>.+)\n(?P<there>(?:(?!@@ ).*\n)*?)==\n(?P<instead>(?:(?!@@ ).*\n)*)", re.MULTILINE)
_MIGRATION_TEXT = """\
-- What people remarked on runs.
CREATE TABLE orchestrator.remarks (run_id uuid PRIMARY KEY, remark text NOT NULL);
ALTER TABLE orchestrator.workers ADD COLUMN release text;
"""


def make_next_release(folder: Path) -> Path:
    """Write the next release to a folder; first on PYTHONPATH, the folder makes a program of that release."""
    package = folder / "orchestrator"
    shutil.copytree(ROOT / "src" / "orchestrator", package, ignore=shutil.ignore_patterns("__pycache__"))
    for change in _CHANGE.finditer(_CHANGES.read_text(encoding="utf-8")):
        path = package / change["name"]
        text, there = path.read_text(encoding="utf-8"), change["there"].removesuffix("\n")
        assert there in text, f"{change['name']} has changed: {there!r} is not there"
        path.write_text(text.replace(there, change["instead"].removesuffix("\n")), encoding="utf-8")
    (package / "postgres" / "migrations" / f"{MIGRATION}.sql").write_text(_MIGRATION_TEXT, encoding="utf-8")
    return folder
