//! The kinds of NAT, as nftables rules.

use std::fmt;
use std::net::Ipv4Addr;

/// What stands between a host and the internet.
///
/// The names are the old ones of RFC 3489, because everybody knows them; what they mean is put in
/// RFC 4787's words, and `tests/net/tests/lab.rs` holds the rules to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nat {
    /// None: the host has a public address.
    Open,
    /// Endpoint-independent mapping, endpoint-independent filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    Restricted,
    /// Endpoint-independent mapping, address and port-dependent filtering.
    PortRestricted,
    /// Address and port-dependent mapping, address and port-dependent filtering.
    Symmetric,
    /// A firewall that passes TCP to the outside and no UDP at all.
    UdpBlocked,
}

impl Nat {
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::FullCone,
        Self::Restricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::UdpBlocked,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FullCone => "full-cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
            Self::UdpBlocked => "udp-blocked",
        }
    }

    /// The router's rules. `host` is the one machine a cone NAT maps back to.
    ///
    /// A new connection from outside is dropped before it leaves a trace in conntrack: the trace
    /// would occupy the very port that the host's own packet needs a moment later.
    pub(super) fn rules(self, host: Ipv4Addr) -> String {
        let mapping =
            if self == Self::Symmetric { "masquerade fully-random" } else { "masquerade" };
        let (udp, inwards) = match self {
            Self::FullCone => ("", format!("iifname wan meta l4proto udp dnat to {host}")),
            Self::Restricted => (
                "oifname wan meta l4proto udp update @contacted { ip daddr }",
                format!("iifname wan ip saddr @contacted meta l4proto udp dnat to {host}"),
            ),
            // Through the router only: what stays in the LAN passes here too where the kernel
            // shows bridged frames to netfilter.
            Self::UdpBlocked => {
                ("meta l4proto udp iifname . oifname { wan . lan, lan . wan } drop", String::new())
            }
            Self::Open | Self::PortRestricted | Self::Symmetric => ("", String::new()),
        };
        format!(
            "table ip router {{
                set contacted {{ type ipv4_addr; size 1024; flags dynamic,timeout; timeout 2m; }}
                chain entering {{
                    type nat hook prerouting priority dstnat;
                    {inwards}
                }}
                chain leaving {{
                    type nat hook postrouting priority srcnat;
                    oifname wan {mapping}
                }}
                chain arriving {{
                    type filter hook input priority filter;
                    iifname wan ct state new drop
                }}
                chain passing {{
                    type filter hook forward priority filter;
                    iifname wan ct state new ct status & dnat == 0 drop
                    {udp}
                }}
            }}",
        )
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
