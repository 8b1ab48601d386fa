import pytest

from orchestrator.cli.output.terminal import between, duration, size


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (None, ""),
        (0, "0 ms"),
        (12.4, "12 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (1240, "1.24 s"),
        (59_994, "59.99 s"),
        (59_996, "1 min 0 s"),
        (200_000, "3 min 20 s"),
    ],
)
def test_a_duration_has_the_unit_that_fits(milliseconds: float | None, told: str) -> None:
    assert duration(milliseconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(-1, ""), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**10, "10.0 GB")],
)
def test_a_size_has_the_unit_that_fits(count: int, told: str) -> None:
    assert size(count) == told


def test_the_time_between_two_times() -> None:
    assert between("2026-01-01T00:00:00.250Z", "2026-01-01T00:00:01.000Z") == 750
    assert between(None, "2026-01-01T00:00:01.000Z") is None
    assert between("2026-01-01T00:00:01.000Z", None) is None
