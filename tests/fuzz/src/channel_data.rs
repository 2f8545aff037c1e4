//! ChannelData.

use porthole_turn_proto::channel::{
    CHANNEL_HEADER_LEN, Kind, channel_header, kind_of, read_channel_data,
};

/// A payload lies within the bytes, and its header is the one that would be written for it.
pub fn channel_data(data: &[u8]) {
    let Some((channel, payload)) = read_channel_data(data) else { return };
    assert_eq!(kind_of(data), Kind::ChannelData);
    assert_eq!(data.get(CHANNEL_HEADER_LEN..CHANNEL_HEADER_LEN + payload.len()), Some(payload));
    let header = channel_header(channel, payload.len()).expect("it came in such a header");
    assert_eq!(data.first_chunk(), Some(&header));
}
