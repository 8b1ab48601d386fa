"""Text to plain data: syntax with line and column, keys given twice, and YAML as authors expect it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.documents.scalars import ambiguity
from orchestrator.documents.text import read_file, read_json, read_yaml
from orchestrator.domain.errors import MAX_FAULTS, InvalidDocument, InvalidWorkflow
from orchestrator.workflows import load_file

# PyYAML writes text like 1e3 without quotes, although YAML 1.2 reads a number there.
texts = st.text(max_size=8).filter(lambda text: ambiguity("str", text, text) is None)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def yaml_value(text: str) -> Any:
    value, faults = read_yaml(text, "source")
    assert faults == []
    return value


def fault_of(text: str, read: Any = read_yaml) -> tuple[str, str]:
    with pytest.raises(InvalidDocument) as caught:
        read(text, "source")
    (fault,) = caught.value.faults
    return fault.path, fault.message


class TestYaml:
    @given(json_values)
    def test_what_a_yaml_library_writes_is_read_as_it_was(self, value: Any) -> None:
        assert yaml_value(yaml.safe_dump(value)) == value

    @given(json_values)
    def test_it_reads_what_the_safe_loader_reads(self, value: Any) -> None:
        text = yaml.safe_dump(value, default_flow_style=True)
        assert yaml_value(text) == yaml.safe_load(text)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1.0", 1.0),
            ('"1.0"', "1.0"),
            ("! 1", "1"),
            ("!!str 1", "1"),
            ("!!int '3'", 3),
            ("~", None),
            ("2024-01-31", "2024-01-31"),
            ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
            ("a: &x [1, 2]\nb: *x\n", {"a": [1, 2], "b": [1, 2]}),
            ("a: &x text\nb: *x\n", {"a": "text", "b": "text"}),
            ("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n", {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}),
            ("b: {q: 3, <<: [{p: 1, q: 1}, {p: 2, r: 2}]}", {"b": {"p": 1, "q": 3, "r": 2}}),
            ("%YAML 1.1\n---\na: 1\n...\n", {"a": 1}),
        ],
    )
    def test_a_document_reads(self, text: str, value: Any) -> None:
        assert yaml_value(text) == value

    @pytest.mark.parametrize(
        ("text", "place", "message"),
        [
            ("a: 1\nb: [1,\nc\nd: 2]", "line 4, column 2", "did not find expected ',' or ']'"),
            ("a: 1\n  b: 2\n", "line 2, column 4", "mapping values are not allowed"),
            ("a:\n\t- b\n", "line 2, column 1", "cannot start any token"),
            ('a: "open\n', "line 2, column 1", "unexpected end of stream"),
            ("", "document", "is empty"),
            ("# nothing\n", "document", "is empty"),
            ("a: 1\n---\nb: 2\n", "line 2, column 1", "a second document starts here"),
            ("a: *b\n", "line 1, column 4", "alias *b refers to an undefined"),
            ("a: &a [*a]\n", "line 1, column 8", "alias *a refers to an undefined"),
            ("a: !!python/object:os.system {}\n", "line 1, column 4", "unsupported tag"),
            ("a: !mine x\n", "line 1, column 4", "unsupported tag !mine"),
            ("a: !!binary aGk=\n", "line 1, column 4", "unsupported tag"),
            ("a: !!int x\n", "line 1, column 4", "'x' is not a valid int"),
            ("a: !!bool x\n", "line 1, column 4", "'x' is not a valid bool"),
            ("<<: 3\n", "line 1, column 1", "<< takes a mapping"),
            ("a: " + "9" * 5000, "line 1, column 4", "is not a valid int"),
            ("[" * 1_000_000, "line 1, column 65", "nested more than 64 levels deep"),
            ("a: " * 3 + "x\x00", "document", "control characters are not allowed"),
        ],
    )
    def test_a_fault_names_line_and_column(self, text: str, place: str, message: str) -> None:
        path, why = fault_of(text)
        assert (path, message in why) == (place, True), (path, why)

    def test_every_key_given_twice_is_a_fault(self) -> None:
        text = "a: 1\nb:\n  - {x: 1, x: 2}\n  - y: 1\n    z: 2\n    y: 3\na: 4\n"
        value, faults = read_yaml(text, "source")
        assert value == {"a": 4, "b": [{"x": 2}, {"y": 3, "z": 2}]}
        assert [(fault.path, fault.message) for fault in faults] == [
            ("b[0].x", "duplicate key, on lines 3 and 3"),
            ("b[1].y", "duplicate key, on lines 4 and 6"),
            ("a", "duplicate key, on lines 1 and 7"),
        ]

    def test_keys_that_are_not_text_are_faults(self) -> None:
        _, faults = read_yaml("a: {on: 1, 2: 3}\n", "source")
        assert [(fault.path, fault.message) for fault in faults] == [
            ("a", "key on on line 1 is not a string; put it in quotes"),
            ("a", "key 2 on line 1 is not a string; put it in quotes"),
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("? [a, b]\n: 1\n", "a key of document is a list; keys must be strings"),
            ("x: {? {a: 1} : 1}\n", "a key of x is a mapping; keys must be strings"),
            ("a: &a [1]\nb: {*a : 1}\n", "a key of b is a list; keys must be strings"),
        ],
    )
    def test_keys_that_are_no_scalars_are_refused_and_never_written_out(self, text: str, message: str) -> None:
        assert fault_of(text)[1] == message

    @pytest.mark.parametrize(
        ("written", "message"),
        [
            ("010", "010 is 8 in YAML 1.1 but not elsewhere; write 8"),
            ("-0x1F", "write -31"),
            ("0b101", "write 5"),
            ("1_000", "write 1000"),
            ("1:30", "write 90"),
            ("1:30.5", "write 90.5"),
            ("1_0.5", "write 10.5"),
            (".inf", "is not a JSON number"),
            ("-.Inf", "is not a JSON number"),
            (".nan", "is not a JSON number"),
            ("yes", "write true"),
            ("Off", "write false"),
            ("NO", "NO is false in YAML 1.1 but a string elsewhere"),
            ("1e3", "1e3 is a string in YAML 1.1 but a number elsewhere; write 1000"),
            ("1.5e3", "write 1500"),
            ("08", "write 8"),
            ("0o17", "write 15"),
            ("!!int 010", "write 8"),
            ("!!float .inf", "is not a JSON number"),
        ],
    )
    def test_what_parsers_read_differently_is_a_fault_with_line_and_fix(self, written: str, message: str) -> None:
        _, (fault,) = read_yaml(f"a:\n  - b: {written}\n", "source")
        assert fault.path == "a[0].b"
        assert message in fault.message
        assert "in quotes" in fault.message
        assert fault.message.endswith("(line 2, column 8)")

    def test_each_place_of_an_ambiguous_scalar_is_named(self) -> None:
        _, faults = read_yaml("a: &x 010\nb: 010\nc: *x\n", "source")
        assert [fault.path for fault in faults] == ["a", "b"]

    @pytest.mark.parametrize(
        ("written", "value"),
        [("true", True), ("False", False), ("+12", 12), ("-0", 0), (".5", 0.5), ("1.", 1.0), ("1.0e+3", 1000.0)],
    )
    def test_what_every_parser_reads_alike_is_read(self, written: str, value: Any) -> None:
        assert yaml_value(f"a: {written}") == {"a": value}

    @pytest.mark.parametrize("text", ["1.2.3", "2024-01-31", "12:x", "0x", "y", "n", "e3", "v010", "1-2", "'010'"])
    def test_other_text_stays_text(self, text: str) -> None:
        assert yaml_value(f"a: {text}") == {"a": text.strip("'")}


def tenfold(levels: int) -> str:
    """A list in which each level holds the one before ten times."""
    lines = ["- &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"- &a{level} [{','.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(lines) + "\n"


class TestYamlAliases:
    """What aliases stand for is counted while it is read, before anything goes through it."""

    KEYS = ", ".join(f"k{number}: 1" for number in range(1000))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (tenfold(8), "has more than 1,000,000 values"),
            (f"{tenfold(8)}- ? *a7\n  : 1\n", "has more than 1,000,000 values"),
            (f"x: &a {{{KEYS}}}\ny: {{<<: [{','.join(['*a'] * 2000)}]}}\n", "has more than 1,000,000 values"),
            (f"a: &t '{'x' * 100_000}'\nb: [{','.join(['*t'] * 100)}]\n", "more than 4,194,304 characters"),
            (f"a: &t {{? '{'x' * 100_000}' : 1}}\nb: [{','.join(['*t'] * 100)}]\n", "more than 4,194,304 characters"),
        ],
        ids=["lists", "a key", "merges", "texts", "keys"],
    )
    def test_they_may_stand_for_so_much(self, text: str, message: str) -> None:
        began = time.process_time()
        path, why = fault_of(text)
        assert path.startswith("line ")
        assert message in why
        assert time.process_time() - began < 5

    def test_what_an_anchor_holds_counts_wherever_it_is_repeated(self) -> None:
        assert len(yaml_value(tenfold(5))) == 5

    def test_many_merges_keep_what_was_there_first(self) -> None:
        text = f"x: &a {{{self.KEYS}}}\ny: {{k1: 2, <<: [{','.join(['*a'] * 300)}]}}\n"
        assert yaml_value(text)["y"] == {**yaml_value(text)["x"], "k1": 2}


class TestManyFaults:
    @pytest.mark.parametrize(
        ("text", "read"),
        [
            (f"[{','.join(['yes'] * 50_000)}]", read_yaml),
            (f"{{{','.join(['1: 1'] * 50_000)}}}", read_yaml),
            (f"{{{','.join(['a: 1'] * 50_000)}}}", read_yaml),
        ],
        ids=["scalars", "keys that are no text", "keys given twice"],
    )
    def test_reading_stops_after_as_many_as_are_listed(self, text: str, read: Any) -> None:
        with pytest.raises(InvalidDocument) as caught:
            read(text, "source")
        assert len(caught.value.details["faults"]) == MAX_FAULTS
        assert len(str(caught.value)) < 5_000
        assert "source has more than 100 faults" in str(caught.value)
        assert str(caught.value).endswith("and more than 80 others")

    def test_keys_of_json_given_twice_are_listed_up_to_a_bound(self) -> None:
        pairs = ",".join(f'"a{number}": 1, "a{number}": 2' for number in range(5_000))
        _, faults = read_json(f"{{{pairs}}}", "source")
        assert len(faults) == MAX_FAULTS + 1

    def test_a_deep_document_with_keys_given_twice_is_read(self) -> None:
        text = '{"a": 1, "a": ' + "[" * 900 + "]" * 900 + "}"
        assert [fault.path for fault in read_json(text, "source")[1]] == ["a"]

    @pytest.mark.parametrize("number", ["0x" + "f" * 100_000, "1" + ":1" * 100_000, "9" * 401])
    def test_a_number_of_many_digits_is_refused_before_it_is_computed(self, number: str) -> None:
        began = time.process_time()
        assert len(fault_of(f"a: {number}")[1]) < 200
        assert time.process_time() - began < 2

    @pytest.mark.parametrize("number", ["0o" + "7" * 500_000, "9" * 500_000 + "e5", "0b" + "1" * 500, "1_" * 500])
    def test_so_is_what_only_some_parsers_take_for_one(self, number: str) -> None:
        assert fault_of(f"a: {number}")[1].endswith("is not a valid int")

    @pytest.mark.parametrize("text", ["3fa4" * 500, "1:a" * 500, "9" * 500 + "x", "1 - 1" * 500, "0o8x" * 500])
    def test_other_long_text_stays_text(self, text: str) -> None:
        assert yaml_value(f"a: {text}") == {"a": text}

    @pytest.mark.parametrize("digits", range(290, 391, 10))
    def test_a_number_of_any_length_is_a_fault_and_not_an_error(self, digits: int) -> None:
        for text in ("0o" + "7" * digits, "9" * digits + "e9", "0x" + "f" * (digits - 2)):
            assert read_yaml(f"a: {text[:400]}", "source")[1]


class TestJson:
    @given(json_values)
    def test_what_json_writes_is_read_as_it_was(self, value: Any) -> None:
        assert read_json(json.dumps(value), "source") == (value, [])

    @pytest.mark.parametrize(
        ("text", "place", "message"),
        [
            ('{"a": 1,\n "b": }', "line 2, column 7", "Expecting value"),
            ("{'a': 1}", "line 1, column 2", "Expecting property name"),
            ("", "line 1, column 1", "Expecting value"),
            ("[" * 100_000, "document", "nested more than 64 levels"),
            ("9" * 5000, "document", "Exceeds the limit"),
        ],
    )
    def test_a_fault_names_line_and_column(self, text: str, place: str, message: str) -> None:
        path, why = fault_of(text, read_json)
        assert (path, message in why) == (place, True), (path, why)

    def test_every_key_given_twice_is_a_fault(self) -> None:
        value, faults = read_json('{"a": 1, "b": [{"x": 1, "x": 2, "x": 3}], "a": {"c": 1, "c": 1}}', "source")
        assert value == {"a": {"c": 1}, "b": [{"x": 3}]}
        assert sorted(fault.path for fault in faults) == ["a", "a.c", "b[0].x"]
        assert {fault.message for fault in faults} == {"duplicate key"}


class TestFiles:
    @pytest.mark.parametrize("name", ["w.yaml", "w.YML", "w.json"])
    def test_the_suffix_says_how_to_read(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        path.write_text('{"a": "ä"}', "utf-8-sig")
        assert read_file(path) == ({"a": "ä"}, [])

    @pytest.mark.parametrize(
        ("name", "content", "place", "message"),
        [
            ("w.toml", b"", "file", "must end in .yaml, .yml, .json, not '.toml'"),
            ("missing.yaml", None, "file", "cannot be read: No such file or directory"),
            ("w.yaml", b"a: 1\nb: \xff\n", "line 2, column 4", "is not UTF-8 text"),
            ("w.json", b"\xff", "line 1, column 1", "is not UTF-8 text"),
            ("w.yaml", b"a: 1\n\xff", "line 2, column 1", "is not UTF-8 text"),
        ],
    )
    def test_a_file_that_cannot_be_read(
        self, tmp_path: Path, name: str, content: bytes | None, place: str, message: str
    ) -> None:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidWorkflow) as caught:
            load_file(path)
        assert [(fault.path, fault.message) for fault in caught.value.faults] == [(place, message)]
        assert str(path) in str(caught.value)

    def test_keys_given_twice_are_listed_with_all_other_faults(self, tmp_path: Path) -> None:
        path = tmp_path / "w.yaml"
        path.write_text("workflowName: w\nworkflowName: w\nsteps:\n  - {stepId: a, skillId: s, skillId: t}\n")
        with pytest.raises(InvalidWorkflow) as caught:
            load_file(path)
        assert [fault.path for fault in caught.value.faults] == ["steps[0].skillId", "version", "workflowName"]
