// Starts Debian's Chromium with playwright-core, and signs users in on the pages that it shows.
import { chromium } from 'playwright-core';

const YES = /sign.?in|log.?in|allow|authori[sz]e|continue/i;
const TIMEOUT = 15_000;

/**
 * A new browser with a new profile, which resolves no name except localhost, so that no page can connect to another machine. `pin` is
 * the digest of the public key that it trusts without a CA.
 */
export function launch(pin) {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
      ...(pin ? [`--ignore-certificate-errors-spki-list=${pin}`] : []),
    ],
  });
}

/** Answers pages until the browser is at `redirectUri`; `press` presses a button. */
export async function signIn(page, redirectUri, press = (button) => button.click()) {
  for (let step = 0; step < 10; step += 1) {
    const button = await form(page, redirectUri);
    if (button === undefined) return;
    await fill(page, 'pass');
    await leave(page, () => press(button));
  }
  throw new Error(`not signed in after ten pages; the last was ${page.url()}`);
}

/** Waits for a form and returns the button that agrees, or nothing if the page is at `redirectUri`. */
export async function form(page, redirectUri) {
  const arrived = (url) => String(url).split(/[?#]/)[0] === redirectUri;
  const buttons = page.locator('form button, form input[type=submit]');
  await Promise.any([page.waitForURL(arrived, { timeout: TIMEOUT }), buttons.first().waitFor({ timeout: TIMEOUT })]).catch(() => {
    throw new Error(`neither a form nor the redirect URI: ${page.url()}`);
  });
  if (arrived(page.url())) return undefined;
  for (const button of await buttons.all()) {
    if (YES.test(`${await button.textContent()} ${await button.getAttribute('value')}`)) return button;
  }
  throw new Error(`no button says yes at ${page.url()}`);
}

export async function fill(page, password) {
  if (await page.locator('input[type=password]').count() === 0) return;
  await page.locator('form input:not([type=hidden], [type=password], [type=submit])').first().fill('alice');
  await page.locator('input[type=password]').fill(password);
}

/** Performs an action that navigates, and waits for the new page. */
export async function leave(page, act) {
  await Promise.all([page.waitForEvent('framenavigated', { timeout: TIMEOUT }), act()]);
  await page.waitForLoadState('load', { timeout: TIMEOUT });
}
