//! The target for ChannelData.

use porthole_turn_proto::channel::{CHANNEL_HEADER_LEN, Kind, channel_header, read_channel_data};

/// Checks that the payload lies within the bytes, and that the header equals the one that is
/// written for it.
pub fn channel_data(data: &[u8]) {
    let Some((channel, payload)) = read_channel_data(data) else { return };
    assert_eq!(Kind::of(data), Kind::ChannelData);
    assert_eq!(data.get(CHANNEL_HEADER_LEN..CHANNEL_HEADER_LEN + payload.len()), Some(payload));
    let header = channel_header(channel, payload.len()).expect("it came in such a header");
    assert_eq!(data.first_chunk(), Some(&header));
}
