//! Mappings of UPnP that are to be removed, each with exchanges of its own: what else is asked
//! meanwhile does not cancel them.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::common::{Common, Pending};
use super::upnp::{self, Call, Service};
use super::walk::Exchange;
use crate::onvif::Reply;

/// Limit of mappings that wait to be removed; the oldest are forgotten first.
const MAX_DEBTS: usize = 8;

/// Number of times that a router is asked about one of them.
const TRIES: u32 = 2;

/// A mapping that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) service: Service,
    /// The external port.
    pub(super) port: u16,
    /// The machine for which the mapping was asked for.
    pub(super) client: Ipv4Addr,
    /// Certainty that it is ours; else the router is asked first whose it is, because it may have
    /// refused ours in favour of another machine's.
    pub(super) is_ours: bool,
    pub(super) tries: u32,
}

impl Common {
    /// Notes a mapping that is to be removed.
    pub(super) fn owe(&mut self, debt: Debt) {
        let is_same = |other: &Debt| (&other.service, other.port) == (&debt.service, debt.port);
        if self.debts.iter().any(is_same)
            || self.removal.as_ref().is_some_and(|(of, _)| is_same(of) && of.is_ours)
        {
            return;
        }
        if self.debts.len() >= MAX_DEBTS {
            self.debts.pop_front();
        }
        self.debts.push_back(debt);
    }

    /// Keeps a mapping that was to be removed and is ours again.
    pub(super) fn keep(&mut self, port: u16) {
        self.debts.retain(|debt| debt.port != port);
        if let Some((_, pending)) = self.removal.take_if(|(debt, _)| debt.port == port) {
            self.drop_exchange(pending);
        }
    }

    /// Keeps only the debts at this router: another machine may have the address of the others now.
    pub(super) fn forget_other_routers(&mut self, router: Ipv4Addr) {
        self.debts.retain(|debt| debt.service.at().ip() == router);
        let is_other = |(debt, _): &mut (Debt, Pending)| debt.service.at().ip() != router;
        if let Some((_, pending)) = self.removal.take_if(is_other) {
            self.drop_exchange(pending);
        }
    }

    /// Drops all debts.
    pub(super) fn forget_debts(&mut self) {
        self.debts.clear();
        if let Some((_, pending)) = self.removal.take() {
            self.drop_exchange(pending);
        }
    }

    /// Returns true while a mapping waits to be removed.
    pub(super) fn has_debts(&self) -> bool {
        self.removal.is_some() || !self.debts.is_empty()
    }

    /// Removes the next mapping, and gives up an exchange that has taken too long.
    pub(super) fn remove_next(&mut self, now: Instant) {
        if let Some((debt, pending)) = self.removal.take_if(|(_, pending)| pending.until <= now) {
            self.drop_exchange(pending);
            self.try_again(debt);
        }
        if self.removal.is_some() {
            return;
        }
        let Some(debt) = self.debts.pop_front() else { return };
        self.ask_to_remove(now, debt);
    }

    fn ask_to_remove(&mut self, now: Instant, debt: Debt) {
        let call = if debt.is_ours { Call::Delete(debt.port) } else { Call::Entry(debt.port) };
        let exchange = Exchange { to: debt.service.at(), bytes: debt.service.write(call) };
        let pending = self.request(now, exchange);
        self.removal = Some((debt, pending));
    }

    fn try_again(&mut self, mut debt: Debt) {
        debt.tries += 1;
        if debt.tries < TRIES {
            self.owe(debt);
        }
    }

    /// Handles a reply, `None` if there is none. Returns false if it is not about a mapping that is
    /// to be removed.
    pub(super) fn handle_removal(&mut self, now: Instant, id: u32, reply: Option<&Reply>) -> bool {
        let Some((debt, _)) = self.removal.take_if(|(_, pending)| pending.id == id) else {
            return false;
        };
        match reply {
            None => self.try_again(debt),
            Some(_) if debt.is_ours => {}
            Some(reply) => {
                let entry = Some(&reply.body).filter(|_| reply.status == 200);
                let entry = entry.and_then(|body| upnp::read_entry(body));
                if entry == Some((debt.client, self.config.port)) {
                    self.ask_to_remove(now, Debt { is_ours: true, tries: 0, ..debt });
                }
            }
        }
        true
    }
}
