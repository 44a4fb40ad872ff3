"""Signs in with the snippet for Authlib. Arguments as for the other clients; prints one line of JSON."""

import importlib.util
import os
import sys
from urllib.parse import parse_qsl, urlsplit

HERE = os.path.dirname(os.path.abspath(__file__))
# Not this folder, whose authlib.py is not the library.
sys.path[0] = os.path.join(HERE, "..")
sys.dont_write_bytecode = True

import authlib_session  # noqa: E402

SNIPPET = os.path.join(HERE, "..", "..", "..", "src", "pages", "snippets", "authlib.py")


def load():
    spec = importlib.util.spec_from_file_location("snippet", SNIPPET)
    snippet = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(snippet)
    return snippet


def flow(options, outcome):
    snippet = load()
    oauth = snippet.client(options.client_id, options.redirect_uri)
    url, state, verifier = snippet.begin(oauth, options.issuer + options.authorize)
    callback = authlib_session.authorize(url, options.redirect_uri)
    outcome["response"] = dict(parse_qsl(urlsplit(callback).query))
    tokens = snippet.finish(oauth, options.issuer + options.token, callback, state, verifier)
    outcome["tokens"] = list(tokens)


if __name__ == "__main__":
    sys.exit(authlib_session.main(flow))
