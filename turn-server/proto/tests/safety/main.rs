//! The rules that keep a TURN server from being abused against its owner or others, each with a
//! test named after it, and each published advisory that can apply here. `docs/ref/turn-safety.md`
//! has both lists. All tests use the server's public interface.

#![expect(clippy::unwrap_used, reason = "unexpected values fail the test")]

mod advisories;
mod rules;

use std::net::{Ipv4Addr, Ipv6Addr};

use porthole_fuzz::world::{World, config};
use porthole_turn_proto::server::PolicyConfig;

/// Returns a world whose server allows the public Internet and the given blocks only.
fn world(allow: &[&str], deny: &[&str]) -> World {
    let mut config = config();
    let blocks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    config.reloadable.policy = PolicyConfig {
        allow: blocks(allow),
        deny: blocks(deny),
        own_addresses: vec!["198.41.0.4".parse().unwrap(), "2001:503:ba3e::2:30".parse().unwrap()],
        listeners: vec!["198.41.0.4:3478".parse().unwrap()],
        ..PolicyConfig::default()
    };
    World::new(config)
}

/// Returns every known encoding of an IPv4 address in an IPv6 one, with its name.
fn encodings(v4: Ipv4Addr, prefix: u64) -> Vec<(&'static str, Ipv6Addr)> {
    let bits = u128::from(v4.to_bits());
    let at = |segments: [u16; 8]| Ipv6Addr::from(segments).to_bits();
    let named = [
        ("compatible ::/96", bits),
        ("mapped ::ffff:0:0/96", at([0, 0, 0, 0, 0, 0xFFFF, 0, 0]) | bits),
        ("SIIT ::ffff:0:0:0/96", at([0, 0, 0, 0, 0xFFFF, 0, 0, 0]) | bits),
        ("NAT64 64:ff9b::/96", at([0x64, 0xFF9B, 0, 0, 0, 0, 0, 0]) | bits),
        ("local-use NAT64, as /96", at([0x64, 0xFF9B, 1, 0, 0, 0, 0, 0]) | bits),
        (
            "local-use NAT64, as /48",
            at([0x64, 0xFF9B, 1, 0, 0, 0, 0, 0]) | (bits >> 16) << 64 | (bits & 0xFFFF) << 40,
        ),
        ("6to4 2002::/16", at([0x2002, 0, 0, 0, 0, 0, 0, 1]) | bits << 80),
        ("Teredo's client", at([0x2001, 0, 0x0101, 0x0101, 0, 0, 0, 0]) | (!bits & 0xFFFF_FFFF)),
        ("Teredo's server", at([0x2001, 0, 0, 0, 0, 0, 0xFEFE, 0xFEFE]) | bits << 64),
        ("ISATAP", u128::from(prefix) << 64 | 0x0000_5EFE << 32 | bits),
        ("ISATAP, global", u128::from(prefix) << 64 | 0x0200_5EFE << 32 | bits),
    ];
    named.map(|(name, bits)| (name, Ipv6Addr::from_bits(bits))).to_vec()
}
