// Loads the snippets of the gate's page, in src/pages/snippets. Their libraries are those of the tests.
import { register } from 'node:module';

const folder = new URL('../../../src/pages/snippets/', import.meta.url);

// Runs in a thread of its own, with these values.
const hooks = `
  let folder, parentURL;
  export const initialize = (data) => ({ folder, parentURL } = data);
  export const resolve = (specifier, context, next) =>
    next(specifier, context.parentURL?.startsWith(folder) ? { ...context, parentURL } : context);
`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`, {
  data: { folder: folder.href, parentURL: import.meta.url },
});

export const file = (name) => new URL(name, folder);

export const load = (name) => import(file(name).href);
