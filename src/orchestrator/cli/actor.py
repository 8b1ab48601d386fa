"""The user of this process, as the log names them."""

import getpass
import os


def actor_name() -> str:
    """Return the name of this process's user, or `uid N` if the user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return f"uid {os.geteuid()}"
