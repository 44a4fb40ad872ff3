"""Authlib's authorization server on Flask, like the example in its documentation. PKCE is not registered, so it is ignored.

Its particular behaviour: only client_secret_post, and 400 instead of 401 for HTTP Basic; consent is posted to the authorization URL
including its query; query and body are merged, at both endpoints.
"""

import logging
import os
from dataclasses import dataclass
from urllib.parse import urlencode

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the tests use loopback without TLS

from authlib.integrations.flask_oauth2 import AuthorizationServer  # noqa: E402
from authlib.oauth2 import OAuth2Error  # noqa: E402
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, grants  # noqa: E402
from flask import Flask, redirect, render_template_string, request, session  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

from fixture import leave_with_the_test_process, port, redirect_uris  # noqa: E402
from ledger import Ledger  # noqa: E402

LOGIN_PAGE = """<!doctype html><title>Sign in</title><form method="post">
<input name="username"> <input type="password" name="password"> <button>Sign in</button></form>"""
CONSENT_PAGE = """<!doctype html><title>Consent</title><form action="" method="post">
<label><input type="checkbox" name="confirm" value="yes"> {{ client }} may act for you</label> <button>Allow</button></form>"""


@dataclass
class Client(ClientMixin):
    id: str
    secret: str | None

    def get_client_id(self):
        return self.id

    def get_default_redirect_uri(self):
        return redirect_uris[0]

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri in redirect_uris

    def check_client_secret(self, secret):
        return secret == self.secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method == ("none" if self.secret is None else "client_secret_post")

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):
    client_id: str
    redirect_uri: str
    scope: str
    user: str
    code: str

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


CLIENTS = {client.id: client for client in (Client("pub", None), Client("conf", "sekrit"))}
codes = {}


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "none"]

    def save_authorization_code(self, code, request):
        codes[code] = Code(request.client.id, request.payload.redirect_uri, request.scope, request.user, code)

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found and found.client_id == client.id else None

    def delete_authorization_code(self, authorization_code):
        codes.pop(authorization_code.code, None)

    def authenticate_user(self, authorization_code):
        return authorization_code.user


app = Flask(__name__)
app.secret_key = "a key that signs cookies"
server = AuthorizationServer(app, query_client=CLIENTS.get, save_token=lambda token, request: None)
server.register_grant(AuthorizationCodeGrant)


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.form.get("password") != "pass":
        return render_template_string(LOGIN_PAGE)
    session["user"] = request.form["username"]
    return redirect(request.args["next"])


@app.route("/oauth/authorize", methods=["GET", "POST"])
def authorize():
    user = session.get("user")
    if user is None:
        return redirect("/login?" + urlencode({"next": request.full_path}))
    try:
        grant = server.get_consent_grant(end_user=user)
    except OAuth2Error as error:
        return error.error, error.status_code
    if request.method == "GET":
        return render_template_string(CONSENT_PAGE, client=grant.client.id)
    granted = user if request.form.get("confirm") else None
    return server.create_authorization_response(grant=grant, grant_user=granted)


@app.route("/oauth/token", methods=["POST"])
def token():
    return server.create_token_response()


if __name__ == "__main__":
    leave_with_the_test_process()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    ledger = Ledger(app, authorize="/oauth/authorize", token="/oauth/token")
    listening = make_server("127.0.0.1", port, ledger, threaded=True)
    print("ready", flush=True)
    listening.serve_forever()
