//! The API over TLS, in this process and over the in-memory store, against transcripts of kube-apiserver 1.36.
//!
//! The transcripts and their runner (`golden/run.py`) live beside the workspace. Where they or Python are not there, the
//! test says so and passes. Every case of an area in [`AREAS`] must pass but the listed ones, which are not built yet; a
//! listed case that passes is a failure too, so that the lists stay true. Areas about webhooks and controllers are not
//! in the table.
//!
//! As a development server: `ORC_GOLDEN_SERVE=127.0.0.1:18443 cargo test -p orc-api --test golden -- --ignored serve --nocapture`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use orc_api::bootstrap::{self, ApiEndpoint};
use orc_api::identity::service_account::{ServiceAccountTokens, Signer};
use orc_api::identity::{StaticTokens, TokenAuthenticator};
use orc_api::pki::Pki;
use orc_api::{ApiConfig, ApiService, Identity, Registry, RegistryOptions};
use orc_core::ApiError;
use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use orc_store::{NodeDialer, NodeService, Store};
use tokio::net::TcpListener;

const CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);
const TOKENS: &str =
    "golden-admin,admin,admin-uid,\"system:masters\"\ngolden-alice,alice,alice-uid,\"devs\"\ngolden-bob,bob,bob-uid\n";

struct NoNodes;

#[async_trait]
impl NodeDialer for NoNodes {
    async fn dial(&self, node: &str) -> Result<NodeService, ApiError> {
        Err(ApiError::unavailable(format!("node {node:?} is not reachable: this test has no nodes")))
    }
}

/// Starts the server; it lives as long as the runtime.
async fn start(listener: TcpListener) {
    let system = System::real();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Arc::new(MemoryBackend::new()), Registry::fields(), system.clone()).await.unwrap();
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let pki = Pki::open(folder.path(), &["localhost".to_owned()], &[local], &system.clock).unwrap();
    let signer = Arc::new(Signer::new(&pki.service_account_key).unwrap());
    let options = RegistryOptions { service_cidr: CIDR, node_ports: (30000, 32767), signer: signer.clone() };
    let registry = Registry::open(store.clone(), options, system.clone()).await.unwrap();
    let endpoint = ApiEndpoint { cluster_ip: Ipv4Addr::new(10, 96, 0, 1), service_cidr: CIDR };
    bootstrap::ensure(&registry.client(Identity::admin(), "orc"), endpoint).await.unwrap();
    let accounts = ServiceAccountTokens { signer, store, clock: system.clock.clone() };
    let tokens: Vec<Arc<dyn TokenAuthenticator>> =
        vec![Arc::new(accounts), Arc::new(StaticTokens::parse(TOKENS).unwrap())];
    let config = ApiConfig {
        registry,
        tokens,
        nodes: Arc::new(NoNodes),
        clock: system.clock.clone(),
        extras: Default::default(),
    };
    let acceptor = orc_api::serve::acceptor(&pki).unwrap();
    tokio::spawn(orc_api::serve::serve(listener, acceptor, ApiService::new(config)));
}

/// The areas that are run, each with the cases that do not pass yet.
const AREAS: [(&str, &[&str]); 21] = [
    ("crd", &[]),
    ("ssa", &[]),
    ("admission", &[]),
    ("rbac-authn", &[]),
    ("validation-pod", &[]),
    ("validation-workloads", &[]),
    ("validation-core", &[]),
    ("defaults", &[]),
    ("validation-other", &[]),
    ("update", &[]),
    ("meta", &[]),
    ("delete", &[]),
    ("patch", &[]),
    ("table", &[]),
    ("subresources", &[]),
    ("negotiation", &[]),
    ("discovery", &[]),
    ("watch", &[]),
    ("list", &[]),
    ("events-conversion", &[]),
    ("fieldvalidation", &[]),
];

/// Where the transcripts are, or why they cannot be run.
fn transcripts() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    if !folder.join("run.py").is_file() {
        return Err(format!("there are no transcripts in {}", folder.display()));
    }
    match Command::new("python3").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(folder),
        _ => Err("python3 is not there".to_owned()),
    }
}

/// The names of the cases that passed and that failed, and what the runner said.
fn run(folder: &Path, port: u16, only: &str, report: &Path) -> (BTreeSet<String>, BTreeSet<String>, String) {
    let server = format!("https://127.0.0.1:{port}");
    let output = Command::new("python3")
        .arg(folder.join("run.py"))
        .args(["--server", &server, "--token", "golden-admin", "--insecure", "--check", "-v", "--timeout", "10"])
        .args(["--user-token", "alice=golden-alice", "--user-token", "bob=golden-bob", "--only", only])
        .arg("--report")
        .arg(report)
        .arg(folder)
        .output()
        .expect("python3 ran a moment ago");
    let text = std::fs::read_to_string(report)
        .unwrap_or_else(|e| panic!("{only}: no report ({e}): {}", String::from_utf8_lossy(&output.stderr)));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let named = |result: &str| {
        let cases = report["cases"].as_array().unwrap().iter().filter(|case| case["result"] == result);
        cases.map(|case| case["case"].as_str().unwrap().split_once('/').unwrap().1.to_owned()).collect()
    };
    (named("passed"), named("failed"), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a case that failed passes when it is run by itself. Some recordings hold an age of `0s` to the letter, which a
/// case that meets the turn of a second cannot give; three such turns in a row do not happen.
fn passes_again(folder: &Path, port: u16, case: &str, report: &Path) -> bool {
    let name = case.split_once('/').map_or(case, |(_, name)| name);
    (0..3).any(|_| {
        let (passed, failed, _) = run(folder, port, case, report);
        passed.contains(name) && !failed.contains(name)
    })
}

/// Cases that hold the age of a fixed date as of the day they were recorded, so that they fail on every other day. Ages are
/// checked by the tests of `orc_api::table`.
const DATED: [&str; 1] = ["table/events1"];

/// What is wrong with an area's result.
fn judge(area: &str, known: &[&str], passed: &BTreeSet<String>, failed: &BTreeSet<String>) -> Vec<String> {
    let known: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let dated = |name: &&String| !DATED.contains(&format!("{area}/{name}").as_str());
    let mut wrong: Vec<String> =
        failed.difference(&known).filter(dated).map(|name| format!("{area}/{name} fails")).collect();
    wrong.extend(known.difference(failed).map(|name| format!("{area}/{name} passes or is gone: take it off the list")));
    if passed.is_empty() {
        wrong.push(format!("{area}: nothing was run"));
    }
    wrong
}

#[test]
fn the_api_answers_as_kube_apiserver_does() {
    let folder = match transcripts() {
        Ok(folder) => folder,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // A server an area: cases of one area make objects of the cluster that would change the answers of another's.
    let server = || {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            start(listener).await;
            port
        })
    };
    let reports = tempfile::tempdir().unwrap();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let (folder, reports) = (&folder, reports.path());
        let areas = AREAS.iter().map(|(area, known)| {
            let port = server();
            scope.spawn(move || {
                let (mut passed, mut failed, said) = run(folder, port, &format!("{area}/*"), &reports.join(area));
                let unexpected: Vec<String> =
                    failed.iter().filter(|name| !known.contains(&name.as_str())).cloned().collect();
                for name in unexpected {
                    if passes_again(folder, port, &format!("{area}/{name}"), &reports.join(format!("{area}-{name}"))) {
                        failed.remove(&name);
                        passed.insert(name);
                    }
                }
                eprintln!("{area}: {} passed, {} failed", passed.len(), failed.len());
                let wrong = judge(area, known, &passed, &failed);
                if !wrong.is_empty() {
                    eprintln!("{said}");
                }
                wrong
            })
        });
        let areas: Vec<_> = areas.collect();
        let wrong: Vec<String> = areas.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A development server; see the top of this file.
#[test]
#[ignore = "serves for ever"]
fn serve() {
    let address = std::env::var("ORC_GOLDEN_SERVE").expect("ORC_GOLDEN_SERVE=ADDRESS:PORT");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        start(TcpListener::bind(&address).await.unwrap()).await;
        eprintln!("serving on {address}");
        std::future::pending::<()>().await;
    });
}
