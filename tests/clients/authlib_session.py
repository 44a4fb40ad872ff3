"""Authlib's OAuth2Session over requests, with S256. Arguments as for the other clients; prints one line of JSON."""

import argparse
import json
import os
import secrets
import subprocess
import sys
from urllib.parse import parse_qsl, urlsplit

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the tests use loopback without TLS

from authlib.integrations.requests_client import OAuth2Session  # noqa: E402

USER_AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "user-agent.mjs")


def main(flow):
    options = arguments()
    outcome = {"client": "Authlib", "ok": False}
    try:
        flow(options, outcome)
        outcome["ok"] = True
    except Exception as error:  # the test reports any error
        outcome["error"] = {"name": type(error).__name__, "message": str(error)}
    print(json.dumps(outcome))
    return 0 if outcome["ok"] else 1


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--issuer")
    parser.add_argument("--client-id", default="pub")
    parser.add_argument("--client-secret")
    parser.add_argument("--redirect-uri", default="http://127.0.0.1:9999/cb")
    parser.add_argument("--authorize", default="/authorize")
    parser.add_argument("--token", default="/token")
    parser.add_argument("--scope", default="openid")
    return parser.parse_args()


def flow(options, outcome):
    session = OAuth2Session(
        options.client_id,
        options.client_secret,
        code_challenge_method="S256",
        redirect_uri=options.redirect_uri,
        scope=options.scope,
        token_endpoint_auth_method="client_secret_basic" if options.client_secret else "none",
    )
    verifier = secrets.token_urlsafe(48)
    url, state = session.create_authorization_url(options.issuer + options.authorize, code_verifier=verifier)
    received = authorize(url, options.redirect_uri)
    outcome["response"] = dict(parse_qsl(urlsplit(received).query))
    tokens = session.fetch_token(
        options.issuer + options.token, authorization_response=received, code_verifier=verifier, state=state
    )
    outcome["tokens"] = list(tokens)


def authorize(url, redirect_uri):
    agent = subprocess.run(["node", USER_AGENT, url, redirect_uri], capture_output=True, text=True)
    if agent.returncode != 0:
        raise RuntimeError(agent.stderr)
    return json.loads(agent.stdout)["url"]


if __name__ == "__main__":
    sys.exit(main(flow))
