"""The ledger of fixture.mjs as WSGI middleware: records what the server received and issued, outside the package under test."""

import io
import json
import re
import time
from urllib.parse import parse_qs, unquote, urlsplit


class Ledger:
    def __init__(self, app, authorize, token):
        self.app = app
        self.paths = {"authorize": authorize, "token": token}
        self.reset()

    def reset(self):
        self.seen = {"authorize": [], "token": [], "codes": []}

    def __call__(self, environ, start_response):
        path, _, query = environ["RAW_URI"].partition("?")
        if path == "/__ledger/reset":
            self.reset()
        if path.startswith("/__ledger"):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self.seen).encode()]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        record = {
            "method": environ["REQUEST_METHOD"],
            "path": path,
            "query": query,
            "content_type": environ.get("CONTENT_TYPE", ""),
            "authorization": "HTTP_AUTHORIZATION" in environ,
            "body": body.decode(errors="replace"),
            "status": 0,
        }
        for endpoint, folded_path in self.paths.items():
            if folded(path) == folded_path:
                self.seen[endpoint].append(record)
        time.sleep(int(environ.get("HTTP_X_ANSWER_AFTER", 0)) / 1000)  # a slow answer lets the browser click twice
        return self.watched(environ, start_response, record)

    def watched(self, environ, start_response, record):
        location = ""

        def start(status, headers, exc_info=None):
            nonlocal location
            location = dict(headers).get("Location", "")
            record["status"] = int(status.split()[0])
            return start_response(status, headers, exc_info)

        response = self.app(environ, start)
        body = b"".join(response)
        if hasattr(response, "close"):
            response.close()
        self.seen["codes"] += issued_in(location, body.decode(errors="replace"))
        return [body]


def folded(path):
    """The path as the most lenient router would read it, so that the ledger misses no spelling of an endpoint."""
    merged = re.sub("/+", "/", unquote(path)).lower()
    return merged.rstrip("/") or "/"


def issued_in(location, body):
    """Every code in a response: Location query or fragment, or a form_post page."""
    url = urlsplit(location)
    codes = [code for part in (url.query, url.fragment) for code in parse_qs(part).get("code", [])]
    for field in re.findall(r'<input\b[^>]*\bname="code"[^>]*>', body, re.IGNORECASE):
        codes += re.findall(r'\bvalue="([^"]*)"', field)
    return codes
