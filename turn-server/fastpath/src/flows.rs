//! The flows of one worker: their deadlines, their routes, and the traffic not yet reported.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::kernel::{Deadlines, Kernel, Routes, clock_ns};
use crate::{FastPath, Flow, InstallError, Lifetimes, Relayed, Traffic};

/// A set of flows under keys chosen by the owner. Dropping it removes them from the kernel.
#[derive(Debug)]
pub struct Flows<K> {
    fast_path: FastPath,
    installed: HashMap<K, Installed>,
    routes_version: u64,
}

#[derive(Debug)]
struct Installed {
    flow: Flow,
    slot: u32,
    deadlines: Deadlines,
    /// The routes both ways; [`None`] while there is no usable one and the flow is not in the
    /// kernel.
    routes: Option<Routes>,
    /// The traffic already reported.
    reported: Relayed,
}

impl<K> Flows<K> {
    pub(crate) fn new(fast_path: FastPath) -> Self {
        Self { fast_path, installed: HashMap::new(), routes_version: 0 }
    }

    /// Returns the number of flows.
    pub fn len(&self) -> usize {
        self.installed.len()
    }

    /// Removes all flows.
    pub fn clear(&mut self) {
        let mut kernel = self.fast_path.lock();
        for (_, installed) in self.installed.drain() {
            installed.remove(&mut kernel);
        }
    }

    /// Returns true if there are no flows.
    pub fn is_empty(&self) -> bool {
        self.installed.is_empty()
    }
}

impl<K: Copy + Eq + Hash> Flows<K> {
    /// Installs a flow for `lifetimes` from now on. For a flow already installed only these change.
    /// After an error sockets relay it.
    pub fn install(
        &mut self,
        key: K,
        flow: &Flow,
        lifetimes: Lifetimes,
    ) -> Result<(), InstallError> {
        let deadlines = lifetimes.from(clock_ns().map_err(InstallError::System)?);
        let mut kernel = self.fast_path.lock();
        if let Some(installed) = self.installed.get_mut(&key).filter(|i| i.flow == *flow) {
            installed.deadlines = deadlines;
            return installed.write(&mut kernel);
        }
        let routes = kernel.routes(flow)?;
        if let Some(old) = self.installed.remove(&key) {
            old.remove(&mut kernel);
        }
        let slot = kernel.allocate_slot()?;
        let reported = kernel.relayed(slot);
        let installed = Installed { flow: *flow, slot, deadlines, routes: Some(routes), reported };
        if let Err(error) = installed.write(&mut kernel) {
            kernel.free_slot(slot);
            return Err(error);
        }
        self.installed.insert(key, installed);
        Ok(())
    }

    /// Removes a flow and returns the traffic not yet reported.
    pub fn remove(&mut self, key: &K) -> Option<Relayed> {
        let installed = self.installed.remove(key)?;
        Some(installed.remove(&mut self.fast_path.lock()))
    }

    /// Returns the traffic since the last call, for flows that had any. Flows expired in both
    /// directions are reported once more and then removed.
    pub fn collect(&mut self) -> Vec<(K, Relayed)> {
        let now_ns = clock_ns().unwrap_or_default();
        let mut kernel = self.fast_path.lock();
        let unreported = self.installed.iter_mut().map(|(key, i)| (*key, i.unreported(&kernel)));
        let unreported = unreported.filter(|(_, relayed)| *relayed != Relayed::default()).collect();
        for (_, expired) in self.installed.extract_if(|_, i| i.deadlines.last_ns() <= now_ns) {
            expired.remove(&mut kernel);
        }
        unreported
    }

    /// Applies changed routes. A flow without a route is left to the sockets until it has one.
    pub fn follow_routes(&mut self) {
        let mut kernel = self.fast_path.lock();
        let version = kernel.routes_version();
        if version == self.routes_version {
            return;
        }
        self.routes_version = version;
        for installed in self.installed.values_mut() {
            let routes = kernel.routes(&installed.flow).ok();
            if routes == installed.routes {
                continue;
            }
            installed.routes = routes;
            if installed.routes.is_none() {
                kernel.erase(&installed.flow);
            } else if let Err(error) = installed.write(&mut kernel) {
                tracing::debug!(%error, "a flow is left to the sockets");
            }
        }
    }
}

impl Installed {
    fn write(&self, kernel: &mut Kernel) -> Result<(), InstallError> {
        match &self.routes {
            Some(routes) => kernel.write(&self.flow, routes, self.slot, self.deadlines),
            None => Ok(()),
        }
    }

    fn unreported(&mut self, kernel: &Kernel) -> Relayed {
        let relayed = kernel.relayed(self.slot);
        let since = |now: Traffic, then: Traffic| Traffic {
            packets: now.packets.saturating_sub(then.packets),
            bytes: now.bytes.saturating_sub(then.bytes),
        };
        let unreported = Relayed {
            to_peer: since(relayed.to_peer, self.reported.to_peer),
            to_client: since(relayed.to_client, self.reported.to_client),
        };
        self.reported = relayed;
        unreported
    }

    fn remove(mut self, kernel: &mut Kernel) -> Relayed {
        kernel.erase(&self.flow);
        let unreported = self.unreported(kernel);
        kernel.free_slot(self.slot);
        unreported
    }
}

impl Lifetimes {
    fn from(self, now_ns: u64) -> Deadlines {
        let end = |lifetime: Duration| {
            now_ns.saturating_add(u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX))
        };
        Deadlines { to_peer_ns: end(self.to_peer), to_client_ns: end(self.to_client) }
    }
}

impl Deadlines {
    fn last_ns(self) -> u64 {
        self.to_peer_ns.max(self.to_client_ns)
    }
}

impl<K> Drop for Flows<K> {
    fn drop(&mut self) {
        self.clear();
    }
}
