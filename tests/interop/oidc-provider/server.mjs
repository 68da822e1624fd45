// A certified authorization server for the interoperability tests: client credentials, authorization code with PKCE,
// device code and refresh, with JWT or opaque access tokens by resource, introspection (RFC 7662, signed RFC 9701) and
// revocation (RFC 7009). Users sign in under any name, and approve or deny.
// Prints one JSON line with its issuer. Keys come from the file named first, which is read again on POST /test/reload;
// that forgets the opaque tokens too. The file named last has the public keys of the client `keyed`, as a JWK Set.
// GET /test/introspections says how many introspection requests there were.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
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

const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code';
const forUsers = { scope: 'openid offline_access orders:read orders:write', response_types: ['code'] };
const native = { application_type: 'native', redirect_uris: ['http://127.0.0.1/callback'] };
clients.push(
  // Apps without a secret, on the user's machine (any port, RFC 8252 §7.3) and on a device without a browser (RFC 8628).
  makeClient('app', {
    ...forUsers,
    ...native,
    client_secret: undefined,
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
  }),
  makeClient('device', {
    ...forUsers,
    response_types: [],
    client_secret: undefined,
    token_endpoint_auth_method: 'none',
    grant_types: [deviceCode, 'refresh_token'],
  }),
  // One with a secret, which goes into the form; and one whose requests must be pushed (RFC 9126).
  makeClient('posting', {
    ...forUsers,
    ...native,
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['authorization_code', 'refresh_token'],
  }),
);

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

function page(body) {
  return `<!doctype html><title>oidc-provider</title>${body}`;
}

// The provider's form, with the buttons of this page inside.
function showForm(ctx, form, buttons) {
  ctx.body = page(form.replace('</form>', `${buttons}</form>`));
}

async function showInteraction(request, response) {
  const { prompt } = await provider.interactionDetails(request, response);
  const fields =
    prompt.name === 'login'
      ? '<input name="username"><input name="password" type="password"><button>Sign in</button>'
      : '<button name="decision" value="approve">Approve</button><button name="decision" value="deny">Deny</button>';
  response.setHeader('Content-Type', 'text/html');
  response.end(page(`<form method="post">${fields}</form>`));
}

async function finishInteraction(request, response) {
  const details = await provider.interactionDetails(request, response);
  const form = new URLSearchParams(await text(request));
  let result = { error: 'access_denied', error_description: 'the user denied' };
  if (details.prompt.name === 'login') result = { login: { accountId: form.get('username') } };
  else if (form.get('decision') === 'approve') result = { consent: { grantId: await grantAll(details) } };
  await provider.interactionFinished(request, response, result);
}

async function grantAll({ params, prompt, session }) {
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '));
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return grant.save();
}

function makeProvider() {
  return new Provider(issuer, {
    jwks: JSON.parse(readFileSync(keysFile, 'utf8')),
    clients,
    scopes: ['openid', 'offline_access', 'orders:read', 'orders:write'],
    routes: { introspection: introspectionPath },
    cookies: { keys: ['of the tests'] },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    ttl: { DeviceCode: 60, Session: 60, Interaction: 60, Grant: 600 },
    features: {
      deviceFlow: {
        enabled: true,
        userCodeInputSource: (ctx, form) => showForm(ctx, form, '<button type="submit">Continue</button>'),
        userCodeConfirmSource: (ctx, form) =>
          showForm(ctx, form, '<button type="submit">Approve</button><button name="abort" value="yes">Deny</button>'),
        successSource: (ctx) => showForm(ctx, '<p>The device is connected.</p>', ''),
      },
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
  if (request.url.startsWith('/interaction/')) {
    const handle = request.method === 'POST' ? finishInteraction : showInteraction;
    handle(request, response).catch(() => response.writeHead(400).end());
    return;
  }
  provider.callback()(request, response);
});
server.listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify({ issuer })));
