/** The few edits and checks that the viewer makes on SDP. */

/**
 * Returns the answer with `a=ice-options:trickle`, which ONVIF WebRTC 26.06 §5.5 demands.
 * Browsers add it already; this covers one that does not.
 */
export function withTrickle(sdp: string): string {
  if (/^a=ice-options:.*\btrickle\b/m.test(sdp)) return sdp;
  return sdp.replace(/^(t=.*)$/m, '$1\r\na=ice-options:trickle').replace(/\r\r\n/g, '\r\n');
}

/** Returns true if the offer has a section for sound that is not switched off. */
export function offersSound(sdp: string): boolean {
  return /^m=audio (?!0 )/m.test(sdp);
}

/** Returns true if the answer rejects the video: port 0, no common format (RFC 3264 §6). */
export function rejectsVideo(sdp: string): boolean {
  return /^m=video 0 /m.test(sdp);
}
