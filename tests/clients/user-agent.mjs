// A user agent without a browser: follows redirects, fills in forms, and stops at the redirect URI.
// Also a program for clients in other languages: node user-agent.mjs AUTHORIZATION_URL REDIRECT_URI
import { fileURLToPath } from 'node:url';

const YES = /sign.?in|log.?in|allow|authori[sz]e|continue/i;

/** The authorization response: `{ url }`, or `{ form }` if the response mode is form_post. */
export async function authorize(start, redirectUri) {
  return new UserAgent(redirectUri).visit(String(start));
}

export class UserAgent {
  #cookies = new Map();
  #redirectUri;

  constructor(redirectUri) {
    this.#redirectUri = redirectUri;
  }

  async visit(start) {
    let url = start;
    let response = await this.fetch(url);
    for (let step = 0; step < 20; step += 1) {
      const location = response.headers.get('location');
      if (location !== null) {
        url = new URL(location, url).href;
        if (this.#arrived(url)) return { url };
        response = await this.fetch(url);
        continue;
      }
      const page = await response.text();
      const form = formsOf(page).sort((a, b) => b.rank - a.rank)[0];
      if (form === undefined) throw new Error(`stuck at ${response.status} ${url}: ${page.slice(0, 300)}`);
      url = new URL(form.action ?? url, url).href;
      if (this.#arrived(url)) return { form: Object.fromEntries(form.fields) };
      response = await this.fetch(url, { method: 'POST', body: new URLSearchParams(form.fields), headers: { origin: new URL(url).origin } });
    }
    throw new Error(`no authorization response after 20 steps; the last was ${url}`);
  }

  async fetch(url, init = {}) {
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, cookie: this.#cookiesFor(url) } });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      const path = /;\s*path=([^;]+)/i.exec(cookie)?.[1] ?? '/';
      this.#cookies.set(`${name};${path}`, { name, value, path });
    }
    return response;
  }

  #arrived(url) {
    return url.split(/[?#]/)[0] === this.#redirectUri;
  }

  #cookiesFor(url) {
    const { pathname } = new URL(url);
    const matching = [...this.#cookies.values()].filter(({ path, value }) => pathname.startsWith(path) && value !== '');
    return matching.map(({ name, value }) => `${name}=${value}`).join('; ');
  }
}

function formsOf(page) {
  return [...page.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gis)].map(([, attributes, inside]) => {
    const fields = [];
    let rank = 0;
    for (const [tag, attribute, label] of controlsOf(inside)) {
      const { name, type = tag === 'button' ? 'submit' : 'text', value = '' } = attribute;
      const yes = type === 'submit' && YES.test(`${value} ${label}`);
      if (yes) rank += 1;
      if (name === undefined || (type === 'submit' && !yes)) continue;
      if (type === 'password') fields.push([name, 'pass']);
      else if (type === 'text') fields.push([name, 'alice']);
      else fields.push([name, value]);
    }
    return { action: attributesOf(attributes).action, fields, rank };
  });
}

function controlsOf(form) {
  return [...form.matchAll(/<input\b([^>]*)>|<button\b([^>]*)>([^<]*)/gi)].map(([, input, button, label = '']) =>
    [button === undefined ? 'input' : 'button', attributesOf(input ?? button), label]);
}

function attributesOf(text) {
  const attributes = [...text.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)];
  return Object.fromEntries(attributes.map(([, name, a, b, c]) => [name.toLowerCase(), unescaped(a ?? b ?? c ?? '')]));
}

function unescaped(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name) return named[name] ?? whole;
    return String.fromCodePoint(hex ? Number.parseInt(hex, 16) : Number(decimal));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(JSON.stringify(await authorize(process.argv[2], process.argv[3])));
}
