/** The command that enrols a gateway and starts its service. */
import type { Claim } from '../protocol';

/**
 * Returns the command for a server and a claim code, with the fingerprint of the server's own
 * authority if it has one. Cameras are added in the dashboard.
 */
export function gatewayCommand(server: string, { code, caFingerprint }: Claim): string {
  const command = `porthole gateway --server ${server} --claim ${code}`;
  const trust = caFingerprint === undefined ? '' : ` --ca-fingerprint ${caFingerprint}`;
  return `${command}${trust} --service`;
}
