"""django-oauth-toolkit as a project in one file, with Django's login view and the toolkit's pages and endpoints; PKCE is off.
With OPENID=off in the environment it is a plain OAuth 2.0 server, at which anyone may register a client.

Its particular behaviour: a login page with a CSRF token; consent is posted to the authorization path including its query, with empty
PKCE fields; it accepts multipart, repeated parameters and `//token`; after the login it does not continue if the authorization URL is
longer than 2,048 characters.
"""

import os

import django

from django_site import configure, serve
from fixture import leave_with_the_test_process, redirect_uris, signing_key

openid = os.environ.get("OPENID") != "off"

LOGIN_PAGE = """<!doctype html><title>Sign in</title>
<form method="post">{% csrf_token %}{{ form.as_p }}<input type="hidden" name="next" value="{{ next }}">
<input type="submit" value="Log in"></form>"""

configure(
    urls=__name__,
    apps=["oauth2_provider"],
    templates={"registration/login.html": LOGIN_PAGE},
    OAUTH2_PROVIDER={
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],
        "DCR_ENABLED": not openid,
        "DCR_REGISTRATION_PERMISSION_CLASSES": ("oauth2_provider.dcr.AllowAllDCRPermission",),
        "OIDC_ENABLED": openid,
        "OIDC_RSA_PRIVATE_KEY": signing_key(),
        "PKCE_REQUIRED": False,
        "REQUEST_APPROVAL_PROMPT": "force",
        "SCOPES": {"openid": "OpenID Connect", "read": "Read"},
    },
)
django.setup()

# These imports need the settings above.
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
            algorithm="RS256" if openid else "",
            authorization_grant_type="authorization-code",
            client_id=client_id,
            client_secret=secret,
            client_type=client_type,
            name=client_id,
            redirect_uris=" ".join(redirect_uris),
        )


if __name__ == "__main__":
    leave_with_the_test_process()
    populate()
    serve(get_wsgi_application(), authorize="/o/authorize", token="/o/token")
