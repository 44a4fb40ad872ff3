// A client of a TLS proxy in front of a gate, over HTTP/2 and HTTP/1.1, which sends requests unchanged. Prints a list of answers as one
// line of JSON. NODE_EXTRA_CA_CERTS names the trusted certificate.
import http2 from 'node:http2';
import tls from 'node:tls';
import { once } from 'node:events';
import { parseArgs } from 'node:util';

const string = (value) => ({ type: 'string', default: value });
const { values: options } = parseArgs({
  options: {
    port: string(),
    // One after the other, each on a separate connection: { from, protocol, method, path, authority, fields, bytes, until }. When an
    // answer contains `until`, the client requests /seen before it reads the rest.
    requests: string('[]'),
    // The number of simultaneous GETs of /held from one address, which the upstream leaves unanswered; and how many of them must be answered.
    holder: string('127.0.0.2'),
    held: string('0'),
    refused: string('0'),
  },
});

async function connect(from, protocol) {
  const host = from.includes(':') ? '::1' : '127.0.0.1';
  const socket = tls.connect({ host, port: options.port, servername: 'localhost', localAddress: from, ALPNProtocols: [protocol] });
  await once(socket, 'secureConnect');
  if (socket.alpnProtocol !== protocol) throw new Error(`it speaks ${socket.alpnProtocol}`);
  return socket;
}

function session(socket) {
  return http2.connect(`https://localhost:${options.port}`, {
    createConnection: () => socket,
    maxSendHeaderBlockLength: 1 << 20,
    settings: { maxHeaderListSize: 1 << 20 },
  });
}

async function over2(socket, { method, path, authority, fields, body, until }) {
  const client = session(socket);
  const head = { ':method': method, ':path': path, ':authority': authority };
  for (const [name, value] of fields) head[name.toLowerCase()] = [head[name.toLowerCase()] ?? [], value].flat();
  const stream = client.request(head, { endStream: body.length === 0 });
  if (body.length > 0) stream.end(body);
  const [answer] = await once(stream, 'response');
  const { ':status': status, ...rest } = answer;
  let text = '';
  for await (const chunk of stream) {
    text += chunk;
    if (until && text.includes(until)) until = await seen('h2');
  }
  client.destroy();
  return { status, fields: rest, body: text };
}

async function over1(socket, { method, path, authority, fields, body, until }) {
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${authority}`, ...fields.map(([name, value]) => `${name}: ${value}`)];
  if (body) lines.push(`Content-Length: ${body.length}`);
  if (!fields.some(([name]) => name === 'Connection')) lines.push('Connection: close');
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  socket.write(body);
  let text = '';
  for await (const chunk of socket) {
    text += chunk.toString('latin1');
    if (until && text.includes(until)) until = await seen('http/1.1');
    if (text.includes('\r\n\r\n') && fields.some(([name]) => name === 'Connection')) break; // the connection may stay open
  }
  return { status: Number(text.split(' ')[1]), body: text };
}

async function seen(protocol) {
  await send({ protocol, path: '/seen' });
}

async function send({ from = '127.0.0.2', protocol = 'h2', ...request }) {
  const { method = 'GET', path = '/page', authority = `localhost:${options.port}`, fields = [], bytes = 0, until } = request;
  const speak = protocol === 'h2' ? over2 : over1;
  const body = Buffer.alloc(bytes, 'a');
  try {
    return await speak(await connect(from, protocol), { method, path, authority, fields, body, until });
  } catch (error) {
    return { status: 0, body: error.message }; // closed, or reset
  }
}

/** The statuses of the answered requests, as soon as there are enough. */
async function hold(held, refused) {
  const answers = [];
  const perConnection = 40; // below the stream limit of every proxy
  await new Promise(async (enough) => {
    for (let left = held; left > 0; left -= perConnection) {
      const client = session(await connect(options.holder, 'h2'));
      for (let number = 0; number < Math.min(left, perConnection); number += 1) {
        const stream = client.request({ ':path': '/held', ':authority': `localhost:${options.port}` });
        stream.on('response', (answer) => answers.push({ status: answer[':status'] }) === refused && enough()).resume();
      }
    }
  });
  return answers;
}

const answers = Number(options.held) > 0 ? await hold(Number(options.held), Number(options.refused)) : [];
for (const request of JSON.parse(options.requests)) answers.push(await send(request));
console.log(JSON.stringify(answers));
process.exit(0);
