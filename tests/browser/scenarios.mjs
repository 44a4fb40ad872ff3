// Scenarios of users in real Chromium at a given base URL. Prints one line of JSON: for each scenario the authorization responses that
// the client received, the result of redeeming each, every URL that the browser visited, and
// the browser's cookies.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { fill, form, launch, leave, signIn } from './chromium.mjs';

const string = (value) => ({ type: 'string', default: value });
const { values: options } = parseArgs({
  options: {
    base: string(),
    authorize: string('/authorize'),
    token: string('/token'),
    'state-bytes': string('12'),
    'client-id': string('pub'),
    'redirect-uri': string('http://127.0.0.1:9999/cb'),
    'response-mode': string(),
    scope: string('openid'),
    pin: string(), // see launch()
    only: { type: 'string', multiple: true }, // these scenarios
  },
});
const redirectUri = options['redirect-uri'];

const scenarios = {
  async normal_login(user) {
    await user.signIn(await user.start());
  },

  async double_click_on_consent(user) {
    const page = await user.start();
    await user.answer(page); // the login; the consent follows
    await page.setExtraHTTPHeaders({ 'x-answer-after': '1000' }); // so that the second click precedes the answer to the first
    await signIn(page, redirectUri, (button) => button.dblclick({ delay: 60 }));
  },

  async back_and_forward(user) {
    const page = await user.start();
    await user.answer(page);
    await leave(page, () => page.goBack());
    await leave(page, () => page.goForward());
    await user.signIn(page);
    await leave(page, () => page.goBack());
    await leave(page, () => page.goForward());
  },

  async reload_of_the_login_page(user) {
    const page = await user.start();
    await page.reload();
    await user.signIn(page);
  },

  async two_interleaved_tabs(user) {
    const [first, second] = [await user.start(), await user.start()];
    await user.answer(first);
    for (const tab of [second, first]) {
      await tab.reload(); // the login in the other tab has invalidated the CSRF token of this one
      await user.signIn(tab);
    }
  },

  async wrong_password_first(user) {
    const page = await user.start();
    await user.answer(page, 'wrong');
    await user.signIn(page);
  },

  // For servers whose page of consent is at the authorization endpoint itself.
  async another_consent_after_back(user) {
    const page = await user.start();
    await user.signIn(page);
    await leave(page, () => page.goBack());
    await user.signIn(page);
  },

  async second_login_with_a_live_session(user) {
    await user.signIn(await user.start());
    await user.signIn(await user.start());
  },
};

/** A user with a separate browser profile, and the client that sent the user. */
class User {
  responses = [];
  redemptions = [];
  visited = [];
  protocols = new Set(); // of the pages at the base URL
  #context;
  #verifiers = new Map();

  constructor(context) {
    this.#context = context;
  }

  /** A new tab at the authorization endpoint, with a new state and verifier. */
  async start() {
    const state = randomBytes(Number(options['state-bytes'])).toString('base64url');
    const verifier = randomBytes(32).toString('base64url');
    this.#verifiers.set(state, verifier);
    const url = new URL(options.authorize, options.base);
    url.search = new URLSearchParams({
      response_type: 'code',
      client_id: options['client-id'],
      redirect_uri: redirectUri,
      scope: options.scope,
      state,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...(options['response-mode'] && { response_mode: options['response-mode'] }),
    });
    const page = await this.#context.newPage();
    page.on('request', (request) => request.isNavigationRequest() && this.visited.push(request.url()));
    page.on('framenavigated', (frame) => this.#arrived(frame.url()));
    await page.goto(url.href);
    this.protocols.add(await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol));
    return page;
  }

  signIn(page) {
    return signIn(page, redirectUri);
  }

  /** Answers one page only. */
  async answer(page, password = 'pass') {
    const button = await form(page, redirectUri);
    await fill(page, password);
    await leave(page, () => button.click());
  }

  /** Called by the listener with each query or form_post body that reaches the redirect URI. */
  async received(parameters) {
    if (parameters.size > 0) await this.#collect(parameters);
  }

  /** A fragment is never sent, so it is read from the page's URL. */
  #arrived(url) {
    this.visited.push(url);
    if (url.startsWith(`${redirectUri}#`)) this.#collect(new URLSearchParams(new URL(url).hash.slice(1)));
  }

  async #collect(parameters) {
    const response = Object.fromEntries(parameters);
    if (this.responses.some((other) => JSON.stringify(other) === JSON.stringify(response))) return; // Forward repeats the response
    this.responses.push(response);
    const redemption = this.#redeem(response); // at once, as clients do
    this.redemptions.push(redemption);
    await redemption;
  }

  async #redeem({ code = '', state }) {
    const answer = await fetch(new URL(options.token, options.base), {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        client_id: options['client-id'],
        redirect_uri: redirectUri,
        code_verifier: this.#verifiers.get(state) ?? '',
      }),
    });
    const body = await answer.text();
    return { status: answer.status, token: body.includes('"access_token"'), body: answer.ok ? undefined : body };
  }
}

let user; // scenarios run one after the other, so a response belongs to the current user
const listener = createServer(async (req, res) => {
  const url = new URL(req.url, redirectUri);
  if (url.href.startsWith(redirectUri)) {
    const chunks = await req.toArray();
    await user.received(req.method === 'POST' ? new URLSearchParams(Buffer.concat(chunks).toString()) : url.searchParams);
  }
  res.setHeader('content-type', 'text/html').end('<!doctype html><title>Client</title>Signed in.');
});
const { hostname, port } = new URL(redirectUri);
await once(listener.listen(port, hostname), 'listening');

const browser = await launch(options.pin);
const report = {};
for (const [name, act] of Object.entries(scenarios).filter(([name]) => options.only?.includes(name) ?? true)) {
  const context = await browser.newContext();
  user = new User(context);
  let failure = null;
  try {
    await act(user);
  } catch (error) {
    failure = error.message;
  }
  const { responses, redemptions, visited, protocols } = user;
  const cookies = (await context.cookies()).map(({ name, expires }) => ({ name, left: expires - Date.now() / 1000 })); // seconds
  report[name] = { responses, redeemed: await Promise.all(redemptions), visited, protocols: [...protocols], cookies, failure };
  await context.close();
}
await browser.close();
// Keep-alive connections would hold the process for seconds.
process.stdout.write(JSON.stringify(report), () => process.exit(0));
