//! The packets that a server on the Internet receives from senders without an account.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use porthole_turn_proto::stun::{
    Class, HEADER_LEN, MessageWriter, Method, TransactionId, attribute, long_term_key,
};
use rand::Rng as _;
use serde::Serialize;

use crate::cli::{REALM, USERNAME};

/// Value of REQUESTED-TRANSPORT for UDP.
const UDP: u32 = 17 << 24;
/// Length of the longest user name (RFC 8489 §14.3).
const LONGEST_NAME: usize = 508;
/// Peer that the requests name.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 20, 0, 1)), 9);

/// A kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UnauthenticatedPacket {
    Binding,
    /// A Binding request with unknown comprehension-required attributes.
    BindingWithUnknown,
    Allocate,
    /// An Allocate with the right realm, an invented nonce and a wrong password.
    AllocateWithWrongPassword,
    /// An Allocate with an unknown user name of the greatest length.
    AllocateWithLongName,
    Refresh,
    ChannelBind,
    CreatePermission,
    SendIndication,
    /// A ChannelData message on an unbound channel.
    ChannelData,
    /// A message shorter than its header says.
    CutShort,
    Noise,
}

impl UnauthenticatedPacket {
    pub(crate) const ALL: [Self; 12] = [
        Self::Binding,
        Self::BindingWithUnknown,
        Self::Allocate,
        Self::AllocateWithWrongPassword,
        Self::AllocateWithLongName,
        Self::Refresh,
        Self::ChannelBind,
        Self::CreatePermission,
        Self::SendIndication,
        Self::ChannelData,
        Self::CutShort,
        Self::Noise,
    ];

    /// Returns the kind of the packet with this number.
    pub(crate) fn of(index: usize) -> Self {
        Self::ALL.get(index % Self::ALL.len()).copied().unwrap_or(Self::Noise)
    }

    /// Appends a packet of this kind.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::ChannelData => out.extend_from_slice(&[0x40, 0, 0, 4, 1, 2, 3, 4]),
            Self::Noise => out.extend_from_slice(&rand::rng().random::<[u8; 48]>()),
            Self::Binding
            | Self::BindingWithUnknown
            | Self::Allocate
            | Self::AllocateWithWrongPassword
            | Self::AllocateWithLongName
            | Self::Refresh
            | Self::ChannelBind
            | Self::CreatePermission
            | Self::SendIndication => self.write_message(out),
            Self::CutShort => {
                self.write_message(out);
                out.truncate(start + HEADER_LEN);
            }
        }
    }

    fn write_message(self, out: &mut Vec<u8>) {
        let indication = self == Self::SendIndication;
        let class = if indication { Class::Indication } else { Class::Request };
        let id = TransactionId(rand::rng().random());
        let mut writer = MessageWriter::new(out, class, self.method(), id);
        if self.method() == Method::Allocate {
            writer.u32(attribute::REQUESTED_TRANSPORT, UDP);
        }
        match self {
            Self::BindingWithUnknown => {
                (0x7000..0x7010).for_each(|unknown| {
                    writer.u32(unknown, 0);
                });
            }
            Self::AllocateWithWrongPassword => {
                let key = long_term_key(USERNAME, REALM, "guessed");
                writer.attribute(attribute::USERNAME, USERNAME.as_bytes());
                writer.attribute(attribute::REALM, REALM.as_bytes());
                writer.attribute(attribute::NONCE, &rand::rng().random::<[u8; 32]>());
                writer.integrity(&key);
            }
            Self::AllocateWithLongName => {
                writer.attribute(attribute::USERNAME, &[b'x'; LONGEST_NAME]);
                writer.attribute(attribute::REALM, REALM.as_bytes());
                writer.attribute(attribute::NONCE, &rand::rng().random::<[u8; 32]>());
                writer.integrity(&long_term_key("x", REALM, "guessed"));
            }
            Self::ChannelBind => {
                writer.u32(attribute::CHANNEL_NUMBER, 0x4000 << 16);
                writer.xor_address(attribute::XOR_PEER_ADDRESS, PEER);
            }
            Self::CreatePermission => {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, PEER);
            }
            Self::SendIndication => {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, PEER);
                writer.attribute(attribute::DATA, &[0; 64]);
            }
            Self::Binding
            | Self::Allocate
            | Self::Refresh
            | Self::CutShort
            | Self::ChannelData
            | Self::Noise => {}
        }
        writer.finish().expect("far shorter than a message may be");
    }

    const fn method(self) -> Method {
        match self {
            Self::Binding | Self::BindingWithUnknown | Self::ChannelData | Self::Noise => {
                Method::Binding
            }
            Self::Allocate
            | Self::AllocateWithWrongPassword
            | Self::AllocateWithLongName
            | Self::CutShort => Method::Allocate,
            Self::Refresh => Method::Refresh,
            Self::ChannelBind => Method::ChannelBind,
            Self::CreatePermission => Method::CreatePermission,
            Self::SendIndication => Method::Send,
        }
    }
}
