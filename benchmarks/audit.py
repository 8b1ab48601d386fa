"""Audit a log of 100,000 events and one four times as large: chain, histories, exports. Memory use must not grow."""

import asyncio
import resource
import time
from pathlib import Path
from typing import Any

from benchmarks.folders import open_folder
from benchmarks.histories import make_log
from benchmarks.report import Report
from orchestrator.application.core import Core
from orchestrator.audit.histories import HistoriesAudit
from orchestrator.audit.transfer.export import EventSelection, Format, check_export, select, write_export
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import build_chain
from orchestrator.settings import Settings

EVENTS = 100_000


def measure(report: Report, *, full: bool) -> None:
    """Audit a log, and the same log grown; then export it as Parquet, last because its library needs more memory."""
    with open_folder() as folder, open_core(Settings(data_dir=folder)) as core:
        for events in (EVENTS, 4 * EVENTS, *([10 * EVENTS] if full else [])):
            asyncio.run(make_log(core, events))
            label = f"audit of {events:,} events"
            _audit(report, core, label)
            _carry(report, core, folder / "log.jsonl", "jsonl", label)
        _carry(report, core, folder / "log.parquet", "parquet", label)


def _audit(report: Report, core: Core, label: str) -> None:
    chain, histories = build_chain(core), HistoriesAudit(core.log.mapper)
    faults: list[Any] = []
    began = time.perf_counter()
    faults.append(chain.verify([chain.head()]))
    chained = time.perf_counter()
    faults.extend(histories.faults(select(core.log, EventSelection())))
    ended = time.perf_counter()
    if any(faults):
        raise AssertionError(f"{label}: {[fault for fault in faults if fault][:3]}")
    report.add(label, "chain computed and verified", histories.events / (chained - began), "events/s")
    report.add(label, "histories asked again", histories.events / (ended - chained), "events/s")
    report.add(label, "histories asked again", histories.runs / (ended - chained), "runs/s")


def _carry(report: Report, core: Core, file: Path, form: Format, label: str) -> None:
    began = time.perf_counter()
    written = write_export(select(core.log, EventSelection()), file, form)
    middle = time.perf_counter()
    if check_export(file) != written:
        raise AssertionError(f"{label}: the export read back is another")
    report.add(label, f"export, {form}", written.events / (middle - began), "events/s")
    report.add(label, f"read back, {form}", written.events / (time.perf_counter() - middle), "events/s")
    report.add(label, f"peak memory up to here, {form}", _peak_megabytes(), "MB")


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
