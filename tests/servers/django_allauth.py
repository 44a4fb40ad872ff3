"""django-allauth's identity provider as a project in one file, with its own login and consent pages and its own endpoints.

Its particular behaviour: consent is posted to the authorization path without a query; a signed field named `request` contains the whole
authorization request. It requires PKCE for public clients, which is switched off here, so that only the gate enforces it, unless the
environment says PKCE=required.
"""

import os

import django

from django_site import configure, serve
from fixture import leave_with_the_test_process, redirect_uris, signing_key

configure(
    urls=__name__,
    apps=["django.contrib.messages", "allauth", "allauth.account", "allauth.idp.oidc"],
    middleware=[
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    ACCOUNT_EMAIL_VERIFICATION="none",
    ACCOUNT_RATE_LIMITS=False,
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    IDP_OIDC_PRIVATE_KEY=signing_key(),
)
django.setup()

# These imports need the settings above.
from allauth.idp.oidc.internal.oauthlib.request_validator import OAuthLibRequestValidator  # noqa: E402
from allauth.idp.oidc.models import Client  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402

if os.environ.get("PKCE") != "required":  # there is no setting for it
    OAuthLibRequestValidator.is_pkce_required = lambda self, client_id, request: False

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("", include("allauth.idp.urls")),
]


def populate():
    call_command("migrate", verbosity=0)
    User.objects.create_user("alice", password="pass")
    for client_id, client_type, secret in (("pub", Client.Type.PUBLIC, ""), ("conf", Client.Type.CONFIDENTIAL, "sekrit")):
        client = Client(id=client_id, name=client_id, type=client_type)
        client.set_redirect_uris(redirect_uris)
        client.set_secret(secret)
        client.save()


def main():
    leave_with_the_test_process()
    populate()
    serve(get_wsgi_application(), authorize="/identity/o/authorize", token="/identity/o/api/token")


if __name__ == "__main__":
    main()
