//! Bodies about the own account: the password and the second factor.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A request to change the own password. All other browsers are signed out.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct ChangePassword {
    /// The password so far.
    pub old: String,
    /// The new password: at least 10 characters.
    pub new: String,
}

/// The own second factor: codes of an app that change every 30 seconds (TOTP).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SecondFactor {
    /// True if a code is asked for at each sign-in.
    pub enrolled: bool,
    /// The number of recovery codes that are left.
    pub recovery_codes: u32,
}

/// The own password, which some requests need again.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct OwnPassword {
    /// The password as it is now.
    pub password: String,
}

/// The proof of who somebody is, which adding a way to sign in needs again.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct OwnProof {
    /// The password as it is now.
    pub password: String,
    /// The code of the app, or a recovery code; needed by users with a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub code: Option<String>,
}

/// The secret of a second factor. The server shows it only once, and it counts once it is
/// confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TotpSecret {
    /// The address for a QR code (`otpauth://totp/…`).
    pub url: String,
    /// The secret in base32, to be typed into an app.
    pub secret: String,
}

/// A code that the app shows.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct OneCode {
    /// The code: six digits.
    pub code: String,
}

/// The own password and a code.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct PasswordAndCode {
    /// The password as it is now.
    pub password: String,
    /// The code of the app, or a recovery code.
    pub code: String,
}

/// Codes for the loss of the app. The server shows them only once, and each can be used once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RecoveryCodes {
    /// The codes themselves, for paper.
    pub codes: Vec<String>,
}
