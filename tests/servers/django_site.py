"""Shared by the Django fixtures: the settings of a small site, and its server."""

import os

from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from fixture import port, public_url, state
from ledger import Ledger


def configure(urls, apps, middleware=(), templates=(), **more):
    settings.configure(
        ALLOWED_HOSTS=["*"],
        CSRF_TRUSTED_ORIGINS=[public_url],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(state, "db.sqlite3")}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", *apps],
        LOGIN_URL="/accounts/login/",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            *middleware,
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # a login takes a millisecond instead of half a second
        ROOT_URLCONF=urls,
        SECRET_KEY="a key that signs cookies",
        STATIC_URL="/static/",
        TEMPLATES=[{
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "loaders": [
                    ("django.template.loaders.locmem.Loader", dict(templates)),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }],
        USE_TZ=True,
        **more,
    )


class Handler(WSGIRequestHandler):
    def get_environ(self):
        return {**super().get_environ(), "RAW_URI": self.path}  # PATH_INFO is decoded; the ledger needs the path as it was sent


def serve(application, **paths):
    server = ThreadedWSGIServer(("127.0.0.1", port), Handler)
    server.set_app(Ledger(application, **paths))
    print("ready", flush=True)
    server.serve_forever()
