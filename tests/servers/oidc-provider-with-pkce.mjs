// oidc-provider that demands PKCE of every client, confidential ones included.
process.env.PKCE = 'required';
await import('./oidc-provider.mjs');
