// Looks at the review in real Chromium. Prints one line of JSON: the rows of the page's tables, what axe-core finds in every view, which
// elements the Tab key reaches, and what assistive technology is told about the table on a phone.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';

const { values: options } = parseArgs({
  options: {
    base: { type: 'string' }, // the admin listener
    path: { type: 'string', multiple: true, default: ['/review'] }, // the first one is read, all of them are checked
    only: { type: 'string', multiple: true, default: ['rows', 'views', 'keyboard', 'tree'] },
    'redirect-uri': { type: 'string' }, // for programs that sign in
  },
});
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const [first] = options.path;

const browser = await launch();

/** Opens a path in a new profile. The messages of the browser (a blocked style, for instance) are collected. */
async function open(path, { width = 1280, colorScheme = 'light', javaScriptEnabled = true, messages = [] } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, javaScriptEnabled });
  const page = await context.newPage();
  page.on('console', (message) => messages.push(message.text()));
  page.on('requestfailed', (request) => messages.push(`failed: ${request.url()}`));
  await page.goto(options.base + path);
  return page;
}

const looks = {
  /** The rows of each table of clients, and those that a filter leaves. Scripts are off. */
  async rows() {
    const page = await open(first, { javaScriptEnabled: false });
    const rows = async () => {
      const read = [];
      for (const row of await page.locator('table.clients tbody tr').all()) {
        read.push(await row.locator('th, td').allInnerTexts());
      }
      return read;
    };
    const all = await rows();
    await page.getByRole('link', { name: /^would break/ }).first().click();
    return { all, filtered: await rows(), url: page.url(), headlines: await page.locator('.headline').allInnerTexts() };
  },

  async views() {
    const views = [];
    for (const path of options.path) {
      for (const width of [1280, 390, 320]) {
        for (const colorScheme of ['light', 'dark']) {
          const messages = [];
          const page = await open(path, { width, colorScheme, messages });
          await page.evaluate(axe);
          const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document));
          views.push({
            path,
            width,
            colorScheme,
            found: violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 3).map(({ html }) => html) })),
            passed: passes.map(({ id }) => id),
            overflow: await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
            background: await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
            messages,
          });
          await page.context().close();
        }
      }
    }
    return views;
  },

  /** Each element that the Tab key reaches, until the focus leaves the page. */
  async keyboard() {
    const page = await open(first);
    const reached = [];
    for (let press = 0; press < 500; press += 1) {
      await page.keyboard.press('Tab');
      const focused = await page.evaluate(() => {
        const element = document.activeElement;
        if (element === document.body) return undefined;
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        const { y, height } = element.getBoundingClientRect();
        return {
          text: element.innerText,
          is_outlined: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
          is_in_view: y + height / 2 >= 0 && y + height / 2 <= innerHeight, // not exact: browsers scroll by whole pixels
        };
      });
      if (focused === undefined) break;
      reached.push(focused);
    }
    return reached;
  },

  /** What a print of the page has. */
  async paper() {
    const page = await open(first);
    await page.emulateMedia({ media: 'print' });
    const paper = await page.evaluate(() => {
      const shown = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
      const of = (name) => (element) => getComputedStyle(element)[name];
      const breaks = {};
      for (const name of ['tr', 'li', 'pre', 'figure', 'dd']) breaks[name] = [...new Set(shown(name).map(of('breakInside')))];
      return {
        navigation: shown('nav, .links, summary').length,
        document: getComputedStyle(document.querySelector('a[href="/review.json"]'), '::after').content,
        codes: shown('td a[href^="#"]').map((element) => element.innerText),
        breaks,
      };
    });
    return { ...paper, bytes: (await page.pdf({ format: 'A4' })).length };
  },

  /** How often each role occurs in the accessibility tree of the page on a phone. */
  async tree() {
    const page = await open(first, { width: 390 });
    const session = await page.context().newCDPSession(page);
    const { nodes } = await session.send('Accessibility.getFullAXTree');
    const roles = {};
    for (const { ignored, role } of nodes) {
      if (!ignored) roles[role.value] = (roles[role.value] ?? 0) + 1;
    }
    return roles;
  },
};

const report = {};
for (const name of options.only) report[name] = await looks[name]();
await browser.close();
process.stdout.write(JSON.stringify(report), () => process.exit(0));
