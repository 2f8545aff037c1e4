import { expect, test } from 'vitest';
import { gatewayCommand } from './gateway-command';

test('the command names the server and the claim code', () => {
  const command = gatewayCommand('https://cams.example/p', 'mossy-otter-4821');
  expect(command).toMatch(/^porthole gateway \\\n/);
  expect(command).toContain('--server https://cams.example/p \\\n');
  expect(command).toContain('--claim mossy-otter-4821');
});
