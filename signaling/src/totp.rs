//! Codes of a second factor, which change every 30 seconds (TOTP, RFC 6238, with the parameters
//! that every app knows: SHA-1, six digits).

use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use url::form_urlencoded::byte_serialize;

use crate::secret;

/// Length of a secret, which is that of the hash (RFC 4226 §4).
const SECRET_BYTES: usize = 20;
/// Time for which a code is shown.
const STEP_S: u64 = 30;
/// The steps before and after the current one whose codes count: for a clock that is wrong, and for
/// the time that typing takes.
const SLACK: u64 = 1;
/// One more than the highest code.
const MODULUS: u32 = 1_000_000;
const DIGITS: usize = 6;
/// The alphabet of base32 (RFC 4648 §6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The name of the program in the list of an app.
const ISSUER: &str = "Porthole";

/// Creates the secret of a user.
pub(crate) fn new_secret() -> Vec<u8> {
    secret::random::<SECRET_BYTES>().to_vec()
}

/// Returns the step whose code this is, if it counts now and is later than the last that was used:
/// a code counts once.
pub(crate) fn step_of(secret: &[u8], code: &str, now_s: u64, last: u64) -> Option<u64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let code: u32 = digits.parse().ok()?;
    let now = now_s / STEP_S;
    let mut steps = now.saturating_sub(SLACK)..=now + SLACK;
    steps.find(|step| *step > last && code_at(secret, *step) == code)
}

/// Returns the code of a step (RFC 4226 §5.3).
pub(crate) fn code_at(secret: &[u8], step: u64) -> u32 {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes any key");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[hash.len() - 1] & 0xf);
    let bytes = [hash[offset], hash[offset + 1], hash[offset + 2], hash[offset + 3]];
    (u32::from_be_bytes(bytes) & 0x7fff_ffff) % MODULUS
}

/// Returns a secret in the form that can be typed into an app.
pub(crate) fn base32(secret: &[u8]) -> String {
    let groups = secret.chunks(5).flat_map(|chunk| {
        let mut bytes = [0; 8];
        bytes[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(bytes);
        let letters = (chunk.len() * 8).div_ceil(5);
        (0..letters).map(move |index| (bits >> (35 - 5 * index)) & 31)
    });
    let letter =
        |bits: u64| BASE32.get(usize::try_from(bits).unwrap_or(0)).copied().unwrap_or(b'A');
    groups.map(|bits| char::from(letter(bits))).collect()
}

/// Returns the address of a secret that apps read from a QR code.
pub(crate) fn address(secret: &[u8], user: &str) -> String {
    let user: String = byte_serialize(user.as_bytes()).collect();
    // A space is `+` in forms only.
    let user = user.replace('+', "%20");
    let secret = base32(secret);
    format!(
        "otpauth://totp/{ISSUER}:{user}?secret={secret}&issuer={ISSUER}&algorithm=SHA1\
         &digits={DIGITS}&period={STEP_S}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of the test vectors of RFC 6238.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B has eight digits, of which these are the last six.
        for (time_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = time_s / STEP_S;
            assert_eq!(format!("{:06}", code_at(SECRET, step)), code);
            assert_eq!(step_of(SECRET, code, time_s, 0), Some(step));
        }
    }

    #[test]
    fn a_code_counts_once_and_around_its_time() {
        for (code, now_s, last, expected) in [
            ("287082", 59, 0, Some(1)),
            (" 287 082 ", 89, 0, Some(1)),
            ("287082", 0, 0, Some(1)),
            ("287082", 90, 0, None),
            ("287082", 59, 1, None),
            ("287083", 59, 0, None),
            ("+87082", 59, 0, None),
            ("28708", 59, 0, None),
            ("", 59, 0, None),
        ] {
            assert_eq!(step_of(SECRET, code, now_s, last), expected, "{code:?} at {now_s}");
        }
        assert_ne!(new_secret(), new_secret());
    }

    #[test]
    fn secrets_are_written_as_apps_read_them() {
        // RFC 4648 §10, without padding.
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(
            address(SECRET, "Ann & Bob"),
            "otpauth://totp/Porthole:Ann%20%26%20Bob?\
             secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Porthole&algorithm=SHA1\
             &digits=6&period=30"
        );
    }
}
