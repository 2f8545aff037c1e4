//! The limit of open files: each connection takes one.

/// Raises the soft limit of this process to the hard one, and returns it. `None` on systems without
/// such a limit.
#[cfg(unix)]
pub fn raise_limit() -> Option<usize> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    usize::try_from(if raised.is_ok() { hard } else { soft }).ok()
}

#[cfg(not(unix))]
pub fn raise_limit() -> Option<usize> {
    None
}
