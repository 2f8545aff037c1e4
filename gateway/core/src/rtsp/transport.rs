//! The `Transport` header of SETUP (RFC 2326 §12.39).

use std::net::IpAddr;

/// The way in which a camera sends RTP packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// Interleaved with RTSP in its connection.
    Tcp,
    /// UDP to ports of ours.
    Udp,
    /// UDP to a multicast group.
    Multicast,
}

/// Maximum number of transports that are read of one reply; there should be one.
const MAX_TRANSPORTS: usize = 8;

/// Returns the header of a request for this track. `ports` are ours for RTP and RTCP.
pub(super) fn request(lower: Lower, track: u8, ports: (u16, u16)) -> String {
    match lower {
        Lower::Tcp => {
            let (rtp, rtcp) = channels(track);
            format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")
        }
        Lower::Udp => format!("RTP/AVP;unicast;client_port={}-{}", ports.0, ports.1),
        Lower::Multicast => "RTP/AVP;multicast".to_owned(),
    }
}

/// Returns the channels for RTP and RTCP that are requested for a track.
pub(super) fn channels(track: u8) -> (u8, u8) {
    (track.saturating_mul(2), track.saturating_mul(2).saturating_add(1))
}

/// One transport of a reply. Everything in it is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The protocol names TCP.
    pub(super) is_tcp: bool,
    pub(super) is_multicast: bool,
    /// Channels for RTP and RTCP.
    pub(super) interleaved: Option<(u8, u8)>,
    /// The camera's ports for RTP and RTCP.
    pub(super) server_port: Option<(u16, u16)>,
    /// The multicast group's ports for RTP and RTCP.
    pub(super) port: Option<(u16, u16)>,
    pub(super) destination: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
}

impl Reply {
    /// Reads the transports of a header, the one for `lower` first if there are several.
    pub(super) fn read(value: &str, lower: Lower) -> Self {
        let mut replies: Vec<Self> =
            value.split(',').take(MAX_TRANSPORTS).map(Self::read_one).collect();
        replies.sort_by_key(|reply| !reply.fits(lower));
        replies.into_iter().next().unwrap_or_default()
    }

    fn fits(&self, lower: Lower) -> bool {
        match lower {
            Lower::Tcp => self.is_tcp || self.interleaved.is_some(),
            Lower::Udp => !self.is_tcp && self.interleaved.is_none(),
            Lower::Multicast => self.is_multicast,
        }
    }

    fn read_one(text: &str) -> Self {
        let mut reply = Self::default();
        for part in text.split(';') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            match key.as_str() {
                "multicast" => reply.is_multicast = true,
                "interleaved" => reply.interleaved = pair(value, u8::checked_add),
                "server_port" => reply.server_port = pair(value, u16::checked_add),
                "port" => reply.port = pair(value, u16::checked_add),
                "destination" => reply.destination = value.parse().ok(),
                "source" => reply.source = value.parse().ok(),
                protocol => reply.is_tcp |= protocol.ends_with("/tcp"),
            }
        }
        reply
    }
}

/// Reads `4-5`, or `4` for the same.
fn pair<N: std::str::FromStr + From<u8> + Copy>(
    text: &str,
    add: fn(N, N) -> Option<N>,
) -> Option<(N, N)> {
    let (first, second) = text.split_once('-').unwrap_or((text, ""));
    let first = first.trim().parse().ok()?;
    let second = second.trim().parse().ok().or_else(|| add(first, N::from(1)));
    Some((first, second.unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replies_are_read_however_they_are_written() {
        let table = [
            ("RTP/AVP/TCP;unicast;interleaved=0-1", Some((0, 1)), None),
            ("RTP/AVP/TCP; unicast; Interleaved = 2 - 3 ;ssrc=DEADBEEF99", Some((2, 3)), None),
            ("RTP/AVP/TCP;unicast;interleaved=4", Some((4, 5)), None),
            ("RTP/AVP/TCP;interleaved=255", Some((255, 255)), None),
            ("RTP/AVP/TCP;interleaved=999-1000", None, None),
            ("RTP/AVP;unicast;client_port=5-6;server_port=7-8", None, Some((7, 8))),
            ("RTP/AVP/UDP;unicast;server_port=7", None, Some((7, 8))),
            ("RTP/AVP;unicast;server_port=7-8,RTP/AVP/TCP;interleaved=0-1", Some((0, 1)), None),
            ("", None, None),
        ];
        for (value, interleaved, server_port) in table {
            let reply = Reply::read(value, Lower::Tcp);
            assert_eq!(
                (reply.interleaved, reply.server_port),
                (interleaved, server_port),
                "{value}"
            );
        }
        let value = "RTP/AVP;multicast;destination=239.1.2.3;port=5000-5001;ttl=9";
        let reply = Reply::read(value, Lower::Multicast);
        assert_eq!(reply.destination, Some([239, 1, 2, 3].into()));
        assert_eq!(reply.port, Some((5000, 5001)));
    }

    #[test]
    fn requests_name_channels_or_ports() {
        let (tcp, udp) = (Lower::Tcp, Lower::Udp);
        assert_eq!(request(tcp, 1, (0, 0)), "RTP/AVP/TCP;unicast;interleaved=2-3");
        assert_eq!(request(udp, 1, (6, 7)), "RTP/AVP;unicast;client_port=6-7");
    }

    proptest! {
        #[test]
        fn any_value_is_read(value in "\\PC{0,80}") {
            let _ = Reply::read(&value, Lower::Udp);
        }
    }
}
