/** The little that is to be done to an SDP. */

/** ONVIF WebRTC 26.06 §5.5: every answer says that candidates follow. Browsers do; be sure. */
export function withTrickle(sdp: string): string {
  if (/^a=ice-options:.*\btrickle\b/m.test(sdp)) return sdp;
  return sdp.replace(/^(t=.*)$/m, '$1\r\na=ice-options:trickle').replace(/\r\r\n/g, '\r\n');
}

/** A video section whose port is 0 was refused: no format in common (RFC 3264 §6). */
export function refusesVideo(sdp: string): boolean {
  return /^m=video 0 /m.test(sdp);
}
