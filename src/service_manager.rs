//! Messages for systemd about a server (`Type=notify`, `WatchdogSec=`): when it serves, that it is
//! alive, and that it ends. Without systemd nothing happens.

use tokio_util::sync::CancellationToken;

/// Tells systemd that the server is ready, from then on that it is alive, and that it ends when
/// `stop` is cancelled.
pub fn report_ready(stop: &CancellationToken) {
    linux::report_ready(stop.clone());
}

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use sd_notify::NotifyState;
    use tokio::time::{MissedTickBehavior, interval};
    use tokio_util::sync::CancellationToken;

    pub(super) fn report_ready(stop: CancellationToken) {
        notify(NotifyState::Ready);
        if let Some(deadline) = sd_notify::watchdog_enabled() {
            tokio::spawn(report_alive(deadline));
        }
        tokio::spawn(async move {
            stop.cancelled().await;
            notify(NotifyState::Stopping);
        });
    }

    /// Tells systemd twice in each deadline that tasks are run, until the program ends.
    async fn report_alive(deadline: Duration) {
        let mut interval = interval(deadline / 2);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            notify(NotifyState::Watchdog);
        }
    }

    fn notify(state: NotifyState<'_>) {
        if let Err(error) = sd_notify::notify(&[state]) {
            tracing::warn!(%error, "systemd cannot be told the state of this service");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    pub(super) fn report_ready(_: tokio_util::sync::CancellationToken) {}
}
