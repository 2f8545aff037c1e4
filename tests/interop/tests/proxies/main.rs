//! Porthole behind real reverse proxies, with the very blocks that the guide shows.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Start of a proxy, or a response, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The address of Porthole in the guide.
const IN_THE_GUIDE: &str = "127.0.0.1:8080";
/// Attempts that one address has for one name.
const TRIES: usize = 10;

/// Returns the blocks of this language in the guide, in their order.
fn blocks(language: &str) -> Result<Vec<String>> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/README.md");
    let guide = fs::read_to_string(guide)?;
    let start = format!("```{language}\n");
    let after = guide.split(&start).skip(1);
    Ok(after.filter_map(|text| text.split("```").next()).map(str::to_owned).collect())
}

/// Sends the head of a request, and a body, from this address of this machine. Returns the response
/// as far as it arrives with the connection's end, or the head of one that switches protocols.
fn exchange(from: &str, to: SocketAddr, head: &str, body: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(format!("{from}:0").parse()?)?;
        let mut stream: TcpStream = socket.connect(to).await?;
        let length = body.len();
        let request = format!("{head}Host: cams.test\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).await?;
            response.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&response);
            if count == 0 || text.starts_with("HTTP/1.1 101") && text.contains("\r\n\r\n") {
                return anyhow::Ok(text.into_owned());
            }
        }
    };
    runtime.block_on(async { timeout(PATIENCE, work).await })?
}

fn status(response: &str) -> Result<u16> {
    let status = response.split(' ').nth(1).context("no status")?;
    Ok(status.parse()?)
}

/// Tries to sign in with a wrong password, with an `X-Forwarded-For` of its own.
fn sign_in(from: &str, to: SocketAddr, path: &str, invented: &str) -> Result<u16> {
    let head = format!(
        "POST {path}/api/v1/session HTTP/1.1\r\nConnection: close\r\n\
         Content-Type: application/json\r\nX-Forwarded-For: {invented}\r\n"
    );
    status(&exchange(from, to, &head, r#"{"name": "root", "password": "a wrong password"}"#)?)
}

/// Checks what the guide promises of a proxy.
fn check(proxy: SocketAddr, path: &str, token: &str) -> Result<()> {
    for number in 0..TRIES + 2 {
        let invented = format!("198.51.100.{number}");
        let expected = if number < TRIES { 401 } else { 429 };
        let found = sign_in("127.0.0.1", proxy, path, &invented)?;
        ensure!(found == expected, "try {number}: {found}");
    }
    let found = sign_in("127.0.0.2", proxy, path, "127.0.0.1")?;
    ensure!(found == 401, "another client has tries of its own: {found}");
    let head = format!(
        "GET {path}/ws?access_token={token} HTTP/1.1\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: webrtc.onvif.org\r\n"
    );
    let opened = exchange("127.0.0.1", proxy, &head, "")?;
    ensure!(status(&opened)? == 101, "no WebSocket: {opened}");
    Ok(())
}

fn wait_for(program: &mut Program, at: SocketAddr) -> Result<()> {
    program
        .wait_for("the proxy listens", PATIENCE, |_| Ok(std::net::TcpStream::connect(at).ok()))?;
    Ok(())
}

/// Starts nginx with blocks of the guide, in whose place Porthole listens at `server`.
fn nginx(scene: &Scene, server: SocketAddr, location: &str) -> Result<(Program, SocketAddr)> {
    let at = free_port()?;
    let folder = scene.folder().join(format!("nginx-{}", at.port()));
    fs::create_dir(&folder)?;
    let shown = folder.display();
    let format = blocks("nginx")?.into_iter().find(|block| block.starts_with("log_format"));
    let format = format.context("the guide has no log format for nginx")?;
    let location = location
        .replace(IN_THE_GUIDE, &server.to_string())
        .replace("/var/log/nginx/porthole.log", &format!("{shown}/access.log"));
    ensure!(location.contains(&server.to_string()), "the block has another address: {location}");
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {shown}/{name};"));
    let config = format!(
        "daemon off; pid {shown}/pid; error_log {shown}/error.log; worker_processes 1;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n{}\n{format}\nserver {{ listen {at};\n{location}\n}}\n}}\n",
        temporary.join("\n")
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config)?;
    let name = format!("nginx-{}", at.port());
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path).arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log"));
    let mut program = Program::start(scene, &name, &mut command)?;
    wait_for(&mut program, at)?;
    Ok((program, at))
}

#[test]
fn s3_the_guides_nginx_tells_clients_apart_and_logs_no_token() {
    let needs = [Need::Program, Need::Tool("nginx")];
    scene("s3_the_guides_nginx_tells_clients_apart_and_logs_no_token", &needs, |scene| {
        let locations = blocks("nginx")?;
        let locations = locations.iter().filter(|block| block.starts_with("location"));
        let locations: Vec<_> = locations.collect();
        ensure!(locations.len() == 2, "the guide has {} locations", locations.len());
        for (location, path) in locations.into_iter().zip(["", "/cams"]) {
            let folder = scene.data(if path.is_empty() { "root" } else { "below" })?;
            let mut server = Server::start_in(scene, Place::Here, folder, &[])?;
            let token = server.token("viewer", &[])?;
            let (program, at) = nginx(scene, server.http(), location)?;
            check(at, path, &token)?;
            let folder = scene.folder().join(format!("nginx-{}", at.port()));
            let log = fs::read_to_string(folder.join("access.log"))?;
            ensure!(log.contains("POST"), "nothing is logged: {log}");
            ensure!(!log.contains(&token), "a token is in the log");
            program.stop()?;
            let said = server.output()?;
            server.stop()?;
            ensure!(!said.contains("X-Forwarded-For"), "a warning for nothing: {said}");
        }
        Ok(())
    });
}

#[test]
fn s3_a_proxy_that_names_no_client_is_reported_in_the_log() {
    let needs = [Need::Program, Need::Tool("nginx")];
    scene("s3_a_proxy_that_names_no_client_is_reported_in_the_log", &needs, |scene| {
        let public = ["--public-url", "https://cams.test"];
        let mut server = Server::start(scene, Place::Here, &public)?;
        let locations = blocks("nginx")?;
        let location = locations.first().context("the guide has no block for nginx")?;
        let lines = location.lines().filter(|line| !line.contains("X-Forwarded-For"));
        let location = lines.collect::<Vec<_>>().join("\n").replace("$http_host", "cams.test");
        let (program, at) = nginx(scene, server.http(), &location)?;
        let head = "GET /healthz HTTP/1.1\r\nConnection: close\r\n";
        ensure!(status(&exchange("127.0.0.1", at, head, "")?)? == 200, "no answer");
        program.stop()?;
        let said = server.output()?;
        server.stop()?;
        ensure!(said.contains("without `X-Forwarded-For`"), "nothing is said: {said}");
        Ok(())
    });
}

#[test]
fn s3_the_guides_haproxy_tells_clients_apart() {
    let needs = [Need::Program, Need::Tool("haproxy")];
    scene("s3_the_guides_haproxy_tells_clients_apart", &needs, |scene| {
        let mut server = Server::start(scene, Place::Here, &[])?;
        let token = server.token("viewer", &[])?;
        let backends = blocks("haproxy")?;
        let backend = backends.first().context("the guide has no block for haproxy")?;
        let backend = backend.replace(IN_THE_GUIDE, &server.http().to_string());
        let at = free_port()?;
        let config = format!(
            "defaults\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\
             frontend test\n    mode http\n    bind {at}\n    default_backend porthole\n\
             {backend}\n"
        );
        let path = scene.folder().join("haproxy.cfg");
        fs::write(&path, config)?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&path);
        let mut program = Program::start(scene, "haproxy", &mut command)?;
        wait_for(&mut program, at)?;
        check(at, "", &token)?;
        drop(program);
        server.stop()
    });
}
