// Plays the share links of a server, for the mock.
const now = () => Math.floor(Date.now() / 1000);
const DAY = 24 * 3600;
const PASSWORD = 'fence and gate';

/** Returns a server with two links. `gateway`: the id of the one that has the cameras. */
export function fakeShares(gateway) {
  const shared = (id, listen = false) => ({ camera: `${id}@${gateway}`, listen });
  const share = (id, name, cameras, more = {}) => ({
    id,
    name,
    cameras,
    password: false,
    kiosk: false,
    giver: 'ada',
    createdS: now() - 2 * DAY,
    expiresS: now() + 5 * DAY,
    ...more,
  });
  const state = {
    shares: [
      share(4, 'Screen in the hall', ['door', 'drive', 'garden', 'porch'].map(shared), {
        kiosk: true,
        password: true,
        expiresS: now() + 300 * DAY,
        seenS: now() - 20,
      }),
      share(3, 'For Grandpa Joe', [shared('door', true)], { seenS: now() - DAY }),
    ],
    /** The links that work, by their secret. */
    links: new Map(),
    asked: [],
  };

  /** Makes a link that works. */
  function add(token, name, ids, { password = false, kiosk = false, lifetimeS = DAY } = {}) {
    state.links.set(token, { token, name, ids, password, kiosk, endS: now() + lifetimeS });
  }

  const found = (token) => {
    const link = state.links.get(token?.split('.')[0]);
    return link !== undefined && link.endS > now() ? link : undefined;
  };

  return {
    state,
    add,
    /** Returns the link of an access token, if it is one and its password was given. */
    linkOf: (token) => {
      const link = found(token);
      return link?.password && !token.includes('.') ? undefined : link;
    },
    /** Answers a request of somebody who is not signed in. */
    open(body, send) {
      const link = found(body.token);
      if (link === undefined) {
        return send(403, {
          error: 'the link is wrong, has ended or was revoked; ask for a new one',
        });
      }
      if (link.password && !body.token.includes('.') && body.password !== PASSWORD) {
        const error = body.password ? 'the password is wrong' : 'enter the password';
        return send(401, { error, needsPassword: true });
      }
      const { name, kiosk, endS } = link;
      const token = link.password ? `${link.token}.9.proof` : link.token;
      return send(200, { token, name, kiosk, expiresInSeconds: endS - now() });
    },
    /** Answers a request of somebody who is signed in, if it is about links. */
    answer(route, body, send) {
      const [method, path] = route.replace(' /api/v1/', ' ').split(' ');
      const [kind, id] = path.split('/');
      if (kind !== 'shares') return false;
      if (method === 'GET') {
        send(200, { shares: state.shares });
      } else if (method === 'DELETE') {
        state.shares = state.shares.filter((one) => one.id !== Number(id));
        send(200, { shares: 1, grants: 1, sessions: 1 });
      } else {
        state.asked.push(body);
        const token = 'phs_9xVw3TqkZ0nRr1mC7yLh5sAe2dFg8uBp4oIjKxMvN6Q';
        const path = `/share#t=${token}`;
        send(200, { token, path, expiresInSeconds: body.expiresInSeconds });
      }
      return true;
    },
  };
}
