//! The web page in a real browser, against a real cluster.

mod support;

use std::path::Path;
use std::process::Command;

use support::{As, Cluster, text};

/// `tools/test setup` makes it.
fn python() -> Option<String> {
    let given = std::env::var("ORC_TEST_PYTHON").ok();
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-venv/bin/python").to_owned();
    let python = given.unwrap_or(built);
    let has =
        Command::new(&python).args(["-c", "import playwright"]).output().is_ok_and(|output| output.status.success());
    has.then_some(python)
}

#[test]
fn a_browser_signs_in_sees_a_pod_appear_and_reads_its_log() {
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let chromium = chromium.into_iter().find(|path| Path::new(path).exists());
    let (Some(chromium), Some(python)) = (chromium, python()) else {
        eprintln!("skipped: a browser signs in: chromium or playwright is missing; `tools/test setup` installs them");
        return;
    };
    let cluster = Cluster::up(As::Me, &["--nodes", "1"]);
    let ui = Command::new(env!("CARGO_BIN_EXE_orc"))
        .args(["ui", "--kubeconfig"])
        .arg(cluster.kubeconfig())
        .output()
        .unwrap();
    let address = text(&ui.stdout).trim().to_owned();
    assert!(address.contains("/ui/#token="), "{}", text(&ui.stderr));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page.py");
    let output = Command::new(python)
        .args([script, &address, chromium])
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HOME", cluster.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("all seen"));
}
