//! The limit of open files: each relayed address takes one.

/// Raises the soft limit of this process to the hard one and returns the resulting limit. `None`
/// on systems without such a limit.
#[cfg(unix)]
pub(crate) fn raise_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        Err(error) => {
            tracing::debug!(%error, "the limit of open files cannot be raised");
            Some(soft)
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_limit() -> Option<u64> {
    None
}
