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

/// Returns the limit to which [`raise_limit`] raises it.
#[cfg(unix)]
pub fn hard_limit() -> Option<usize> {
    use nix::sys::resource::{Resource, getrlimit};
    usize::try_from(getrlimit(Resource::RLIMIT_NOFILE).ok()?.1).ok()
}

#[cfg(not(unix))]
pub fn hard_limit() -> Option<usize> {
    None
}

/// Returns the limit of open files of this process now.
#[cfg(unix)]
pub fn soft_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};
    Some(getrlimit(Resource::RLIMIT_NOFILE).ok()?.0)
}

#[cfg(not(unix))]
pub fn soft_limit() -> Option<u64> {
    None
}
