import secrets

from authlib.integrations.requests_client import OAuth2Session


def client(client_id, redirect_uri):
    return OAuth2Session(
        client_id,
        redirect_uri=redirect_uri,
        scope="openid",
        code_challenge_method="S256",
        token_endpoint_auth_method="none",  # a public client
    )


def begin(oauth, authorization_endpoint):
    """Begins a sign-in. Keep `state` and `verifier` for this user,
    and send the browser to `url`."""
    verifier = secrets.token_urlsafe(32)  # a new one for every sign-in
    url, state = oauth.create_authorization_url(
        authorization_endpoint, code_verifier=verifier
    )
    return url, state, verifier


def finish(oauth, token_endpoint, callback, state, verifier):
    """Ends it. `callback` is the URL at which the browser came back."""
    return oauth.fetch_token(
        token_endpoint,
        authorization_response=callback,
        state=state,
        code_verifier=verifier,
    )
