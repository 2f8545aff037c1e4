//! The driver of port mappings: the sockets, the clock and the default route.

mod route;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use porthole_gateway_core::port_mapping::{ANNOUNCEMENT_PORT, MapperOutput, Network, PortMapper};
use socket2::{Domain, Protocol as SocketProtocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::onvif::exchange::Exchanges;

pub use porthole_gateway_core::port_mapping::{
    LIFETIME, Mapping, PortMapperConfig, Protocol, Protocols, Standing, State,
};

/// Interval at which the default route is read, like that of the machine's addresses.
const ROUTE_INTERVAL: Duration = Duration::from_secs(3);

/// Longest datagram that is read: an answer to a search may have as much.
const MAX_DATAGRAM: usize = 2048;

/// Longest sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// Time for which [`try_once`] asks for a port, should its end be lost.
const TRIAL_LIFETIME: Duration = Duration::from_secs(120);

/// Time for [`try_once`] to find a router: for the search, and for the exchanges with one device.
const TRIAL_TIME: Duration = Duration::from_secs(8);

/// The sockets in one network.
#[derive(Debug)]
struct Sockets {
    asking: UdpSocket,
    /// Hears a router that was restarted; another program may have the port.
    announcements: Option<UdpSocket>,
}

/// Keeps a port mapped as long as the gateway runs.
#[derive(Debug)]
pub(crate) struct PortMapping {
    mapper: PortMapper,
    sockets: Option<Sockets>,
    exchanges: Exchanges,
    state: watch::Sender<State>,
}

impl PortMapping {
    /// Creates the driver; its state is told through `state`.
    pub(crate) fn new(config: PortMapperConfig, state: watch::Sender<State>) -> Self {
        let mapper = PortMapper::new(config);
        Self { mapper, sockets: None, exchanges: Exchanges::default(), state }
    }

    /// Runs until `stop` is cancelled, and then gives the mapping back.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut routes = tokio::time::interval(ROUTE_INTERVAL);
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut is_stopping = false;
        loop {
            self.apply_outputs().await;
            if self.mapper.is_closed() {
                return;
            }
            let due = self.mapper.poll_timeout().map(TokioInstant::from);
            let due = due.unwrap_or_else(|| TokioInstant::now() + IDLE);
            tokio::select! {
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    self.mapper.close(Instant::now());
                }
                _ = routes.tick(), if !is_stopping => self.follow_route().await,
                received = receive(self.sockets.as_ref(), &mut buffer) => match received {
                    Ok((length, from)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        self.mapper.handle_datagram(Instant::now(), from, bytes);
                    }
                    Err(error) => {
                        // Opened again with the next look at the routes.
                        debug!("the socket to the router has failed: {error}");
                        self.sockets = None;
                        self.mapper.set_network(Instant::now(), None);
                    }
                },
                Some((id, reply)) = self.exchanges.next() => {
                    self.mapper.handle_reply(Instant::now(), id, reply.as_ref().ok());
                }
                () = sleep_until(due) => self.mapper.handle_timeout(Instant::now()),
            }
        }
    }

    /// Tells the mapper when the default route has changed.
    async fn follow_route(&mut self) {
        let network = route::network().await;
        if network == self.mapper.network() {
            return;
        }
        // What there is at the former router is given back as long as the sockets are there.
        self.mapper.set_network(Instant::now(), None);
        self.apply_outputs().await;
        self.sockets = network.and_then(|network| {
            let opened = Sockets::open(network);
            opened.inspect_err(|error| debug!("no socket to the router: {error}")).ok()
        });
        let network = network.filter(|_| self.sockets.is_some());
        self.mapper.set_network(Instant::now(), network);
    }

    async fn apply_outputs(&mut self) {
        while let Some(output) = self.mapper.poll_output() {
            match output {
                MapperOutput::Datagram { to, bytes } => {
                    if let Some(sockets) = &self.sockets
                        && let Err(error) = sockets.asking.send_to(&bytes, to).await
                    {
                        debug!("a message to the router at {to} is lost: {error}");
                    }
                }
                MapperOutput::Send(request) => self.exchanges.send(request),
                MapperOutput::Cancel(id) => self.exchanges.cancel(id),
                MapperOutput::State(state) => {
                    self.state.send_replace(state);
                }
            }
        }
    }
}

impl Sockets {
    fn open(network: Network) -> io::Result<Self> {
        let asking = std::net::UdpSocket::bind((network.local, 0))?;
        asking.set_nonblocking(true)?;
        SockRef::from(&asking).set_multicast_if_v4(&network.local)?;
        // The search does not leave the network.
        asking.set_multicast_ttl_v4(1)?;
        let announcements = announcements();
        let announcements =
            announcements.inspect_err(|error| debug!("routers are not heard: {error}")).ok();
        Ok(Self { asking: UdpSocket::from_std(asking)?, announcements })
    }
}

/// Opens the socket at which announcements of routers arrive, sent to all machines.
fn announcements() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(SocketProtocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, ANNOUNCEMENT_PORT);
    socket.bind(&SocketAddr::from(any).into())?;
    UdpSocket::from_std(socket.into())
}

async fn receive(sockets: Option<&Sockets>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let Some(Sockets { asking, announcements }) = sockets else {
        return std::future::pending().await;
    };
    let Some(announcements) = announcements else { return asking.recv_from(buffer).await };
    let announced = tokio::select! {
        ready = asking.readable() => { ready?; false }
        ready = announcements.readable() => { ready?; true }
    };
    let socket = if announced { announcements } else { asking };
    socket.recv_from(buffer).await
}

/// Returns the router of the default route.
pub async fn default_router() -> Option<Ipv4Addr> {
    Some(route::network().await?.router)
}

/// Asks the router of the default route to forward a port of this machine for a moment, and gives
/// it back. Returns `None` without such a route.
pub async fn try_once(protocols: Protocols) -> Option<State> {
    route::network().await?;
    // Kept until the end, so that no other program gets the port meanwhile.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    let port = socket.local_addr().ok()?.port();
    let (telling, mut state) = watch::channel(State::Unknown);
    let config = PortMapperConfig {
        protocols,
        port,
        lifetime: TRIAL_LIFETIME,
        is_fixed: false,
        secret: rand::random(),
        seed: rand::random(),
    };
    let driver = PortMapping::new(config, telling);
    let stop = CancellationToken::new();
    let found = async {
        let known = state.wait_for(|state| *state != State::Unknown);
        let known = timeout(TRIAL_TIME, known).await;
        let known = known.ok().and_then(Result::ok).map(|state| *state);
        stop.cancel();
        known
    };
    let ((), found) = tokio::join!(driver.run(stop.clone()), found);
    Some(found.unwrap_or(State::Unknown))
}
