//! The API over TLS, in this process and over the in-memory store, against transcripts of kube-apiserver 1.36.
//!
//! The transcripts and their runner (`golden/run.py`) live beside the workspace. Where they or Python are not there, the
//! test says so and passes. The areas of [`COMPLETE`] must pass to the last case; the cases of [`KNOWN`] are the ones that
//! do not pass yet, each with its reason, and a listed case that does pass is a failure too, so that the list stays true.
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
const TOKENS: &str = "golden-admin,admin,admin-uid,\"system:masters\"\ngolden-alice,alice,alice-uid,\"devs\"\ngolden-bob,bob,bob-uid\n";

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
    let tokens: Vec<Arc<dyn TokenAuthenticator>> = vec![Arc::new(accounts), Arc::new(StaticTokens::parse(TOKENS).unwrap())];
    let config = ApiConfig { registry, tokens, nodes: Arc::new(NoNodes), clock: system.clock.clone() };
    let acceptor = orc_api::serve::acceptor(&pki).unwrap();
    tokio::spawn(orc_api::serve::serve(listener, acceptor, ApiService::new(config)));
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
