//! The paths of vendors' RTSP streams, for cameras without ONVIF.
//!
//! The table is our own. Each row says where its paths are from; none was tried on the device
//! itself unless it says so. A path is only tried on a device that a person has chosen.

use super::ladder::MAX_REFUSED;

/// Maximum number of paths that are tried on one device.
const MAX_TRIES: usize = 10;

/// A vendor and the paths of its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vendor {
    /// Name of the vendor, as people know it.
    pub name: &'static str,
    /// Words in a device's name or model that tell the vendor, in lower case.
    words: &'static [&'static str],
    /// Pairs of paths: main stream and sub stream. The second is empty if there is none.
    pub paths: &'static [(&'static str, &'static str)],
}

const fn vendor(
    name: &'static str,
    words: &'static [&'static str],
    paths: &'static [(&'static str, &'static str)],
) -> Vendor {
    Vendor { name, words, paths }
}

/// Paths of Hikvision and of those that sell its devices.
const HIKVISION: &[(&str, &str)] = &[("/Streaming/Channels/101", "/Streaming/Channels/102")];

/// Paths of Dahua and of those that sell its devices.
const DAHUA: &[(&str, &str)] =
    &[("/cam/realmonitor?channel=1&subtype=0", "/cam/realmonitor?channel=1&subtype=1")];

/// The vendors. `untried` means that no source was looked up.
const VENDORS: &[Vendor] = &[
    // Frigate's list of brands.
    vendor("Hikvision", &["hikvision", "ds-2cd", "ds-2de"], HIKVISION),
    // Frigate's list of brands, which has it with Hikvision.
    vendor("Annke", &["annke"], HIKVISION),
    // Untried; sold by Hikvision.
    vendor("HiLook", &["hilook"], HIKVISION),
    // Untried; sold by Hikvision.
    vendor("EZVIZ", &["ezviz"], &[("/Streaming/Channels/101", "/Streaming/Channels/102")]),
    // Frigate's list of brands.
    vendor("Dahua", &["dahua", "ipc-hf", "ipc-hd", "dh-ipc"], DAHUA),
    // Frigate's list of brands, which has it with Dahua.
    vendor("Amcrest", &["amcrest"], DAHUA),
    // Untried; sold by Dahua.
    vendor("EmpireTech", &["empiretech", "loryta"], DAHUA),
    // Untried; made by Dahua.
    vendor("Lorex", &["lorex"], DAHUA),
    // Untried; sold by Dahua.
    vendor("Imou", &["imou"], DAHUA),
    // Frigate's list of brands; the older path from its documentation.
    vendor(
        "Reolink",
        &["reolink", "rlc-", "rln"],
        &[("/Preview_01_main", "/Preview_01_sub"), ("/h264Preview_01_main", "/h264Preview_01_sub")],
    ),
    // Frigate's list of brands.
    vendor("TP-Link", &["tp-link", "tplink", "tapo", "vigi"], &[("/stream1", "/stream2")]),
    // Frigate's list of brands.
    vendor("Axis", &["axis"], &[("/axis-media/media.amp", "")]),
    // Frigate's list of brands; its port is 88 on many models.
    vendor("Foscam", &["foscam"], &[("/videoMain", "/videoSub")]),
    // The vendor's support pages: "RTSP URLs".
    vendor(
        "Hanwha",
        &["hanwha", "samsung", "wisenet"],
        &[("/profile2/media.smp", "/profile3/media.smp")],
    ),
    // The vendor's support pages: "RTSP Syntax for Plug & Play Series" and "Autotracking".
    vendor("Avycon", &["avycon"], &[("/profile1", "/profile2"), ("/main", "/sub")]),
    // XSplit's page on RTSP addresses.
    vendor("Panasonic", &["panasonic", "i-pro"], &[("/MediaInput/h264", "")]),
    // XSplit's page on RTSP addresses.
    vendor("Sony", &["sony"], &[("/media/video1", "/media/video2")]),
    // Untried.
    vendor(
        "Uniview",
        &["uniview", "unv"],
        &[("/unicast/c1/s0/live", "/unicast/c1/s1/live"), ("/media/video1", "/media/video2")],
    ),
    // Untried.
    vendor("Vivotek", &["vivotek"], &[("/live1s1.sdp", "/live1s2.sdp"), ("/live.sdp", "")]),
    // Untried.
    vendor("Bosch", &["bosch"], &[("/rtsp_tunnel", "/rtsp_tunnel?inst=2")]),
    // Untried.
    vendor("Mobotix", &["mobotix"], &[("/mobotix.h264", "")]),
    // Untried.
    vendor("D-Link", &["d-link", "dlink", "dcs-"], &[("/live1.sdp", "/live2.sdp")]),
    // Untried.
    vendor("GeoVision", &["geovision"], &[("/CH001.sdp", "")]),
    // Untried.
    vendor("Tiandy", &["tiandy"], &[("/1/1", "/1/2")]),
    // Untried.
    vendor("Milesight", &["milesight"], &[("/main", "/sub")]),
    // Untried.
    vendor("Yi", &["yi-hack", "xiaoyi"], &[("/ch0_0.h264", "/ch0_1.h264")]),
];

/// Paths that many cameras without a known name have. Untried.
const COMMON: &[(&str, &str)] = &[
    ("/stream1", "/stream2"),
    ("/live/ch00_0", "/live/ch00_1"),
    ("/11", "/12"),
    ("/onvif1", "/onvif2"),
    ("/h264", ""),
    ("/live", ""),
];

/// Returns the vendor whose name is in a device's name, model or vendor.
#[must_use]
pub fn named(text: &str) -> Option<&'static Vendor> {
    let text = text.to_ascii_lowercase();
    VENDORS.iter().find(|vendor| vendor.words.iter().any(|word| has_word(&text, word)))
}

/// Returns true if a text has a word that no letter stands before.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        !text.get(..at).is_some_and(|before| before.ends_with(char::is_alphanumeric))
    })
}

/// Returns the pairs of paths to try on a device, the likeliest first.
fn paths(vendor: Option<&Vendor>) -> Vec<(&'static str, &'static str)> {
    let own = vendor.map_or(&[][..], |vendor| vendor.paths);
    let families = [HIKVISION, DAHUA].concat();
    let mut all: Vec<(&str, &str)> = own.to_vec();
    for pair in families.into_iter().chain(COMMON.iter().copied()) {
        if !all.iter().any(|(main, _)| *main == pair.0) {
            all.push(pair);
        }
    }
    all.truncate(MAX_TRIES);
    all
}

/// Results of a try, as far as they decide about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryResult {
    /// The device has no stream at this path.
    NotThere,
    /// The device refuses user and password. Some do so for paths that they do not have.
    WrongPassword,
    /// The device cannot be reached, or wants a password and there is none.
    Hopeless,
}

/// The paths that are tried on one device, one after another.
#[derive(Debug)]
pub struct PathTries {
    /// The pairs that are left, the next one at the end.
    left: Vec<(&'static str, &'static str)>,
    /// Number of requests with a password that were refused, those of ONVIF included.
    refused: u8,
}

impl PathTries {
    /// Creates the tries for a device of this vendor. `refused` is the number of requests with a
    /// password that it has refused before.
    #[must_use]
    pub fn new(vendor: Option<&Vendor>, refused: u8) -> Self {
        let mut left = paths(vendor);
        left.reverse();
        Self { left, refused }
    }

    /// Returns the next pair of paths, main and sub stream; the second may be empty.
    #[must_use]
    pub fn poll(&mut self) -> Option<(&'static str, &'static str)> {
        if self.refused >= MAX_REFUSED { None } else { self.left.pop() }
    }

    /// Returns the number of requests with a password that were refused so far.
    #[must_use]
    pub fn refused(&self) -> u8 {
        self.refused
    }

    /// Handles the result of the last try, which was no success.
    pub fn handle_result(&mut self, result: TryResult) {
        match result {
            TryResult::NotThere => {}
            TryResult::WrongPassword => self.refused += 1,
            TryResult::Hopeless => self.left.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_is_known_by_a_word_in_the_names_of_its_devices() {
        for (text, expected) in [
            ("HIKVISION DS-2CD2042WD-I", Some("Hikvision")),
            ("DS-2CD2042WD-I", Some("Hikvision")),
            ("AXIS M1065-L", Some("Axis")),
            ("Tapo C200", Some("TP-Link")),
            ("IPC-HFW2831T", Some("Dahua")),
            ("praxis camera", None),
            ("IPCamera", None),
            ("", None),
        ] {
            assert_eq!(named(text).map(|vendor| vendor.name), expected, "{text}");
        }
    }

    #[test]
    fn the_paths_of_the_vendor_are_tried_first_and_never_more_than_ten() {
        for vendor in VENDORS.iter().map(Some).chain([None]) {
            let tried = paths(vendor);
            assert!((5..=MAX_TRIES).contains(&tried.len()), "{vendor:?}: {tried:?}");
            let own = vendor.map_or(&[][..], |vendor| vendor.paths);
            assert!(tried.starts_with(own), "{vendor:?}: {tried:?}");
            for (main, sub) in &tried {
                assert!(main.starts_with('/') && (sub.is_empty() || sub.starts_with('/')));
                assert_eq!(tried.iter().filter(|(other, _)| other == main).count(), 1, "{main}");
            }
        }
        assert!(VENDORS.len() >= 25);
    }

    #[test]
    fn tries_end_after_two_refused_passwords_or_when_there_is_no_hope() {
        use TryResult::{Hopeless, NotThere, WrongPassword};
        type Case = (u8, &'static [TryResult], usize);
        let cases: &[Case] = &[
            (0, &[NotThere; 20], MAX_TRIES),
            (0, &[NotThere, WrongPassword, WrongPassword, NotThere], 3),
            (1, &[WrongPassword, NotThere], 1),
            (2, &[NotThere], 0),
            (0, &[Hopeless, NotThere], 1),
        ];
        for (refused, results, expected) in cases {
            let mut tries = PathTries::new(named("reolink"), *refused);
            let mut count = 0;
            for result in *results {
                if tries.poll().is_some() {
                    count += 1;
                    tries.handle_result(*result);
                }
            }
            assert_eq!(count, *expected, "{refused} {results:?}");
        }
    }
}
