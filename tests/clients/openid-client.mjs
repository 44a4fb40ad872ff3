// openid-client: with --pkce auto it does what its documentation advises, PKCE only if the metadata says that S256 is supported.
import * as client from 'openid-client';
import { options, parametersOf, run } from './client.mjs';
import { authorize } from './user-agent.mjs';

const secret = options['client-secret'];
const authentications = {
  basic: () => client.ClientSecretBasic(secret),
  post: () => client.ClientSecretPost(secret),
  jwt: () => client.ClientSecretJwt(secret),
};

await run('openid-client', async (outcome) => {
  const authentication = secret === undefined ? client.None() : authentications[options['client-auth']]();
  const config = await client.discovery(new URL(options.issuer), options['client-id'], undefined, authentication, {
    execute: [client.allowInsecureRequests],
  });
  outcome.supports_pkce = config.serverMetadata().supportsPKCE();
  outcome.pkce = options.pkce === 'on' || (options.pkce === 'auto' && outcome.supports_pkce);

  const checks = { expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true };
  const parameters = {
    redirect_uri: options['redirect-uri'],
    scope: options.scope,
    state: checks.expectedState,
    nonce: checks.expectedNonce,
  };
  if (options['response-mode'] !== undefined) parameters.response_mode = options['response-mode'];
  if (outcome.pkce) {
    checks.pkceCodeVerifier = client.randomPKCECodeVerifier();
    parameters.code_challenge = await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier);
    parameters.code_challenge_method = 'S256';
  }

  const response = await authorize(client.buildAuthorizationUrl(config, parameters), options['redirect-uri']);
  outcome.response = parametersOf(response);
  const tokens = await client.authorizationCodeGrant(config, asReceived(response), checks);
  outcome.tokens = Object.keys(tokens);
});

function asReceived({ url, form }) {
  if (form === undefined) return new URL(url);
  return new Request(options['redirect-uri'], { method: 'POST', body: new URLSearchParams(form) });
}
