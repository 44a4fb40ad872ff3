// jsforce, as Salesforce's own tools use it: a challenge without code_challenge_method, a verifier of 171 characters, and the verifier
// again in the refresh_token request.
import jsforce from 'jsforce';
import { options, parametersOf, run } from './client.mjs';
import { authorize } from './user-agent.mjs';

await run('jsforce', async (outcome) => {
  const oauth2 = new jsforce.OAuth2({
    loginUrl: options.issuer,
    clientId: options['client-id'],
    clientSecret: options['client-secret'],
    redirectUri: options['redirect-uri'],
    useVerifier: options.pkce === 'on',
  });
  const response = await authorize(oauth2.getAuthorizationUrl({ scope: 'api refresh_token', state: 'xyz' }), options['redirect-uri']);
  outcome.response = parametersOf(response);
  outcome.verifier_length = oauth2.codeVerifier?.length;
  if (outcome.response.error) throw Object.assign(new Error('refused'), outcome.response);

  const tokens = await oauth2.requestToken(outcome.response.code);
  outcome.tokens = Object.keys(tokens);
  outcome.refreshed = Object.keys(await oauth2.refreshToken(tokens.refresh_token));
});
