"""django-allauth's identity provider as it is: it requires PKCE of public clients."""

import os

os.environ["PKCE"] = "required"

from django_allauth import main  # noqa: E402

main()
