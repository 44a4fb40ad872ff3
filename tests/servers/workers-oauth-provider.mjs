// Cloudflare's workers-oauth-provider: an authorization server that is a Worker, here under Node, with a KV namespace in memory. The
// sign-in page belongs to the application, as the package's documentation shows it.
// Its particular behaviour: it demands PKCE of public clients and none of confidential ones, and takes S256 only.
import { createHash } from 'node:crypto';
import { register } from 'node:module';
import { issuer, redirectUris, serve } from './fixture.mjs';

// The runtime of Workers has this module. The package only derives a class from its class.
const runtime = (code) => `data:text/javascript,${encodeURIComponent(code)}`;
const workers = runtime('export class WorkerEntrypoint {}');
register(runtime(`export const resolve = (name, context, next) =>
  name === 'cloudflare:workers' ? { url: ${JSON.stringify(workers)}, shortCircuit: true } : next(name, context);`));
const { AuthorizationError, OAuthAuthorizationServer } = await import('@cloudflare/workers-oauth-provider');

/** What the package uses of a KV namespace. Nothing expires: a test is shorter than every lifetime. */
class Namespace extends Map {
  async get(key, { type } = {}) {
    const value = super.get(key) ?? null;
    return type === 'json' ? JSON.parse(value) : value;
  }

  async put(key, value) {
    super.set(key, value);
  }

  async list({ prefix = '' } = {}) {
    return { keys: [...this.keys()].filter((name) => name.startsWith(prefix)).map((name) => ({ name })), list_complete: true };
  }
}

const namespace = new Namespace();
const env = { OAUTH_KV: namespace };
for (const clientId of ['pub', 'conf']) { // createClient() would choose the identifiers
  const secret = clientId === 'conf' && { clientSecret: createHash('sha256').update('sekrit').digest('hex') };
  await namespace.put(`client:${clientId}`, JSON.stringify({
    clientId,
    redirectUris,
    grantTypes: ['authorization_code'],
    responseTypes: ['code'],
    tokenEndpointAuthMethod: secret ? 'client_secret_basic' : 'none',
    ...secret,
  }));
}

const server = new OAuthAuthorizationServer({
  issuer,
  resources: [`${issuer}/mcp`],
  scopesSupported: ['openid'],
  authorizeEndpoint: '/authorize',
  tokenEndpoint: '/oauth/token',
});

const page = `<!doctype html><title>Sign in</title><form method="post"><input name="username"><input name="password" type="password">
<button>Allow</button></form>`;

async function authorize(request) {
  const api = server.getOAuthApi(env);
  let authorization;
  try {
    authorization = await api.parseAuthRequest(request);
  } catch (error) {
    if (!(error instanceof AuthorizationError)) throw error;
    if (error.redirectTo) return Response.redirect(error.redirectTo, 302);
    return new Response(error.message, { status: 400 });
  }
  const form = new URLSearchParams(request.method === 'POST' ? await request.text() : '');
  if (form.get('password') !== 'pass') return new Response(page, { headers: { 'content-type': 'text/html' } });
  const userId = form.get('username');
  const { redirectTo } = await api.completeAuthorization({ request: authorization, userId, scope: authorization.scope, props: { userId } });
  return Response.redirect(redirectTo, 302);
}

async function answer(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const body = req.method === 'GET' || req.method === 'HEAD' ? undefined : Buffer.concat(chunks);
  const headers = Object.entries(req.headers).filter(([, value]) => typeof value === 'string');
  // A Worker is reached at its own URL, whatever Host says.
  const request = new Request(new URL(issuer).origin + req.url, { method: req.method, headers, body });
  const worker = new URL(request.url).pathname === '/authorize' ? authorize : (it) => server.fetch(it, env, { waitUntil() {} });
  return worker(request);
}

serve(
  async (req, res) => {
    const response = await answer(req);
    const body = Buffer.from(await response.arrayBuffer());
    res.writeHead(response.status, [...response.headers].flat());
    res.end(body);
  },
  { authorize: ['/authorize'], token: ['/oauth/token'] },
);
