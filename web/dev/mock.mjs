// A minimal signaling server to look at the dashboard with. Not for anything else.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { NOTHING } from './fake-access.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const DIST = join(HERE, '../dist');
const CSP =
  "default-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export function startMock({ port = 8090, expirySeconds = 120 } = {}) {
  const users = new Map();
  const cookies = new Map();
  const clients = new Set();
  const sessions = new Map();
  let device = null;
  let cameras = [];
  let forgetful = false;
  let paused = false;
  let gateways = [];
  let role = 'owner';
  let release = null;
  let access = null;
  let shares = null;
  const setupToken = 'setup-' + randomBytes(6).toString('hex');

  const me = (request) => cookies.get(/porthole=([^;]+)/.exec(request.headers.cookie ?? '')?.[1]);

  async function rest(request, response, path) {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = text ? JSON.parse(text) : {};
    const send = (status, value, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(value === null ? '' : JSON.stringify(value));
    };
    const login = (user) => {
      const cookie = randomBytes(12).toString('hex');
      cookies.set(cookie, user);
      send(
        200,
        { name: user.name, role: user.role },
        {
          'set-cookie': `porthole=${cookie}; HttpOnly; SameSite=Strict; Path=/`,
        },
      );
    };
    const route = `${request.method} ${path}`;
    if (route === 'POST /api/v1/setup') {
      if (body.token !== setupToken || users.size > 0) {
        return send(403, { error: 'the setup link is wrong or has already been used' });
      }
      users.set(body.name, { name: body.name, password: body.password, role: 'owner' });
      return login(users.get(body.name));
    }
    if (route === 'POST /api/v1/session') {
      const user = users.get(body.name);
      if (user?.password !== body.password) {
        return send(401, { error: 'the name or the password is wrong' });
      }
      if (access?.state.factor.enrolled && body.code !== '123456') {
        const wrong = 'the code is wrong or was used before; wait for the next one';
        return send(401, { error: body.code ? wrong : 'enter the code', needsCode: true });
      }
      return login(user);
    }
    const isOfLink = route.startsWith('POST /api/v1/invitations/');
    if (isOfLink && access?.acceptLink(path, body, login, send)) return;
    if (shares && route === 'POST /api/v1/shares/open') return shares.open(body, send);
    if (route === 'GET /api/v1/session/ways') {
      return send(200, { passkeyOrigin: `http://localhost:${port}` });
    }
    if (!me(request)) return send(401, { error: 'sign in first' });
    if (shares?.answer(route, body, send)) return;
    if (route === 'GET /api/v1/session') return send(200, { name: me(request).name, role });
    if (route === 'DELETE /api/v1/session') {
      cookies.clear();
      return send(204, null, { 'set-cookie': 'porthole=; Max-Age=0; Path=/' });
    }
    if (route === 'GET /api/v1/gateways') {
      const list = gateways.map(({ id, name, online }) => ({
        id,
        name,
        online,
        version: '0.2.0',
        seenS: 1_795_900_000,
      }));
      return send(200, { gateways: list });
    }
    const ofCamera = path.match(/^\/api\/v1\/gateways\/[^/]+\/cameras\/[^/]+\/removal$/);
    if (ofCamera !== null)
      return send(200, {
        removed: { ...NOTHING, cameras: 1, grants: 3, tokens: 1, shares: 1, sessions: 2 },
        names: { tokens: ['Wall of the porter'], invitations: [], shares: ['Visitors'] },
      });
    if (/^\/api\/v1\/gateways\/[^/]+\/removal$/.test(path))
      return send(200, {
        removed: { ...NOTHING, gateways: 1, cameras: 4, grants: 3, sessions: 1 },
        names: { tokens: [], invitations: [], shares: [] },
      });
    const named = gateways.find(({ id }) => path === `/api/v1/gateways/${id}`);
    if (named !== undefined && request.method === 'PATCH') {
      named.name = body.name;
      return send(204, null);
    }
    if (named !== undefined && request.method === 'DELETE') {
      gateways = gateways.filter((one) => one !== named);
      return send(204, null);
    }
    if (route === 'POST /api/v1/claims')
      return send(200, { code: 'mossy-otter-4821', expiresInSeconds: 3600 });
    if (access?.answer(route, body, me(request), send)) return;
    send(404, { error: 'there is no such route' });
  }

  async function file(response, folder, name, change) {
    try {
      const path = join(folder, normalize(name));
      const bytes = change ? change(await readFile(path, 'utf8')) : await readFile(path);
      const headers = { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' };
      if (folder === DIST) headers['content-security-policy'] = CSP;
      response.writeHead(200, headers).end(bytes);
      return true;
    } catch {
      return false;
    }
  }

  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (path.startsWith('/api/')) return rest(request, response, path);
    if (path === '/mock/device') return file(response, HERE, 'device.html');
    if (path === '/mock/device.js') return file(response, HERE, 'device.js');
    if (path !== '/' && (await file(response, DIST, path))) return;
    // As the server does: the page's addresses lead up to the root from its depth.
    const up = '../'.repeat(path.slice(1).split('/').length - 1) || './';
    const lead = (text) =>
      (release ? text.replace(/index-[\w-]+\.js/, `index-${release}.js`) : text).replaceAll(
        '="./',
        `="${up}`,
      );
    if (!(await file(response, DIST, 'index.html', lead))) response.writeHead(404).end('not built');
  });

  const sockets = new WebSocketServer({ noServer: true, maxPayload: 65536 });
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url, 'http://x');
    const isDevice = url.searchParams.has('device');
    if (!isDevice && !me(request) && !shares)
      return socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
    sockets.handleUpgrade(request, socket, head, (ws) => (isDevice ? onDevice(ws) : onClient(ws)));
  });

  const tell = (ws, message) => ws?.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
  const rights = () =>
    role !== 'viewer' ? ['watch', 'listen', 'talk', 'control', 'manage'] : ['watch', 'listen'];
  const cameraList = ({ link } = {}) =>
    cameras
      .filter(({ id }) => link === undefined || link.ids.includes(id))
      .map((c) => ({ permissions: link ? ['watch'] : rights(), ...c }))
      .map((c) => (device ? c : { ...c, state: 'offline', reason: undefined, viewers: 0 }));
  const broadcast = () => {
    for (const ws of clients) {
      tell(ws, { method: 'portholeCameras', params: { cameras: cameraList(ws) } });
    }
  };

  /** Ends the sessions of a page that has gone: the gateway would otherwise go on encoding. */
  function endSessions(ws) {
    for (const [session, { client }] of sessions) {
      if (client !== ws) continue;
      sessions.delete(session);
      tell(device, { method: 'portholeClose', params: { session } });
    }
  }

  function onClient(ws) {
    ws.on('close', () => {
      clients.delete(ws);
      if (!paused) endSessions(ws);
    });
    ws.on('message', (data) => {
      const m = JSON.parse(data);
      const respond = (result) => tell(ws, { id: m.id, result });
      const refuse = (code, message) => tell(ws, { id: m.id, error: { code, message } });
      if (m.method === 'register') {
        const { authorization } = m.params;
        if (authorization !== undefined) {
          ws.link = shares?.linkOf(authorization);
          if (ws.link === undefined) return refuse(401, 'the access token is not known here');
        }
        clients.add(ws);
        respond({ id: 'viewer' });
        return tell(ws, { method: 'portholeCameras', params: { cameras: cameraList(ws) } });
      }
      if (m.method === 'portholeCancel') return;
      if (m.method === 'connect') {
        if (!device) return refuse(480, 'The gateway is not connected.');
        const session = 's-' + randomBytes(4).toString('hex');
        sessions.set(session, { client: ws });
        tell(device, {
          id: 1,
          method: 'connect',
          params: {
            session,
            profile: m.params.profile,
            iceServers: [],
            portholeAudio: m.params.portholeAudio ?? true,
          },
        });
        // Late on purpose: the offer may arrive before this response.
        return setTimeout(
          () => respond({ session, iceServers: [], expiryTimeSeconds: expirySeconds }),
          30,
        );
      }
      const asked = gateways.find(({ id }) => id === m.params?.peer);
      if (asked !== undefined) {
        const progress = (value) =>
          tell(ws, { method: 'portholeProgress', params: { request: m.id, value } });
        return asked.handle(m.method, m.params, progress).then(respond, (fault) => {
          refuse(fault.code ?? 500, fault.message);
        });
      }
      const session = m.params?.session;
      if (m.method === 'extend') {
        if (forgetful || sessions.get(session)?.client !== ws)
          return refuse(404, 'There is no such session.');
        return respond({ expiryTimeSeconds: expirySeconds });
      }
      // Answers to invites, candidates and closing: passed on unchanged.
      device?.send(String(data));
    });
  }

  function onDevice(ws) {
    device = ws;
    ws.on('close', () => {
      if (device === ws) device = null;
      broadcast();
    });
    ws.on('message', (data) => {
      const m = JSON.parse(data);
      if (m.method === 'portholeReport') {
        cameras = m.params.cameras.map((c) => ({ gateway: 'gw-mock', address: c.id, ...c }));
        return broadcast();
      }
      const client = sessions.get(m.params?.session)?.client;
      if (client) client.send(String(data));
    });
  }

  server.listen(port, '127.0.0.1');
  return {
    url: `http://127.0.0.1:${port}`,
    setupToken,
    users,
    setCameras(list) {
      cameras = list;
      broadcast();
    },
    setGateways: (list) => (gateways = list),
    /** The role of whoever is signed in. */
    setRole: (name) => (role = name),
    /** Answers routes about people and access, see `fake-access.mjs`. */
    setAccess: (fake) => (access = fake),
    /** Answers routes about share links, see `fake-shares.mjs`. */
    setShares: (fake) => (shares = fake),
    /** Closes the WebSockets of a link, as after its revocation. */
    dropShared(token) {
      for (const ws of clients) if (ws.link?.token === token) ws.close(4401);
    },
    /** Serves the page as another release has it. */
    setRelease: (name) => (release = name),
    setForgetful: (on) => (forgetful = on),
    dropClients() {
      for (const ws of clients) ws.terminate();
    },
    tellClients(message) {
      for (const ws of clients) tell(ws, message);
    },
    /** Closes all connections and accepts no new ones, as if the server was killed. */
    pause() {
      paused = true;
      server.close();
      for (const ws of sockets.clients) ws.terminate();
      server.closeAllConnections();
    },
    resume() {
      paused = false;
      return new Promise((done) => server.listen(port, '127.0.0.1', done));
    },
    stop() {
      this.pause();
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const mock = startMock({ port: Number(process.env.PORT ?? 8090) });
  console.log(`${mock.url}/setup#t=${mock.setupToken}`);
  console.log(`${mock.url}/mock/device  (keep this page open: it plays the gateway)`);
}
