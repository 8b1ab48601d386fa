"""Puts the examples into the package when it is built. All else is in pyproject.toml."""

from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import setup
from setuptools.command.build_py import build_py

EXAMPLES = Path("examples")


class BuildWithExamples(build_py):
    """Copies the folder beside the modules, where `orchestrator demo` looks; a checkout has it already."""

    def run(self) -> None:
        """Build, and add the examples."""
        super().run()
        if EXAMPLES.is_dir() and not self.editable_mode:
            target = Path(self.build_lib) / "orchestrator" / EXAMPLES
            copytree(EXAMPLES, target, ignore=ignore_patterns("__pycache__"), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithExamples})
