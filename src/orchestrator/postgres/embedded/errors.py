"""The error of the embedded Postgres."""


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot be used. The message says what is wrong and how to fix it.

    Attributes:
        problem: The cause, in one sentence.
        fix: What the user can do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem.rstrip('.')}. {fix.rstrip('.')}.")
        self.problem = problem
        self.fix = fix
