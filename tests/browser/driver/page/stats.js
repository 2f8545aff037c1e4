// Runs in every page before its own scripts: records its RTCPeerConnections and summarizes
// getStats.
(() => {
  let made = 0;
  // Those that are not closed; what is closed must not be kept in memory.
  let connections = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      made += 1;
      connections = [...connections.filter(isOpen), this];
    }
  };

  const isOpen = ({ connectionState }) => connectionState !== 'closed';

  const candidate = (entry) =>
    entry && {
      type: entry.candidateType,
      protocol: entry.protocol,
      relayProtocol: entry.relayProtocol ?? null,
      address: entry.address ?? entry.ip ?? null,
      port: entry.port,
    };

  function selectedPair(stats) {
    const transport = [...stats.values()].find((entry) => entry.type === 'transport');
    const pair = transport && stats.get(transport.selectedCandidatePairId);
    return pair
      ? {
          local: candidate(stats.get(pair.localCandidateId)),
          remote: candidate(stats.get(pair.remoteCandidateId)),
          roundTripMs: (pair.currentRoundTripTime ?? 0) * 1000,
        }
      : null;
  }

  const VIDEO_KEYS = [
    'framesReceived', 'framesDropped', 'keyFramesDecoded', 'freezeCount', 'totalFreezesDuration',
    'pauseCount', 'frameWidth', 'frameHeight', 'framesPerSecond', 'packetsReceived', 'packetsLost',
    'packetsDiscarded', 'retransmittedPacketsReceived', 'bytesReceived', 'nackCount', 'pliCount',
    'jitter', 'jitterBufferDelay', 'jitterBufferEmittedCount', 'totalDecodeTime',
  ];

  const AUDIO_KEYS = [
    'audioLevel', 'totalAudioEnergy', 'totalSamplesReceived', 'concealedSamples',
    'packetsReceived', 'packetsLost',
  ];

  const inbound = (stats, kind) =>
    [...stats.values()].find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind);

  // By how much the sound is ahead of the picture: the difference of the times, on the camera's
  // clock, of what is played now.
  function soundAheadMs(stats) {
    const [audio, video] = ['audio', 'video'].map(
      (kind) => inbound(stats, kind)?.estimatedPlayoutTimestamp,
    );
    return audio && video ? audio - video : null;
  }

  function summarizeAudio(stats) {
    const audio = inbound(stats, 'audio');
    if (!audio) return null;
    const codec = stats.get(audio.codecId);
    return {
      codec: codec?.mimeType ?? null,
      channels: codec?.channels ?? 1,
      aheadMs: soundAheadMs(stats),
      ...Object.fromEntries(AUDIO_KEYS.map((key) => [key, audio[key] ?? 0])),
    };
  }

  async function summarize(connection) {
    const stats = await connection.getStats();
    const video = inbound(stats, 'video');
    const codec = video && stats.get(video.codecId);
    return {
      connections: made,
      connectionState: connection.connectionState,
      iceConnectionState: connection.iceConnectionState,
      codec: codec?.mimeType ?? null,
      codecParameters: codec?.sdpFmtpLine ?? null,
      framesDecoded: video?.framesDecoded ?? 0,
      ...Object.fromEntries(VIDEO_KEYS.map((key) => [key, video?.[key] ?? 0])),
      srtpCipher: [...stats.values()].find((entry) => entry.srtpCipher)?.srtpCipher ?? null,
      pair: selectedPair(stats),
      audio: summarizeAudio(stats),
    };
  }

  // Returns the newest connection that receives video, or else the newest one.
  async function sample() {
    let newest = null;
    for (const connection of connections.filter(isOpen)) {
      const summary = await summarize(connection);
      if (!newest || summary.framesDecoded > 0 || newest.framesDecoded === 0) {
        newest = summary;
      }
    }
    return newest;
  }

  window.portholeTest = { sample, open: () => connections.filter(isOpen) };
})();
