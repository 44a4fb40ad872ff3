// The MCP TypeScript SDK as a client. It prints the URL at which the user signs in, reads the URL of the authorization response
// from standard input, and then calls the tool. The last line is its result in JSON.
//
// Arguments: the URL of the MCP server, the client, its redirect URI. A client without a name registers itself.
import { createInterface } from 'node:readline/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [, , server, clientId, redirectUrl] = process.argv;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const kept = {};

const provider = {
  redirectUrl,
  clientMetadata: { client_name: 'test', redirect_uris: [redirectUrl], token_endpoint_auth_method: 'none' },
  clientInformation: () => kept.registration ?? (clientId ? { client_id: clientId } : undefined),
  saveClientInformation: (registration) => { kept.registration = registration; },
  state: () => 'a state of the client',
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  redirectToAuthorization: (url) => console.log(`${url}`),
};

const connect = async () => {
  const client = new Client({ name: 'test', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(server), { authProvider: provider });
  return client.connect(transport).then(() => ({ client }), (error) => ({ error, transport }));
};

let { client, transport, error } = await connect();
if (error) {
  if (error.constructor.name !== 'UnauthorizedError') throw error;
  const { value } = await lines.next();
  const answer = new URL(value).searchParams;
  if (answer.get('state') !== provider.state()) throw new Error('another state');
  await transport.finishAuth(answer.get('code'));
  ({ client, error } = await connect());
  if (error) throw error;
}
const { content } = await client.callTool({ name: 'token', arguments: {} });
console.log(JSON.stringify({ ok: true, token: content[0].text, registration: kept.registration }));
process.exit();
