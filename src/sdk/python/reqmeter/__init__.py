# SPDX-License-Identifier: MIT
"""reqmeter: says which request a program works for, and what its requests and processes cost.

RequestState names the request, ResourceMonitor answers what DataRobot DRUM's monitor of that name does, and
reqmeter.asgi and reqmeter.fastapi put both into a web application. Nothing here needs an agent or a web framework.
"""
from reqmeter import _context
from reqmeter._context import features
from reqmeter.monitor import ResourceMonitor
from reqmeter.state import RequestState

__all__ = ["RequestState", "ResourceMonitor", "features", "native"]
__version__ = "0.1.0"

# Whether the extension is there: with it an agent sees which request each thread works for at every instant.
native = _context.native is not None
