"""Who works at the terminal."""

import getpass
import os


def actor_name() -> str:
    """Return who asks, as the log shall name them: the user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return f"uid {os.geteuid()}"
