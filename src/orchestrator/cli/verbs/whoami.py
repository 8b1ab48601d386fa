"""The verb `whoami`."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from orchestrator.cli.options import AsJson, DataDir, Key, Server, Target


def whoami(*, data_dir: DataDir = None, server: Server = None, key: Key = None, as_json: AsJson = False) -> None:
    """Show the tenant, name and role that your key or token gives you, and when it expires.

    Example: orchestrator whoami --server https://orchestrator.example
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.output.blocks import print_facts
    from orchestrator.cli.output.terminal import open_console, print_json

    me = ask(Target(data_dir, server, key), lambda client: client.me())
    if as_json:
        print_json(me)
    else:
        facts = {"tenant": me["tenant"], "name": me["actor"], "role": me["role"], "expires": me["expiresAt"] or "never"}
        print_facts(open_console(), facts)
