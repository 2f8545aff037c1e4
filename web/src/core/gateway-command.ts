/** The command that enrols and starts a gateway. */

/** Returns the command for a server and a claim code, in lines that a shell puts together. */
export function gatewayCommand(server: string, claim: string): string {
  return [
    'porthole gateway',
    `--server ${server}`,
    `--claim ${claim}`,
    '--camera front-door=rtsp://user:password@192.168.1.20/stream',
  ].join(' \\\n  ');
}
