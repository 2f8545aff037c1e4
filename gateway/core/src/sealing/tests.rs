use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{OpModeS, single_shot_seal_with_rng};

use super::*;

/// A generator for the sender, which is the browser.
struct SenderRng(StdRng);

impl TryRng for SenderRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.random())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.random())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SenderRng {}

fn seal(key: &str, info: &[u8], plaintext: &[u8]) -> (String, String) {
    let key = URL_SAFE_NO_PAD.decode(key).unwrap();
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(&key).unwrap();
    let mut rng = SenderRng(StdRng::seed_from_u64(7));
    let (enc, ciphertext) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &key,
        info,
        plaintext,
        b"",
        &mut rng,
    )
    .unwrap();
    (URL_SAFE_NO_PAD.encode(enc.to_bytes()), URL_SAFE_NO_PAD.encode(ciphertext))
}

fn gateway(name: &str) -> GatewayId {
    name.parse().unwrap()
}

fn sealing(now: Instant) -> Sealing {
    Sealing::new(gateway("gw1"), [7; 32], now)
}

const DOOR: &str = "192.168.1.20";

fn purpose() -> Purpose<'static> {
    Purpose { camera: None, address: DOOR, allows_text: false }
}

fn login() -> Vec<u8> {
    Login { user: "anna".to_owned(), password: "geheim".to_owned() }.to_json()
}

/// Returns what a browser sends for a purpose.
fn sealed(out: &HandedOut, gateway: &GatewayId, purpose: Purpose<'_>, plain: &[u8]) -> Sealed {
    let Purpose { camera, address, allows_text } = purpose;
    let info = seal_info(gateway, &out.nonce, camera, address, allows_text);
    let (enc, ciphertext) = seal(&out.sealing_key, &info, plain);
    Sealed { nonce: out.nonce.clone(), enc, ciphertext }
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// The first messages of RFC 9180 §A.2.1.
#[test]
fn the_messages_of_the_standard_are_opened() {
    let private = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
    let private = <Kem as hpke::Kem>::PrivateKey::from_bytes(&hex(private)).unwrap();
    let public = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
    assert_eq!(Kem::sk_to_pk(&private).to_bytes().as_slice(), hex(public));
    let enc = hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
    let info = hex("4f6465206f6e2061204772656369616e2055726e");
    let ciphertext = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db\
        21993c62ce81883d2dd1b51a28";
    let ciphertext = hex(ciphertext);
    let plaintext = open(&private, &enc, &info, b"Count-0", &ciphertext).unwrap();
    assert_eq!(plaintext, b"Beauty is truth, truth beauty");
    assert!(open(&private, &enc, &info, b"Count-1", &ciphertext).is_err());
}

#[test]
fn a_password_is_opened_once_and_for_its_purpose_only() {
    let now = Instant::now();
    let mut sealing = sealing(now);
    let camera: CameraId = "door".parse().unwrap();
    for purpose in [purpose(), Purpose { camera: Some(&camera), allows_text: true, ..purpose() }] {
        let sealed = sealed(&sealing.hand_out(now), &gateway("gw1"), purpose, &login());
        let opened = sealing.open(now, &sealed, purpose).unwrap();
        assert_eq!((opened.user.as_str(), opened.password.as_str()), ("anna", "geheim"));
        assert_eq!(sealing.open(now, &sealed, purpose), Err(SealError::Nonce), "a second time");
    }
}

type Swap = fn(&mut Sealed, &HandedOut);
type Case = (&'static str, &'static str, Purpose<'static>, Swap, SealError);

#[test]
fn whatever_a_server_swaps_the_password_is_refused() {
    let as_is: Swap = |_, _| {};
    let text = Purpose { allows_text: true, ..purpose() };
    let elsewhere = Purpose { address: "192.168.1.21", ..purpose() };
    let cases: &[Case] = &[
        ("another address", "gw1", elsewhere, as_is, SealError::Purpose),
        ("readable text", "gw1", text, as_is, SealError::Purpose),
        ("another gateway", "gw2", purpose(), as_is, SealError::Purpose),
        (
            "the nonce of another password",
            "gw1",
            purpose(),
            |sealed, other| sealed.nonce.clone_from(&other.nonce),
            SealError::Purpose,
        ),
        (
            "a nonce of its own",
            "gw1",
            purpose(),
            |sealed, _| sealed.nonce = "AAAA".to_owned(),
            SealError::Nonce,
        ),
        (
            "a key that was encapsulated by somebody else",
            "gw1",
            purpose(),
            |sealed, other| sealed.enc.clone_from(&other.sealing_key),
            SealError::Purpose,
        ),
        ("a key of no bytes", "gw1", purpose(), |sealed, _| sealed.enc.clear(), SealError::Purpose),
        (
            "text that is not base64",
            "gw1",
            purpose(),
            |sealed, _| sealed.ciphertext.push('!'),
            SealError::Content,
        ),
        (
            "another ciphertext",
            "gw1",
            purpose(),
            |sealed, _| sealed.ciphertext.replace_range(..4, "AAAA"),
            SealError::Purpose,
        ),
        (
            "a long ciphertext",
            "gw1",
            purpose(),
            |sealed, _| sealed.ciphertext = "A".repeat(MAX_CIPHERTEXT + 1),
            SealError::TooLong,
        ),
    ];
    for (name, id, opened_for, swap, expected) in cases {
        let now = Instant::now();
        let mut sealing = sealing(now);
        let (out, other) = (sealing.hand_out(now), sealing.hand_out(now));
        let mut sealed = sealed(&out, &gateway(id), purpose(), &login());
        swap(&mut sealed, &other);
        assert_eq!(sealing.open(now, &sealed, *opened_for), Err(*expected), "{name}");
    }
    // A camera whose address is not changed.
    let now = Instant::now();
    let (mut sealing, camera) = (sealing(now), "door".parse().unwrap());
    let of_camera = Purpose { camera: Some(&camera), ..purpose() };
    let sealed = sealed(&sealing.hand_out(now), &gateway("gw1"), purpose(), &login());
    assert_eq!(sealing.open(now, &sealed, of_camera), Err(SealError::Purpose));
}

#[test]
fn a_password_for_another_key_is_refused() {
    let now = Instant::now();
    let mut sealing = sealing(now);
    let out = sealing.hand_out(now);
    // The key of a server in the middle.
    let foreign = Sealing::new(gateway("gw1"), [8; 32], now).hand_out(now).sealing_key;
    let swapped = HandedOut { sealing_key: foreign, ..out };
    let sealed = sealed(&swapped, &gateway("gw1"), purpose(), &login());
    assert_eq!(sealing.open(now, &sealed, purpose()), Err(SealError::Purpose));
}

#[test]
fn what_is_sealed_must_be_a_user_and_a_password_of_usual_length() {
    let long = |user: usize, password: usize| {
        Login { user: "ä".repeat(user), password: "ß".repeat(password) }.to_json()
    };
    let cases: &[(&str, Vec<u8>, Option<SealError>)] = &[
        ("the longest", long(MAX_USER_CHARS, MAX_PASSWORD_CHARS), None),
        ("a long user", long(MAX_USER_CHARS + 1, 1), Some(SealError::TooLong)),
        ("a long password", long(1, MAX_PASSWORD_CHARS + 1), Some(SealError::TooLong)),
        ("no JSON", b"geheim".to_vec(), Some(SealError::Content)),
        ("a password alone", b"{\"password\":\"x\"}".to_vec(), Some(SealError::Content)),
        ("nothing", Vec::new(), Some(SealError::Content)),
    ];
    for (name, plain, expected) in cases {
        let now = Instant::now();
        let mut sealing = sealing(now);
        let sealed = sealed(&sealing.hand_out(now), &gateway("gw1"), purpose(), plain);
        assert_eq!(sealing.open(now, &sealed, purpose()).err(), *expected, "{name}");
    }
}

#[test]
fn a_nonce_is_valid_for_ten_minutes_and_a_key_is_handed_out_for_a_day() {
    let start = Instant::now();
    for (passed, expected) in
        [(NONCE_TIME - Duration::from_secs(1), None), (NONCE_TIME, Some(SealError::Nonce))]
    {
        let mut sealing = sealing(start);
        let sealed = sealed(&sealing.hand_out(start), &gateway("gw1"), purpose(), &login());
        assert_eq!(sealing.open(start + passed, &sealed, purpose()).err(), expected);
    }
    let mut sealing = sealing(start);
    let first = sealing.hand_out(start);
    let late = start + KEY_TIME - Duration::from_secs(1);
    assert_eq!(sealing.hand_out(late).sealing_key, first.sealing_key);
    // A password that was begun before the change is opened after it.
    let sealed = sealed(&sealing.hand_out(late), &gateway("gw1"), purpose(), &login());
    assert_ne!(sealing.hand_out(start + KEY_TIME).sealing_key, first.sealing_key);
    assert!(sealing.open(start + KEY_TIME, &sealed, purpose()).is_ok());
}

#[test]
fn at_most_64_nonces_wait_and_no_secret_is_shown() {
    let now = Instant::now();
    let mut sealing = sealing(now);
    let first = sealing.hand_out(now);
    let second = sealing.hand_out(now);
    for _ in 0..MAX_OPEN - 1 {
        sealing.hand_out(now);
    }
    assert_eq!(sealing.nonces.len(), MAX_OPEN);
    for (out, expected) in [(first, Some(SealError::Nonce)), (second, None)] {
        let sealed = sealed(&out, &gateway("gw1"), purpose(), &login());
        let opened = sealing.open(now, &sealed, purpose());
        assert!(!format!("{opened:?}").contains("geheim"));
        assert_eq!(opened.err(), expected);
    }
    let private = URL_SAFE_NO_PAD.encode(sealing.key.private.to_bytes());
    assert!(!format!("{sealing:?}").contains(&private));
}
