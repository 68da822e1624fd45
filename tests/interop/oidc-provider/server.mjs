// A certified authorization server for the interoperability tests: client credentials with JWT or opaque access tokens
// by resource, introspection (RFC 7662, signed RFC 9701) and revocation (RFC 7009).
// Prints one JSON line with its issuer. Keys come from the file named first, which is read again on POST /test/reload;
// that forgets the opaque tokens too. The file named last has the public keys of the client `keyed`, as a JWK Set.
// GET /test/introspections says how many introspection requests there were.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { errors, Provider } from 'oidc-provider';

const [keysFile, port, clientKeysFile] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const introspectionPath = '/token/introspection';

// Resources a token can be asked for; `ttl` in seconds.
const resources = {
  'urn:orders': { format: 'jwt', audience: 'urn:orders', ttl: 300 },
  'urn:billing': { format: 'jwt', audience: 'urn:billing', ttl: 300 },
  'urn:short': { format: 'jwt', audience: 'urn:orders', ttl: 1 },
  'urn:opaque': { format: 'opaque', audience: 'urn:orders', ttl: 300 },
  'urn:opaque-short': { format: 'opaque', audience: 'urn:orders', ttl: 2 },
  'urn:opaque-billing': { format: 'opaque', audience: 'urn:billing', ttl: 300 },
};

function makeClient(name, metadata) {
  return { client_id: name, client_secret: `${name}-secret`, redirect_uris: [], response_types: [], ...metadata };
}

const clients = [
  makeClient('reader', { grant_types: ['client_credentials'], scope: 'orders:read' }),
  makeClient('writer', { grant_types: ['client_credentials'], scope: 'orders:read orders:write' }),
  // Those who introspect. The first secret must be form-encoded before it goes into Basic (RFC 6749 §2.3.1). Both get
  // signed answers if they accept them (RFC 9701): RS256 is what this provider takes for all who name no algorithm.
  makeClient('gateway', { grant_types: [], client_secret: 'gateway secret+%&=' }),
  makeClient('signed', { grant_types: [], introspection_signed_response_alg: 'RS256' }),
  // And those who prove with a JWT who they are (RFC 7523 §2.2); HS256 takes a secret of 32 bytes at the least.
  makeClient('asserting', {
    grant_types: [],
    client_secret: 'asserting-secret-of-more-than-32-bytes',
    token_endpoint_auth_method: 'client_secret_jwt',
  }),
  makeClient('keyed', {
    grant_types: [],
    client_secret: undefined,
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: JSON.parse(readFileSync(clientKeysFile, 'utf8')),
  }),
];

const resourceServers = new Set(['gateway', 'signed', 'asserting', 'keyed']);

function getResourceServerInfo(ctx, resource) {
  if (!Object.hasOwn(resources, resource)) throw new errors.InvalidTarget();
  const { audience, format, ttl } = resources[resource];
  return {
    scope: 'orders:read orders:write',
    audience,
    accessTokenTTL: ttl,
    accessTokenFormat: format,
    jwt: { sign: { alg: 'RS256' } },
  };
}

function makeProvider() {
  return new Provider(issuer, {
    jwks: JSON.parse(readFileSync(keysFile, 'utf8')),
    clients,
    scopes: ['orders:read', 'orders:write'],
    routes: { introspection: introspectionPath },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: (ctx, client, token) =>
          resourceServers.has(client.clientId) || client.clientId === token.clientId,
      },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (ctx, client, token) => client.clientId === token.clientId },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo,
      },
    },
  });
}

let provider = makeProvider();
let introspections = 0;

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/test/reload') {
    provider = makeProvider();
    response.end('reloaded');
    return;
  }
  if (request.method === 'GET' && request.url === '/test/introspections') {
    response.end(String(introspections));
    return;
  }
  if (request.method === 'POST' && request.url === introspectionPath) introspections += 1;
  provider.callback()(request, response);
});
server.listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify({ issuer })));
