//! Kinds of network interfaces, by what the kernel says of them and, where it says nothing, by
//! name.

use std::fs;
use std::path::Path;

/// The folder in which the kernel describes its interfaces.
pub(super) const FOLDER: &str = "/sys/class/net";

/// Beginnings of the names of networks of containers and virtual machines.
const CONTAINERS: &[&str] = &[
    "br-", "cni", "docker", "flannel", "cali", "lxc", "lxd", "podman", "veth", "virbr", "vnet",
    "vmnet",
];

/// Beginnings of the names of virtual private networks.
const PRIVATE: &[&str] = &["tailscale", "wg", "tun", "tap", "zt", "nebula", "utun"];

/// Ports of a bridge that are looked at; one of a host with containers has dozens.
const MAX_PORTS: usize = 64;

/// The kind of an interface. The later in this list, the less likely is an address of it to be the
/// best way to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A network card, or what stands for one: a bridge, bond or VLAN with one below it.
    Ordinary,
    /// A virtual private network, which is a detour to anybody who is near.
    Private,
    /// A network of containers or virtual machines inside this machine.
    Containers,
}

/// Returns the kind of an interface that the kernel describes in `folder`.
pub(super) fn of(folder: &Path, name: &str) -> Kind {
    let at = folder.join(name);
    let kind = device_type(&at);
    if kind.as_deref() == Some("wireguard") || at.join("tun_flags").exists() {
        return Kind::Private;
    }
    if at.join("bridge").is_dir() {
        // The bridge of a LAN has a network card among its ports, one of containers has none.
        return if has_card(folder, &at) { Kind::Ordinary } else { Kind::Containers };
    }
    if at.join("device").exists() {
        return Kind::Ordinary;
    }
    let is_named = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
    if is_named(PRIVATE) {
        Kind::Private
    } else if is_named(CONTAINERS) {
        Kind::Containers
    } else {
        Kind::Ordinary
    }
}

/// Returns the type of a device, as `wireguard`, `bridge` or `vlan`; network cards have none.
fn device_type(at: &Path) -> Option<String> {
    let text = fs::read_to_string(at.join("uevent")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned)
}

fn has_card(folder: &Path, bridge: &Path) -> bool {
    let Ok(ports) = fs::read_dir(bridge.join("brif")) else { return false };
    let mut names = ports.flatten().take(MAX_PORTS).map(|port| port.file_name());
    names.any(|name| {
        let at = folder.join(name);
        let is_made_of_cards = ["bond", "vlan", "wlan"].map(Some);
        at.join("device").exists() || is_made_of_cards.contains(&device_type(&at).as_deref())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_an_interface_is_and_its_name_where_the_kernel_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let make = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for card in ["eth0", "wlan0", "docker7", "enp3s0"] {
            make(&format!("{card}/device/vendor"), "0x8086");
        }
        make("wlan0/uevent", "DEVTYPE=wlan\nINTERFACE=wlan0\n");
        make("home/uevent", "DEVTYPE=wireguard\nINTERFACE=home\n");
        make("office/tun_flags", "0x1001\n");
        make("bond0/uevent", "DEVTYPE=bond\n");
        make("eth0.5/uevent", "DEVTYPE=vlan\n");
        make("veth1/uevent", "INTERFACE=veth1\n");
        for (bridge, ports) in [
            ("docker0", vec!["veth1"]),
            ("br-0a1b2c3d4e5f", vec![]),
            ("br-lan", vec!["veth1", "enp3s0"]),
            ("vmbr0", vec!["bond0"]),
            ("guests", vec!["veth1"]),
        ] {
            make(&format!("{bridge}/bridge/bridge_id"), "8000");
            make(&format!("{bridge}/uevent"), "DEVTYPE=bridge\n");
            for port in ports {
                make(&format!("{bridge}/brif/{port}"), "");
            }
        }
        for (name, expected) in [
            ("eth0", Kind::Ordinary),
            ("wlan0", Kind::Ordinary),
            // A card, whatever its name.
            ("docker7", Kind::Ordinary),
            ("bond0", Kind::Ordinary),
            ("eth0.5", Kind::Ordinary),
            ("br-lan", Kind::Ordinary),
            ("vmbr0", Kind::Ordinary),
            ("docker0", Kind::Containers),
            ("br-0a1b2c3d4e5f", Kind::Containers),
            ("guests", Kind::Containers),
            ("veth1", Kind::Containers),
            ("home", Kind::Private),
            ("office", Kind::Private),
            // Nothing is known of these but their names.
            ("wg0", Kind::Private),
            ("tailscale0", Kind::Private),
            ("virbr0", Kind::Containers),
            ("eth9", Kind::Ordinary),
        ] {
            assert_eq!(of(folder.path(), name), expected, "{name}");
        }
        assert!(Kind::Ordinary < Kind::Private && Kind::Private < Kind::Containers);
    }
}
