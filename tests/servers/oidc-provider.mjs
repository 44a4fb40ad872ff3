// oidc-provider with its own development login and consent pages, PKCE not advertised, and required of all clients or of none.
// Its particular behaviour: a login in two steps on other paths, the code is issued on another path, every response mode; the first
// DPoP proof is rejected with a nonce.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';
import { issuer, redirectUris, serve } from './fixture.mjs';

const common = {
  application_type: 'native', // allows http on loopback
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: redirectUris,
  response_types: ['code'],
};
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code'; // RFC 8628; the server knows no PKCE there
const { d: _, ...clientKey } = JSON.parse(readFileSync(new URL('../clients/signing-key.json', import.meta.url)));
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(issuer, {
  clientBasedCORS: () => true, // the single-page application is served from another origin
  clients: [
    { ...common, client_id: 'pub', grant_types: [...common.grant_types, deviceGrant], token_endpoint_auth_method: 'none' },
    { // signed requests and responses, and ID tokens in the front channel
      ...common,
      client_id: 'signed',
      token_endpoint_auth_method: 'none',
      grant_types: [...common.grant_types, 'implicit'],
      response_types: ['code', 'code id_token'],
      request_object_signing_alg: 'ES256',
      authorization_signed_response_alg: 'RS256',
      jwks: { keys: [clientKey] },
    },
    { ...common, client_id: 'spa', application_type: 'web', token_endpoint_auth_method: 'none' }, // native ones never go on in silence
    { ...common, client_id: 'basic', client_secret: 'sekrit', token_endpoint_auth_method: 'client_secret_basic' },
    { ...common, client_id: 'post', client_secret: 'sekrit', token_endpoint_auth_method: 'client_secret_post' },
    { ...common, client_id: 'jwt', client_secret: 'a shared secret, long enough for HS256', token_endpoint_auth_method: 'client_secret_jwt' },
  ],
  cookies: { keys: ['a key that signs cookies'] },
  features: {
    deviceFlow: { enabled: true },
    jwtResponseModes: { enabled: true },
    requestObjects: { enabled: true },
    devInteractions: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
  },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', kid: 'k1', use: 'sig' }] },
  pkce: { required: () => process.env.PKCE === 'required' },
  responseTypes: ['code', 'code id_token'],
});
provider.use(async (ctx, next) => { // a server without PKCE does not advertise it either
  await next();
  if (ctx.oidc?.route === 'discovery') delete ctx.body.code_challenge_methods_supported;
});
provider.proxy = true; // believes X-Forwarded-*
provider.on('server_error', (_, error) => console.error(error));

serve(provider.callback(), { authorize: ['/auth'], token: ['/token'] });
