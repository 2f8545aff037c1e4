//! The target for the framing of a stream.

use porthole_turn_proto::StreamDecoder;
use porthole_turn_proto::channel::{Kind, MAX_FRAME};

/// Checks that a stream yields the same frames however it is cut. The first byte is the length of
/// the pieces.
pub fn framing(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let at_once = frames(stream, stream.len().max(1));
    let in_pieces = frames(stream, usize::from(*step).max(1));
    assert_eq!(at_once, in_pieces);
    for frame in at_once.0 {
        assert!(frame.len() <= MAX_FRAME);
        assert_ne!(Kind::of(&frame), Kind::Other);
    }
}

/// Returns the frames, and true if the stream is valid to its end.
fn frames(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = StreamDecoder::new();
    let mut frames = Vec::new();
    // Less than may be buffered, so that a frame is complete before the buffer is full.
    for piece in stream.chunks(step.min(MAX_FRAME)) {
        if decoder.push(piece).is_err() {
            return (frames, false);
        }
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, true)
}
