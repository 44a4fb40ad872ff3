// oauth2-server 3.1 (without PKCE, as a legacy server) behind express, like the package's examples: a model in memory, a cookie
// session, a login page, then a consent page.
// Its particular behaviour: consent is posted to the authorization path, with every parameter in a hidden field.
const { randomUUID } = require('node:crypto');
const express = require('express');
const OAuth2Server = require('oauth2-server');

async function main() {
  const { issuer, redirectUris, serve } = await import('./fixture.mjs');
  const engine = new OAuth2Server({
    model: model(redirectUris),
    requireClientAuthentication: { authorization_code: false, refresh_token: false },
  });
  serve(site(engine, issuer), {
    authorize: ['/oauth/authorize', '/services/oauth2/authorize'],
    token: ['/oauth/token', '/services/oauth2/token'],
  });
}

function model(redirectUris) {
  const grants = ['authorization_code', 'refresh_token'];
  const clients = [
    { id: 'pub', grants, redirectUris },
    { id: 'conf', secret: 'sekrit', grants, redirectUris },
    // For the review: clients that do what their names say.
    { id: 'native', grants, redirectUris },
    { id: 'without', secret: 'sekrit', grants, redirectUris },
    { id: 'plain', grants, redirectUris },
    { id: 'hex', grants, redirectUris },
  ];
  const codes = new Map();
  const tokens = new Map();
  const refreshTokens = new Map();
  return {
    getClient: async (id, secret) => clients.find((c) => c.id === id && (secret === null || !c.secret || c.secret === secret)),
    saveAuthorizationCode: async (code, client, user) => keep(codes, code.authorizationCode, { ...code, client, user }),
    getAuthorizationCode: async (code) => codes.get(code),
    revokeAuthorizationCode: async (code) => codes.delete(code.authorizationCode),
    saveToken: async (token, client, user) => {
      const saved = { ...token, client, user };
      if (token.refreshToken) keep(refreshTokens, token.refreshToken, saved);
      return keep(tokens, token.accessToken, saved);
    },
    getAccessToken: async (token) => tokens.get(token),
    getRefreshToken: async (token) => refreshTokens.get(token),
    revokeToken: async (token) => refreshTokens.delete(token.refreshToken),
    validateScope: async (user, client, scope) => scope ?? 'openid', // MCP clients ask for none if they know none
    verifyScope: async () => true,
  };
}

function keep(map, key, value) {
  map.set(key, value);
  return value;
}

function site(engine, issuer) {
  const sessions = new Map();
  const user = (req) => sessions.get(/(?:^|; )sid=([^;]+)/.exec(req.headers.cookie ?? '')?.[1]);

  const app = express();
  app.use(express.urlencoded({ extended: false }));

  app.get('/login', (req, res) => loginPage(res, req.query.next));
  app.post('/login', (req, res) => {
    if (req.body.password !== 'pass') return loginPage(res.status(401), req.body.next);
    const sid = randomUUID();
    sessions.set(sid, { id: req.body.username });
    res.cookie('sid', sid, { httpOnly: true }).redirect(req.body.next);
  });

  // The second path is that of Salesforce, for its clients.
  const authorize = ['/oauth/authorize', '/services/oauth2/authorize'];
  app.get(authorize, (req, res) => {
    if (user(req)) return consentPage(res, req.path, req.query);
    res.redirect(`/login?next=${encodeURIComponent(req.originalUrl)}`);
  });
  app.post(authorize, answer((request, response) =>
    engine.authorize(request, response, { allowEmptyState: true, authenticateHandler: { handle: user } })));

  app.all('/oauth/token', answer((request, response) => engine.token(request, response)));
  app.all('/services/oauth2/token', answer(async (request, response) => {
    await engine.token(request, response);
    Object.assign(response.body, { id: `${issuer}/id/org/user`, instance_url: issuer, issued_at: `${Date.now()}` });
  }));
  return app;
}

/** Runs a step of the engine with an express request and response. */
function answer(step) {
  return async (req, res) => {
    const response = new OAuth2Server.Response();
    try {
      await step(new OAuth2Server.Request(req), response);
    } catch (error) {
      if (response.status !== 302) { // a redirect already tells the client what went wrong
        response.status = error.code ?? 500;
        response.body = { error: error.name, error_description: error.message };
      }
    }
    res.set(response.headers);
    if (response.status === 302) return res.redirect(response.headers.location);
    res.status(response.status).json(response.body);
  };
}

function loginPage(res, next) {
  page(res, `<form method="post" action="/login">${hidden('next', next)}
    <input name="username"> <input type="password" name="password"> <button>Sign in</button></form>`);
}

function consentPage(res, path, parameters) {
  page(res, `<form method="post" action="${path}">${Object.entries(parameters).map(([name, value]) => hidden(name, value)).join('')}
    <button name="allow" value="true">Allow</button> <button name="allowed" value="false">Deny</button></form>`);
}

const page = (res, body) => res.type('html').send(`<!doctype html><title>Sign in</title><body>${body}</body>`);
const hidden = (name, value) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`;
const escaped = (text) => String(text).replaceAll(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

main();
