"""The short form: a few requests for each call, without and with keys."""

import pytest

from tests.fuzz.visit import open_visit

SECONDS = "20"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("with_auth", [False, True], ids=["open", "keys"])
def test_no_request_breaks_what_the_api_says_of_itself(with_auth: bool, pytestconfig: pytest.Config) -> None:
    with open_visit(with_auth=with_auth) as visit:
        done = visit.round(int(pytestconfig.option.hypothesis_seed), "--max-examples", "5", "--max-time", SECONDS)
    assert done.is_right, done.told
    assert done.cases > 100, done.told
