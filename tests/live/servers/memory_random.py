# SPDX-License-Identifier: MIT
"""Requests that take and give back memory at random, one at a time. usage: memory_random.py SEED FILE; prints its port.

FILE has FILE_PAGES pages to map. Each answer says by how many bytes the process has grown from a walk of its page tables
when the request came to one before the answer.
"""
import ctypes
import json
import random
import socket
import sys

PAGE = 4096
FILE_PAGES = 1024
BATCH = 32  # pages that a CPU gathers before it adds them to the kernel's sum, on small machines
READ, WRITE = 1, 2
SHARED, PRIVATE, ANONYMOUS, POPULATE = 1, 2, 0x20, 0x8000
DONTNEED, NOHUGEPAGE = 4, 15

LIBC = ctypes.CDLL(None)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Mapping:
    """Pages at an address; those of a file are read only."""

    def __init__(self, at, pages, writable):
        self.at, self.pages, self.writable = at, pages, writable

    def use(self, page):
        """Writes to a page, or reads it."""
        if self.writable:
            ctypes.memset(self.at + page * PAGE, 1, 1)
        else:
            ctypes.string_at(self.at + page * PAGE, 1)

    def cut(self, pages):
        """Gives back its first pages."""
        LIBC.munmap(self.at, pages * PAGE)
        self.at += pages * PAGE
        self.pages -= pages


class Memory:
    """What the process has mapped by itself."""

    def __init__(self, seed, file):
        self.random, self.file, self.mappings = random.Random(seed), file, []

    def take(self):
        """A new mapping, of which a part is used, page by page or in one call."""
        number = self.random.randint
        pages = self.random.choice((number(1, 40), number(1, 700), number(500, 1600), BATCH * number(1, 40) + number(-1, 1)))
        flags = PRIVATE | ANONYMOUS | self.random.choice((0, 0, POPULATE))
        mapping = Mapping(LIBC.mmap(None, pages * PAGE, READ | WRITE, flags, -1, 0), pages, True)
        LIBC.madvise(mapping.at, pages * PAGE, NOHUGEPAGE)
        for page in range(0 if flags & POPULATE else self.random.choice((number(0, pages), pages))):
            mapping.use(page)
        self.mappings.append(mapping)

    def read_file(self):
        """A new mapping of the file, of which some pages are read."""
        pages = self.random.randint(1, FILE_PAGES)
        mapping = Mapping(LIBC.mmap(None, pages * PAGE, READ, SHARED, self.file.fileno(), 0), pages, False)
        for page in range(0, pages, self.random.choice((1, 3, 17))):
            mapping.use(page)
        self.mappings.append(mapping)

    def change(self):
        """Uses, drops, cuts or gives back one of the mappings."""
        mapping = self.random.choice(self.mappings)
        first = self.random.randrange(mapping.pages)
        what = self.random.choice(("use", "drop", "cut", "give", "give"))
        if what == "use":
            for page in range(first, mapping.pages):
                mapping.use(page)
        elif what == "drop":
            LIBC.madvise(mapping.at + first * PAGE, self.random.randint(1, mapping.pages - first) * PAGE, DONTNEED)
        else:
            mapping.cut(first if what == "cut" and first else mapping.pages)
            if not mapping.pages:
                self.mappings.remove(mapping)

    def step(self):
        """One change."""
        self.random.choice((self.take, self.read_file, *[self.change if self.mappings else self.take] * 4))()


def resident():
    """Bytes, by a walk of the page tables."""
    with open("/proc/self/smaps_rollup", encoding="ascii", errors="replace") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) * 1024


def main():
    """Serves for ever."""
    with open(sys.argv[2], "rb") as file, socket.create_server(("127.0.0.1", 0)) as listener:
        memory = Memory(int(sys.argv[1]), file)
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                before = resident()
                for _ in range(memory.random.randint(1, 6)):
                    memory.step()
                body = json.dumps(resident() - before).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


if __name__ == "__main__":
    main()
