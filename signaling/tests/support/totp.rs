//! Codes of a second factor, computed without our code.

use std::process::Command;

use serde_json::{Value, json};

use super::HttpResponse;

/// Computes the code of a secret as an app does.
const CODE_OF: &str = "
import base64, hashlib, hmac, struct, sys, time
key = base64.b32decode(sys.argv[1])
digest = hmac.new(key, struct.pack('>Q', int(time.time()) // 30), hashlib.sha1).digest()
start = digest[-1] & 15
print('%06d' % ((struct.unpack('>I', digest[start:start + 4])[0] & 0x7fffffff) % 1000000))
";

/// Sets a second factor up for somebody, for whom `send` sends a request with this method and body
/// to the second factor of its account. Returns the recovery codes.
pub async fn enrol(
    password: &str,
    send: impl AsyncFn(&'static str, Value) -> HttpResponse,
) -> Vec<String> {
    let secret = send("POST", json!({ "password": password })).await.json();
    let secret = secret["secret"].as_str().expect("a secret").to_owned();
    let code = Command::new("python3").args(["-c", CODE_OF, &secret]).output();
    let code = String::from_utf8(code.expect("python3").stdout).expect("text");
    let confirmed = send("PUT", json!({ "code": code.trim() })).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    serde_json::from_value(confirmed.json()["codes"].clone()).expect("a list")
}

/// Returns what is tried with a password and codes, and how each is answered: the status, and if a
/// code is asked for. The last try needs the first recovery code a second time.
pub fn tries<'a>(
    password: &'a str,
    codes: &'a [String],
) -> [(&'a str, Option<&'a str>, u16, bool); 7] {
    [
        ("wrong password", Some(&codes[0]), 403, false),
        ("wrong password", None, 403, false),
        (password, None, 403, true),
        (password, Some(" "), 403, true),
        (password, Some("000000"), 403, true),
        (password, Some(&codes[0]), 200, false),
        (password, Some(&codes[0]), 403, true),
    ]
}
