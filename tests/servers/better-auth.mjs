// better-auth with its OAuth provider. Its login and consent pages are an application: they post JSON, and get the next URL in JSON, at
// last the redirect URI with the code. The state travels in a query that the server signs.
// Its particular behaviour: it demands PKCE of public clients. `conf` is a client that was registered as exempt from it.
import { createHash } from 'node:crypto';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import { oauthProvider } from '@better-auth/oauth-provider';
import { issuer, redirectUris, serve } from './fixture.mjs';

const clients = ['pub', 'conf'].map((clientId) => ({
  id: clientId,
  clientId,
  clientSecret: createHash('sha256').update('sekrit').digest('base64url'),
  name: clientId,
  redirectUris,
  tokenEndpointAuthMethod: clientId === 'pub' ? 'none' : 'client_secret_post',
  grantTypes: ['authorization_code'],
  responseTypes: ['code'],
  requirePKCE: false,
  scopes: ['openid'],
  disabled: false,
  createdAt: new Date(),
  updatedAt: new Date(),
}));
const tables = ['user', 'session', 'account', 'verification', 'jwks', 'oauthAccessToken', 'oauthRefreshToken', 'oauthConsent'];
const database = { ...Object.fromEntries(tables.map((table) => [table, []])), oauthClient: clients };

const auth = betterAuth({
  baseURL: issuer,
  secret: createHash('sha256').update('a secret of the tests').digest('base64'),
  database: memoryAdapter(database),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { disabled: true },
  plugins: [jwt(), oauthProvider({ loginPage: '/sign-in', consentPage: '/consent' })],
});
await auth.api.signUpEmail({ body: { name: 'Alice', email: 'alice@example.com', password: 'password' } });

// What its client library does: it sends the query of the page along, and follows the URL in the answer.
const page = (path, members) => `<!doctype html><title>Application</title><form><input name="username"><input name="password" type="password">
<button>Continue</button></form><script>
document.forms[0].onsubmit = (event) => {
  event.preventDefault();
  const body = JSON.stringify({ ...(${members})(document.forms[0]), oauth_query: location.search.slice(1) });
  fetch('/api/auth${path}', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    .then((answer) => answer.json())
    .then((answer) => { location.href = answer.url; });
};
</script>`;
const pages = {
  '/sign-in': page('/sign-in/email', '(form) => ({ email: form.username.value + "@example.com", password: form.password.value + "word" })'),
  '/consent': page('/oauth2/consent', '() => ({ accept: true })'),
};

const handler = toNodeHandler(auth);
serve(
  (req, res) => {
    const html = pages[req.url.split('?')[0]];
    if (html === undefined) return handler(req, res);
    res.writeHead(200, { 'content-type': 'text/html' });
    res.end(html);
  },
  { authorize: ['/api/auth/oauth2/authorize'], token: ['/api/auth/oauth2/token'] },
);
