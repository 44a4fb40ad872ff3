// oauth2-mock-server: no login; it lists S256 in its metadata, but issues a token without a verifier.
// Its particular behaviour: the token endpoint accepts JSON bodies, a trailing slash and upper-case paths.
import { OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server';
import { issuer, serve } from './fixture.mjs';

const oauth2Issuer = new OAuth2Issuer();
oauth2Issuer.url = issuer;
await oauth2Issuer.keys.generate('RS256');

serve(new OAuth2Service(oauth2Issuer).requestHandler, { authorize: ['/authorize'], token: ['/token'] });
