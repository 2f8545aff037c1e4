// Runs in every page: another person's client, which moves a camera.
(() => {
  const RENEWAL_MS = 300;

  // Registers with a token, and asks for a movement to the right again and again. Returns the texts
  // of all refusals.
  function move({ token, peer, camera, seconds }) {
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url, 'webrtc.onvif.org');
    const refusals = [];
    let id = 0;
    const request = (method, params) => {
      id += 1;
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    };
    return new Promise((resolve, reject) => {
      socket.onopen = () => request('register', { authorization: token });
      socket.onerror = () => reject(new Error('the WebSocket failed'));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.error) refusals.push(`${message.error.code} ${message.error.message}`);
      };
      const timer = setInterval(() => {
        if (socket.readyState !== WebSocket.OPEN) return;
        request('portholeMove', { peer, camera, pan: 50 });
      }, RENEWAL_MS);
      setTimeout(() => {
        clearInterval(timer);
        socket.close();
        resolve(refusals);
      }, seconds * 1000);
    });
  }

  window.portholeTest = { ...window.portholeTest, move };
})();
