"""Outputs and artifacts in the form that they have in the log."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.fingerprint import canonical
from orchestrator.domain.output import Artifact, Output, artifact_id, output_from_json, output_to_json

hashes = st.text("0123456789abcdef", min_size=64, max_size=64) | st.just("")
plain = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5)
artifacts = st.builds(
    Artifact,
    id=st.uuids().map(str),
    type=st.text(max_size=10),
    uri=st.text(max_size=10),
    content_hash=hashes,
    size_bytes=st.integers(-1, 2**40),
    filename=st.none() | st.text(max_size=5),
    metadata=st.dictionaries(st.text(max_size=5), plain, max_size=2),
)
outputs = st.builds(
    Output,
    data=plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain, max_size=3),
    artifacts=st.lists(artifacts, max_size=3).map(tuple),
    data_ref=st.none() | artifacts,
)


@given(outputs)
def test_an_output_comes_back_as_it_was(output: Output) -> None:
    document = output_to_json(output)
    canonical(document)  # plain JSON all through
    assert output_from_json(document) == output


def test_selectors_see_artifacts_in_camel_case() -> None:
    artifact = Artifact("id", "image/png", "file://x", "ab", 3, "x.png", {"width": 1})
    document: dict[str, Any] = output_to_json(Output({"k": 1}, (artifact,)))
    assert document == {
        "data": {"k": 1},
        "artifacts": [
            {
                "id": "id",
                "type": "image/png",
                "uri": "file://x",
                "contentHash": "ab",
                "sizeBytes": 3,
                "filename": "x.png",
                "metadata": {"width": 1},
            }
        ],
    }


@given(st.text(max_size=5), hashes, st.text(max_size=5))
def test_the_id_of_an_artifact_follows_from_tenant_content_and_type(tenant: str, content: str, kind: str) -> None:
    first = artifact_id(tenant, content, kind)
    assert first == artifact_id(tenant, content, kind)
    assert UUID(first).version == 5
    assert len({first, artifact_id(tenant + "x", content, kind), artifact_id(tenant, content, kind + "x")}) == 3
