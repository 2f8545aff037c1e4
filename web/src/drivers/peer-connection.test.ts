import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PeerConnection, type PeerConnectionListener } from './peer-connection';

/** A connection without a network. */
class Fake {
  static latest: Fake;
  isClosed = false;
  iceConnectionState = 'checking';
  connectionState = 'connecting';
  onicecandidate: ((event: { candidate: null }) => void) | null = null;
  oniceconnectionstatechange: (() => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;

  constructor() {
    Fake.latest = this;
  }

  getStats = () => Promise.resolve(new Map());
  close = () => void (this.isClosed = true);
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('RTCPeerConnection', Fake);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test('a connection is closed a moment after its end, and is silent at once', async () => {
  const said: string[] = [];
  const listener: PeerConnectionListener = {
    candidate: () => said.push('candidate'),
    ice: (state) => said.push(state),
    stream: () => said.push('stream'),
    sampled: () => said.push('sampled'),
  };
  const connection = new PeerConnection([], listener);
  const fake = Fake.latest;
  connection.close();
  expect(fake.isClosed).toBe(false);
  fake.connectionState = 'failed';
  fake.onconnectionstatechange?.();
  fake.onicecandidate?.({ candidate: null });
  await vi.advanceTimersByTimeAsync(900);
  expect(fake.isClosed).toBe(false);
  await vi.advanceTimersByTimeAsync(200);
  expect(fake.isClosed).toBe(true);
  expect(said).toEqual([]);
});
