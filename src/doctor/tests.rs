use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::finding::Level;
use super::*;
use crate::config::PortMapping;

async fn findings(config: &Config, role: DoctorRole) -> Vec<Finding> {
    let tls = connector(config).unwrap();
    let turn_tls = crate::netcheck::connector(None).unwrap();
    examine(&Patient { config, file: None, role, tls, turn_tls }).await
}

fn level(findings: &[Finding], subject: &str) -> Option<Level> {
    findings.iter().find(|one| one.subject.starts_with(subject)).map(|one| one.level)
}

/// Listens, and answers each connection with this text.
async fn serve(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 512]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

const PORTHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const OTHER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn config(folder: &tempfile::TempDir) -> Config {
    let mut config = Config { data: folder.path().join("data"), ..Config::default() };
    config.turn.listen = Vec::new();
    // The router of the machine that runs the tests is left alone.
    config.gateway.port_mapping = PortMapping::Off;
    config
}

#[tokio::test]
async fn a_port_is_free_or_ours_or_somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (address, expected) in [
        (gone, Level::Ok),
        (serve(PORTHOLE).await, Level::Ok),
        (serve(OTHER).await, Level::Failure),
        (serve("220 smtp\r\n").await, Level::Failure),
        ("192.0.2.1:80".parse().unwrap(), Level::Failure),
    ] {
        config.signaling.http = address;
        let found = findings(&config, DoctorRole::Signaling).await;
        assert_eq!(level(&found, "dashboard"), Some(expected), "{address}: {found:#?}");
    }
}

#[tokio::test]
async fn the_port_of_the_admin_api_is_free_or_ours_or_somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    let found = findings(&config, DoctorRole::Gateway).await;
    assert_eq!(level(&found, "admin API"), None, "{found:#?}");
    for (address, expected) in
        [(serve(PORTHOLE).await, Level::Ok), (serve(OTHER).await, Level::Failure)]
    {
        config.admin.listen = Some(address.to_string().parse().unwrap());
        for role in [DoctorRole::Gateway, DoctorRole::Turn] {
            let found = findings(&config, role).await;
            assert_eq!(level(&found, "admin API"), Some(expected), "{address}: {found:#?}");
        }
    }
}

#[tokio::test]
async fn a_stun_server_of_ours_is_known_by_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (address, expected) in [
        (crate::netcheck::tests::serve(None).await, Level::Ok),
        (silent.local_addr().unwrap(), Level::Failure),
    ] {
        config.turn.listen = vec![address];
        let found = findings(&config, DoctorRole::Turn).await;
        assert_eq!(level(&found, "TURN over UDP"), Some(expected), "{found:#?}");
    }
}

#[tokio::test]
async fn a_gateway_needs_its_server_and_its_cameras() {
    let folder = tempfile::tempdir().unwrap();
    let (server, camera) = (serve(PORTHOLE).await, serve("").await);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (server, camera, expected) in [
        (Some(server), camera, [Level::Ok, Level::Ok]),
        (Some(gone), gone, [Level::Failure, Level::Failure]),
        (None, camera, [Level::Failure, Level::Ok]),
    ] {
        let mut config = config(&folder);
        config.gateway.server = server.map(|at| format!("http://{at}").parse().unwrap());
        let source = toml::from_str(&format!("source = \"rtsp://a:b@{camera}/1\"")).unwrap();
        config.camera.insert("yard".parse().unwrap(), source);
        let found = findings(&config, DoctorRole::Gateway).await;
        let levels = ["server", "camera yard"].map(|subject| level(&found, subject).unwrap());
        if config.gateway.server.is_some() {
            assert_eq!(levels, expected, "{found:#?}");
        } else {
            assert_eq!(level(&found, "server"), Some(Level::Failure));
        }
        assert!(!format!("{found:?}").contains("a:b@"), "a password is shown");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_and_secrets_for_all_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    let found = findings(&config, DoctorRole::Turn).await;
    assert_eq!(level(&found, "data folder"), Some(Level::Ok));
    assert!(!config.data.exists(), "the doctor creates nothing");
    std::fs::write(&config.data, "a file").unwrap();
    config.turn.tls_key = Some(config.data.clone());
    let found = findings(&config, DoctorRole::Turn).await;
    assert_eq!(level(&found, "data folder"), Some(Level::Failure), "{found:#?}");
    assert_eq!(level(&found, "secrets"), Some(Level::Failure), "{found:#?}");
}
