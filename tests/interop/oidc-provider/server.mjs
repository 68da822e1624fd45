// A certified authorization server for the interoperability test: client credentials with JWT access tokens by resource.
// Prints one JSON line with its issuer. Keys come from the file named first, which is read again on POST /test/reload.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [keysFile, port] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

// Lifetimes in seconds, by the resource a token is asked for.
const resources = { 'urn:orders': 300, 'urn:billing': 300, 'urn:short': 1 };

function makeProvider() {
  return new Provider(issuer, {
    jwks: JSON.parse(readFileSync(keysFile, 'utf8')),
    clients: ['reader', 'writer'].map((name) => ({
      client_id: name,
      client_secret: `${name}-secret`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      scope: name === 'reader' ? 'orders:read' : 'orders:read orders:write',
    })),
    scopes: ['orders:read', 'orders:write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'orders:read orders:write',
          audience: resource === 'urn:short' ? 'urn:orders' : resource,
          accessTokenTTL: resources[resource],
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
}

let provider = makeProvider();
const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/test/reload') {
    provider = makeProvider();
    response.end('reloaded');
    return;
  }
  provider.callback()(request, response);
});
server.listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify({ issuer })));
