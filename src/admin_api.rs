//! The admin API of the roles that run: one address for all of them.

mod process;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use porthole_admin::{Admin, Api, Reload};
use porthole_metrics::{Exposition, TimeHistogram};
use porthole_turn_server::Server;
use tokio::time::{Instant as TokioInstant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{AdminAddress, AdminSettings, Config, Secret};
use crate::console;

pub use process::note_start;

/// Interval at which the lateness of timers is measured.
const LAG_INTERVAL: Duration = Duration::from_millis(500);
/// Upper bounds of the lateness of timers in milliseconds: Tokio's own have one.
const LAG_BOUNDS_MS: &[u64] = &[2, 5, 10, 25, 50, 100, 250, 1_000];

/// The roles that run in this program, as far as the API shows them.
#[derive(Default)]
pub struct Roles {
    pub signaling: Option<porthole_signaling::Metrics>,
    pub gateway: Option<porthole_gateway::Metrics>,
    pub turn: Option<Arc<Server>>,
}

/// The admin API with its socket bound, if it is configured.
pub struct AdminApi(Option<Admin>);

/// The running API, which ends when this is dropped.
#[must_use]
pub struct Serving(#[expect(dead_code, reason = "stops the API when it is dropped")] DropGuard);

/// Returns the configuration of the API of a role without a TURN server, if it is enabled.
pub fn configuration(config: &Config) -> Option<porthole_admin::Config> {
    let AdminSettings { listen, token } = &config.admin;
    made_of(listen.as_ref(), token.as_ref())
}

/// Returns the configuration of the API of a role with a TURN server, if it is enabled. The former
/// names of the settings count for these roles only: others never read them, and may share the
/// file.
pub fn configuration_with_turn(config: &Config) -> Option<porthole_admin::Config> {
    let (admin, turn) = (&config.admin, &config.turn);
    let (listen, token) = (admin.listen.as_ref(), admin.token.as_ref());
    made_of(listen.or(turn.admin.as_ref()), token.or(turn.admin_token.as_ref()))
}

fn made_of(
    listen: Option<&AdminAddress>,
    token: Option<&Secret>,
) -> Option<porthole_admin::Config> {
    let token = token.map(|token| token.reveal().to_owned().into());
    Some(porthole_admin::Config { at: listen?.0.clone(), token })
}

impl AdminApi {
    /// Binds the socket, before anything else is started: an unusable address ends the program.
    pub async fn bind(configuration: Option<porthole_admin::Config>) -> anyhow::Result<Self> {
        let admin = match configuration {
            Some(config) => Some(Admin::bind(config).await?),
            None => None,
        };
        Ok(Self(admin))
    }

    /// Serves the API of these roles until the returned value is dropped. `stop` is cancelled when
    /// the program is about to stop.
    pub fn serve(self, roles: Roles, reload: Reload, stop: &CancellationToken) -> Serving {
        let end = CancellationToken::new();
        if let Some(admin) = self.0 {
            console::print_progress(format_args!("the admin API is on {}", admin.place()));
            let api = api(roles, reload, stop.clone(), &end);
            tokio::spawn(admin.run(api, end.clone()));
        }
        Serving(end.drop_guard())
    }
}

fn api(roles: Roles, reload: Reload, stop: CancellationToken, end: &CancellationToken) -> Api {
    let turn = roles.turn.clone();
    let further = turn.clone().map_or_else(Router::new, porthole_turn_admin::routes);
    let lag = Arc::new(Mutex::new(TimeHistogram::new(LAG_BOUNDS_MS)));
    tokio::spawn(measure_lag(Arc::clone(&lag), end.clone()));
    let roles = Arc::new(roles);
    Api {
        is_draining: Arc::new(move || {
            stop.is_cancelled() || turn.as_ref().is_some_and(|turn| turn.is_draining())
        }),
        metrics: Arc::new(move || {
            let (roles, lag) = (Arc::clone(&roles), Arc::clone(&lag));
            Box::pin(async move {
                let lag = lag.lock().unwrap_or_else(PoisonError::into_inner).clone();
                write_metrics(&roles, &lag).await
            })
        }),
        reload,
        further,
    }
}

async fn write_metrics(roles: &Roles, lag: &TimeHistogram) -> String {
    let mut out = Exposition::default();
    process::write(&mut out);
    let help = "Lateness of the timers of the threads that serve HTTP and WebSockets";
    out.histogram("porthole_runtime_lag_seconds", help, lag);
    if let Some(signaling) = &roles.signaling {
        signaling.write(&mut out);
    }
    if let Some(gateway) = &roles.gateway {
        gateway.write(&mut out).await;
    }
    if let Some(turn) = &roles.turn {
        porthole_turn_admin::write_metrics(turn, &mut out);
    }
    out.into_text()
}

/// Measures by how much timers are late, until `end` is cancelled.
async fn measure_lag(lag: Arc<Mutex<TimeHistogram>>, end: CancellationToken) {
    loop {
        let due = Instant::now() + LAG_INTERVAL;
        tokio::select! {
            () = sleep_until(TokioInstant::from(due)) => {}
            () = end.cancelled() => return,
        }
        lag.lock().unwrap_or_else(PoisonError::into_inner).record(due.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reference_lists_exactly_the_metrics_of_the_program() {
        let mut lag = TimeHistogram::new(LAG_BOUNDS_MS);
        lag.record(Duration::from_millis(3));
        let text = write_metrics(&Roles::default(), &lag).await;
        let reference = include_str!("../docs/ref/metrics.md");
        let (own, _) = reference.split_once("## Signaling server").unwrap();
        let own = format!("{own}`{}`", env!("CARGO_PKG_VERSION"));
        let found = porthole_test_support::metrics::complaints(&text, "porthole_", &own);
        assert_eq!(found, [""; 0], "docs/ref/metrics.md");
        assert!(text.contains("porthole_runtime_lag_seconds_bucket{le=\"0.005\"} 1\n"), "{text}");
    }

    #[test]
    fn the_former_names_count_for_roles_with_a_turn_server_unless_there_are_the_new_ones() {
        for (text, with_turn, without) in [
            ("", None, None),
            ("[turn]\nadmin = 'unix:/a'", Some("unix:/a"), None),
            ("[admin]\nlisten = 'unix:/b'", Some("unix:/b"), Some("unix:/b")),
            (
                "[turn]\nadmin = 'unix:/a'\n[admin]\nlisten = 'unix:/b'",
                Some("unix:/b"),
                Some("unix:/b"),
            ),
            (
                "[turn]\nadmin = '127.0.0.1:1'\n[admin]\ntoken = '0123456789abcdef'",
                Some("127.0.0.1:1"),
                None,
            ),
        ] {
            let config = toml::from_str(text).unwrap();
            for (found, expected) in
                [(configuration_with_turn(&config), with_turn), (configuration(&config), without)]
            {
                assert!(found.as_ref().is_none_or(|config| config.check().is_ok()), "{text}");
                let found = found.map(|config| config.at.to_string());
                assert_eq!(found.as_deref(), expected, "{text}");
            }
        }
    }
}
