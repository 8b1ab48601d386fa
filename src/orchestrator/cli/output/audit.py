"""Output of the audit commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.audit.audit import Finding
from orchestrator.audit.chain import ChainHead, Tally
from orchestrator.audit.heads import SignedHead, head_view
from orchestrator.cli.local.audit import Audited, ImportedLog
from orchestrator.cli.output.terminal import counted, print_json, print_line, print_table

Document = dict[str, Any]


def print_head(head: SignedHead, output: Path | None, *, as_json: bool) -> None:
    """Print a head, and the file it was written to."""
    if as_json:
        print_json(head_view(head))
        return
    print_line(f"position {head.head.position}, link {head.head.link}")
    if head.signature is not None:
        print_line(f"signed with the key {head.signature.key}")
    if output is not None:
        print_line(f"written to {output}; keep it where those who can write to the log cannot write")


def print_keys(private: Path, public: Path, *, as_json: bool) -> None:
    """Print the paths of a key pair."""
    if as_json:
        print_json({"privateKey": str(private), "publicKey": str(public)})
        return
    print_line(f"private key {private}, for `orchestrator audit head --sign`; keep it secret")
    print_line(f"public key {public}, for `orchestrator audit verify --key`; give it to those who verify")


def print_exported(tally: Tally, output: Path, *, is_selection: bool, as_json: bool) -> None:
    """Print the result of an export. One of the whole log says how many events were archived or deleted before."""
    left_out = 0 if is_selection else tally.position - tally.events
    if as_json:
        print_json(
            {
                "file": str(output),
                "events": tally.events,
                "complete": tally.is_beginning,
                "leftOut": left_out,
                "head": _head(tally.head),
            }
        )
        return
    print_line(f"{tally.events:,} events written to {output}")
    if tally.is_beginning:
        print_line(f"the whole log up to position {tally.position}, link {tally.head.link}")
    elif left_out:
        print_line(f"{counted(left_out, 'event')} up to position {tally.position} left out: archived or deleted before")


def print_imported(done: ImportedLog, *, as_json: bool) -> None:
    """Print the result of an import."""
    if as_json:
        document: Document = {"events": done.events, "resumedAt": done.resumed_at, "head": _head(done.head)}
        if done.findings is not None:
            document |= {"verified": not done.findings, "findings": _findings(done.findings)}
        print_json(document)
        return
    resumed = f" (the first {done.resumed_at:,} by an earlier import)" if done.resumed_at else ""
    print_line(f"{done.events:,} events imported{resumed}; the log ends with {done.head.link}, like the export")
    if done.findings is not None:
        _print_findings(done.findings)


def print_audit(done: Audited, *, as_json: bool) -> None:
    """Print the result of an audit: its findings, if any, and the first bad position."""
    if as_json:
        print_json(
            {
                "verified": not done.findings,
                "position": done.position,
                "covered": done.covered,
                "firstBadPosition": _first(done.findings),
                "findings": _findings(done.findings),
                "unchecked": _findings(done.unchecked),
            }
        )
        return
    print_line(f"the log ends at position {done.position}, its hash chain at {done.covered}")
    _print_findings(done.findings)
    if done.unchecked:
        print_line("")
        print_table(
            ("kind", "place", "not checked because"),
            [(each.kind, each.place, each.message) for each in done.unchecked],
        )
        print_line("")
        print_line(f"{len(done.unchecked)} not checked; with --strict this is an error")


def _print_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        print_line("verified: no findings")
        return
    print_table(("kind", "place", "finding"), [(each.kind, each.place, each.message) for each in findings])
    print_line("")
    first = _first(findings)
    print_line(counted(len(findings), "finding") + ("" if first is None else f", the first at position {first}"))


def _first(findings: Sequence[Finding]) -> int | None:
    return min((each.position for each in findings if each.position is not None), default=None)


def _findings(findings: Sequence[Finding]) -> list[Document]:
    return [
        {"kind": each.kind, "place": each.place, "position": each.position, "message": each.message}
        for each in findings
    ]


def _head(head: ChainHead) -> Document:
    return {"position": head.position, "link": head.link}
