// Signs in to Home Assistant in real Chromium, whose login page is an application: in one tab for each authorization URL, all at the same
// time. Prints one line of JSON: for each tab the authorization response that the client receives.
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', multiple: true },
    'redirect-uri': { type: 'string' },
  },
});
const TIMEOUT = { timeout: 60_000 };
const browser = await launch();
const context = await browser.newContext();
const arrived = (url) => String(url).split(/[?#]/)[0] === options['redirect-uri'];
await context.route(arrived, (route) => route.fulfill({ contentType: 'text/plain', body: 'signed in' }));

const tabs = [];
for (const url of options.url) {
  const page = await context.newPage();
  await page.goto(url);
  await page.locator('input[name=password]').waitFor(TIMEOUT);
  tabs.push(page);
}
const responses = [];
for (const page of tabs.reverse()) {
  await page.locator('input[name=username]').fill('alice');
  await page.locator('input[name=password]').fill('pass');
  await page.locator('input[name=password]').press('Enter');
  await page.waitForURL(arrived, TIMEOUT);
  responses.unshift(Object.fromEntries(new URL(page.url()).searchParams));
}
await browser.close();
console.log(JSON.stringify({ responses }));
