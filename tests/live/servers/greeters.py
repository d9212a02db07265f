# SPDX-License-Identifier: MIT
"""HTTP and the first words of other protocols on one asyncio loop, each on a port of its own.

usage: greeters.py PORT     HTTP listens there; prints "NAME PORT" for each of the others
The others greet first where theirs does, and answer each piece that they read with the next of their replies, again
from the first one when there are no more. HTTP: any method and target is answered by 200.
"""
import asyncio
import sys

HANDSHAKE = b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00" + b"\x41\x42" * 30  # MySQL, version 10
GREETERS = {  # greeting, replies
    "smtp": (b"220 mail.example ESMTP\r\n", [b"250 mail.example\r\n", b"250 2.1.0 Ok\r\n", b"250 2.1.5 Ok\r\n", b"354 End\r\n",
                                             b"250 2.0.0 Ok\r\n"]),
    "ftp": (b"220 (vsFTPd 3.0.3)\r\n", [b"331 Please specify the password.\r\n", b"230 Login successful.\r\n",
                                        b"215 UNIX Type: L8\r\n"]),
    "nats": (b"INFO {\"server_id\":\"N\",\"version\":\"2.10\",\"max_payload\":1048576}\r\n", [b"PONG\r\n", b"+OK\r\n"]),
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", [b"\x00\x00\x04\x3c\x09\x14" + bytes(range(64))]),
    "postgresql": (b"", [b"N", b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I",
                         b"C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I"]),
    "mysql": (HANDSHAKE, [b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"]),
    "redis": (b"", [b"+PONG\r\n", b"$5\r\nvalue\r\n"]),
    "memcached": (b"", [b"VALUE key 0 5\r\nvalue\r\nEND\r\n"]),
    "irc": (b"", [b":irc.example 001 nick :Welcome\r\n"]),
}


def greeter(greeting, replies):
    """A handler of connections."""
    async def serve(reader, writer):
        writer.write(greeting)
        number = 0
        while await reader.read(65536):
            writer.write(replies[number % len(replies)])
            number += 1
        writer.close()

    return serve


async def http(reader, writer):
    """Requests without a body."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(port):
    """Listens for ever."""
    servers = []
    for name, words in GREETERS.items():
        servers.append(await asyncio.start_server(greeter(*words), "127.0.0.1", 0))
        print(name, servers[-1].sockets[0].getsockname()[1], flush=True)
    async with await asyncio.start_server(http, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
