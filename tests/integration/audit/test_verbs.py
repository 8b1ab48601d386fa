"""What the verbs of the audit say, and how they end."""

import json
from pathlib import Path

import psycopg

from orchestrator.postgres.sql import load_sql
from tests.integration.audit.conftest import Recording, Verb

SQL = load_sql(__file__)
UNKNOWN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"


def tamper(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL[name])


def test_a_log_is_exported_whole_and_in_part(
    fates_url: str, second_url: str, recording: Recording, verb: Verb, tmp_path: Path
) -> None:
    head = verb(fates_url, "audit", "head", "--json").document
    made = verb(fates_url, "audit", "export", "--output", tmp_path / "log.jsonl", "--json").document
    assert made["complete"]
    assert made["head"] == {"position": head["position"], "link": head["link"]}
    assert verb(fates_url, "audit", "export").out == (tmp_path / "log.jsonl").read_text()
    words = ("audit", "export", "--run", recording.ids[3], "--output", tmp_path / "run.parquet", "--json")
    part = verb(fates_url, *words).document
    assert not part["complete"]
    assert (tmp_path / "run.parquet").read_bytes().startswith(b"PAR1")

    said = verb(second_url, "audit", "import", tmp_path / "log.jsonl", "--verify")
    assert said.code == 0, said.err
    assert "verified: no findings" in said.out
    again = verb(second_url, "audit", "import", tmp_path / "log.jsonl", "--json").document
    assert again == {"events": made["events"], "resumedAt": made["events"], "head": made["head"]}
    assert "only an export of the whole log" in verb(second_url, "audit", "import", tmp_path / "run.parquet").complaint


def test_a_signed_head_convicts_who_rewrites_the_log_and_its_chain(
    fates_url: str, verb: Verb, tmp_path: Path, recording: Recording
) -> None:
    key, head = tmp_path / "auditor.pem", tmp_path / "head.json"
    assert str(key) in verb(fates_url, "audit", "keygen", key).out
    assert key.stat().st_mode & 0o077 == 0
    assert "already exists" in verb(fates_url, "audit", "keygen", key).complaint
    assert "signed with the key" in verb(fates_url, "audit", "head", "--sign", key, "--output", head).out
    assert "--key" in verb(fates_url, "audit", "verify", "--head", head).complaint
    words = ("audit", "verify", "--head", head, "--key", tmp_path / "auditor.pem.pub", "--json")
    assert verb(fates_url, *words).document["verified"]

    tamper(fates_url, "rewrite")
    forged = verb(fates_url, "audit", "head", "--json").document
    assert verb(fates_url, "audit", "verify", "--json").document["verified"], "log and chain fit each other"
    found = verb(fates_url, *words)
    assert found.code == 1
    assert found.document["firstBadPosition"] == forged["position"]
    assert [finding["kind"] for finding in found.document["findings"]] == ["chain"]

    head.write_text(json.dumps(json.loads(head.read_text()) | forged))
    assert "changed after it was signed" in verb(fates_url, *words).complaint


def test_what_users_get_wrong(fates_url: str, verb: Verb, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish\n")
    for told, words in {
        "line 1 is not a valid line of an export": ("import", rubbish),
        "File not found": ("import", tmp_path / "nowhere"),
        "not a chain head": ("verify", "--head", rubbish),
        "not an Ed25519 key in PEM format": ("head", "--sign", rubbish),
        "nowhere: No such file": ("head", "--sign", tmp_path / "nowhere"),
        "Invalid time 'yesterday'": ("verify", "--since", "yesterday"),
        f"no run {UNKNOWN}": ("verify", "--run", UNKNOWN),
        "cannot be written to stdout": ("export", "--format", "parquet"),
        "go to stdout": ("export", "--json"),
    }.items():
        assert told in verb(fates_url, "audit", *words).complaint
    said = verb(fates_url, "audit", "export", "--run", UNKNOWN, "--output", tmp_path / "none.jsonl").complaint
    assert f"no run {UNKNOWN}" in said
    assert not (tmp_path / "none.jsonl").exists()
