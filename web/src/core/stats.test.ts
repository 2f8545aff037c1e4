import { describe, expect, test } from 'vitest';
import { sample, type Report } from './stats';

const VIDEO: Report = {
  id: 'in',
  type: 'inbound-rtp',
  kind: 'video',
  codecId: 'codec',
  frameWidth: 1280,
  frameHeight: 720,
  framesPerSecond: 24,
  framesDecoded: 100,
  bytesReceived: 1_000_000,
  packetsReceived: 1_000,
  packetsLost: 10,
  jitter: 0.004,
  jitterBufferDelay: 2,
  jitterBufferEmittedCount: 100,
  freezeCount: 1,
};

const PATH: Report[] = [
  { id: 'transport', type: 'transport', selectedCandidatePairId: 'pair' },
  {
    id: 'pair',
    type: 'candidate-pair',
    localCandidateId: 'l',
    remoteCandidateId: 'r',
    currentRoundTripTime: 0.0123,
  },
  { id: 'other', type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'relay' },
  { id: 'l', type: 'local-candidate', candidateType: 'host', address: '', protocol: 'udp' },
  { id: 'r', type: 'remote-candidate', candidateType: 'host', address: '192.168.1.9' },
  { id: 'relay', type: 'remote-candidate', candidateType: 'relay', address: '203.0.113.10' },
];

const CODEC: Report = { id: 'codec', type: 'codec', mimeType: 'video/H264' };

function reports(changes: Partial<Record<string, unknown>> = {}): Report[] {
  return [CODEC, { ...VIDEO, ...changes } as Report, ...PATH];
}

test('the first sample has values but no rates', () => {
  expect(sample(reports(), 1_000, null)).toMatchObject({
    path: { kind: 'lan', transport: 'UDP', local: 'host', remote: 'host' },
    codec: 'H.264',
    width: 1280,
    height: 720,
    fps: 24,
    bitsPerSecond: null,
    rttMs: 12.3,
    jitterMs: 4,
    freezes: 1,
    framesDecoded: 100,
  });
});

test('rates are the difference of two samples', () => {
  const before = sample(reports(), 1_000, null);
  const changes = {
    framesDecoded: 150,
    bytesReceived: 1_500_000,
    packetsReceived: 1_490,
    packetsLost: 20,
    jitterBufferDelay: 2.5,
    jitterBufferEmittedCount: 150,
  };
  expect(sample(reports(changes), 3_000, before)).toMatchObject({
    fps: 25,
    bitsPerSecond: 2_000_000,
    loss: 10 / 500,
    bufferMs: 10,
  });
});

test('counters that restart do not give negative rates', () => {
  const before = sample(reports(), 1_000, null);
  const restarted = sample(reports({ bytesReceived: 100, framesDecoded: 2 }), 2_000, before);
  expect([restarted.bitsPerSecond, restarted.fps]).toEqual([null, 24]);
});

test('the sound has a bitrate of its own', () => {
  const sound = { id: 'sound', type: 'inbound-rtp', kind: 'audio', bytesReceived: 5_000 };
  const before = sample([sound, ...reports()], 1_000, null);
  const more = { ...sound, bytesReceived: 21_000 };
  const after = sample([...reports({ bytesReceived: 1_250_000 }), more], 3_000, before);
  expect([before.soundBitsPerSecond, after.soundBitsPerSecond]).toEqual([null, 64_000]);
  expect(after.bitsPerSecond).toBe(1_000_000);
  const silent = sample(reports(), 3_000, sample(reports(), 1_000, null));
  expect(silent.soundBitsPerSecond).toBeNull();
});

test('packets that were counted as lost and arrive late do not make the loss negative', () => {
  const before = sample(reports(), 1_000, null);
  expect(sample(reports({ packetsReceived: 1_100, packetsLost: 5 }), 2_000, before).loss).toBe(0);
});

describe('the selected pair', () => {
  test.each([
    ['named by the transport', {}, 'transport', 'lan'],
    ['marked as selected (Firefox)', { selected: true }, 'nothing', 'relay'],
    ['nominated and working', { nominated: true, state: 'succeeded' }, 'nothing', 'relay'],
  ])('%s', (_, marks, type, kind) => {
    const list = reports().map((report) => {
      if (report.id === 'transport') return { ...report, type };
      return report.id === 'other' ? { ...report, ...marks } : report;
    });
    expect(sample(list, 0, null).path?.kind).toBe(kind);
  });

  test('is absent before there is a connection', () => {
    expect(sample([], 0, null)).toMatchObject({ path: null, codec: null, framesDecoded: 0 });
  });
});
