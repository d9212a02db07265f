# SPDX-License-Identifier: MIT
"""The id of a request from its headers, by the rules of the agent, so that both give a request the same id."""
import base64
import binascii
import os
import re

ID_MAX = 128  # bytes; the agent cuts there, too
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def new_id():
    """A new id: 32 hexadecimal digits."""
    return os.urandom(16).hex()


def clean(value):
    """The id as it can be answered in a header: 1 to 128 printable ASCII characters; None when it cannot."""
    value = value.strip()[:ID_MAX].strip() if isinstance(value, str) else ""
    # What may stand in any header and any log.
    return value if value and value.isascii() and value.isprintable() else None


def parse_traceparent(value):
    """(trace_id, parent_span_id) in hexadecimal, or (None, None)."""
    match = _TRACEPARENT.fullmatch(value.strip())
    if not match or (match[4] and value.strip().startswith("00")):
        return None, None
    return match[1], match[2]


def _amzn_root(value):
    for part in value.split(";"):
        key, equals, root = part.strip().partition("=")
        if equals and key.lower() == "root":
            return root
    return ""


def _b3(value):
    # Without a dash it is a sampling decision and names no trace.
    trace, dash, _ = value.partition("-")
    return trace if dash else ""


def _sw8(value):
    parts = value.split("-")
    try:
        return base64.b64decode(parts[1], validate=True).decode("ascii") if len(parts) > 1 else ""
    except (binascii.Error, ValueError):
        return ""


_RULES = (
    ("x-request-id", str),
    ("x-correlation-id", str),
    ("x-datarobot-request-id", str),
    ("x-amzn-trace-id", _amzn_root),
    ("x-cloud-trace-context", lambda value: re.split("[/;]", value)[0]),
    ("x-b3-traceid", str),
    ("b3", _b3),
    ("uber-trace-id", lambda value: re.split("[:%]", value)[0]),
    ("sw8", _sw8),
    ("traceparent", lambda value: parse_traceparent(value)[0] or ""),
)
_TAKE = dict(_RULES)


def normal_name(name):
    """A header's name for comparison: lower case, and the one name that is also spelt with underscores."""
    name = name.lower()
    return "x-request-id" if name == "x_request_id" else name


class Finder:
    """Finds the id of a request: the header named `first` goes before the built-in list."""

    def __init__(self, first):
        first = normal_name(first)
        self._rules = ((first, _TAKE.get(first, str)), *_RULES)
        # Servers give names and values as bytes. All other headers are not looked at: there may be many.
        self._names = {name.encode("latin-1"): name for name, _ in self._rules}
        self._names.update({b"x_request_id": "x-request-id"})

    def headers(self, raw):
        """Those of the pairs of bytes that matter, by their normal names; of one that comes twice the first."""
        found = {}
        for name, value in raw:
            name = self._names.get(name.lower())
            if name is not None and name not in found:
                found[name] = value.decode("latin-1")
        return found

    def find(self, headers):
        """The id in a dict of normal names; None without one."""
        if not headers:
            return None
        for name, take in self._rules:
            if name in headers and (found := clean(take(headers[name].strip()))):
                return found
        return None
