/** The command that enrols a gateway and starts its service. */

/** Returns the command for a server and a claim code. Cameras are added in the dashboard. */
export function gatewayCommand(server: string, claim: string): string {
  return `porthole gateway --server ${server} --claim ${claim} --service`;
}
