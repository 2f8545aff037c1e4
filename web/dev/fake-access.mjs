// Plays the people, access tokens, sign-ins and claim codes of a server, for the mock.
const now = () => Math.floor(Date.now() / 1000);
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const AGENTS = {
  firefox: 'Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0',
  iphone:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 ' +
    '(KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1',
  android:
    'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) ' +
    'Chrome/142.0.0.0 Mobile Safari/537.36',
  edge:
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) ' +
    'Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0',
};
export const NOTHING = {
  users: 0,
  signIns: 0,
  tokens: 0,
  claims: 0,
  invitations: 0,
  shares: 0,
  gateways: 0,
  cameras: 0,
  grants: 0,
  sessions: 0,
};

const token = (id, name, giverSubject, more = {}) => ({
  id,
  name,
  role: 'viewer',
  limited: false,
  cameras: [],
  control: false,
  listen: true,
  giver: { 'user:1': 'ada', 'user:2': 'grace', 'token:8': 'Home Assistant' }[giverSubject],
  giverSubject,
  createdS: now() - 40 * DAY,
  ...more,
});
const signIn = (id, user, browser, ageS, address, current = false) => ({
  id,
  user,
  current,
  createdS: now() - 12 * DAY,
  expiresS: now() + 18 * DAY,
  seenS: now() - ageS,
  address,
  browser,
});

/** Returns the newest events of an audit log. */
function auditOf(gateway) {
  let [id, time] = [900, now() - 20];
  const event = (kind, more = {}) => {
    time -= 47 * MINUTE + (id % 7) * HOUR;
    id -= 1;
    return { id, kind, firstS: time, lastS: time, count: 1, ...more };
  };
  return [
    event('signedIn', { actor: 'ada', object: 'ada', address: '192.168.1.23' }),
    event('signInFailed', { object: 'grace', address: '203.0.113.99', count: 14 }),
    event('tokenCreated', { actor: 'ada', object: 'Kitchen tablet' }),
    event('signedOut', { actor: 'ada', object: 'grace' }),
    event('giftRefused', { actor: 'Home Assistant', object: 'a token for all cameras' }),
    event('gatewayEnrolled', { object: `House (${gateway})` }),
    event('claimCreated', { actor: 'grace' }),
    event('signInFailed', { address: '203.0.113.99', count: 3 }),
    event('enrolmentRefused', { count: 2 }),
    event('userReset', { actor: 'operator', object: 'Grandpa Joe' }),
    event('tokenRevoked', { actor: 'grace', object: 'Old television' }),
    event('shareCreated', { actor: 'ada', object: 'For Grandpa Joe' }),
    event('shareOpened', { object: 'For Grandpa Joe', address: '198.51.100.12', count: 3 }),
    event('shareRefused', { object: 'Screen in the hall', address: '203.0.113.99' }),
    event('setUp', { actor: 'ada', object: 'ada', address: '192.168.1.23' }),
  ];
}

const EVERYTHING = { limited: false, cameras: [], secondFactor: false };

/** Returns a server with three people and what they have given. `gateway`: the id of one. */
export function fakeAccess(gateway) {
  const state = {
    users: [
      {
        ...EVERYTHING,
        id: 1,
        name: 'ada',
        role: 'owner',
        createdS: now() - 300 * DAY,
        seenS: now(),
        signIns: 2,
      },
      {
        ...EVERYTHING,
        id: 2,
        name: 'grace',
        role: 'admin',
        createdS: now() - 90 * DAY,
        seenS: now() - 3 * HOUR,
        signIns: 2,
      },
      {
        id: 3,
        name: 'Grandpa Joe',
        role: 'viewer',
        limited: true,
        cameras: [{ camera: `door@${gateway}`, listen: false, control: true }],
        secondFactor: true,
        createdS: now() - 5 * DAY,
        signIns: 0,
      },
    ],
    signIns: [
      signIn('a1', 'ada', AGENTS.firefox, 10, '192.168.1.23', true),
      signIn('a2', 'ada', AGENTS.iphone, 2 * DAY, '203.0.113.7'),
      signIn('b1', 'grace', AGENTS.android, 3 * HOUR, '2001:db8:4:1::77'),
      signIn('b2', 'grace', AGENTS.edge, 6 * DAY, '198.51.100.40'),
    ],
    tokens: [
      token(9, 'Kitchen tablet', 'user:1', {
        limited: true,
        cameras: [`door@${gateway}`, `drive@${gateway}`],
        seenS: now() - 30,
      }),
      token(8, 'Home Assistant', 'user:2', { role: 'admin', seenS: now() - 4 * MINUTE }),
      token(7, 'Wall of the porter', 'token:8', {
        control: true,
        listen: false,
        seenS: now() - 9 * DAY,
        expiresS: now() + 20 * DAY,
      }),
      token(5, 'Builders, in spring', 'user:2', { expiresS: now() - 30 * DAY }),
    ],
    claims: [
      {
        id: '5f0c77aa19e3b2d4',
        giver: 'grace',
        giverSubject: 'user:2',
        createdS: now() - 20 * MINUTE,
        expiresS: now() + 40 * MINUTE,
        replaces: gateway,
      },
    ],
    audit: auditOf(gateway),
    factor: { enrolled: false, recoveryCodes: 0 },
    invitations: [
      {
        ...EVERYTHING,
        id: 1,
        name: 'Bob',
        role: 'viewer',
        reset: false,
        giver: 'grace',
        giverSubject: 'user:2',
        createdS: now() - DAY,
        expiresS: now() + 6 * DAY,
      },
    ],
    /** The offers of links, by token. */
    links: {
      good: { name: 'Bob', role: 'viewer', reset: false },
      admin: { name: 'Carol', role: 'admin', reset: false },
      reset: { name: 'Grandpa Joe', role: 'viewer', reset: true },
    },
    /** The bodies of requests for new things. */
    asked: [],
    /** The sentence with which the next request for a new thing is refused. */
    refusal: null,
    /** The address at which passkeys and linked accounts can be added. */
    origin: 'http://localhost',
  };

  const without = (list, found) => list.filter((one) => !found.includes(one));

  /** Removes what was given by a subject, as the server does. */
  function removeGiven(subject) {
    const own = state.tokens.filter((one) => one.giverSubject === subject);
    const claims = state.claims.filter((one) => one.giverSubject === subject);
    const invited = state.invitations.filter((one) => one.giverSubject === subject);
    state.invitations = without(state.invitations, invited);
    state.tokens = without(state.tokens, own);
    state.claims = without(state.claims, claims);
    const deeper = own.map(({ id }) => removeGiven(`token:${id}`));
    return {
      tokens: own.length + deeper.reduce((sum, { tokens }) => sum + tokens, 0),
      claims: claims.length + deeper.reduce((sum, { claims }) => sum + claims, 0),
      invitations: invited.length,
    };
  }

  function signOut(isMeant) {
    const found = state.signIns.filter(isMeant);
    state.signIns = without(state.signIns, found);
    for (const { user } of found) state.users.find(({ name }) => name === user).signIns -= 1;
    return { signIns: found.length, sessions: found.length > 0 ? 1 : 0 };
  }

  const link = () => {
    const secret = 'Qm7uT2xVw3TqkZ0nRr1mC7yLh5sAe2dFg8uBp4oIjKx';
    return { token: secret, path: `/invitation#t=${secret}`, expiresInSeconds: DAY };
  };

  const routes = {
    'GET invitations': () => ({ invitations: state.invitations }),
    'POST invitations': (_, body) => {
      const { expiresInSeconds: lifetime, ...rest } = body;
      const times = { createdS: now(), expiresS: now() + lifetime };
      const created = { ...rest, id: 9, reset: false, giver: 'ada', ...times };
      state.invitations = [created, ...state.invitations];
      return link();
    },
    'DELETE invitations/': (id) => {
      state.invitations = state.invitations.filter((one) => one.id !== Number(id));
      return { invitations: 1 };
    },
    'PATCH users/': (id, body) => {
      Object.assign(
        state.users.find((one) => one.id === Number(id)),
        body,
      );
      return { ...NOTHING, sessions: 1 };
    },
    'GET audit': () => ({ events: state.audit }),
    'GET users': () => ({ users: state.users }),
    'GET tokens': () => ({ tokens: state.tokens }),
    'GET claims': () => ({ claims: state.claims }),
    'GET shares': () => ({ shares: [] }),
    'GET sign-ins': (_, __, me) =>
      me.name === 'ada' ? { signIns: state.signIns } : { signIns: [] },
    'DELETE sign-ins': (_, __, me) => signOut(({ user }) => user === me.name),
    'DELETE sign-ins/': (id) => signOut((one) => one.id === id),
    'DELETE claims/': (id) => {
      state.claims = state.claims.filter((one) => one.id !== id);
      return { claims: 1 };
    },
    'DELETE tokens/': (id) => {
      const given = removeGiven(`token:${id}`);
      state.tokens = state.tokens.filter((one) => one.id !== Number(id));
      return { ...given, tokens: given.tokens + 1, sessions: 2 };
    },
    'DELETE users/': (id) => {
      const user = state.users.find((one) => one.id === Number(id));
      const signedOut = signOut((one) => one.user === user.name);
      state.users = without(state.users, [user]);
      return { users: 1, ...signedOut, ...removeGiven(`user:${id}`) };
    },
    'POST tokens': (_, body) => {
      const { expiresInSeconds: lifetime, cameras, ...rest } = body;
      const more = lifetime ? { expiresS: now() + lifetime } : {};
      const limited = cameras.length > 0;
      const created = { ...rest, cameras, limited, createdS: now(), ...more };
      state.tokens = [
        token(20 + state.asked.length, body.name, 'user:1', created),
        ...state.tokens,
      ];
      return { token: 'pt_9xVw3TqkZ0nRr1mC7yLh5sAe2dFg8uBp4oIjKxMvN6Q' };
    },
  };

  /** Answers a request about the own password and second factor. */
  function answerAccount(route, body, send) {
    const typed = body.old ?? body.password;
    if (typed !== undefined && typed !== 'correct horse battery') {
      return send(403, { error: 'the password is wrong' });
    }
    switch (route) {
      case 'PUT password': {
        const others = signOut((one) => one.user === 'ada' && !one.current);
        return send(200, { ...NOTHING, ...others });
      }
      case 'GET passkeys': {
        const passkey = { id: 1, name: 'Phone', createdS: now() - 9 * DAY, synced: true };
        return send(200, { passkeys: [passkey], origin: state.origin });
      }
      case 'GET identities': {
        const account = { id: 1, issuer: 'https://id.example', name: 'ada@id.example' };
        const provider = { name: 'Example', origin: state.origin };
        return send(200, { identities: [{ ...account, createdS: now() - 9 * DAY }], provider });
      }
      case 'POST identities':
        return send(403, { error: 'enter the code that your app shows', needsCode: true });
      case 'GET second-factor':
        return send(200, state.factor);
      case 'POST second-factor': {
        const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
        const url = `otpauth://totp/Porthole:ada?secret=${secret}&issuer=Porthole`;
        return send(200, { secret, url });
      }
      case 'PUT second-factor': {
        if (body.code !== '123456') {
          return send(422, { error: 'the code is wrong; try the next code' });
        }
        state.factor = { enrolled: true, recoveryCodes: 10 };
        const codes = Array.from({ length: 10 }, (_, i) => `K7QM-${i}ZT4-X2V${i}-9RWB`);
        return send(200, { codes });
      }
      default:
        state.factor = { enrolled: false, recoveryCodes: 0 };
        return send(204, null);
    }
  }

  /** Answers the requests of somebody who has a link, which need no sign-in. */
  function acceptLink(path, body, login, send) {
    const offer = state.links[body.token];
    const invalid = 'the link is wrong, has expired or has already been used; ask for a new one';
    if (offer === undefined) send(403, { error: invalid });
    else if (path.endsWith('/read')) send(200, offer);
    else if (body.name === 'ada')
      send(409, { error: 'another user has this name; choose another' });
    else {
      delete state.links[body.token];
      if (offer.reset) send(204, null);
      else login({ name: body.name, password: body.password, role: offer.role });
    }
    return true;
  }

  return {
    state,
    acceptLink,
    /** Answers a request, if it is about people and access. */
    answer(route, body, me, send) {
      const [method, path] = route.replace(' /api/v1/', ' ').split(' ');
      const [kind, id, below] = path.split('/');
      if (kind === 'session') {
        answerAccount(`${method} ${id}`, body, send);
        return true;
      }
      if (below === 'removal') {
        const before = structuredClone(state);
        const removed = routes[`DELETE ${kind}/`](id);
        const gone = (list, own) =>
          before[list]
            .filter((one) => !state[list].some((other) => other.id === one.id) && one.id !== own)
            .map(({ name }) => name);
        const tokens = gone('tokens', kind === 'tokens' ? Number(id) : null);
        const names = { tokens, invitations: gone('invitations', null), shares: [] };
        Object.assign(state, before);
        send(200, { removed: { ...NOTHING, ...removed }, names });
        return true;
      }
      const user = state.users.find((one) => one.id === Number(id));
      if (below === 'sign-ins') {
        send(200, { ...NOTHING, ...signOut((one) => one.user === user.name) });
        return true;
      }
      if (below === 'second-factor') {
        user.secondFactor = false;
        send(204, null);
        return true;
      }
      if (below === 'reset') {
        const { name, role, limited, cameras } = user;
        const times = { createdS: now(), expiresS: now() + DAY };
        const access = { role, limited, cameras };
        const created = { id: 10, name, ...access, reset: true, giver: 'ada', ...times };
        state.invitations = [created, ...state.invitations];
        send(200, link());
        return true;
      }
      const run = routes[`${method} ${kind}${id === undefined ? '' : '/'}`];
      if (run === undefined) return false;
      if (method === 'POST' || method === 'PATCH') state.asked.push(body);
      if (method === 'POST' && state.refusal !== null) {
        send(403, { error: state.refusal });
        state.refusal = null;
        return true;
      }
      const result = run(id, body, me);
      send(200, method === 'DELETE' ? { ...NOTHING, ...result } : result);
      return true;
    },
  };
}
