"""A loopback Hub: a real HTTP server that speaks the wire protocol of the Hugging Face Hub.

    python -m tests.hubserver --port 8799 --token hf_me=me

prints the ``HF_ENDPOINT`` and ``HF_TOKEN`` to use it with by hand. Everything is kept in memory.
"""

from __future__ import annotations

from tests.hubserver.faults import Faults
from tests.hubserver.repos import Hub, Repo
from tests.hubserver.server import HubServer, running

__all__ = ["Faults", "Hub", "HubServer", "Repo", "running"]
