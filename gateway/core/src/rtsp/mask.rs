//! Passwords in paths and queries, which many cameras expect there.

/// Names of parameters whose values are secret.
const SECRET: &[&str] =
    &["password", "passwd", "passwort", "pass", "pwd", "psw", "token", "auth", "secret", "key"];

/// The text shown instead of a secret.
const MASK: &str = "***";

/// Returns a path, query or whole address in which the values of parameters such as `password=` are
/// masked.
#[must_use]
pub fn passwords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, after) = rest.split_at(equals + 1);
        masked.push_str(before);
        let name = before.trim_end_matches('=').to_ascii_lowercase();
        let name = name.rsplit(is_separator).next().unwrap_or_default();
        let in_query = masked.contains('?');
        let len = if SECRET.contains(&name) { value_len(after, in_query) } else { 0 };
        if len > 0 {
            masked.push_str(MASK);
        }
        rest = after.get(len..).unwrap_or_default();
    }
    masked + rest
}

/// Characters that part parameters; some cameras write `/user=a_password=b_channel=1`.
fn is_separator(c: char) -> bool {
    matches!(c, '/' | '?' | '&' | ';' | ',' | '#' | '_' | '@' | ':' | '%')
}

/// Returns the length of a secret value. An underscore ends it only if another parameter follows, a
/// slash only in a path.
fn value_len(text: &str, in_query: bool) -> usize {
    let ends = |c: char| matches!(c, '&' | ';' | ',' | '#') || !in_query && matches!(c, '/' | '?');
    let end = text.find(ends).unwrap_or(text.len());
    let value = text.get(..end).unwrap_or(text);
    let begins_parameter = |at: usize| {
        let rest = value.get(at + 1..).unwrap_or_default();
        let name = rest.split('=').next().unwrap_or_default();
        name.len() < rest.len()
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let mut underscores = value.match_indices('_').map(|(at, _)| at);
    underscores.find(|at| begins_parameter(*at)).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_are_masked_and_nothing_else() {
        for (text, expected) in [
            (
                "/user=admin&password=secret&channel=1&stream=0.sdp?real_stream",
                "/user=admin&password=***&channel=1&stream=0.sdp?real_stream",
            ),
            (
                "/user=admin_password=se_cret_channel=1_stream=0.sdp",
                "/user=admin_password=***_channel=1_stream=0.sdp",
            ),
            ("/live?PWD=secret", "/live?PWD=***"),
            ("/live?usr=a&pwd=secret&x=1", "/live?usr=a&pwd=***&x=1"),
            ("/live?passwd=a=b;pass=c", "/live?passwd=***;pass=***"),
            ("/live?token=ab/c?d", "/live?token=***"),
            ("/password=secret/live", "/password=***/live"),
            ("/live?auth=YWRtaW4=", "/live?auth=***"),
            ("/live?password=", "/live?password="),
            ("/live?compass=north&channel=1", "/live?compass=north&channel=1"),
            ("rtsp://cam/password=x", "rtsp://cam/password=***"),
            ("/cam/realmonitor?channel=1&subtype=0", "/cam/realmonitor?channel=1&subtype=0"),
            ("", ""),
        ] {
            assert_eq!(passwords(text), expected);
        }
    }
}
