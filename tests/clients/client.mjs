// Shared by the real clients: their options, and the result as one line of JSON.
import { parseArgs } from 'node:util';

const string = (value) => ({ type: 'string', default: value });

export const { values: options } = parseArgs({
  options: {
    issuer: string(), // the gate's public URL
    'client-id': string('pub'),
    'client-secret': string(),
    'client-auth': string('basic'), // with a secret: basic | post | jwt
    'redirect-uri': string('http://127.0.0.1:9999/cb'),
    'response-mode': string(),
    authorize: string('/authorize'), // for clients that do not read metadata
    token: string('/token'),
    scope: string('openid'),
    pkce: string('on'), // on | off | auto: on only when the server's metadata lists S256
    dpop: string('off'), // on | off
    par: string('off'), // on | off: the authorization request is pushed (RFC 9126)
    times: string('1'), // how many users sign in, one after the other
    jar: string('off'), // on | off: the authorization request is signed (RFC 9101)
    jarm: string('off'), // on | off: the authorization response is signed
    hybrid: string('off'), // on | off: response_type=code id_token
    renew: string('off'), // on | off
    verifier: string('right'), // right | wrong | none
    retry: string('whole'), // whole | bare: without the verifier
  },
});

/** Runs a client, which writes its results into `outcome`; `response` is the authorization response. */
export async function run(client, flow) {
  const outcome = { client, ok: false };
  try {
    await flow(outcome);
    outcome.ok = true;
  } catch (error) {
    const { name, code, message } = error;
    outcome.error = { name, code, message, oauth: error.error, description: error.error_description };
  }
  console.log(JSON.stringify(outcome));
  process.exit(outcome.ok ? 0 : 1); // a client's keep-alive connections would hold the process for seconds
}

/** The parameters of an authorization response that came as `{ url }` or `{ form }`. */
export function parametersOf({ url, form }) {
  if (form !== undefined) return form;
  const { search, hash } = new URL(url);
  return Object.fromEntries(new URLSearchParams((search || hash).slice(1)));
}
