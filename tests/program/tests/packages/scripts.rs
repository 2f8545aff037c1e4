//! The scripts that run on other machines, or make what runs there.

use std::process::Command;

use anyhow::Result;
use porthole_test_support::scene::{Need, scene};

use crate::{repository, run};

#[test]
fn the_scripts_pass_shellcheck() {
    scene("the_scripts_pass_shellcheck", &[Need::Tool("shellcheck")], |_| -> Result<()> {
        for (shell, scripts) in [
            ("sh", &["deploy/install.sh", "deploy/home-assistant/porthole_gateway/run.sh"][..]),
            ("sh", &["deploy/debian/postinst", "deploy/debian/prerm", "deploy/debian/postrm"]),
            ("bash", &["scripts/package", "scripts/release"]),
            ("bash", &["tests/program/packages/debian", "tests/program/packages/debian-steps"]),
        ] {
            let mut check = Command::new("shellcheck");
            check.args(["--external-sources", "--shell", shell]).args(scripts);
            run(check.current_dir(repository()))?;
        }
        Ok(())
    });
}
