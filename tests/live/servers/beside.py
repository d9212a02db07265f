# SPDX-License-Identifier: MIT
"""HTTP and a protocol of bytes on one asyncio loop. usage: beside.py PORT; prints "store PORT"

HTTP answers at once. The store answers each piece of bytes by six of them, after it used BURN_US of the loop's CPU.
"""
import asyncio
import sys

import handlers

BURN_US = 3000


async def store(reader, writer):
    """One connection of the store."""
    while await reader.read(65536):
        handlers.burn(BURN_US)
        writer.write(b"Z\x00\x00\x00\x05I")
    writer.close()


async def http(reader, writer):
    """Requests without a body."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(port):
    """Listens for ever."""
    beside = await asyncio.start_server(store, "127.0.0.1", 0)
    print("store", beside.sockets[0].getsockname()[1], flush=True)
    async with await asyncio.start_server(http, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
