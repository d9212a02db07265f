# SPDX-License-Identifier: MIT
"""The id of a request from its headers, by the rules of the agent, so that both give a request the same id."""
import base64
import binascii
import re
import secrets

ID_MAX = 128  # bytes; the agent cuts there, too
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")  # what may stand in any header and any log


def new_id():
    """A new id: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def clean(value):
    """The id as it can be answered in a header: 1 to 128 printable ASCII characters; None when it cannot."""
    value = value.strip()[:ID_MAX].strip() if isinstance(value, str) else ""
    return value if _PRINTABLE.fullmatch(value) else None


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


def find_id(headers, first):
    """The id in a dict of normal names, the header named `first` before the built-in list; None without one."""
    for name, take in ((first, _TAKE.get(first, str)), *_RULES):
        if name in headers and (found := clean(take(headers[name].strip()))):
            return found
    return None
