//! The scopes by which a device describes itself (ONVIF Core §7.3.2.2), such as
//! `onvif://www.onvif.org/name/Front%20door`.

use crate::rtsp::percent_decode;

/// Maximum number of scopes that are read of one device.
const MAX_SCOPES: usize = 100;

/// Maximum length of a value in characters; longer ones are cut.
const MAX_VALUE: usize = 80;

/// The texts of a device's scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scopes {
    /// Name that the device calls itself, often vendor and model.
    pub(super) name: Option<String>,
    /// Model of the device, as the scope `hardware` has it.
    pub(super) model: Option<String>,
    /// Name of the vendor, which few devices have as a scope.
    pub(super) vendor: Option<String>,
    /// MAC address, as `aa:bb:cc:dd:ee:ff`.
    pub(super) mac: Option<String>,
    /// True if any scope is one of ONVIF's.
    pub(super) is_onvif: bool,
}

impl Scopes {
    /// Reads scopes that blanks part.
    pub(super) fn read(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split_whitespace().take(MAX_SCOPES) {
            let Some((_, rest)) = scope.split_once("://") else { continue };
            let Some((authority, path)) = rest.split_once('/') else { continue };
            if !authority.to_ascii_lowercase().ends_with("onvif.org") {
                continue;
            }
            scopes.is_onvif = true;
            let Some((category, value)) = path.split_once('/') else { continue };
            // An underscore stays, because it is part of many models' names.
            let value = shown(&percent_decode(value));
            let slot = match category.to_ascii_lowercase().as_str() {
                "name" => &mut scopes.name,
                "hardware" => &mut scopes.model,
                "manufacturer" | "mfr" | "vendor" => &mut scopes.vendor,
                "mac" | "macaddr" | "macaddress" => {
                    scopes.mac = scopes.mac.take().or_else(|| mac(&value));
                    continue;
                }
                _ => continue,
            };
            if slot.is_none() && !value.is_empty() {
                *slot = Some(value);
            }
        }
        scopes
    }
}

/// Returns a text of a device as people may see it: one line, bounded, without control characters.
pub(super) fn shown(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER);
    kept.take(MAX_VALUE).collect::<String>().trim().to_owned()
}

/// Returns a MAC address in its usual form, from twelve digits with any separators.
pub(super) fn mac(text: &str) -> Option<String> {
    let digits: Vec<char> = text
        .chars()
        .filter(|c| !matches!(c, ':' | '-' | '.' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if digits.len() != 12 || !digits.iter().all(char::is_ascii_hexdigit) {
        return None;
    }
    let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    (pairs.iter().any(|pair| pair != "00")).then(|| pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_decoded_and_bounded() {
        let text = |text: &str| Some(text.to_owned());
        for (scopes, name, model, mac) in [
            (
                "onvif://www.onvif.org/name/HIKVISION%20DS-2CD2042WD-I \
                 onvif://www.onvif.org/hardware/DS-2CD2042WD-I \
                 onvif://www.onvif.org/MAC/c0:56:e3:01:02:03",
                text("HIKVISION DS-2CD2042WD-I"),
                text("DS-2CD2042WD-I"),
                text("c0:56:e3:01:02:03"),
            ),
            ("ONVIF://WWW.ONVIF.ORG/Name/T%C3%BCr", text("T\u{fc}r"), None, None),
            ("onvif://www.onvif.org/name/100%", text("100%"), None, None),
            ("onvif://www.onvif.org/name/a%0D%0Ab%1B%5B2J", text("ab[2J"), None, None),
            (
                "onvif://www.onvif.org/macaddress/C056E3010203",
                None,
                None,
                text("c0:56:e3:01:02:03"),
            ),
            ("onvif://www.onvif.org/mac/000000000000", None, None, None),
            ("http://www.example.org/name/x onvif://www.onvif.org/name", None, None, None),
            ("", None, None, None),
        ] {
            let read = Scopes::read(scopes);
            assert_eq!((read.name, read.model, read.mac), (name, model, mac), "{scopes}");
        }
        let long = format!("onvif://www.onvif.org/name/{}", "x".repeat(10_000));
        assert_eq!(Scopes::read(&long).name.map(|name| name.len()), Some(MAX_VALUE));
    }
}
