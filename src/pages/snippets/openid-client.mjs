import * as client from 'openid-client';

/** Begins a sign-in. Keep `session` for this user, send the browser to `url`. */
export async function begin(config, redirect_uri) {
  const session = {
    verifier: client.randomPKCECodeVerifier(), // a new one for every sign-in
    state: client.randomState(),
  };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: 'openid',
    state: session.state,
    code_challenge: await client.calculatePKCECodeChallenge(session.verifier),
    code_challenge_method: 'S256',
  });
  return { session, url };
}

/** Ends it. `callback` is the URL at which the browser came back. */
export function finish(config, callback, session) {
  return client.authorizationCodeGrant(config, callback, {
    pkceCodeVerifier: session.verifier,
    expectedState: session.state,
  });
}
