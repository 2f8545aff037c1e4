//! The committed program matches its source.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::{Need, scene};

/// Version of the compiler; others generate different instructions.
const COMPILER: &str = "14.";

#[test]
fn the_committed_program_is_compiled_from_its_source() {
    let needs = [Need::Clang(COMPILER), Need::Tool("llvm-objcopy")];
    scene("the_committed_program_is_compiled_from_its_source", &needs, |scene| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf");
        let built = scene.folder().join("relay.bpf.o");
        output(Command::new("sh").arg(folder.join("build")).arg(&built))?;
        for section in ["classifier", ".relclassifier", "maps", "license"] {
            let read = |object: &Path| {
                let bytes = scene.folder().join("section");
                let dump = format!("--dump-section={section}={}", bytes.display());
                output(Command::new("llvm-objcopy").arg(dump).arg(object).arg("/dev/null"))?;
                anyhow::Ok(std::fs::read(bytes)?)
            };
            let (here, there) = (read(&folder.join("relay.bpf.o"))?, read(&built)?);
            ensure!(here == there, "{section} differs: run {}/build", folder.display());
        }
        Ok(())
    });
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {text}");
    Ok(output.stdout)
}
