"""The one error of the embedded database."""


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot be used: what is wrong, and what to do about it.

    Attributes:
        problem: The cause, one sentence.
        fix: What the reader can do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem.rstrip('.')}. {fix.rstrip('.')}.")
        self.problem = problem
        self.fix = fix
