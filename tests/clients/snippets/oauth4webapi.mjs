// Signs in with the snippet for oauth4webapi.
import * as oauth from 'oauth4webapi';
import { options, parametersOf, run } from '../client.mjs';
import { authorize } from '../user-agent.mjs';
import { load } from './snippet.mjs';

const snippet = await load('oauth4webapi.mjs');
const insecure = { [oauth.allowInsecureRequests]: true }; // the tests use loopback without TLS

await run('oauth4webapi', async (outcome) => {
  const issuer = new URL(options.issuer);
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const client = { client_id: options['client-id'] };
  const { session, url } = await snippet.begin(server, client, options['redirect-uri']);
  const response = await authorize(url, options['redirect-uri']);
  outcome.response = parametersOf(response);
  const tokens = await snippet.finish(server, client, oauth.None(), new URL(response.url), session, insecure);
  outcome.tokens = Object.keys(tokens);
});
