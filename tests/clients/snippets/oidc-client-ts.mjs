// Signs in with the snippet for oidc-client-ts, in Chromium: a single-page application on a separate origin.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { launch, signIn } from '../../browser/chromium.mjs';
import { options, parametersOf, run } from '../client.mjs';
import { file } from './snippet.mjs';

const callback = new URL(options['redirect-uri']);
const { resolve } = createRequire(import.meta.url);
const packages = {
  'oidc-client-ts': join(dirname(resolve('oidc-client-ts')), '../esm/oidc-client-ts.js'),
  'jwt-decode': join(dirname(resolve('jwt-decode')), '../esm/index.js'),
};
const arguments_ = [options.issuer, options['client-id'], callback.href].map((text) => JSON.stringify(text));
const imports = Object.fromEntries(Object.keys(packages).map((name) => [name, `/${name}`]));
const page = `<!doctype html><title>Application</title>
<script type="importmap">${JSON.stringify({ imports })}</script><script type="module">
  import { begin, finish, manager } from '/snippet';
  const users = manager(${arguments_});
  window.tokens = location.pathname === '/' ? begin(users) : finish(users);
</script>`;

await run('oidc-client-ts', async (outcome) => {
  const scripts = new Map([['/snippet', await readFile(file('oidc-client-ts.mjs'))]]);
  for (const [name, path] of Object.entries(packages)) scripts.set(`/${name}`, await readFile(path));
  const server = createServer((req, res) => {
    const script = scripts.get(req.url);
    res.setHeader('content-type', script ? 'text/javascript' : 'text/html').end(script ?? page);
  });
  await once(server.listen(callback.port, callback.hostname), 'listening');

  const browser = await launch();
  try {
    const tab = await browser.newPage();
    await tab.goto(`${callback.origin}/`);
    await signIn(tab, callback.href);
    outcome.response = parametersOf({ url: tab.url() });
    await tab.waitForFunction('window.tokens'); // a module runs after the page has loaded
    outcome.tokens = await tab.evaluate(async () => Object.keys(await window.tokens));
  } finally {
    await browser.close();
  }
});
