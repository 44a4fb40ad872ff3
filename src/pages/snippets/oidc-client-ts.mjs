import { UserManager } from 'oidc-client-ts';

/** PKCE with S256 is on by default: leave `disablePKCE` unset. */
export function manager(authority, client_id, redirect_uri) {
  return new UserManager({ authority, client_id, redirect_uri, scope: 'openid' });
}

/** Begins a sign-in. The library keeps the verifier of each sign-in under its state. */
export function begin(users) {
  return users.signinRedirect();
}

/** Ends it, on the page at `redirect_uri`. Call it once. */
export function finish(users) {
  return users.signinRedirectCallback();
}
