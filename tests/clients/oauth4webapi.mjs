// oauth4webapi: every step is explicit, and every check strict.
import * as oauth from 'oauth4webapi';
import { options, parametersOf, run } from './client.mjs';
import { authorize } from './user-agent.mjs';

const insecure = { [oauth.allowInsecureRequests]: true };

await run('oauth4webapi', async (outcome) => {
  const issuer = new URL(options.issuer);
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const client = { client_id: options['client-id'] };
  const secret = options['client-secret'];
  const authentication = secret === undefined ? oauth.None() : oauth.ClientSecretPost(secret);

  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: options['redirect-uri'],
    scope: options.scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });

  const response = await authorize(url, options['redirect-uri']);
  outcome.response = parametersOf(response);
  const parameters = oauth.validateAuthResponse(server, client, new URL(response.url), state);
  const answer = await oauth.authorizationCodeGrantRequest(
    server, client, authentication, parameters, options['redirect-uri'], verifier, insecure);
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, { expectedNonce: nonce, requireIdToken: true });
  outcome.tokens = Object.keys(tokens);
});
