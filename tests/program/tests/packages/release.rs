//! A release, and the script that installs it: what is altered on the way is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::Value;

use crate::{repository, run};

const DEADLINE: Duration = Duration::from_secs(15);
/// Fewer crates than are linked into the program.
const MIN_PARTS: usize = 100;
const NEEDS: [Need; 5] = [
    Need::Package,
    Need::Tool("buildah"),
    Need::Tool("curl"),
    Need::Tool("python3"),
    Need::Tool("ssh-keygen"),
];

/// A release that is rehearsed, in a folder that is served at an address of this machine.
struct Release<'a> {
    scene: &'a Scene,
    folder: PathBuf,
    key: PathBuf,
    _server: Program,
}

impl<'a> Release<'a> {
    fn make(scene: &'a Scene) -> Result<Self> {
        let key = make_key(scene, "key")?;
        let folder = scene.folder().join("release");
        std::fs::create_dir(&folder)?;
        let address = free_port()?;
        let url = format!("http://{address}");
        let mut serve = Command::new("python3");
        serve.args(["-m", "http.server", &address.port().to_string()]);
        serve.args(["--bind", &address.ip().to_string(), "--directory"]).arg(&folder);
        let mut server = Program::start(scene, "files", &mut serve)?;
        server.wait_for("the files are served", DEADLINE, |_| {
            Ok(http::get(Place::Here, &url, None).ok())
        })?;
        let mut release = Command::new(repository().join("scripts/release"));
        release.arg("--rehearse").arg("--key").arg(&key).args(["--url", &url]).arg(&folder);
        release.env("PORTHOLE_PROFILE", "quick");
        run(release.env("PORTHOLE_PROGRAM", porthole::packaged()?))?;
        Ok(Self { scene, folder, key, _server: server })
    }

    fn read(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(self.folder.join(file)).with_context(|| file.to_owned())
    }

    /// Returns the name of the archive with the program.
    fn archive(&self) -> Result<String> {
        let list = self.read("SHA256SUMS")?;
        let name = list.split_whitespace().find(|word| word.ends_with("-linux.tar.gz"));
        Ok(name.context("there is no archive")?.to_owned())
    }

    /// Signs the list again.
    fn sign(&self, key: &Path, purpose: &str) -> Result<()> {
        let list = self.folder.join("SHA256SUMS");
        let _ = std::fs::remove_file(self.folder.join("SHA256SUMS.sig"));
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-Y", "sign", "-n", purpose, "-f"]).arg(key).arg(list);
        run(&mut sign).map(drop)
    }

    /// Runs the script of the release, or another one, and returns if it succeeds, what it says and
    /// where it has installed.
    fn install(&self, script: &str, into: &str) -> Result<(bool, String, PathBuf)> {
        let root = self.scene.folder().join(into);
        std::fs::create_dir_all(&root)?;
        let path = self.scene.folder().join("install.sh");
        std::fs::write(&path, script)?;
        let output = Command::new("sh").arg(path).env("DESTDIR", &root).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned(), root))
    }
}

fn make_key(scene: &Scene, name: &str) -> Result<PathBuf> {
    let key = scene.folder().join(name);
    let mut keygen = Command::new("ssh-keygen");
    run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
    Ok(key)
}

/// Takes about 10 s.
#[test]
fn a_release_is_complete_and_its_packages_are_the_same_again() {
    let name = "a_release_is_complete_and_its_packages_are_the_same_again";
    scene(name, &NEEDS, |scene| {
        let release = Release::make(scene)?;
        let list = release.read("SHA256SUMS")?;
        let listed: BTreeSet<_> = list.lines().filter_map(|line| line.split("  ").nth(1)).collect();
        let files = std::fs::read_dir(&release.folder)?;
        let files: BTreeSet<_> =
            files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        let signed = files.iter().filter(|file| !file.starts_with("SHA256SUMS"));
        ensure!(signed.eq(listed.iter().copied()), "{files:?} {listed:?}");
        let endings = [
            "-linux.tar.gz",
            "-home-assistant.tar.gz",
            ".deb",
            "-image.tar",
            ".cdx.json",
            "notes.md",
            "install.sh",
        ];
        for ending in endings {
            ensure!(listed.iter().any(|file| file.ends_with(ending)), "{ending}: {listed:?}");
        }
        let changelog = std::fs::read_to_string(repository().join("CHANGELOG.md"))?;
        let notes = release.read("notes.md")?;
        ensure!(!notes.trim().is_empty() && changelog.contains(notes.trim()), "{notes}");

        let bill = listed.iter().find(|file| file.ends_with(".cdx.json")).context("no bill")?;
        let bill: Value = serde_json::from_str(&release.read(bill)?)?;
        let parts = bill["components"].as_array().context("no parts")?;
        let names: BTreeSet<_> = parts.iter().filter_map(|part| part["name"].as_str()).collect();
        ensure!(names.len() >= MIN_PARTS, "{} parts", names.len());
        for (part, is_there) in [("ring", true), ("svelte", true), ("proptest", false)] {
            ensure!(names.contains(part) == is_there, "{part}: {is_there}");
        }
        let bare = parts.iter().find(|part| part["licenses"].is_null());
        ensure!(bare.is_none(), "a part without a licence: {bare:?}");
        again(scene, &list)
    });
}

/// Makes the packages again, in another folder, and compares their checksums with those of a list.
fn again(scene: &Scene, list: &str) -> Result<()> {
    let folder = scene.folder().join("again");
    let archive = list.split_whitespace().find(|word| word.ends_with("-linux.tar.gz"));
    let version = archive.and_then(|name| name.strip_prefix("porthole-"));
    let version = version.and_then(|name| name.rsplitn(3, '-').nth(2)).context("no version")?;
    for kind in ["archive", "debian", "image", "home-assistant"] {
        let mut package = Command::new(repository().join("scripts/package"));
        package
            .env("PORTHOLE_PROFILE", "quick")
            .arg(kind)
            .arg(&folder)
            .env("PORTHOLE_VERSION", version);
        run(package.env("PORTHOLE_PROGRAM", porthole::packaged()?))?;
    }
    for file in std::fs::read_dir(&folder)? {
        let line = run(Command::new("sha256sum").arg(file?.path()))?;
        let sum = line.split_whitespace().next().context("no checksum")?;
        ensure!(list.contains(sum), "it is another file now: {line}");
    }
    Ok(())
}

/// Takes about 10 s.
#[test]
fn the_install_script_installs_a_release_and_nothing_that_is_altered() {
    let name = "the_install_script_installs_a_release_and_nothing_that_is_altered";
    scene(name, &NEEDS, |scene| {
        let release = Release::make(scene)?;
        let script = release.read("install.sh")?;
        let (installs, said, root) = release.install(&script, "good")?;
        ensure!(installs && said.contains("porthole up --public"), "{said}");
        run(Command::new(root.join("usr/local/bin/porthole")).arg("--version"))?;
        let configuration = root.join("etc/porthole/porthole.toml");
        std::fs::write(&configuration, "# mine")?;
        ensure!(root.join("etc/systemd/system/porthole-gateway.service").is_file(), "no unit");
        ensure!(release.install(&script, "good")?.0, "a second time");
        ensure!(std::fs::read_to_string(&configuration)? == "# mine", "it was overwritten");

        let unstamped = std::fs::read_to_string(repository().join("deploy/install.sh"))?;
        let (installs, said, _) = release.install(&unstamped, "unstamped")?;
        ensure!(!installs && said.contains("belongs to no release"), "{said}");
        refuse(&release, &script)
    });
}

type Alter = fn(&Release<'_>) -> Result<()>;

/// Alters the release in one way after the other, and restores it each time.
fn refuse(release: &Release<'_>, script: &str) -> Result<()> {
    let archive = release.archive()?;
    let kept = [archive.as_str(), "SHA256SUMS", "SHA256SUMS.sig"];
    let kept = kept.map(|file| (release.folder.join(file), file));
    let originals: Vec<_> =
        kept.iter().map(|(path, _)| std::fs::read(path)).collect::<Result<_, _>>()?;
    let table: [(&str, Alter, &str); 7] = [
        ("the program", alter_archive, "its checksum is wrong"),
        ("the end of the archive", cut_archive, "its checksum is wrong"),
        ("the list, to fit an altered program", alter_list, "not signed by the key"),
        ("the key", sign_with_another_key, "not signed by the key"),
        ("the purpose of the signature", sign_for_another_purpose, "not signed by the key"),
        ("the signature", |release| release.write("SHA256SUMS.sig", b"-"), "not signed by the key"),
        ("the archive, by none", |release| release.remove_archive(), "cannot download"),
    ];
    for (number, (what, alter, words)) in table.into_iter().enumerate() {
        alter(release)?;
        let (installs, said, root) = release.install(script, &format!("altered-{number}"))?;
        ensure!(!installs && said.contains(words), "{what}: {said}");
        ensure!(std::fs::read_dir(root)?.next().is_none(), "{what}: something was installed");
        for ((path, _), bytes) in kept.iter().zip(&originals) {
            std::fs::write(path, bytes)?;
        }
    }
    // A release of another version, rightly signed, in place of the one that is asked for.
    let version = archive.strip_prefix("porthole-").and_then(|name| name.rsplitn(3, '-').nth(2));
    let version = version.context("no version")?;
    let script = script.replace(&format!("VERSION='{version}'"), "VERSION='9.9.9'");
    let newer = archive.replace(version, "9.9.9");
    std::fs::copy(release.folder.join(&archive), release.folder.join(newer))?;
    let (installs, said, _) = release.install(&script, "older")?;
    ensure!(!installs && said.contains("in this release"), "{said}");
    Ok(())
}

impl Release<'_> {
    fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        Ok(std::fs::write(self.folder.join(file), bytes)?)
    }

    fn remove_archive(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.folder.join(self.archive()?))?)
    }
}

fn alter_archive(release: &Release<'_>) -> Result<()> {
    let name = release.archive()?;
    let mut bytes = std::fs::read(release.folder.join(&name))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    release.write(&name, &bytes)
}

fn cut_archive(release: &Release<'_>) -> Result<()> {
    let name = release.archive()?;
    let bytes = std::fs::read(release.folder.join(&name))?;
    release.write(&name, &bytes[..bytes.len() / 2])
}

fn alter_list(release: &Release<'_>) -> Result<()> {
    alter_archive(release)?;
    let name = release.archive()?;
    let line = run(Command::new("sha256sum").arg(release.folder.join(&name)))?;
    let sum = line.split_whitespace().next().context("no checksum")?;
    let fits = |line: &str| match line.ends_with(&name) {
        true => format!("{sum}  {name}\n"),
        false => format!("{line}\n"),
    };
    let list: String = release.read("SHA256SUMS")?.lines().map(fits).collect();
    release.write("SHA256SUMS", list.as_bytes())
}

fn sign_with_another_key(release: &Release<'_>) -> Result<()> {
    let other = release.scene.folder().join("other");
    if !other.exists() {
        make_key(release.scene, "other")?;
    }
    release.sign(&other, "porthole-release")
}

fn sign_for_another_purpose(release: &Release<'_>) -> Result<()> {
    release.sign(&release.key, "file")
}
