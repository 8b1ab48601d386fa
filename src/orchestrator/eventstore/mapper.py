"""Maps envelopes to stored events and back: the library's mapper, with our codec instead of its class paths.

The library's compressor and cipher are optional and used unchanged.
"""

import zlib
from uuid import UUID

from eventsourcing.compressor import ZlibCompressor
from eventsourcing.persistence import Cipher, Compressor, JSONTranscoder, Mapper, Notification, StoredEvent
from eventsourcing.utils import Environment

from orchestrator.domain.events import Event
from orchestrator.eventstore.codec import UnreadableEvent, decode, encode
from orchestrator.eventstore.formats import Formats
from orchestrator.eventstore.recorded import Recorded


class EventMapper(Mapper[UUID]):
    """Writes an event as `(stream, version, name, state)` and reads it back.

    `formats` says what may be written; by default, every format that this program knows.
    """

    def __init__(
        self, compressor: Compressor | None = None, cipher: Cipher | None = None, formats: Formats | None = None
    ) -> None:
        super().__init__(JSONTranscoder(), compressor, cipher)
        self.formats = formats or Formats()

    def store(self, stream_id: UUID, version: int, event: Event, tenant: str, actor: str) -> StoredEvent:
        """Return the stored form of an event.

        Raises:
            FormatNotFinished: programs that do not know the event may still be running.
        """
        name, state = encode(event, tenant, actor, self.formats)
        if self.compressor is not None:
            state = self.compressor.compress(state)
        if self.cipher is not None:
            state = self.cipher.encrypt(state)
        return StoredEvent(stream_id, version, name, state)

    def recorded(self, stored: StoredEvent, position: int = 0) -> Recorded:
        """Return the envelope of a stored event; raises what `from_row` does."""
        if isinstance(stored, Notification):
            position = stored.id
        return self.from_row(stored.originator_id, stored.originator_version, stored.topic, stored.state, position)

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded:  # type: ignore[override]
        """Return the envelope of a stored event, under the name that the library calls (docs/follow-the-log.md)."""
        return self.recorded(stored_event)

    def from_row(self, stream_id: UUID | str, version: int, name: str, state: bytes, position: int) -> Recorded:
        """Return the envelope of an event read as a row of `orchestrator.events`.

        Raises:
            UnreadableEvent: this program does not know the event or cannot read its state, or the state was
                encrypted with another key, compressed in another way, or damaged.
        """
        event, tenant, actor = self.event(stream_id, version, name, state)
        return Recorded(str(stream_id), version, position, tenant, actor, event)

    def event(self, stream_id: UUID | str, version: int, name: str, state: bytes) -> tuple[Event, str, str]:
        """Return an event, its tenant and its actor, without an envelope; raises what `from_row` does."""
        try:
            if self.cipher is not None:
                state = self.cipher.decrypt(state)
            if self.compressor is not None:
                state = self.compressor.decompress(state)
        except (ValueError, zlib.error) as error:
            raise UnreadableEvent(
                f"the state of a {name} (stream {stream_id}, version {version}) cannot be opened: it was written "
                f"with another cipher key or compressor, or is damaged ({error})"
            ) from error
        return decode(name, state)


def build_mapper(
    *, compress: bool = False, cipher_key: str | None = None, formats: Formats | None = None
) -> EventMapper:
    """Return a mapper; `cipher_key` is a base64 AES key of 16, 24 or 32 bytes (needs the extra `encryption`)."""
    return EventMapper(ZlibCompressor() if compress else None, _cipher(cipher_key) if cipher_key else None, formats)


def _cipher(key: str) -> Cipher:
    from eventsourcing.cipher import AESCipher  # noqa: PLC0415 - needs the extra `encryption`

    return AESCipher(Environment(env={"CIPHER_KEY": key}))
