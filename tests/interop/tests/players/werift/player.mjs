// A WHEP player made with werift: node player.mjs URL TOKEN SECTIONS BUNDLE FRAMES SOUNDS.
//
// SECTIONS is a list of video, audio and data in the order of the offer, BUNDLE a bundle policy of
// werift. werift decodes nothing: a picture is what ends with the marker bit, counted from the
// first key frame on. It ends after FRAMES, once SOUNDS packets of sound have come.

import { RTCPeerConnection, RTCRtpCodecParameters, useH264 } from 'werift';

const [url, token, sections, bundlePolicy, frames, sounds] = process.argv.slice(2);

const connection = new RTCPeerConnection({
  bundlePolicy,
  iceServers: [],
  codecs: {
    video: [useH264()],
    audio: [new RTCRtpCodecParameters({ mimeType: 'audio/PCMA', clockRate: 8000, channels: 1 })],
  },
});

let pictures = 0;
let heard = 0;
let started = false;

// Recognizes an IDR slice: alone, at the start of a fragment, or behind parameter sets (RFC 6184).
const isKey = (payload) => {
  const kind = payload[0] & 0x1f;
  return kind === 5 || kind === 7 || kind === 24 || (kind === 28 && payload[1] === 0x85);
};

connection.onTrack.subscribe((track) => {
  track.onReceiveRtp.subscribe((packet) => {
    if (track.kind === 'audio') {
      heard += 1;
    } else {
      started ||= isKey(packet.payload);
      if (!started || !packet.header.marker) return;
      console.log('picture');
      pictures += 1;
    }
    if (pictures >= Number(frames) && heard >= Number(sounds)) process.exit(0);
  });
});

for (const section of sections.split(',')) {
  if (section === 'data') connection.createDataChannel('data');
  else connection.addTransceiver(section, { direction: 'recvonly' });
}
await connection.setLocalDescription(await connection.createOffer());
if (connection.iceGatheringState !== 'complete') {
  await connection.iceGatheringStateChange.watch((state) => state === 'complete');
}
const offer = connection.localDescription.sdp;
console.error(offer);
const response = await fetch(url, {
  method: 'POST',
  headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` },
  body: offer,
});
const answer = await response.text();
console.error(answer);
if (!response.ok) throw new Error(`${response.status}: ${answer}`);
await connection.setRemoteDescription({ type: 'answer', sdp: answer });
