// passport-oauth2 in an express application with a session: a typical confidential web application.
import { once } from 'node:events';
import express from 'express';
import session from 'express-session';
import passport from 'passport';
import { Strategy } from 'passport-oauth2';
import { options, parametersOf, run } from './client.mjs';
import { UserAgent } from './user-agent.mjs';

const callback = new URL(options['redirect-uri']);

passport.use(new Strategy({
  authorizationURL: options.issuer + options.authorize,
  tokenURL: options.issuer + options.token,
  clientID: options['client-id'],
  clientSecret: options['client-secret'],
  callbackURL: callback.href,
  scope: options.scope,
  pkce: options.pkce === 'on',
  state: true,
}, (accessToken, refreshToken, profile, done) => done(null, { accessToken })));

const app = express();
app.use(session({ secret: 'a key that signs cookies', resave: false, saveUninitialized: true }));
app.get('/login', passport.authenticate('oauth2', { session: false }));
app.get(callback.pathname, passport.authenticate('oauth2', { session: false }), (req, res) => res.json(Object.keys(req.user)));
app.use((error, req, res, next) => res.status(500).json({ name: error.name, code: error.code, message: error.message }));

await run('passport-oauth2', async (outcome) => {
  await once(app.listen(callback.port, callback.hostname), 'listening');
  const user = new UserAgent(callback.href);
  const response = await user.visit(`${callback.origin}/login`);
  outcome.response = parametersOf(response);
  const answer = await (await user.fetch(response.url)).json();
  if (!Array.isArray(answer)) throw Object.assign(new Error(answer.message), answer);
  outcome.tokens = answer;
});
