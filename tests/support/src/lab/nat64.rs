//! A home with IPv6 alone, as mobile networks have them: its router translates to IPv4 (NAT64, with
//! TAYGA) and makes up IPv6 addresses for names that have none (DNS64, with Unbound).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Lab, Router, SERVER_ADDRESS, Side};
use crate::nat::NatKind;
use crate::program::Program;
use crate::scene::Scene;
use crate::wait;

/// The name of the lab's server, which has an IPv4 address only.
pub const SERVER_NAME: &str = "server.lab";
/// The addresses that stand for IPv4 addresses. Not the well-known prefix of RFC 6052, which does
/// not stand for documentation addresses.
const PREFIX: &str = "2001:db8:64:ff9b::/96";
/// The IPv4 addresses that TAYGA gives to hosts, before the router translates them once more.
const POOL: &str = "192.168.255.0/24";
const NAMES_DEADLINE: Duration = Duration::from_secs(15);

/// A home with IPv6 alone, and what runs for it.
#[derive(Debug)]
pub struct Ipv6Home {
    /// The home; its host has no IPv4 address, whatever [`super::Host::address`] says.
    pub side: Side,
    _programs: [Program; 2],
}

impl Lab {
    /// Makes the server answer for [`SERVER_NAME`], with its IPv4 address.
    pub fn serve_names(&self, scene: &Scene) -> Result<Program> {
        let text = format!(
            "interface: {SERVER_ADDRESS}\n access-control: 0.0.0.0/0 allow\n \
             local-zone: \"lab.\" static\n local-data: \"{SERVER_NAME}. A {SERVER_ADDRESS}\"\n"
        );
        let file = settings(scene, "names", &text, "")?;
        let mut command = self.server.command("unbound");
        Program::start(scene, "names", command.arg("-d").arg("-c").arg(file))
    }

    /// Adds a home with IPv6 alone behind a router that translates to IPv4. Needs
    /// [`Self::serve_names`].
    pub fn ipv6_home(&self, scene: &Scene, nat: NatKind) -> Result<Ipv6Home> {
        let side = self.side(nat)?;
        let router = side.router.as_ref().context("a home without a router")?;
        let network = format!("2001:db8:64:{:x}:", router.home);
        for namespace in [&router.namespace, &side.host.namespace] {
            namespace.sysctl("net/ipv6/conf/all/disable_ipv6", "0")?;
        }
        router.namespace.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        router.namespace.ip(&format!("addr add {network}:1/64 dev lan nodad"))?;
        side.host.namespace.ip(&format!(
            "addr del {}/24 dev eth0
            addr add {network}:2/64 dev eth0 nodad
            route add default via {network}:1",
            side.host.address,
        ))?;
        let translator = router.translate(scene, &network)?;
        let names = router.make_up_names(scene, &network)?;
        side.host.namespace.set_etc("resolv.conf", &format!("nameserver {network}:1\n"))?;
        let home = Ipv6Home { side, _programs: [translator, names] };
        wait::until("the home knows the server's name", NAMES_DEADLINE, || {
            let found = home.side.host.command("getent").args(["ahosts", SERVER_NAME]).output()?;
            Ok(found.status.success().then_some(()))
        })?;
        Ok(home)
    }
}

impl Router {
    /// Starts the translation between IPv6 and IPv4.
    fn translate(&self, scene: &Scene, network: &str) -> Result<Program> {
        let name = format!("tayga-{}", self.home);
        let file = scene.folder().join(format!("{name}.conf"));
        let text = format!(
            "tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr {network}:64\nprefix {PREFIX}\n\
             dynamic-pool {POOL}\n"
        );
        std::fs::write(&file, text)?;
        let mut command = self.namespace.command("tayga");
        let made = command.arg("--mktun").arg("-c").arg(&file).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.namespace.ip(&format!(
            "link set nat64 up
            route add {POOL} dev nat64
            route add {PREFIX} dev nat64"
        ))?;
        let mut command = self.namespace.command("tayga");
        Program::start(scene, &name, command.args(["-n", "-d", "-c"]).arg(&file))
    }

    /// Starts to answer for names, with IPv6 addresses for those that have none.
    fn make_up_names(&self, scene: &Scene, network: &str) -> Result<Program> {
        let text = format!(
            "interface: {network}:1\n access-control: ::/0 allow\n \
             module-config: \"dns64 iterator\"\n dns64-prefix: {PREFIX}\n"
        );
        let forward = format!("forward-zone:\n name: \".\"\n forward-addr: {SERVER_ADDRESS}\n");
        let name = format!("names-{}", self.home);
        let file = settings(scene, &name, &text, &forward)?;
        let mut command = self.namespace.command("unbound");
        Program::start(scene, &name, command.arg("-d").arg("-c").arg(file))
    }
}

/// Writes settings of Unbound, in which nothing is shared with one of the machine.
fn settings(scene: &Scene, name: &str, server: &str, more: &str) -> Result<PathBuf> {
    let folder = scene.folder();
    let (file, id) = (folder.join(format!("{name}.conf")), folder.join(format!("{name}.pid")));
    let text = format!(
        "server:\n username: \"\"\n chroot: \"\"\n use-syslog: no\n directory: \"{}\"\n \
         pidfile: \"{}\"\n {server}{more}",
        folder.display(),
        id.display(),
    );
    std::fs::write(&file, text)?;
    Ok(file)
}
