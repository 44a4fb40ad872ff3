// Signs in with the snippet for openid-client.
import * as client from 'openid-client';
import { options, parametersOf, run } from '../client.mjs';
import { authorize } from '../user-agent.mjs';
import { load } from './snippet.mjs';

const snippet = await load('openid-client.mjs');

await run('openid-client', async (outcome) => {
  const insecure = { execute: [client.allowInsecureRequests] }; // the tests use loopback without TLS
  const config = await client.discovery(new URL(options.issuer), options['client-id'], undefined, client.None(), insecure);
  const { session, url } = await snippet.begin(config, options['redirect-uri']);
  const response = await authorize(url, options['redirect-uri']);
  outcome.response = parametersOf(response);
  outcome.tokens = Object.keys(await snippet.finish(config, new URL(response.url), session));
});
