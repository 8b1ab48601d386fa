"""The log of an attempt: whole lines in order, within bounds, and whatever is missing is said."""

import asyncio
import contextvars
import os
import sys
import threading
from io import StringIO

import pytest
import structlog

from orchestrator.skills import StepContext
from orchestrator.skills.logs import LINE_CHARACTERS, LogMemory, StepLog, logged
from orchestrator.skills.standard_streams import StepStream, outside, step_streams


def new_log(max_bytes: int | None = None, memory: LogMemory | None = None) -> StepLog:
    return StepLog(max_bytes, memory or LogMemory(), lambda *_: None)


def texts(log: StepLog) -> list[str]:
    return [text for _, _, text in log.take()[0]]


def test_lines_end_at_line_feeds() -> None:
    log = new_log()
    for text in ("a", "\n", "b\nc", "d\n\ne\r\n", "10 %\r20 %", "\r30 %\n", "no end"):
        log.write("stdout", text)
    log.write("stderr", "other\n")
    assert texts(log) == ["a", "b", "cd", "", "e", "30 %", "other"]
    log.close()
    assert texts(log) == ["no end"]
    assert not log.write("stdout", "too late\n")


def test_threads_do_not_mix_their_lines() -> None:
    log, first = new_log(), threading.Event()
    log.write("stdout", "begun here, ")
    other = threading.Thread(target=lambda: (log.write("stdout", "all of another\n"), first.set()))
    other.start()
    other.join()
    log.write("stdout", "ended here\n")
    assert first.is_set()
    assert texts(log) == ["all of another", "begun here, ended here"]


@pytest.mark.parametrize(("text", "kept"), [("a\0b", "a\0b"), ("lone \ud800", "lone ?"), ("Grüße 🙂", "Grüße 🙂")])
def test_every_text_can_be_stored(text: str, kept: str) -> None:
    log = new_log()
    log.write("stdout", text + "\n")
    assert texts(log) == [kept]


def test_long_lines_are_divided() -> None:
    log = new_log()
    log.write("stdout", "x" * (2 * LINE_CHARACTERS + 1) + "\n")
    assert [len(text) for text in texts(log)] == [LINE_CHARACTERS, LINE_CHARACTERS, 1]
    for _ in range(10):
        log.write("stdout", "y" * LINE_CHARACTERS)  # without an end it is not collected without bound
    assert sum(map(len, texts(log))) >= 9 * LINE_CHARACTERS


def test_what_is_beyond_the_limit_is_counted_and_said() -> None:
    log = new_log(max_bytes=10)
    for number in range(5):
        log.write("stdout", f"l{number}\n")
    log.write("stdout", "ü" * 10 + "\n")
    log.write("stdout", "\n")  # would still fit, but nothing follows a cut
    assert texts(log) == ["l0", "l1", "l2"]
    assert log.cut == 4
    log.close()
    assert texts(log) == ["[4 lines were cut: the log of an attempt keeps 10 bytes]"]


def test_what_has_no_room_is_dropped_and_said_where_it_is_missing() -> None:
    memory = LogMemory(32 << 10)
    log = new_log(memory=memory)
    for number in range(500):
        log.write("stdout", f"{number}\n")
    lines, reserved = log.take()
    assert [text for _, _, text in lines] == [str(number) for number in range(len(lines))]
    assert 0 < len(lines) < 500
    dropped = 500 - len(lines)
    assert (reserved, log.cut) == (32 << 10, dropped)
    memory.release(reserved)
    log.write("stdout", "again\n")
    assert texts(log) == [f"[{dropped:,} lines were dropped here: they could not be written in time]", "again"]


def test_a_full_buffer_never_holds_up_an_event_loop() -> None:
    log = StepLog(None, LogMemory(1 << 40), lambda *_: None, may_wait=lambda: True)

    async def flood() -> None:
        for _ in range(1000):
            log.write("stdout", "x" * 60_000 + "\n")

    asyncio.run(asyncio.wait_for(flood(), 10))
    assert log.cut > 0


def test_a_thread_waits_while_lines_are_taken_and_no_longer() -> None:
    log = StepLog(None, LogMemory(1 << 40), lambda *_: None, may_wait=lambda: bool(taking))
    taking, written = [True], 0

    def take() -> None:
        nonlocal written
        while taking:
            written += len(log.take()[0])

    taker = threading.Thread(target=take)
    taker.start()
    for _ in range(1000):
        log.write("stdout", "x" * 60_000 + "\n")
    taking.clear()
    taker.join()
    assert written + len(log.take()[0]) == 1000
    assert log.cut == 0


def test_a_mask_is_applied_to_every_line() -> None:
    log = StepLog(None, LogMemory(), lambda *_: None, mask=lambda text: text.replace("secret", "***"))
    log.write("stdout", "the secret\n")
    log.line("log", "a secret too\nand a second line")
    assert texts(log) == ["the ***", "a *** too", "and a second line"]


def test_streams_follow_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = new_log(), new_log()

    async def talk(log: StepLog, name: str) -> None:
        with logged(log):
            for number in range(3):
                print(name, number)
                await asyncio.sleep(0)
            await asyncio.to_thread(print, name, "thread")
            print(name, "error", file=sys.stderr)

    async def both() -> None:
        await asyncio.gather(talk(one, "one"), talk(two, "two"))

    with step_streams(), step_streams():
        asyncio.run(both())
        print("elsewhere")
        with logged(one):
            stray = threading.Thread(target=print, args=("of a stray thread",))
            stray.start()
            stray.join()
            follower = threading.Thread(target=contextvars.copy_context().run, args=(print, "one follower"))
            follower.start()
            follower.join()
            print("real", file=outside(sys.stdout))
            assert not sys.stdout.isatty()
    print("after")
    assert texts(one) == ["one 0", "one 1", "one 2", "one thread", "one error", "one follower"]
    assert texts(two) == ["two 0", "two 1", "two 2", "two thread", "two error"]
    assert capsys.readouterr().out.splitlines() == ["elsewhere", "of a stray thread", "real", "after"]
    assert not isinstance(sys.stdout, StepStream)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_prints_to_the_real_stream() -> None:
    log, real = new_log(), StringIO()
    stream = StepStream(real, "stdout")
    read, write = os.pipe()
    with logged(log):
        pid = os.fork()
        if not pid:
            stream.write("from the fork")
            os.write(write, real.getvalue().encode())
            os._exit(0)
        os.waitpid(pid, 0)
    assert os.read(read, 100) == b"from the fork"
    os.close(read)
    os.close(write)
    assert texts(log) == []


def test_the_logger_of_a_context_is_kept_whatever_the_level() -> None:
    log = new_log()
    with structlog.testing.capture_logs() as seen:
        logger = StepContext("run", "step", 2, step_log=log).log
        logger.debug("tiny", size=1)
        logger.info("hello", name="a b", bpm=90)
        try:
            int("broken")
        except ValueError:
            logger.exception("failed")
    kept = log.take()[0]
    assert {stream for _, stream, _ in kept} == {"log"}
    found = [text for _, _, text in kept]
    assert found[:4] == [
        "debug tiny size=1",
        "info hello name='a b' bpm=90",
        "error failed",
        "Traceback (most recent call last):",
    ]
    assert found[-1].startswith("ValueError: invalid literal")
    assert [line["event"] for line in seen] in ([], ["tiny", "hello", "failed"])  # structlog may be configured
