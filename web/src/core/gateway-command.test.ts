import { expect, test } from 'vitest';
import { gatewayCommand } from './gateway-command';

test('the command names the server, its authority and the claim, and starts a service', () => {
  const claim = { code: 'mossy-otter-4821', expiresInSeconds: 3600 };
  const command = 'porthole gateway --server https://cams.example/p --claim mossy-otter-4821';
  for (const [caFingerprint, expected] of [
    [undefined, `${command} --service`],
    ['4F:0A', `${command} --ca-fingerprint 4F:0A --service`],
  ] as const) {
    const given = caFingerprint === undefined ? claim : { ...claim, caFingerprint };
    expect(gatewayCommand('https://cams.example/p', given)).toBe(expected);
  }
});
