//! The files for Docker, Kubernetes and GitHub: they are as the schemas of these demand, and
//! configure what there is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole;
use porthole_test_support::python;
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::Value;

use crate::{repository, run};

/// The oldest and the newest version of Kubernetes whose schema is tried.
const KUBERNETES: [&str; 2] = ["1.29.0", "1.37.0"];
const MANIFESTS: [&str; 2] = ["deploy/kubernetes/server.yaml", "deploy/kubernetes/gateway.yaml"];

/// A schema, its files, and a key with a misspelling that it must refuse.
const SCHEMAS: [(&str, &[&str], [&str; 2]); 2] = [
    (
        "vendor.compose-spec",
        &["deploy/compose.yaml", "deploy/compose.gateway.yaml", "deploy/compose.turn.yaml"],
        ["restart:", "restarts:"],
    ),
    (
        "vendor.github-workflows",
        &[".github/workflows/check.yml", ".github/workflows/release.yml"],
        ["runs-on:", "run-on:"],
    ),
];

#[test]
fn compose_files_and_workflows_are_as_their_schemas_demand() {
    let name = "compose_files_and_workflows_are_as_their_schemas_demand";
    scene(name, &[Need::PythonPackages], |scene| {
        for (schema, files, [right, wrong]) in SCHEMAS {
            let check = |file: &Path| -> Result<Command> {
                let mut check = Command::new(python::interpreter()?);
                check.args(["-m", "check_jsonschema", "--builtin-schema", schema]).arg(file);
                Ok(check)
            };
            for file in files.iter().map(|file| repository().join(file)) {
                run(&mut check(&file)?)?;
                refused(
                    &mut check(&spoilt(scene, &file, right, wrong)?)?,
                    wrong.trim_end_matches(':'),
                )?;
            }
        }
        Ok(())
    });
}

#[test]
fn kubernetes_takes_the_manifests() {
    scene("kubernetes_takes_the_manifests", &[Need::PythonPackages], |scene| {
        for version in KUBERNETES {
            let check = |file: &Path| -> Result<Command> {
                let mut check = Command::new(python::interpreter()?);
                check.args(["-m", "kubernetes_validate", "--strict", "-k", version]).arg(file);
                Ok(check)
            };
            for file in MANIFESTS.iter().map(|file| repository().join(file)) {
                run(&mut check(&file)?)?;
                let spoilt = spoilt(scene, &file, "replicas:", "replcas:")?;
                refused(&mut check(&spoilt)?, "replcas")?;
            }
        }
        Ok(())
    });
}

/// Each container runs as the user of the image, without rights, and with settings that the program
/// takes; its probes are commands that there are.
#[test]
fn the_manifests_configure_what_there_is_and_give_no_rights() {
    let name = "the_manifests_configure_what_there_is_and_give_no_rights";
    scene(name, &[Need::Program, Need::PythonPackages], |_| {
        for file in MANIFESTS {
            let template = template(file).context(file)?;
            ensure!(template["securityContext"]["runAsUser"] == 10001, "{file}: another user");
            ensure!(template["securityContext"]["runAsNonRoot"] == true, "{file}: it may be root");
            let container = &template["containers"][0];
            let rights = &container["securityContext"];
            ensure!(rights["capabilities"]["drop"] == serde_json::json!(["ALL"]), "{file}");
            ensure!(rights["readOnlyRootFilesystem"] == true, "{file}: it can be written to");
            ensure!(rights["allowPrivilegeEscalation"] == false, "{file}");
            settings(file, container)?;
            probe(file, container)?;
        }
        Ok(())
    });
}

/// Checks the environment of a container as the program reads it, and that a wrong one is refused.
fn settings(file: &str, container: &Value) -> Result<()> {
    let variables = container["env"].as_array().context("it has no environment")?;
    ensure!(!variables.is_empty(), "{file} has no environment");
    for spoilt in [false, true] {
        let mut check = Command::new(porthole::binary()?);
        // The image has the folder.
        check.args(["config", "check"]).env_clear().env("PORTHOLE__DATA", "/data");
        for variable in variables {
            let name = variable["name"].as_str().context("a variable without a name")?;
            // Of those that are in a secret, only the form matters.
            let secret = match variable["valueFrom"]["secretKeyRef"]["key"].as_str() {
                Some("server") => Some("https://cameras.example.org"),
                other => other,
            };
            let value = variable["value"].as_str().or(secret).context("a variable is empty")?;
            check.env(name, value);
        }
        if spoilt {
            check.env("PORTHOLE__NO__SUCH", "1");
        }
        let output = check.output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() != spoilt, "{file}: {errors}");
    }
    Ok(())
}

/// Runs the probe of a container with nothing to ask: it must say so, not that it is misunderstood.
fn probe(file: &str, container: &Value) -> Result<()> {
    let command = container["livenessProbe"]["exec"]["command"].as_array().context("no probe")?;
    let words: Vec<_> = command.iter().filter_map(Value::as_str).collect();
    ensure!(words.first() == Some(&"/porthole"), "{file}: another program: {words:?}");
    let mut probe = Command::new(porthole::binary()?);
    probe.args(&words[1..]).env_clear();
    probe.env("PORTHOLE__DATA", "/data");
    probe.env("PORTHOLE__ADMIN__LISTEN", "unix:/nowhere/porthole.sock");
    refused(&mut probe, "not healthy")
}

/// Returns the pods that a manifest makes.
fn template(file: &str) -> Result<Value> {
    const SCRIPT: &str = "import json, sys, yaml; \
        print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let mut read = Command::new(python::interpreter()?);
    let documents = run(read.args(["-c", SCRIPT]).arg(repository().join(file)))?;
    let documents: Value = serde_json::from_str(&documents)?;
    let documents = documents.as_array().context("no documents")?;
    let set = documents.iter().find(|document| document["kind"] == "StatefulSet");
    Ok(set.context("it runs nothing")?["spec"]["template"]["spec"].clone())
}

/// The image is made as the linter of its files advises; what it does not see is in the file.
#[test]
fn the_dockerfile_is_as_its_linter_demands() {
    scene("the_dockerfile_is_as_its_linter_demands", &[Need::PythonPackages], |scene| {
        let interpreter = python::interpreter()?;
        let linter = interpreter.with_file_name("hadolint");
        let file = repository().join("deploy/Dockerfile");
        run(Command::new(&linter).arg(&file))?;
        let spoilt = spoilt(scene, &file, "FROM rust:1.95-bookworm", "FROM rust")?;
        refused(Command::new(&linter).arg(spoilt), "DL3006")
    });
}

/// Writes a copy of a file with a mistake.
fn spoilt(scene: &Scene, file: &Path, right: &str, wrong: &str) -> Result<PathBuf> {
    let text = std::fs::read_to_string(file)?;
    ensure!(text.contains(right), "{right} is not in {}", file.display());
    let name = file.file_name().context("a file has a name")?;
    let path = scene.folder().join(name);
    std::fs::write(&path, text.replacen(right, wrong, 1))?;
    Ok(path)
}

/// Runs a command that must fail and name a reason.
fn refused(command: &mut Command, reason: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(!output.status.success() && said.contains(reason), "{command:?}: {said}");
    Ok(())
}
