import { expect, test } from 'vitest';
import { rejectsVideo, withTrickle } from './sdp';

test('every answer announces trickle ICE', () => {
  const without = 'v=0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n';
  const once = withTrickle(without);
  expect(once).toBe(without.replace('t=0 0\r\n', 't=0 0\r\na=ice-options:trickle\r\n'));
  expect(withTrickle(once)).toBe(once);
  const renomination = without + 'a=ice-options:trickle renomination\r\n';
  expect(withTrickle(renomination)).toBe(renomination);
});

test('a rejected video section is told from an accepted one', () => {
  expect(rejectsVideo('v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n')).toBe(true);
  expect(rejectsVideo('v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n')).toBe(false);
});
