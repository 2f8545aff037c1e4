import { expect, test } from 'vitest';
import { gatewayCommand } from './gateway-command';

test('the command names the server and the claim code, and starts a service', () => {
  expect(gatewayCommand('https://cams.example/p', 'mossy-otter-4821')).toBe(
    'porthole gateway --server https://cams.example/p --claim mossy-otter-4821 --service',
  );
});
