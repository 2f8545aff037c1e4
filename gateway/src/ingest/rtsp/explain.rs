//! Errors for the ends of sessions.

use porthole_gateway_core::rtsp::{Failure, Lower, RedirectProblem, Transport};

use crate::ingest::SourceError;
use crate::ingest::source::RtspCamera;

/// Returns the error that tells people about a failure.
pub(super) fn explain(camera: &RtspCamera, failure: Failure) -> SourceError {
    let host = camera.address.host_and_port();
    match failure {
        Failure::NoReply => SourceError::NoAnswer { host, after: camera.timeouts.connect },
        Failure::Closed => SourceError::Closed { host },
        Failure::PasswordMissing => SourceError::PasswordMissing { host },
        Failure::WrongPassword => SourceError::WrongPassword { host },
        Failure::UnknownAuthentication => SourceError::UnknownAuthentication { host },
        Failure::WantsText => SourceError::WantsText { host },
        Failure::NotFound(path) => SourceError::NotFound { path },
        Failure::Transport(_) if camera.transport == Transport::Auto => SourceError::NoTransport,
        Failure::Transport(lower) => {
            let (transport, other) = match lower {
                Lower::Tcp => ("TCP", "udp"),
                Lower::Udp => ("UDP", "tcp"),
                Lower::Multicast => ("multicast", "tcp"),
            };
            SourceError::WrongTransport { transport, other }
        }
        Failure::Status(status) => SourceError::Status(status),
        Failure::Redirect { to, problem } => {
            let reason = match problem {
                RedirectProblem::OtherHost => {
                    "which is another host, or another name of it: use that address if you trust it"
                }
                RedirectProblem::WithoutTls => {
                    "which is without TLS: use that address if you trust the network"
                }
                RedirectProblem::TooMany => "and has redirected too often: use its last address",
                RedirectProblem::NotRtsp => "which is no RTSP address: check the path of yours",
            };
            SourceError::Redirected { to, reason }
        }
        Failure::Sdp(error) => SourceError::Sdp(error),
        Failure::Protocol(reason) => SourceError::Protocol(reason),
        Failure::Ended => SourceError::Ended,
        Failure::Silent => SourceError::Silent { after: camera.timeouts.silence },
    }
}
