"""The Python client: a typed method for each API call. It imports nothing from the rest of the project.

async_client.py     AsyncClient                         blocking_client.py  Client: the same calls, blocking
calls.py            calls that change something         reads.py            calls that only read
exchange.py         requests, responses, retries        trials.py           retry limit and backoff
wire.py             blocking and asyncio transports     errors.py           the exception hierarchy
following.py        event streams, resumed              messages.py         the Server-Sent Events parser
fetching.py         downloads, resumed and verified     documents.py        types of the responses
deadline.py         how long to wait for a run          bodies.py           JSON encoding of request bodies
"""

from orchestrator.client.async_client import AsyncClient
from orchestrator.client.blocking_client import Client
from orchestrator.client.errors import ApiError, ClientError

__all__ = ["ApiError", "AsyncClient", "Client", "ClientError"]
