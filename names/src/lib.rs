//! The lookup of names in a program that is linked statically with glibc.
//!
//! glibc looks names up as `/etc/nsswitch.conf` says, and loads a module of the machine for each
//! service in it but `files` and `dns`, which are part of the library. A static program brings the
//! glibc that it was built with; a module of the machine brings the machine's, a second one of
//! another version, and the program may crash. So a static program uses `files` and `dns` only.
//! The price: what only a module knows, such as `.local` names, it does not find.
//!
//! A program that is linked dynamically keeps to `/etc/nsswitch.conf`.

#![warn(missing_docs)]

/// Keeps every lookup to `/etc/hosts` and DNS, if the program is static. Returns false if the
/// library has refused that. Call it before the first lookup.
pub fn use_files_and_dns() -> bool {
    glibc::use_files_and_dns()
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static"))]
mod glibc {
    use std::ffi::{c_char, c_int};

    #[expect(unsafe_code, reason = "no crate has this function of glibc")]
    unsafe extern "C" {
        /// Replaces the services of one database of `/etc/nsswitch.conf`; 0 is success.
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    #[expect(unsafe_code, reason = "a function of glibc is called")]
    pub(super) fn use_files_and_dns() -> bool {
        // SAFETY: both are constants that end with a zero byte, and the library copies what it
        // keeps of them.
        unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) == 0 }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static")))]
mod glibc {
    pub(super) fn use_files_and_dns() -> bool {
        true
    }
}
