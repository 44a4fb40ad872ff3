"""Shared by the Python echo servers: the line that reports what a framework read, and the answer.

Every echo server writes one line of JSON to standard output for each request, before it answers. A request with `X-Sign-In` gets a code:
the reversed state that the framework read. Other requests get a 503, after which the gate releases the code.
"""

import json
import sys
from urllib.parse import urlencode


def report(case, method, path, route, query, form):
    line = {"case": case, "method": method, "path": path, "route": route, "query": query, "form": form}
    print(json.dumps(line), flush=True)


def answer(sign_in, query):
    """Status and header fields."""
    if not sign_in:
        return 503, {}
    query = dict(query)
    params = urlencode({"code": query["state"][::-1], "state": query["state"]})
    return 302, {"Location": f"{query['redirect_uri']}?{params}"}


def pairs(value, name=None):
    """A parsed document as pairs: nested values belong to the outermost name."""
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in pairs(inner, name or key)]
    if isinstance(value, list):
        return [pair for inner in value for pair in pairs(inner, name)]
    return [] if name is None else [[name, "" if value is None else str(value)]]


port = int(sys.argv[1])
