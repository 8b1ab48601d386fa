"""Reading what is not today's: older versions, newer ones, other programs' events, damage."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import FormatNotFinished, NeedsNewerProgram
from orchestrator.domain.events import RunFailed, RunStarted, StepCompleted
from orchestrator.domain.output import Artifact, Output, StepError
from orchestrator.eventstore import codec
from orchestrator.eventstore.codec import CODECS, NAMES, Codec, Fields, NewerEvent, UnreadableEvent, decode, encode
from orchestrator.eventstore.formats import FORMAT, Formats


@dataclass(frozen=True)
class Painted:
    """In version 1 it had `colour`, in version 2 `color`, in version 3 several of them."""

    at: int
    colors: tuple[str, ...]


def _to_2(fields: Fields) -> Fields:
    fields["color"] = fields.pop("colour")
    return fields


def _to_3(fields: Fields) -> Fields:
    fields["colors"] = [fields.pop("color")]
    return fields


@pytest.fixture
def painted() -> Iterator[None]:
    """A made-up event, in its third version."""
    codecs, names = dict(CODECS), dict(NAMES)
    line = Codec(Painted, version=3, nested={"colors": tuple}, upcasters={1: _to_2, 2: _to_3})
    codec.CODECS, codec.NAMES = {**codecs, "Painted": line}, {**names, Painted: "Painted"}
    yield
    codec.CODECS, codec.NAMES = codecs, names


def read(name: str, state: bytes) -> object:
    return decode(name, state)[0]


def stored(data: object, **envelope: object) -> bytes:
    return orjson.dumps({"tenant": "t", "actor": "a", "data": data, **envelope})


@pytest.mark.usefixtures("painted")
class TestUpcasting:
    def test_the_first_version_is_lifted_step_by_step(self) -> None:
        assert read("Painted", stored({"at": 1, "colour": "red"})) == Painted(1, ("red",))

    def test_the_second_version_is_lifted_once(self) -> None:
        assert read("Painted", stored({"at": 1, "color": "red"}, v=2)) == Painted(1, ("red",))

    def test_todays_version_is_written_down_and_not_lifted(self) -> None:
        name, state = encode(Painted(1, ("red", "blue")), "t", "a")  # type: ignore[arg-type]
        assert orjson.loads(state) == {
            "tenant": "t",
            "actor": "a",
            "data": {"at": 1, "colors": ["red", "blue"]},
            "v": 3,
        }
        assert read(name, state) == Painted(1, ("red", "blue"))

    def test_a_newer_version_is_refused(self) -> None:
        with pytest.raises(UnreadableEvent, match=r"Painted version 4 is newer than this program \(3\)"):
            decode("Painted", stored({"at": 1}, v=4))

    def test_a_version_without_an_upcaster_is_refused(self) -> None:
        with pytest.raises(UnreadableEvent, match="Painted cannot be read"):
            decode("Painted", stored({"at": 1}, v=0))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnreadableEvent, match="unknown event 'RunPaused'"):
        decode("RunPaused", stored({}))


def test_what_a_newer_program_wrote_is_told_from_damage() -> None:
    for name, state in (("RunPaused", stored({})), ("RunStarted", stored({"at": 1, "worker": "w"}, v=2))):
        with pytest.raises(NewerEvent):
            decode(name, state)
    with pytest.raises(UnreadableEvent) as damaged:
        decode("RunStarted", b"{")
    assert not isinstance(damaged.value, NewerEvent)


def test_fields_that_a_newer_program_added_are_passed_over() -> None:
    assert read("RunStarted", stored({"at": 1, "worker": "w", "colour": "red"})) == RunStarted(1, "w")
    _, state = encode(RunFailed(1, StepError("X", "x"), "s"), "t", "a")
    document = orjson.loads(state)
    document["data"]["error"]["colour"] = "red"
    assert read("RunFailed", orjson.dumps(document)) == RunFailed(1, StepError("X", "x"), "s")
    artifact = Artifact("i", "text", "file:///x", "h", 1)
    _, state = encode(StepCompleted(1, "s", 1, Output(1, (artifact,), artifact), "h", 1.0), "t", "a")
    document = orjson.loads(state)
    for place in (document["data"]["output"]["artifacts"][0], document["data"]["output"]["data_ref"]):
        place["colour"] = "red"
    assert read("StepCompleted", orjson.dumps(document)) == StepCompleted(
        1, "s", 1, Output(1, (artifact,), artifact), "h", 1.0
    )


@dataclass(frozen=True)
class Noted:
    """Format 7 brought it, and format 9 its `colour`."""

    at: int
    note: str
    colour: str | None = None


@pytest.fixture
def noted() -> Iterator[None]:
    """A made-up event of a later format."""
    codecs, names = dict(CODECS), dict(NAMES)
    codec.CODECS = {**codecs, "Noted": Codec(Noted, format=7, added={"colour": 9})}
    codec.NAMES = {**names, Noted: "Noted"}
    yield
    codec.CODECS, codec.NAMES = codecs, names


class Finished(Formats):
    """A database with a format that this program does not know yet."""

    def __init__(self, finished: int) -> None:
        super().__init__()
        self.finished = finished


@pytest.mark.usefixtures("noted")
class TestFormats:
    def test_an_event_is_written_once_its_format_is_finished(self) -> None:
        with pytest.raises(FormatNotFinished, match=r"Noted needs format 7, .* `orchestrator migrate --finish`"):
            encode(Noted(1, "x"), "t", "a", Finished(6))  # type: ignore[arg-type]
        assert encode(Noted(1, "x"), "t", "a", Finished(7))[0] == "Noted"  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("finished", "colour", "written"),
        [(8, "red", {}), (9, "red", {"colour": "red"}), (9, None, {})],
        ids=["not finished", "finished", "not set"],
    )
    def test_a_field_is_left_out_until_it_is_set_and_finished(
        self, finished: int, colour: str | None, written: dict[str, str]
    ) -> None:
        _, state = encode(Noted(1, "x", colour), "t", "a", Finished(finished))  # type: ignore[arg-type]
        assert orjson.loads(state)["data"] == {"at": 1, "note": "x", **written}


def test_work_that_needs_all_of_the_log_is_left_to_a_program_that_knows_it() -> None:
    formats = Formats(FORMAT)
    formats.require_known("retention")
    formats.finish(str(FORMAT + 1))
    for newer in (formats, Formats(FORMAT + 1)):
        with pytest.raises(NeedsNewerProgram, match="retention must know the whole log"):
            newer.require_known("retention")


def test_a_format_that_is_told_of_may_be_written_if_it_is_known() -> None:
    formats = Formats(0)
    for payload, finished in (("", 0), ("1", 1), (str(FORMAT + 1), FORMAT), ("0", FORMAT)):
        formats.finish(payload)
        assert formats.finished == finished


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"\x93\x00\xff",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        stored(None),
        stored([1, 2]),
        stored({}),
        stored({"at": 1}),
        orjson.dumps({"data": {"at": 1, "worker": "w"}}),
        stored({"at": 1, "worker": "w"}, v="one"),
    ],
)
def test_a_damaged_state_is_refused(state: bytes) -> None:
    with pytest.raises(UnreadableEvent, match="RunStarted"):
        decode("RunStarted", state)


@pytest.mark.parametrize("output", [None, 1, [], {}, {"data": 1}, {"data": 1, "artifacts": [{}], "data_ref": None}])
def test_a_damaged_output_is_refused(output: object) -> None:
    fields = {"at": 1, "step": "s", "attempt": 1, "output": output, "output_hash": "h", "duration_ms": 1.0}
    with pytest.raises(UnreadableEvent, match="StepCompleted"):
        decode("StepCompleted", stored(fields))


def test_versions_above_one_are_written_and_the_first_is_not() -> None:
    assert b'"v"' not in encode(RunStarted(1, "w"), "t", "a")[1]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # a lone surrogate is no text, and the canonical form has refused it before it gets here
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_a_step_may_return_comes_back_the_same(data: object) -> None:
    event = StepCompleted(1, "s", 1, Output(data), "h", 1.0)
    name, state = encode(event, "t", "a")
    assert decode(name, state) == (event, "t", "a")
    assert repr(decode(name, state)[0]) == repr(event), "0.0 and -0.0, 1 and 1.0 are told apart"
