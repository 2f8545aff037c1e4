//! The Debian package under a real dpkg, in a copy of this machine that is thrown away.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use porthole_test_support::porthole;
use porthole_test_support::scene::{Need, Scene, scene};

use crate::{repository, run};

/// A version before 999.0.0, for Debian too.
const NEXT_VERSION: &str = "999.0.0-beta.1";

/// Takes about 10 s.
#[test]
fn the_debian_package_is_installed_upgraded_removed_and_purged_without_a_question() {
    let name = "the_debian_package_is_installed_upgraded_removed_and_purged_without_a_question";
    let needs = [Need::Lab, Need::Package, Need::Tool("dpkg-deb"), Need::Tool("unshare")];
    scene(name, &needs, |scene| {
        package(scene, &[])?;
        package(scene, &[("PORTHOLE_VERSION", NEXT_VERSION)])?;
        let steps = Path::new(env!("CARGO_MANIFEST_DIR")).join("packages");
        std::fs::copy(steps.join("debian-steps"), scene.folder().join("debian-steps"))?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "bash"]);
        unshare.arg(steps.join("debian")).arg(scene.folder());
        let printed = run(&mut unshare)?;
        let findings: Vec<_> = printed.lines().collect();
        for (what, value) in EXPECTED {
            ensure!(findings.contains(&&*format!("{what} {value}")), "{what}: {printed}");
        }
        ensure!(findings.len() == EXPECTED.len(), "{printed}");
        Ok(())
    });
}

/// The findings of the steps.
const EXPECTED: &[(&str, &str)] = &[
    ("installed", "0"),
    // A service user each, who cannot sign in.
    ("users", "porthole:/usr/sbin/nologin porthole-gateway:/usr/sbin/nologin"),
    // Only root reads the configuration, and the program takes it.
    ("configuration", "600 root"),
    ("checked", "0"),
    ("units", "0"),
    // Nothing is started or enabled: the package does not know what this machine is for.
    ("enabled", "disabled disabled"),
    ("upgraded", "0"),
    ("before-the-release", "0"),
    ("edited-after-upgrade", "1"),
    ("removed", "0"),
    ("program-after-removal", "absent"),
    ("edited-after-removal", "1"),
    ("data-after-removal", "present"),
    ("installed-again", "0"),
    ("edited-after-installation", "1"),
    ("purged", "0"),
    ("configuration-after-purge", "absent"),
    ("data-after-purge", "present"),
    ("left", ""),
];

fn package(scene: &Scene, variables: &[(&str, &str)]) -> Result<()> {
    let mut package = Command::new(repository().join("scripts/package"));
    package
        .env("PORTHOLE_PROFILE", "quick")
        .arg("debian")
        .arg(scene.folder())
        .env("PORTHOLE_PROGRAM", porthole::packaged()?);
    run(package.envs(variables.iter().copied())).map(drop)
}
