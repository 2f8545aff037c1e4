//! Exchanges: the requests of clients to gateways that belong to no session.

use std::collections::BTreeMap;
use std::time::Instant;

use porthole_signaling_proto::rpc::RequestId;

use crate::{CameraChange, CameraRemoval, ConnId};

/// Most pieces of progress of one exchange: a probe of a recorder with 32 cameras has about 200.
const MAX_PROGRESS: u32 = 1024;

/// The exchanges in flight, by the connection of the gateway and the number that its request has
/// there.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    open: BTreeMap<(ConnId, i64), Exchange>,
}

/// The client that waits for an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The connection of the client.
    pub(crate) conn: ConnId,
    /// The id of its request.
    pub(crate) id: RequestId,
}

/// A request to a gateway that is answered piece by piece, or once.
#[derive(Debug)]
struct Exchange {
    asker: Asker,
    /// The time at which it fails unless the gateway says something before.
    silent_at: Instant,
    /// The time at which it fails in any case.
    ends_at: Instant,
    /// The number of pieces of progress so far.
    progress: u32,
    /// The effect that it has on a camera, if it is for that.
    effect: Option<Effect>,
}

/// The effect of an exchange on a camera. It goes on until the gateway has responded, whether or
/// not somebody still waits.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The camera is to be removed if the gateway has it.
    RemovalCheck(Box<CameraRemoval>),
    /// The camera is removed.
    Removal(Box<CameraRemoval>),
    /// The camera is added or changed.
    Change(Box<CameraChange>),
}

impl Exchange {
    fn deadline(&self) -> Instant {
        self.silent_at.min(self.ends_at)
    }
}

/// The state of an exchange whose timer has expired.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The time is over; the client that waits.
    Failed(Asker),
    /// The gateway has said something meanwhile; the next deadline.
    Later(Instant),
}

impl Exchanges {
    /// Adds an exchange under the number that its request has on the gateway's connection.
    pub(crate) fn add(
        &mut self,
        gateway: ConnId,
        number: i64,
        asker: Asker,
        silent_at: Instant,
        ends_at: Instant,
    ) {
        let exchange = Exchange { asker, silent_at, ends_at, progress: 0, effect: None };
        self.open.insert((gateway, number), exchange);
    }

    /// Notes what an exchange does to a camera.
    pub(crate) fn note_effect(&mut self, gateway: ConnId, number: i64, effect: Effect) {
        if let Some(exchange) = self.open.get_mut(&(gateway, number)) {
            exchange.effect = Some(effect);
        }
    }

    /// Returns true if an exchange removes, adds or changes a camera.
    pub(crate) fn has_effect(&self, gateway: ConnId, number: i64) -> bool {
        self.open.get(&(gateway, number)).is_some_and(|exchange| exchange.effect.is_some())
    }

    /// Ends an exchange to which the gateway has responded. Returns the client that waits for it,
    /// and what it was to do to a camera.
    pub(crate) fn complete(
        &mut self,
        gateway: ConnId,
        number: i64,
    ) -> Option<(Asker, Option<Effect>)> {
        self.open.remove(&(gateway, number)).map(|exchange| (exchange.asker, exchange.effect))
    }

    /// Returns the number of exchanges with a gateway, by its connection.
    pub(crate) fn with_gateway(&self, gateway: ConnId) -> usize {
        self.to_gateway(gateway).count()
    }

    /// Returns the number of exchanges of a client, by its connection.
    pub(crate) fn of_client(&self, client: ConnId) -> usize {
        self.open.values().filter(|exchange| exchange.asker.conn == client).count()
    }

    /// Returns the place of the request that a client has sent under this id.
    pub(crate) fn find(&self, asker: &Asker) -> Option<(ConnId, i64)> {
        let mut open = self.open.iter();
        open.find(|(_, exchange)| exchange.asker == *asker).map(|(place, _)| *place)
    }

    /// Notes a piece of progress, after which the gateway may be silent until `silent_at`. Returns
    /// the client that it is for; `None` if there is no such exchange, or if it had too many.
    pub(crate) fn progress(
        &mut self,
        gateway: ConnId,
        number: i64,
        silent_at: Instant,
    ) -> Option<Asker> {
        let exchange = self.open.get_mut(&(gateway, number))?;
        if exchange.progress >= MAX_PROGRESS {
            return None;
        }
        exchange.progress += 1;
        exchange.silent_at = silent_at;
        Some(exchange.asker.clone())
    }

    /// Ends an exchange and returns the client that waits for it.
    pub(crate) fn take(&mut self, gateway: ConnId, number: i64) -> Option<Asker> {
        self.open.remove(&(gateway, number)).map(|exchange| exchange.asker)
    }

    /// Ends an exchange whose time is over.
    pub(crate) fn take_due(&mut self, gateway: ConnId, number: i64, now: Instant) -> Option<Due> {
        let deadline = self.open.get(&(gateway, number))?.deadline();
        if deadline > now {
            return Some(Due::Later(deadline));
        }
        self.take(gateway, number).map(Due::Failed)
    }

    /// Ends all exchanges with a gateway, and returns the clients that wait for them.
    pub(crate) fn take_with_gateway(&mut self, gateway: ConnId) -> Vec<Asker> {
        let places: Vec<_> = self.to_gateway(gateway).collect();
        places.into_iter().filter_map(|(conn, number)| self.take(conn, number)).collect()
    }

    /// Ends all exchanges of a client that have no effect on a camera, and returns the places of
    /// their requests.
    pub(crate) fn take_of_client(&mut self, client: ConnId) -> Vec<(ConnId, i64)> {
        let mut places = Vec::new();
        self.open.retain(|place, exchange| {
            let is_of_client = exchange.asker.conn == client && exchange.effect.is_none();
            if is_of_client {
                places.push(*place);
            }
            !is_of_client
        });
        places
    }

    fn to_gateway(&self, gateway: ConnId) -> impl Iterator<Item = (ConnId, i64)> {
        self.open.range((gateway, i64::MIN)..=(gateway, i64::MAX)).map(|(place, _)| *place)
    }
}

#[cfg(test)]
impl Exchanges {
    /// Returns true if nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the connections that all exchanges need.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.open.iter().flat_map(|((gateway, _), exchange)| {
            let asker = exchange.effect.is_none().then_some(exchange.asker.conn);
            [Some(*gateway), asker].into_iter().flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asker(conn: u64, id: i64) -> Asker {
        Asker { conn: ConnId(conn), id: RequestId::Number(id) }
    }

    /// Exchanges of the clients 1 and 2 with the gateways 8 and 9, which fail after 30 s of
    /// silence, or after 100 s.
    fn some(start: Instant) -> Exchanges {
        let mut exchanges = Exchanges::default();
        let (silent, end) = (start + Duration::from_secs(30), start + Duration::from_secs(100));
        for (gateway, number, asker) in
            [(8, 1, asker(1, 1)), (8, 2, asker(2, 1)), (9, 3, asker(1, 2))]
        {
            exchanges.add(ConnId(gateway), number, asker, silent, end);
        }
        exchanges
    }

    #[test]
    fn an_exchange_ends_with_either_of_its_two_sides() {
        let mut exchanges = some(Instant::now());
        assert_eq!((exchanges.with_gateway(ConnId(8)), exchanges.of_client(ConnId(1))), (2, 2));
        assert_eq!(exchanges.find(&asker(2, 1)), Some((ConnId(8), 2)));
        assert_eq!(exchanges.take_of_client(ConnId(1)), [(ConnId(8), 1), (ConnId(9), 3)]);
        assert_eq!(exchanges.take_with_gateway(ConnId(8)), [asker(2, 1)]);
        assert!(exchanges.is_empty());
    }

    #[test]
    fn progress_postpones_the_end_by_silence_but_not_the_last_one() {
        type Case = (&'static [u64], u64, Option<u64>);
        let table: [Case; 4] = [
            // Progress at these seconds; the timer fires; the next deadline, if it goes on.
            (&[], 30, None),
            (&[20], 30, Some(50)),
            (&[20, 45, 70], 50, Some(100)),
            (&[20, 45, 70, 95], 100, None),
        ];
        for (progress, fires, later) in table {
            let start = Instant::now();
            let at = |seconds| start + Duration::from_secs(seconds);
            let mut exchanges = some(start);
            for seconds in progress {
                let asker = exchanges.progress(ConnId(8), 1, at(seconds + 30));
                assert_eq!(asker, Some(self::asker(1, 1)));
            }
            let due = exchanges.take_due(ConnId(8), 1, at(fires));
            let expected = later.map_or(Due::Failed(asker(1, 1)), |later| Due::Later(at(later)));
            assert_eq!(due, Some(expected), "{progress:?} {fires}");
        }
    }

    #[test]
    fn a_gateway_cannot_send_progress_without_end() {
        let start = Instant::now();
        let mut exchanges = some(start);
        for _ in 0..MAX_PROGRESS {
            assert!(exchanges.progress(ConnId(8), 1, start).is_some());
        }
        assert_eq!(exchanges.progress(ConnId(8), 1, start), None);
        assert_eq!(exchanges.progress(ConnId(9), 1, start), None, "not its exchange");
    }
}
