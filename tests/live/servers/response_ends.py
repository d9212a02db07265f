# SPDX-License-Identifier: MIT
"""Responses in the pieces in which they are written, each an end in a spelling of its own."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"4\r\nbody\r\n"
LAST = b"0\r\n\r\n"


def long_head(n, framing):
    """A head of about n bytes with its framing at the end."""
    return b"HTTP/1.1 200 OK\r\nX-Long: " + b"l" * n + b"\r\n" + framing + b"\r\n\r\n"


CHUNKS, LENGTH = b"Transfer-Encoding: chunked", b"Content-Length: 4"
ENDS = {
    "whole": [CHUNKED + BODY + LAST],
    "last-alone": [CHUNKED, BODY, LAST],
    "last-in-two": [CHUNKED + BODY, b"0\r\n", b"\r\n"],
    "last-by-byte": [CHUNKED + BODY, b"0", b"\r", b"\n", b"\r", b"\n"],
    "last-behind-data": [CHUNKED, BODY + b"0\r", b"\n\r\n"],
    "trailer": [CHUNKED, BODY, b"0\r\nDigest: a\r\n\r\n"],
    "trailers-in-pieces": [CHUNKED + BODY, b"0\r\nDig", b"est: a\r\nMore: b\r", b"\n\r", b"\n"],
    "extension": [CHUNKED, b"4;a=b\r\nbody\r\n", b"0;last=\"yes\"\r\n\r\n"],
    "extension-in-pieces": [CHUNKED, b"4;a=", b"b\r\nbody\r\n0;la", b"st\r\n", b"\r\n"],
    "zeros": [CHUNKED, BODY, b"00000\r\n\r\n"],
    "bare-lf": [b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", b"4\nbody\n", b"0\n\n"],
    "zero-in-the-data": [CHUNKED, b"5\r\n0\r\n\r\n\r\n", BODY, LAST],
    "size-alone": [CHUNKED, b"4\r\n", b"body", b"\r\n", LAST],
    "long": [long_head(600, LENGTH), b"body"],
    "long-at-once": [long_head(600, LENGTH) + b"body"],
    "long-chunked": [long_head(600, CHUNKS), BODY, LAST],
    "longer": [long_head(4200, LENGTH), b"body"],
    "longer-chunked": [long_head(4200, CHUNKS), BODY, LAST],
    "longer-empty": [long_head(4200, b"Content-Length: 0")],
    "cut-in-the-length": [b"HTTP/1.1 200 OK\r\nContent-Len", b"gth: 4\r\n\r", b"\nbo", b"dy"],
    "cut-behind-512": [long_head(600, LENGTH)[:620], long_head(600, LENGTH)[620:] + b"bo", b"dy"],
    "no-content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "not-modified": [b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"],
    "early-hints": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"body"],
}
