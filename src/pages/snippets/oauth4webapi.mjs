import * as oauth from 'oauth4webapi';

/** Begins a sign-in. Keep `session` for this user, send the browser to `url`. */
export async function begin(server, client, redirect_uri) {
  const session = {
    verifier: oauth.generateRandomCodeVerifier(), // a new one for every sign-in
    state: oauth.generateRandomState(),
    redirect_uri,
  };
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri,
    scope: 'openid',
    state: session.state,
    code_challenge: await oauth.calculatePKCECodeChallenge(session.verifier),
    code_challenge_method: 'S256',
  });
  return { session, url };
}

/** Ends it. `callback` is the URL at which the browser came back.
    `auth` is `oauth.None()` for a public client. */
export async function finish(server, client, auth, callback, session, options) {
  const parameters = oauth.validateAuthResponse(server, client, callback, session.state);
  const response = await oauth.authorizationCodeGrantRequest(
    server, client, auth, parameters, session.redirect_uri, session.verifier, options);
  return oauth.processAuthorizationCodeResponse(server, client, response);
}
