//! Tests of a data folder on a full disk.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use porthole_signaling::{Server, admin};
use porthole_signaling_proto::method::{
    Cameras, Connect, ConnectDevice, ConnectDeviceResult, ConnectParams,
};
use porthole_signaling_proto::rest::Role;

use support::{Key, Peer, Running, config, http, report, token};

/// A small file system in memory, mounted if the user is allowed to.
struct Disk(PathBuf);

impl Disk {
    fn new(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder to mount at");
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "porthole-test"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }

    fn fill(&self) {
        let mut chunk = 1024 * 1024;
        let mut file = std::fs::File::create(self.0.join("filler")).expect("a file on the disk");
        while chunk > 0 {
            let full = std::io::Write::write_all(&mut file, &vec![0; chunk]).is_err();
            if full {
                chunk /= 2;
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("the filler is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Waits up to 10 s and returns true once the camera is in the database.
async fn is_saved(data: &Path, camera: &str) -> bool {
    let url = format!("sqlite://{}?mode=ro", data.join("signaling.sqlite3").display());
    let pool = sqlx::SqlitePool::connect(&url).await.expect("the database is there");
    let mut found = false;
    for _ in 0..200 {
        let row = sqlx::query("SELECT 1 FROM cameras WHERE id = ?").bind(camera);
        found = row.fetch_optional(&pool).await.expect("the table exists").is_some();
        if found {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pool.close().await;
    found
}

/// Takes about 12 s, of which 6 s are spent on the full disk.
#[tokio::test]
async fn a_full_disk_refuses_only_what_must_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(&folder.path().join("disk"), "4m") else {
        eprintln!(
            "skipped: a_full_disk_refuses_only_what_must_be_written: only root can mount a disk"
        );
        return;
    };
    let data = disk.0.as_path();
    let server = Running::start(data).await;
    let to = server.address;
    let key = Key::new(1);
    let mut gateway = key.with_cameras(data, to, &["demo"]).await;
    let claim = admin::create_claim(data).await.unwrap().code;
    let viewer_token = token(data, Role::Viewer, &[]).await;
    let admin_token = format!("Bearer {}", token(data, Role::Admin, &[]).await);
    let headers = [("authorization", admin_token.as_str()), ("content-type", "application/json")];
    let new = r#"{"name": "n", "role": "viewer"}"#;
    disk.fill();

    let refused = http(to, "POST", "/api/v1/tokens", &headers, new).await;
    assert_eq!(refused.status, 507, "{refused:?}");
    assert!(refused.error().contains("make room"), "{refused:?}");
    let fault = Key::new(2).enroll(to, &claim).await.unwrap_err();
    assert_eq!(fault.code, 507, "{fault}");
    let error = admin::create_claim(data).await.unwrap_err();
    assert!(error.to_string().contains("data folder"), "{error}");

    assert_eq!(report(&mut gateway, &["demo", "barn"]).await.refused, []);
    let mut viewer = Peer::viewer(to, &viewer_token).await;
    assert_eq!(
        viewer.next_notification::<Cameras>().await.cameras.len(),
        2,
        "including the camera that could not be saved"
    );
    let barn = ConnectParams {
        peer: key.id(),
        profile: Some("barn".parse().unwrap()),
        authorization: None,
        audio: None,
    };
    let request = viewer.request::<Connect>(&barn).await;
    let (id, _) = gateway.next_request::<ConnectDevice>().await;
    gateway.respond::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
    viewer.response::<Connect>(request).await.unwrap();

    // Longer than the server waits for a busy database: its write has failed by now.
    tokio::time::sleep(Duration::from_secs(6)).await;
    disk.make_room();
    let made = http(to, "POST", "/api/v1/tokens", &headers, new).await;
    assert_eq!(made.status, 200, "{made:?}");
    Key::new(2).enroll(to, &claim).await.expect("the claim code was not used up");
    assert!(is_saved(data, "barn").await, "without another report of the gateway");
    server.stop().await;
}

#[tokio::test]
async fn a_server_does_not_start_on_a_full_disk_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(&folder.path().join("disk"), "1m") else {
        eprintln!("skipped: a_server_does_not_start_on_a_full_disk: only root can mount a disk");
        return;
    };
    disk.fill();
    let error = Server::bind(config(&disk.0)).await.unwrap_err();
    assert!(error.to_string().contains("make room"), "{error}");
}
