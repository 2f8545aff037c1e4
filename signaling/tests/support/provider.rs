//! A provider of OpenID Connect that a test makes misbehave. It shares no code with the server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use porthole_signaling::{Join, OpenidConnect};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;
use url::form_urlencoded::parse;

const CLIENT: &str = "porthole";
const SECRET: &str = "a secret: 100%";

/// A provider on a port of this machine.
pub struct Provider {
    pub issuer: String,
    state: Arc<Mutex<State>>,
}

struct State {
    issuer: String,
    key: EcdsaKeyPair,
    /// The id that tokens name for the key.
    names_key: String,
    grants: BTreeMap<String, Grant>,
    /// Responses in place of its own, by path.
    instead: BTreeMap<&'static str, String>,
    /// Values in place of those of the document about it.
    document: Value,
    /// The paths that were asked for.
    asked: Vec<String>,
}

/// A person who has signed in, and whose browser goes back with a code.
struct Grant {
    query: BTreeMap<String, String>,
    claims: Value,
    userinfo: Value,
}

impl Provider {
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// Starts it with TLS; its name is `localhost`.
    pub async fn with_tls(tls: TlsAcceptor) -> Self {
        Self::listen(Some(tls)).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = match &tls {
            Some(_) => format!("https://localhost:{port}/realm"),
            None => format!("http://127.0.0.1:{port}/realm"),
        };
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
        let state = State {
            issuer: issuer.clone(),
            key,
            names_key: "k1".to_owned(),
            grants: BTreeMap::new(),
            instead: BTreeMap::new(),
            document: json!({}),
            asked: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        tokio::spawn(serve(listener, tls, Arc::clone(&state)));
        Self { issuer, state }
    }

    /// Returns the settings of a server that trusts it.
    pub fn config(&self, join: Join) -> OpenidConnect {
        OpenidConnect {
            issuer: self.issuer.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: Some(SECRET.to_owned()),
            name: "Example".to_owned(),
            scopes: vec!["profile".to_owned(), "groups".to_owned()],
            name_claim: "preferred_username".to_owned(),
            join,
            email_domains: Vec::new(),
            groups: Vec::new(),
            groups_claim: "roles".to_owned(),
            authorities: Vec::new(),
        }
    }

    /// Signs somebody in who was sent to this address. Returns what the browser brings back.
    pub fn sign_in(&self, url: &str, claims: Value, userinfo: Value) -> Value {
        let url = Url::parse(url).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/auth?", self.issuer)), "{url}");
        let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("scope", "openid profile groups"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(query[name], value, "{name}");
        }
        let (state, mut all) = (query["state"].clone(), self.state());
        let code = format!("code{}", all.grants.len());
        all.grants.insert(code.clone(), Grant { query, claims, userinfo });
        json!({"state": state, "code": code, "iss": self.issuer})
    }

    /// Responds with this from now on.
    pub fn respond(&self, path: &'static str, response: &str) {
        self.state().instead.insert(path, response.to_owned());
    }

    /// Describes itself otherwise from now on.
    pub fn describe(&self, document: Value) {
        self.state().document = document;
    }

    /// Names another key in its tokens from now on.
    pub fn name_key(&self, name: &str) {
        self.state().names_key = name.to_owned();
    }

    /// Returns the number of requests for a path.
    pub fn asked(&self, path: &str) -> usize {
        self.state().asked.iter().filter(|asked| *asked == path).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            match tls {
                Some(tls) => {
                    // A client that does not trust the certificate goes away.
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, &state).await;
                    }
                }
                None => answer(stream, &state).await,
            }
        });
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let path = head.split(' ').nth(1).unwrap().trim_start_matches("/realm").to_owned();
    let authorization = header("authorization").unwrap_or_default();
    let response = state.lock().unwrap().answer(&path, &authorization, &body);
    // The server may have heard enough.
    let _sent = stream.write_all(response.as_bytes()).await;
    let _ended = stream.shutdown().await;
}

fn json_response(status: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")
}

impl State {
    fn answer(&mut self, path: &str, authorization: &str, body: &[u8]) -> String {
        self.asked.push(path.to_owned());
        if let Some(instead) = self.instead.get(path) {
            return instead.clone();
        }
        match path {
            "/.well-known/openid-configuration" => json_response("200 OK", &self.described()),
            "/keys" => {
                let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                let key = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y});
                json_response("200 OK", &json!({"keys": [key]}))
            }
            "/token" => match self.token(authorization, body) {
                Ok(tokens) => json_response("200 OK", &tokens),
                Err(reason) => json_response("400 Bad Request", &json!({"error": reason})),
            },
            "/me" => {
                let code = authorization.strip_prefix("Bearer ").unwrap();
                json_response("200 OK", &self.grants[code].userinfo)
            }
            _ => json_response("404 Not Found", &json!({})),
        }
    }

    fn described(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/auth"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/me"),
            "jwks_uri": at("/keys"),
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in self.document.as_object().unwrap() {
            document[name] = value.clone();
        }
        document
    }

    fn token(&mut self, authorization: &str, body: &[u8]) -> Result<Value, &'static str> {
        let form: BTreeMap<_, _> = parse(body).into_owned().collect();
        let code = form.get("code").ok_or("invalid_request")?.clone();
        let in_head = STANDARD.encode("porthole:a+secret%3A+100%25");
        if authorization != format!("Basic {in_head}") {
            return Err("invalid_client");
        }
        let grant = self.grants.get_mut(&code).ok_or("invalid_grant")?;
        let challenge = grant.query.remove("code_challenge").ok_or("invalid_grant")?;
        let verifier = form.get("code_verifier").ok_or("invalid_request")?;
        let is_proved = challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let is_same = form.get("redirect_uri") == grant.query.get("redirect_uri");
        if !is_proved || !is_same || form["grant_type"] != "authorization_code" {
            return Err("invalid_grant");
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT, "nonce": grant.query["nonce"],
            "iat": now_s, "exp": now_s + 300,
        });
        for (name, value) in grant.claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let head = json!({"alg": "ES256", "kid": self.names_key});
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(&head), text(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        Ok(json!({"id_token": token, "access_token": code, "token_type": "Bearer"}))
    }
}
