import pytest

from orchestrator.domain.spelling import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("fetch_1", ["fetch-1", "fetch-2", "clean"], "fetch-1"),
        ("docs.publsh.v1", ["docs.publish.v1", "campaign.build.v1"], "docs.publish.v1"),
        ("ublish", ["publish", "render"], "publish"),
        ("", ["a"], None),
        ("nothing", ["publish", "render"], None),
        ("x" * 65, ["x" * 65], None),
    ],
)
def test_the_name_that_was_meant(name: str, known: list[str], meant: str | None) -> None:
    assert nearest(name, known) == meant
    assert did_you_mean(name, known) == ("" if meant is None else f"; did you mean {meant!r}?")


def test_names_with_the_same_first_letter_come_first_where_there_are_too_many() -> None:
    many = [f"other_{number:05}" for number in range(10_000)]
    assert nearest("publsh", [*many, "publish"]) == "publish"
    assert (
        nearest("qublish", [*many, *("sublish" + "z" * (number % 3) for number in range(5_000)), "qublisk"])
        == "qublisk"
    )
