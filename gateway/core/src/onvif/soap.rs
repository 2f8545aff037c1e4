//! SOAP 1.2 messages: envelopes with WS-UsernameToken, and what an answer means.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::scopes::shown;
use super::xml::{Element, escape};
use crate::rtsp::Credentials;

/// Namespace of the security header (WS-Security 1.0).
const SECURITY: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";

/// Namespace of the time in the security header.
const UTILITY: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";

/// Prefix of the types of passwords (UsernameToken Profile 1.0 §3.1).
const PASSWORD: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0";

/// Type of a nonce (WS-Security 1.0 §6.2).
const BASE64: &str = "http://docs.oasis-open.org/wss/2004/01/\
                      oasis-200401-wss-soap-message-security-1.0#Base64Binary";

/// Words in a fault by which devices say that they want other credentials: ONVIF Core §5.12.2,
/// WS-Security 1.0 §12, and what some write instead.
const DENIED: &[&str] = &[
    "notauthorized",
    "failedauthentication",
    "failedcheck",
    "invalidsecuritytoken",
    "unsupportedsecuritytoken",
    "not authorized",
    "unauthorized",
    "authority failure",
    "authentication fail",
    "authorization fail",
];

/// Words in a fault about an account that is locked.
const LOCKED: &[&str] = &["locked", "too many"];

/// Words in a fault by which devices say that they do not have a call at all.
const NOT_SUPPORTED: &[&str] =
    &["notsupported", "not supported", "notimplemented", "not implemented", "unsupported"];

/// Writes an envelope. `headers` are a security header and others, or empty.
pub(super) fn envelope(headers: &str, body: &str) -> String {
    let header =
        if headers.is_empty() { String::new() } else { format!("<s:Header>{headers}</s:Header>") };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">\
         {header}<s:Body>{body}</s:Body></s:Envelope>"
    )
}

/// Writes a security header whose password is hashed with a nonce and the time.
pub(super) fn digest_token(credentials: &Credentials, nonce: [u8; 16], created: &str) -> String {
    let hash = Sha1::new()
        .chain_update(nonce)
        .chain_update(created.as_bytes())
        .chain_update(credentials.password.as_bytes())
        .finalize();
    token(credentials, "PasswordDigest", &STANDARD.encode(hash), nonce, created)
}

/// Writes a security header with the password as readable text.
pub(super) fn text_token(credentials: &Credentials, nonce: [u8; 16], created: &str) -> String {
    token(credentials, "PasswordText", &escape(&credentials.password), nonce, created)
}

fn token(
    credentials: &Credentials,
    kind: &str,
    password: &str,
    nonce: [u8; 16],
    created: &str,
) -> String {
    format!(
        "<w:Security s:mustUnderstand=\"1\" xmlns:w=\"{SECURITY}\" xmlns:u=\"{UTILITY}\">\
         <w:UsernameToken><w:Username>{}</w:Username>\
         <w:Password Type=\"{PASSWORD}#{kind}\">{password}</w:Password>\
         <w:Nonce EncodingType=\"{BASE64}\">{}</w:Nonce>\
         <u:Created>{created}</u:Created></w:UsernameToken></w:Security>",
        escape(&credentials.user),
        STANDARD.encode(nonce)
    )
}

/// The meaning of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The content of the answer.
    Content(Element),
    /// Other credentials are wanted.
    Denied,
    /// The account is locked.
    Locked,
    /// The request is refused for another reason.
    Fault,
    /// The answer is no SOAP.
    NotSoap,
}

/// Reads an answer by its status and content.
pub(super) fn read(status: u16, bytes: &[u8]) -> Answer {
    let root = Element::read(bytes);
    let fault = root.find("Fault");
    if let Some(fault) = fault {
        let text = all_text(fault).to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        return if has(LOCKED) {
            Answer::Locked
        } else if status == 401 || has(DENIED) {
            Answer::Denied
        } else {
            Answer::Fault
        };
    }
    match root.find("Body").filter(|body| body.children().next().is_some()) {
        Some(body) if (200..300).contains(&status) => Answer::Content(body.clone()),
        _ if matches!(status, 401 | 403) => Answer::Denied,
        Some(_) => Answer::Fault,
        None => Answer::NotSoap,
    }
}

/// Returns true if an answer says that the device does not have the call at all.
pub(super) fn is_not_supported(bytes: &[u8]) -> bool {
    let root = Element::read(bytes);
    let text = root.find("Fault").map(all_text).unwrap_or_default().to_lowercase();
    NOT_SUPPORTED.iter().any(|word| text.contains(word))
}

/// Returns the reason of a fault in the device's own words, for people; empty if there is none.
pub(super) fn reason(bytes: &[u8]) -> String {
    let root = Element::read(bytes);
    let Some(fault) = root.find("Fault") else { return String::new() };
    let texts = [fault.find("Reason"), fault.find("faultstring"), fault.find("Subcode")];
    let mut texts = texts.into_iter().flatten().map(|part| shown(all_text(part).trim()));
    texts.find(|text| !text.is_empty()).unwrap_or_default()
}

/// Returns every text of an element, with blanks in between.
fn all_text(element: &Element) -> String {
    let mut text = element.text().to_owned();
    for child in element.children() {
        text.push(' ');
        text.push_str(&all_text(child));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_hashed_as_the_standard_says() {
        let credentials =
            Credentials { user: "a<b".to_owned(), password: "userpassword".to_owned() };
        // The example of the ONVIF Application Programmer's Guide, §6.1.1.3.
        let nonce: [u8; 16] =
            STANDARD.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap().try_into().unwrap();
        let header = digest_token(&credentials, nonce, "2010-09-16T07:50:45Z");
        assert!(header.contains(">tuOSpGlFlIXsozq4HFNeeGeFLEI=<"), "{header}");
        assert!(header.contains("<w:Username>a&lt;b</w:Username>"), "{header}");
        assert!(!header.contains("userpassword"), "{header}");
        let header = text_token(&credentials, nonce, "2010-09-16T07:50:45Z");
        assert!(header.contains("#PasswordText\">userpassword<"), "{header}");
    }

    #[test]
    fn the_meaning_of_an_answer_is_found_whatever_its_form() {
        let fault = |code: &str| {
            format!(
                "<s:Envelope><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode>\
                 <s:Value>{code}</s:Value></s:Subcode></s:Code></s:Fault></s:Body></s:Envelope>"
            )
        };
        let content = "<Envelope><Body><GetX/></Body></Envelope>".to_owned();
        for (name, status, body, expected) in [
            ("a subcode", 400, fault("ter:NotAuthorized"), Answer::Denied),
            ("a fault with 200", 200, fault("ter:NotAuthorized"), Answer::Denied),
            ("WS-Security's code", 500, fault("wsse:FailedAuthentication"), Answer::Denied),
            ("any fault with 401", 401, fault("ter:Whatever"), Answer::Denied),
            ("401 without content", 401, String::new(), Answer::Denied),
            ("401 with a page", 401, "<html><body>x</body></html>".to_owned(), Answer::Denied),
            ("a locked account", 400, fault("the account is locked"), Answer::Locked),
            ("not implemented", 500, fault("ter:ActionNotSupported"), Answer::Fault),
            ("a page", 200, "<html><body><p/></body></html>".to_owned(), Answer::NotSoap),
            ("nothing", 200, String::new(), Answer::NotSoap),
            ("content with 500", 500, content.clone(), Answer::Fault),
        ] {
            assert_eq!(read(status, body.as_bytes()), expected, "{name}");
        }
        assert!(matches!(read(200, content.as_bytes()), Answer::Content(_)));
    }

    #[test]
    fn the_reason_of_a_fault_is_one_line_in_the_words_of_the_device() {
        for (name, fault, expected) in [
            ("a reason", "<Reason><Text xml:lang=\"en\">Not\n now </Text></Reason>", "Not now"),
            ("SOAP 1.1", "<faultcode>c</faultcode><faultstring>no</faultstring>", "no"),
            (
                "codes only",
                "<Subcode><Value>ter:ConfigModify</Value></Subcode>",
                "ter:ConfigModify",
            ),
            ("nothing", "<Reason><Text/></Reason>", ""),
        ] {
            let document = format!("<e><Body><Fault>{fault}</Fault></Body></e>");
            assert_eq!(reason(document.as_bytes()), expected, "{name}");
        }
        assert_eq!(reason(b"<html>"), "");
    }
}
