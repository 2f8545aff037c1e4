//! The flows of one worker: what is installed, until when, and what was relayed since last asked.

use crate::kernel::{Ends, Kernel, Routes, clock_ns};
use crate::{FastPath, Flow, Lifetimes, Refused, Relayed, Traffic};
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Flows by whatever name their owner has for them. Dropping it removes them.
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
    ends: Ends,
    /// [`None`] while no route can be used: then it is not in the kernel.
    routes: Option<Routes>,
    /// What was told already.
    told: Relayed,
}

impl<K> Flows<K> {
    pub(crate) fn new(fast_path: FastPath) -> Self {
        Self { fast_path, installed: HashMap::new(), routes_version: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.installed.len()
    }

    /// Relays none of them any more.
    pub fn clear(&mut self) {
        let mut kernel = self.fast_path.lock();
        for (_, installed) in self.installed.drain() {
            installed.end(&mut kernel);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.installed.is_empty()
    }
}

impl<K: Copy + Eq + Hash> Flows<K> {
    /// Relays the flow from now on and for `lifetimes`; of a flow that is there only these change.
    /// After an error it is relayed by sockets, as before.
    pub fn install(&mut self, key: K, flow: &Flow, lifetimes: Lifetimes) -> Result<(), Refused> {
        let ends = lifetimes.from(clock_ns().map_err(Refused::System)?);
        let mut kernel = self.fast_path.lock();
        if let Some(installed) = self.installed.get_mut(&key).filter(|i| i.flow == *flow) {
            installed.ends = ends;
            return installed.write(&mut kernel);
        }
        let routes = kernel.routes(flow)?;
        if let Some(old) = self.installed.remove(&key) {
            old.end(&mut kernel);
        }
        let slot = kernel.take_slot()?;
        let told = kernel.relayed(slot);
        let installed = Installed { flow: *flow, slot, ends, routes: Some(routes), told };
        if let Err(error) = installed.write(&mut kernel) {
            kernel.give_slot(slot);
            return Err(error);
        }
        self.installed.insert(key, installed);
        Ok(())
    }

    /// Relays it no more; what was relayed and not told yet.
    pub fn remove(&mut self, key: &K) -> Option<Relayed> {
        let installed = self.installed.remove(key)?;
        Some(installed.end(&mut self.fast_path.lock()))
    }

    /// What was relayed since the last time, of those with any traffic. Those that are over in both
    /// directions are told of once more and then forgotten.
    pub fn collect(&mut self) -> Vec<(K, Relayed)> {
        let now_ns = clock_ns().unwrap_or_default();
        let mut kernel = self.fast_path.lock();
        let untold = self.installed.iter_mut().map(|(key, i)| (*key, i.untold(&kernel)));
        let untold = untold.filter(|(_, relayed)| *relayed != Relayed::default()).collect();
        for (_, expired) in self.installed.extract_if(|_, i| i.ends.last_ns() <= now_ns) {
            expired.end(&mut kernel);
        }
        untold
    }

    /// Follows routes that have changed. A flow that has none is left to the sockets until it has.
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
    fn write(&self, kernel: &mut Kernel) -> Result<(), Refused> {
        match &self.routes {
            Some(routes) => kernel.write(&self.flow, routes, self.slot, self.ends),
            None => Ok(()),
        }
    }

    fn untold(&mut self, kernel: &Kernel) -> Relayed {
        let relayed = kernel.relayed(self.slot);
        let since = |now: Traffic, then: Traffic| Traffic {
            packets: now.packets.saturating_sub(then.packets),
            bytes: now.bytes.saturating_sub(then.bytes),
        };
        let untold = Relayed {
            to_peer: since(relayed.to_peer, self.told.to_peer),
            to_client: since(relayed.to_client, self.told.to_client),
        };
        self.told = relayed;
        untold
    }

    fn end(mut self, kernel: &mut Kernel) -> Relayed {
        kernel.erase(&self.flow);
        let untold = self.untold(kernel);
        kernel.give_slot(self.slot);
        untold
    }
}

impl Lifetimes {
    fn from(self, now_ns: u64) -> Ends {
        let end = |lifetime: Duration| {
            now_ns.saturating_add(u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX))
        };
        Ends { to_peer_ns: end(self.to_peer), to_client_ns: end(self.to_client) }
    }
}

impl Ends {
    fn last_ns(self) -> u64 {
        self.to_peer_ns.max(self.to_client_ns)
    }
}

impl<K> Drop for Flows<K> {
    fn drop(&mut self) {
        self.clear();
    }
}
