"""The command `demo`."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from pathlib import Path

import typer

from orchestrator.cli.options import AsJson, DataDir

HOME = Path(".orchestrator/demo")


def demo(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Build the example campaign, a small playable game, step by step.

    The example `campaign` is part of the package. It makes a picture, music, videos and a playable bundle. Its data is
    in .orchestrator/demo, or in --data-dir; its files are copied to output/ there.

    Example: orchestrator demo
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.process import hide_secrets, run_async
    from orchestrator.cli.showcase import find_campaign, show_campaign

    campaign = find_campaign()
    settings = read_settings(data_dir=data_dir or HOME, skills=(str(campaign.skills),))
    hide_secrets()
    raise typer.Exit(run_async(show_campaign(settings, campaign, as_json=as_json)))
