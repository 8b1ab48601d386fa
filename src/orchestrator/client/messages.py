"""Parser for Server-Sent Events (WHATWG HTML, 9.2). It accepts the bytes in chunks of any size."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A message: the event type, its data and its id. All are empty if it was only a keep-alive comment."""

    event: str
    data: str
    id: str = ""


class Messages:
    """Splits one stream into messages. Create one for each connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._id = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that a chunk completes. A comment is returned as an empty message."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = []
        for line in lines:
            message = self._read(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if message is not None:
                found.append(message)
        return found

    def _read(self, line: str) -> Message | None:
        if not line:
            done = Message(self._event, "\n".join(self._data), self._id) if self._data else None
            self._event, self._id, self._data = "", "", []
            return done
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                return Message("", "")
            case "event":
                self._event = value
            case "id":
                self._id = value
            case "data":
                self._data.append(value)
        return None
