// A provider of OpenID Connect, of another project: npm's oidc-provider. Whoever types a name is
// signed in under it; a name is in the group of the same name.
//
// Arguments: the port of this machine to listen on, and the address to which browsers go back.
// Prints {"event":"listening"} once it listens.

import Provider from 'oidc-provider';

const [port, redirect] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'porthole',
      client_secret: 'a secret: 100%',
      redirect_uris: [redirect],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  pkce: { required: () => true, methods: ['S256'] },
  scopes: ['openid', 'profile', 'groups'],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: false } },
  cookies: { keys: ['a key for cookies'] },
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: `id-of-${id}`, preferred_username: id, groups: [id] }),
  }),
  // The operator trusts its own program, so people are not asked what it may know.
  async loadExistingGrant({ oidc }) {
    const grant = new provider.Grant({
      clientId: oidc.client.clientId,
      accountId: oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile groups');
    await grant.save();
    return grant;
  },
});

const form = `<!doctype html><html lang="en"><title>Sign in</title><h1>The provider</h1>
<form method="post"><label>Account <input name="account"></label>
<button>Continue</button><button name="refuse" value="yes">Do not</button></form>`;

provider.use(async (context, next) => {
  const match = /^\/interaction\/[\w-]+$/.exec(context.path);
  if (match === null) return next();
  if (context.method === 'GET') {
    context.type = 'html';
    context.body = form;
    return;
  }
  let text = '';
  for await (const chunk of context.req) text += chunk;
  const typed = new URLSearchParams(text);
  const result = typed.has('refuse')
    ? { error: 'access_denied' }
    : { login: { accountId: typed.get('account') } };
  await provider.interactionFinished(context.req, context.res, result);
  context.respond = false;
});

provider.listen(Number(port), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ event: 'listening' })}\n`);
});
