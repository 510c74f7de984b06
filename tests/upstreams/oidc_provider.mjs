// An OpenID provider for the suite: panva's oidc-provider, with pages to sign in, allow, cancel and sign out.
// node oidc_provider.mjs CONFIG.json; oidc_provider.py writes the file and speaks to /control.
import fs from 'node:fs';
import http from 'node:http';
import { Provider, errors } from 'oidc-provider';

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const people = new Map(config.people.map((person) => [person.login, person]));
const clients = new Map(config.clients.map((client) => [client.client_id, client]));
let keys = config.keys;

function build() {
  const provider = new Provider(config.issuer, {
    clients: [...clients.values()],
    jwks: { keys },
    cookies: { keys: [config.cookie_key] },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
      acr: null, auth_time: null, sid: null, iss: null,
    },
    conformIdTokenClaims: !config.claims_in_id_token,
    acrValues: ['pwd', 'mfa'],
    clientDefaults: { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] },
    enabledJWA: {
      idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
      clientAuthSigningAlgValues: ['RS256', 'ES256'],
    },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true, logoutSource: signOutPage },
      backchannelLogout: { enabled: true },
    },
    rotateRefreshToken: true,
    issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token') && config.refresh_tokens,
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: async (_, sub) => {
      const person = [...people.values()].find(({ claims }) => claims.sub === sub);
      return person && !person.disabled ? { accountId: sub, claims: async () => person.claims } : undefined;
    },
    renderError: async (ctx, { error, error_description: why = '' }) => {
      ctx.type = 'html';
      ctx.body = page('Error', `<p id="error">${safe(error)}: ${safe(why)}</p>`);
    },
    ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 86400, Session: 86400, Interaction: 600, Grant: 86400 },
    // The library asks no loopback address, and here there is nothing else.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  });
  return { provider, callback: provider.callback() };
}

let built = build();

const safe = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${safe(title)}</title>
<h1>${safe(title)}</h1>${body}</html>`;

function signOutPage(ctx, form) {
  ctx.body = page('Sign out', `${form}<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out
</button>`);
}

function send(response, status, type, body) {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}

async function read(request) {
  let body = '';
  for await (const chunk of request) body += chunk;
  return body;
}

function signInPage(uid, login, wrong) {
  return page('Sign in at the provider', `${wrong ? `<p role="alert">${safe(wrong)}</p>` : ''}
<form method="post" action="/interaction/${uid}/login">
<label>Login <input name="login" value="${safe(login)}" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button type="submit" name="go" value="1">Continue</button></form>
<form method="post" action="/interaction/${uid}/cancel"><button type="submit" name="cancel" value="1">Cancel</button></form>`);
}

async function interaction(request, response, uid, action) {
  const { provider } = built;
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  const finish = (result, merge = false) => provider.interactionFinished(request, response, result, {
    mergeWithLastSubmission: merge,
  });
  if (action === 'cancel') return finish({ error: 'access_denied', error_description: 'Cancelled by the person' });
  if (prompt.name === 'login') {
    if (request.method !== 'POST') {
      return send(response, 200, 'text/html', signInPage(uid, params.login_hint ?? ''));
    }
    const form = new URLSearchParams(await read(request));
    const person = people.get(form.get('login'));
    if (!person || person.disabled || person.password !== form.get('password')) {
      return send(response, 401, 'text/html', signInPage(uid, form.get('login'), 'Wrong login or password.'));
    }
    return finish({ login: { accountId: person.claims.sub, acr: person.mfa ? 'mfa' : 'pwd' } });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  const saved = await grant.save();
  return finish({ consent: grantId ? {} : { grantId: saved } }, true);
}

async function control(request, response, what) {
  const told = JSON.parse(await read(request));
  if (what === 'person') people.set(told.login, { ...people.get(told.login), ...told });
  if (what === 'forget') people.delete(told.login);
  if (what === 'client') clients.set(told.client_id, { ...clients.get(told.client_id), ...told });
  if (what === 'keys') keys = told.keys;
  if (what === 'client' || what === 'keys') built = build();
  send(response, 200, 'application/json', '{}');
}

async function handle(request, response) {
  const { pathname } = new URL(request.url, config.issuer);
  try {
    const [, first, second, third] = pathname.split('/');
    if (first === 'control') return await control(request, response, second);
    if (first === 'interaction') return await interaction(request, response, second, third);
    return await built.callback(request, response);
  } catch (error) {
    const known = error instanceof errors.OIDCProviderError;
    if (!known) console.error(error);
    return send(response, known ? 400 : 500, 'text/html', page('Error', `<p id="error">${safe(error.message)}</p>`));
  }
}

http.createServer(handle).listen(config.port, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
