"""What the terminal itself finds wrong."""


class Complaint(Exception):
    """Something the user can put right: what is wrong, and how."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem.rstrip('.')}. {fix}" if fix else problem)
