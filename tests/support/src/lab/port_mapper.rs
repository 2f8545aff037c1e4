//! A router of the lab that forwards ports at its hosts' request: MiniUPnPd, which speaks PCP,
//! NAT-PMP and UPnP.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Router, Side};
use crate::program::Program;
use crate::scene::Scene;

/// The network of the routers' second addresses. MiniUPnPd forwards nothing at a documentation
/// address, as the other ones of the lab are.
pub(super) const MAPPED_NETWORK: &str = "11.0.0.0/24";
/// The address of the server in it.
pub(super) const MAPPED_SERVER: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 10);

/// The chains that MiniUPnPd fills. What it forwards passes the router's own rules, which let
/// redirected packets in.
const CHAINS: &str = "table inet mapped {
    chain passing { type filter hook forward priority filter + 1; jump filter_mapped; }
    chain entering { type nat hook prerouting priority dstnat - 1; jump nat_mapped; }
    chain leaving { type nat hook postrouting priority srcnat - 1; jump leaving_mapped; }
    chain filter_mapped {}
    chain nat_mapped {}
    chain leaving_mapped {}
}";

impl Side {
    /// Makes the home's router forward ports at the request of its hosts. Returns the running
    /// program and the address at which it forwards them.
    ///
    /// # Errors
    ///
    /// Fails for a home without a router.
    pub fn map_ports(&self, scene: &Scene) -> Result<(Program, Ipv4Addr)> {
        let router = self.router.as_ref().context("a home without a router")?;
        let external = router.mapped_address();
        router.namespace.ip(&format!("addr add {external}/32 dev wan"))?;
        router.namespace.nft(CHAINS)?;
        let name = format!("miniupnpd-{}", router.home);
        let file = scene.folder().join(format!("{name}.conf"));
        std::fs::write(&file, router.settings(scene.folder()))?;
        std::fs::write(scene.folder().join("leases"), "")?;
        let mut command = router.namespace.command("miniupnpd");
        command.arg("-d").arg("-f").arg(&file);
        command.arg("-P").arg(scene.folder().join(format!("{name}.pid")));
        Ok((Program::start(scene, &name, &mut command)?, external))
    }

    /// Returns the ports that the router forwards, as nftables lists them.
    pub fn mapped_ports(&self) -> Result<Vec<String>> {
        let router = self.router.as_ref().context("a home without a router")?;
        let mut command: Command = router.namespace.command("nft");
        let output = command.args(["list", "chain", "inet", "mapped", "nat_mapped"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter(|line| line.contains("dnat")).map(str::to_owned).collect())
    }
}

impl Router {
    fn mapped_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(11, 0, 0, self.public.octets()[3])
    }

    fn settings(&self, folder: &Path) -> String {
        format!(
            "ext_ifname=wan\next_ip={}\nlistening_ip=lan\nhttp_port=5000\nport=5000\n\
             enable_natpmp=yes\nenable_upnp=yes\nsystem_uptime=no\nipv6_disable=yes\n\
             upnp_table_name=mapped\nupnp_nat_table_name=mapped\nupnp_forward_chain=filter_mapped\n\
             upnp_nat_chain=nat_mapped\nupnp_nat_postrouting_chain=leaving_mapped\n\
             lease_file={}\nuuid=00000000-0000-0000-0000-0000000000{:02x}\n\
             allow 1024-65535 192.168.0.0/16 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n",
            self.mapped_address(),
            folder.join("leases").display(),
            self.home,
        )
    }
}
