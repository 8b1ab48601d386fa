"""Who asks from another program: the API's calls, typed. It knows nothing of the rest of the house.

async_client.py     the calls, once: AsyncClient        blocking_client.py  the same calls, blocking: Client
exchange.py         requests, answers, retries          trials.py           how often, and after which pause
wire.py             the two ways to wait                errors.py           the tree of errors
following.py        event streams, resumed              messages.py         their bytes
fetching.py         artifacts, resumed and checked      documents.py        what calls answer with
deadline.py         how long a run is waited for
"""

from orchestrator.client.async_client import AsyncClient
from orchestrator.client.blocking_client import Client
from orchestrator.client.errors import ApiError, ClientError

__all__ = ["ApiError", "AsyncClient", "Client", "ClientError"]
