// An MCP server: the resource for which clients want a token. It names its authorization server (RFC 9728), asks for a bearer
// token, and has one tool, which says what token it was called with.
//
// Arguments: port, and the issuer of the authorization server.
import { randomUUID } from 'node:crypto';
import express from 'express';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

const [, , port, issuer] = process.argv;
const own = `http://127.0.0.1:${port}`;
const metadata = '/.well-known/oauth-protected-resource/mcp';

const app = express();
app.use(express.json());
app.get(metadata, (req, res) => res.json({ resource: `${own}/mcp`, authorization_servers: [issuer] }));
app.all('/mcp', async (req, res) => {
  const token = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1];
  if (!token) {
    return res.status(401).set('WWW-Authenticate', `Bearer resource_metadata="${own}${metadata}"`).json({ error: 'invalid_token' });
  }
  if (req.method !== 'POST') return res.status(405).end();
  const server = new McpServer({ name: 'resource', version: randomUUID() });
  server.registerTool('token', { description: 'The token of this call' }, async () => ({ content: [{ type: 'text', text: token }] }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  res.on('close', () => server.close());
  await server.connect(transport);
  await transport.handleRequest(req, res, req.body);
});
app.listen(Number(port), '127.0.0.1', () => console.log('ready'));

// Standard input is a pipe of the test process. However that process ends, the pipe closes, and the server stops.
process.stdin.resume().on('end', () => process.exit());
