// Debian's Chromium, driven by playwright-core: how it is started, and a user who signs in on whatever page it shows.
import { chromium } from 'playwright-core';

const YES = /sign.?in|log.?in|allow|authori[sz]e|continue/i;
const TIMEOUT = 15_000;

/**
 * A fresh browser with a profile of its own, which resolves no name but localhost: a page cannot make it leave this machine. `pin` is
 * the digest of the one public key that it trusts although no authority vouches for it.
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

/** Goes on until the page is at `redirectUri`; `press` decides how a button is pressed. */
export async function signIn(page, redirectUri, press = (button) => button.click()) {
  for (let step = 0; step < 10; step += 1) {
    const button = await form(page, redirectUri);
    if (button === undefined) return;
    await fill(page, 'pass');
    await leave(page, () => press(button));
  }
  throw new Error(`not signed in after ten pages; the last was ${page.url()}`);
}

/** Waits for a form that wants an answer and gives the button that says yes, or nothing once the page is at `redirectUri`. */
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

/** Does something that makes the page go elsewhere, and waits until it is there. */
export async function leave(page, act) {
  await Promise.all([page.waitForEvent('framenavigated', { timeout: TIMEOUT }), act()]);
  await page.waitForLoadState('load', { timeout: TIMEOUT });
}
