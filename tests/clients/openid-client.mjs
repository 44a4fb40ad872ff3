// openid-client. With --pkce auto it follows its documentation: PKCE only if the metadata lists S256. With --dpop on, its token is bound to
// a key, and is then used once.
import { readFileSync } from 'node:fs';
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
  if (options.jarm === 'on') client.useJwtResponseMode(config);
  if (options.hybrid === 'on') client.useCodeIdTokenResponseType(config);
  outcome.supports_pkce = config.serverMetadata().supportsPKCE();
  outcome.pkce = options.pkce === 'on' || (options.pkce === 'auto' && outcome.supports_pkce);

  outcome.codes = [];
  for (let user = 0; user < Number(options.times); user += 1) {
    const { checks, bound, response } = await begin(config, outcome.pkce);
    outcome.response = parametersOf(response);
    if (options.verifier === 'other') ({ pkceCodeVerifier: checks.pkceCodeVerifier } = (await begin(config, outcome.pkce)).checks);
    if (options.verifier === 'wrong') checks.pkceCodeVerifier = client.randomPKCECodeVerifier();
    if (options.verifier === 'none') delete checks.pkceCodeVerifier;
    if (options.retry === 'bare') config[client.customFetch] = bareOnRetry();
    const tokens = await client.authorizationCodeGrant(config, asReceived(response), checks, undefined, bound);
    outcome.tokens = Object.keys(tokens);
    outcome.token_type = tokens.token_type;
    if (bound.DPoP) outcome.user = (await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, bound)).sub;
    outcome.codes.push(outcome.response.code); // of those who have tokens
  }
});

/** Signs in, up to the authorization response. */
async function begin(config, pkce) {
  const checks = { expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true };
  const parameters = {
    redirect_uri: options['redirect-uri'],
    scope: options.scope,
    state: checks.expectedState,
    nonce: checks.expectedNonce,
  };
  if (options['response-mode'] !== undefined) parameters.response_mode = options['response-mode'];
  if (pkce) {
    checks.pkceCodeVerifier = client.randomPKCECodeVerifier();
    parameters.code_challenge = await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier);
    parameters.code_challenge_method = 'S256';
  }

  const bound = {};
  if (options.dpop === 'on') {
    const keys = await client.randomDPoPKeyPair();
    bound.DPoP = client.getDPoPHandle(config, keys);
    if (options.par === 'on') parameters.dpop_jkt = await bound.DPoP.calculateThumbprint();
  }
  const url = await authorizationUrl(config, parameters);
  const response = await authorize(url, options['redirect-uri']);
  return { checks, bound, response };
}

function authorizationUrl(config, parameters) {
  if (options.jar === 'on') return signed(config, parameters);
  return options.par === 'on' ? client.buildAuthorizationUrlWithPAR(config, parameters) : client.buildAuthorizationUrl(config, parameters);
}

async function signed(config, parameters) {
  const jwk = JSON.parse(readFileSync(new URL('signing-key.json', import.meta.url)));
  const key = await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
  const url = await client.buildAuthorizationUrlWithJAR(config, parameters, { key, kid: jwk.kid });
  if (options.par !== 'on') return url;
  return client.buildAuthorizationUrlWithPAR(config, Object.fromEntries(url.searchParams)); // what is signed is pushed
}

/** Sends the second token request without a verifier, as an attacker would who has everything else. */
function bareOnRetry() {
  let requests = 0;
  return (url, init) => {
    const body = new URLSearchParams(init.body);
    if (body.has('code_verifier')) requests += 1;
    if (requests > 1) body.delete('code_verifier');
    return fetch(url, { ...init, body: init.method === 'POST' ? body : undefined });
  };
}

function asReceived({ url, form }) {
  if (form === undefined) return new URL(url);
  return new Request(options['redirect-uri'], { method: 'POST', body: new URLSearchParams(form) });
}
