//! The nftables rules of a lab router.

use std::net::Ipv4Addr;

use crate::nat::NatKind;

/// The rules of a router that looks into connections: a flow is accepted once its first bytes are a
/// record of a TLS handshake (22, version 3.x) with a ClientHello (1), and dropped for good if they
/// are anything else. Packets without data have no first byte.
pub(super) const ONLY_TLS: &str = "table ip only_tls {
    counter refused {}
    chain passing {
        type filter hook forward priority filter + 1;
        iifname lan oifname wan jump outwards
    }
    chain outwards {
        meta l4proto != tcp drop
        tcp dport != 443 drop
        ct mark 1 accept
        ct mark 2 counter name refused drop
        @ih,0,16 0x1603 @ih,40,8 1 ct mark set 1 accept
        @ih,0,8 0-255 ct mark set 2 counter name refused drop
    }
}";

/// Returns the ruleset that makes a router behave as `nat`.
///
/// A full-cone or restricted router forwards packets from outside to `host`, the first machine of
/// its LAN. A new connection from outside is dropped before conntrack records it: the entry would
/// occupy the very port that the host's own packet needs a moment later.
pub(super) fn for_nat(nat: NatKind, host: Ipv4Addr) -> String {
    let mapping = if nat == NatKind::Symmetric { "masquerade fully-random" } else { "masquerade" };
    let (udp, inwards) = match nat {
        NatKind::FullCone => ("", format!("iifname wan meta l4proto udp dnat to {host}")),
        NatKind::Restricted => (
            "oifname wan meta l4proto udp update @contacted { ip daddr }",
            format!("iifname wan ip saddr @contacted meta l4proto udp dnat to {host}"),
        ),
        // Only what crosses the router: traffic inside the LAN passes here too if the kernel
        // shows bridged frames to netfilter.
        NatKind::UdpBlocked => {
            ("meta l4proto udp iifname . oifname { wan . lan, lan . wan } drop", String::new())
        }
        NatKind::Open | NatKind::PortRestricted | NatKind::Symmetric => ("", String::new()),
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
