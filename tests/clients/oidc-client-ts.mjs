// oidc-client-ts in Chromium: a single-page application on a separate origin that calls the token endpoint itself. The browser enforces
// CORS. With --renew on, it then renews its tokens in a hidden frame with prompt=none.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join, dirname } from 'node:path';
import { launch, signIn } from '../browser/chromium.mjs';
import { options, parametersOf, run } from './client.mjs';

const callback = new URL(options['redirect-uri']);
const library = join(dirname(createRequire(import.meta.url).resolve('oidc-client-ts')), '../browser/oidc-client-ts.min.js');

const settings = {
  authority: options.issuer,
  client_id: options['client-id'],
  redirect_uri: callback.href,
  scope: options.scope,
  automaticSilentRenew: false,
  silentRequestTimeoutInSeconds: 30,
};
const dpop = options.dpop === 'on' ? '{ dpop: { store: new oidc.IndexedDbDPoPStore() } }' : '{}';
const page = `<!doctype html><title>Application</title><script src="/library.js"></script><script>
  const manager = new oidc.UserManager({ ...${JSON.stringify(settings)}, ...${dpop} });
  window.tokens = location.pathname === '/' ? manager.signinRedirect() : manager.signinCallback();
</script>`;

await run('oidc-client-ts', async (outcome) => {
  const script = await readFile(library);
  const server = createServer((req, res) => {
    const [type, body] = req.url === '/library.js' ? ['text/javascript', script] : ['text/html', page];
    res.setHeader('content-type', type).end(body);
  });
  await once(server.listen(callback.port, callback.hostname), 'listening');

  const browser = await launch();
  try {
    outcome.codes = [];
    for (let user = 0; user < Number(options.times); user += 1) {
      const profile = await browser.newContext();
      const tab = await profile.newPage();
      await tab.goto(`${callback.origin}/`);
      await signIn(tab, callback.href);
      outcome.response = parametersOf({ url: tab.url() });
      outcome.tokens = await tab.evaluate(async () => Object.keys(await window.tokens));
      outcome.token_type = await tab.evaluate(async () => (await window.tokens).token_type);
      outcome.codes.push(outcome.response.code); // of those who have tokens
      if (options.renew === 'on') outcome.renewed = await tab.evaluate(renew);
      await profile.close();
    }
  } finally {
    await browser.close();
  }
});

/** Runs in the browser. An error response is a result, not a failure of the client. */
async function renew() {
  try {
    return { tokens: Object.keys(await manager.signinSilent()) };
  } catch ({ name, message, error }) {
    return { error, name, message };
  }
}
