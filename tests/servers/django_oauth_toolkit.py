"""django-oauth-toolkit as a project in one file: Django's own login view, the toolkit's own pages and endpoints; PKCE off.

Worth testing: a login page with a CSRF token; consent posted to the authorization path with the query still on it and empty
PKCE fields; multipart, repeated parameters and `//token` accepted; a login that forgets where to go when the authorization URL
is longer than 2,048 characters.
"""

import os
import shutil
import sys
import tempfile
import threading

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from ledger import Ledger

port = int(sys.argv[1])
public_url = sys.argv[2] if len(sys.argv) > 2 else f"http://127.0.0.1:{port}"
state = tempfile.mkdtemp(prefix="pkce-gate-django-")

LOGIN_PAGE = """<!doctype html><title>Sign in</title>
<form method="post">{% csrf_token %}{{ form.as_p }}<input type="hidden" name="next" value="{{ next }}">
<input type="submit" value="Log in"></form>"""


def signing_key():
    key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


settings.configure(
    ALLOWED_HOSTS=["*"],
    CSRF_TRUSTED_ORIGINS=[public_url],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(state, "db.sqlite3")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    LOGIN_URL="/accounts/login/",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    OAUTH2_PROVIDER={
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": signing_key(),
        "PKCE_REQUIRED": False,
        "REQUEST_APPROVAL_PROMPT": "force",
        "SCOPES": {"openid": "OpenID Connect", "read": "Read"},
    },
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # a login costs a millisecond, not half a second
    ROOT_URLCONF=__name__,
    SECRET_KEY="a key that signs cookies",
    STATIC_URL="/static/",
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request"],
            "loaders": [
                ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN_PAGE}),
                "django.template.loaders.app_directories.Loader",
            ],
        },
    }],
    USE_TZ=True,
)
django.setup()

# Django can be imported in full only from here on.
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402

urlpatterns = [
    path("accounts/", include("django.contrib.auth.urls")),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]


def populate():
    call_command("migrate", verbosity=0)
    User.objects.create_user("alice", password="pass")
    for client_id, client_type, secret in (("pub", "public", ""), ("conf", "confidential", "sekrit")):
        Application.objects.create(
            algorithm="RS256",
            authorization_grant_type="authorization-code",
            client_id=client_id,
            client_secret=secret,
            client_type=client_type,
            name=client_id,
            redirect_uris=" ".join(["http://127.0.0.1:9999/cb", os.environ.get("REDIRECT_URIS", "")]).strip(),
        )


class Handler(WSGIRequestHandler):
    def get_environ(self):
        return {**super().get_environ(), "RAW_URI": self.path}  # PATH_INFO is decoded, and the ledger wants what was sent


def leave_with_the_test_process():
    """Standard input is a pipe held by the test process: however that one ends, the pipe closes."""
    sys.stdin.read()
    shutil.rmtree(state, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=leave_with_the_test_process, daemon=True).start()
    populate()
    server = ThreadedWSGIServer(("127.0.0.1", port), Handler)
    server.set_app(Ledger(get_wsgi_application(), authorize="/o/authorize", token="/o/token"))
    print("ready", flush=True)
    server.serve_forever()
