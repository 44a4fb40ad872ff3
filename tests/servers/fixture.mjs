// Start, end and ledger of every Node fixture.
//
// The ledger records independently what the server received and issued. It wraps the package's request listener, so the package
// under test is unmodified, and the tests read it on the server's own port, without the gate.
import { createServer } from 'node:http';

const [, , port, publicUrl] = process.argv;

/** The URL under which clients reach this server: the gate's, if there is a gate. */
export const issuer = publicUrl ?? `http://127.0.0.1:${port}`;

export const redirectUris = ['http://127.0.0.1:9999/cb', ...(process.env.REDIRECT_URIS ?? '').split(' ').filter(Boolean)];

/** Serves `listener` on loopback; `paths` are the `authorize` and `token` paths that the ledger records. */
export function serve(listener, paths) {
  const ledger = new Ledger(paths);
  createServer((req, res) => {
    if (req.url === '/__ledger') return res.end(JSON.stringify(ledger));
    if (req.url === '/__ledger/reset') return ledger.reset(), res.end();
    ledger.watch(req, res);
    // A request may ask for a delay in milliseconds: a slow answer lets the browser click twice.
    setTimeout(() => listener(req, res), Number(req.headers['x-answer-after'] ?? 0));
  }).listen(Number(port), '127.0.0.1', () => console.log('ready'));

  // Standard input is a pipe of the test process. However that process ends, the pipe closes, and the server stops.
  process.stdin.resume().on('end', () => process.exit());
}

class Ledger {
  authorize = [];
  token = [];
  codes = [];
  #paths;

  constructor(paths) {
    this.#paths = paths;
  }

  reset() {
    Object.assign(this, { authorize: [], token: [], codes: [] });
  }

  watch(req, res) {
    for (const endpoint of ['authorize', 'token']) {
      if (this.#paths[endpoint].includes(folded(req.url))) this[endpoint].push(record(req, res));
    }
    onBody(res, (body) => this.codes.push(...issuedIn(res.getHeader('location'), body)));
  }
}

/** The path as the most lenient router would read it, so that the ledger misses no spelling of an endpoint. */
function folded(url) {
  const path = url.split('?')[0].replaceAll(/%[0-9a-f]{2}/gi, decodeURIComponent);
  return path.replaceAll(/\/+/g, '/').replace(/(?<=.)\/$/, '').toLowerCase();
}

function record(req, res) {
  const [path, query = ''] = req.url.split(/\?(.*)/s);
  const chunks = [];
  const push = req.push;
  req.push = (chunk) => { // called by Node's parser, so what is seen is raw, whoever reads it and however
    if (chunk) chunks.push(chunk);
    return push.call(req, chunk);
  };
  return {
    method: req.method,
    path,
    query,
    content_type: req.headers['content-type'] ?? '',
    authorization: 'authorization' in req.headers,
    get status() {
      return res.statusCode;
    },
    get body() {
      return Buffer.concat(chunks).toString();
    },
  };
}

/** Calls `seen` with the whole body just before the response ends, so that the ledger is complete when the client has the response. */
function onBody(res, seen) {
  const chunks = [];
  for (const name of ['write', 'end']) {
    const original = res[name];
    res[name] = (chunk, ...rest) => {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
      if (name === 'end') seen(Buffer.concat(chunks).toString());
      return original.call(res, chunk, ...rest);
    };
  }
}

/** Every code in a response: Location query or fragment, a form_post page, a URL in JSON, or a device authorization response. */
function issuedIn(location, body) {
  const codes = [];
  const [, inJson] = /^\{.*"(?:url|redirect_to)":("[^"]*")/s.exec(body) ?? [];
  for (const url of [location, inJson && JSON.parse(inJson)].filter(Boolean)) {
    const { search, hash } = new URL(url, issuer);
    for (const part of [search, hash]) {
      const parameters = new URLSearchParams(part.slice(1));
      codes.push(...parameters.getAll('code'), ...parameters.getAll('response').flatMap(inJwt));
    }
  }
  codes.push(...Array.from(body.matchAll(/"device_code":"([^"]+)"/g), ([, code]) => code));
  for (const [input] of body.matchAll(/<input\b[^>]*\bname="code"[^>]*>/gi)) codes.push(/\bvalue="([^"]*)"/i.exec(input)[1]);
  for (const [input] of body.matchAll(/<input\b[^>]*\bname="response"[^>]*>/gi)) codes.push(...inJwt(/\bvalue="([^"]*)"/i.exec(input)[1]));
  return codes;
}

/** The code in a signed response (JARM). */
function inJwt(jwt) {
  const { code } = JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
  return code === undefined ? [] : [code];
}
