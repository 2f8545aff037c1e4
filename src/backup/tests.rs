use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "a long password\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, data: &str) -> Config {
        Config { data: self.path(data), ..Config::default() }
    }

    async fn backup(&self, data: &str, file: &str) -> anyhow::Result<()> {
        let password_file = Some(self.path("password"));
        let flags = cli::Backup { file: self.path(file), password_file, ..Default::default() };
        backup(&self.config(data), None, &flags).await
    }

    fn restore(&self, file: &str, data: &str) -> anyhow::Result<()> {
        let password_file = Some(self.path("password"));
        let flags = cli::Restore { file: self.path(file), password_file, ..Default::default() };
        restore(&self.config(data), &flags)
    }
}

#[tokio::test]
async fn a_restored_folder_has_the_same_people_keys_and_cameras() {
    let case = Case::new();
    let data = case.path("data");
    crate::data::prepare(&data).unwrap();
    let token = admin::create_claim(&data).await.unwrap();
    fs::create_dir(data.join("acme")).unwrap();
    fs::create_dir(data.join("own-ca")).unwrap();
    for (name, text) in [
        ("gateway.key", "key"),
        ("cameras.json", "{}"),
        ("acme/account.json", "account"),
        ("own-ca/authority.pem", "authority"),
        ("cameras.json.part", "half"),
    ] {
        fs::write(data.join(name), text).unwrap();
    }
    case.backup("data", "backup").await.unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(case.path("backup")), 0o600);
    assert!(!data.join("signaling.sqlite3.backup").exists(), "the snapshot is removed");

    case.restore("backup", "elsewhere").unwrap();
    let restored = case.path("elsewhere");
    let claims = admin::claims(&restored).await.unwrap();
    assert_eq!(claims.len(), 1, "{token:?}");
    let read = |name: &str| fs::read_to_string(restored.join(name)).ok();
    assert_eq!(read("gateway.key").as_deref(), Some("key"));
    assert_eq!(read("acme/account.json").as_deref(), Some("account"));
    assert_eq!(read("own-ca/authority.pem").as_deref(), Some("authority"));
    assert_eq!(read("cameras.json.part"), None);
    assert_eq!((mode(restored.clone()), mode(restored.join("gateway.key"))), (0o700, 0o600));
}

#[tokio::test]
async fn nothing_is_overwritten_and_nothing_half_done_is_left() {
    let case = Case::new();
    let error = |result: anyhow::Result<()>| format!("{:#}", result.unwrap_err());
    assert!(error(case.backup("none", "backup").await).starts_with("there is no data folder"));
    fs::create_dir(case.path("data")).unwrap();
    assert!(error(case.backup("data", "backup").await).contains("nothing to back up"));
    assert!(!case.path("backup").exists());
    fs::write(case.path("data/gateway.key"), "key").unwrap();
    case.backup("data", "backup").await.unwrap();
    assert!(error(case.backup("data", "backup").await).starts_with("cannot write the backup"));

    assert!(error(case.restore("backup", "data")).contains("is not empty"));
    fs::write(case.path("password"), "another password").unwrap();
    assert!(error(case.restore("backup", "new")).starts_with("the password is wrong"));
    fs::write(case.path("password"), "short").unwrap();
    assert!(error(case.backup("data", "second").await).starts_with("choose a longer password"));
    assert!(!case.path("new").exists() && !case.path("new.restoring").exists());
    fs::write(case.path("password"), "a long password").unwrap();
    fs::create_dir(case.path("new")).unwrap();
    case.restore("backup", "new").unwrap();
}
