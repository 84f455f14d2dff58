//! `orc ui`: the address of the web page, with a token that may read for an hour.

use anyhow::Context as _;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::Client;
use crate::args::UiArgs;
use crate::page;

/// Who the page acts as.
const ACCOUNT: &str = "orc-ui";
const NAMESPACE: &str = "kube-system";
/// How long a token lasts, seconds.
const LIFE: u64 = 3600;
const RBAC: &str = "rbac.authorization.k8s.io";

/// Prints the page's address. The token is in its fragment, which browsers do not send.
///
/// # Errors
/// The server's: whoever asks must be allowed to make the account and its role.
pub async fn run(args: UiArgs) -> anyhow::Result<()> {
    let client = Client::open(&args.client)?;
    for (path, object) in objects() {
        let body = ("application/apply-patch+yaml", Bytes::from(object.to_string()));
        let path = format!("{path}?fieldManager=orc&force=true");
        client
            .connection
            .send(Method::PATCH, &path, "application/json", Some(body))
            .await
            .context("the page's account")?;
    }
    let ask =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": LIFE}});
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token");
    let body = ("application/json", Bytes::from(ask.to_string()));
    let answer = client.connection.send(Method::POST, &path, "application/json", Some(body)).await?;
    let answer: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
    let token = answer["status"]["token"].as_str().context("the server gave no token")?;
    anstream::println!("{}{}#token={token}", client.connection.server().trim_end_matches('/'), page::PATH);
    anstream::eprintln!(
        "The token may read for an hour, Secrets apart. The browser will warn of a certificate authority that it does not know."
    );
    Ok(())
}

/// An account that may read what the role `view` reads, and nodes.
fn objects() -> [(String, Value); 4] {
    let version = format!("{RBAC}/v1");
    let role = json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": "orc:ui"},
        "rules": [{"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["nodes", "namespaces"]}]});
    let binding = |name: &str, role: &str| {
        let object = json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]});
        (format!("/apis/{version}/clusterrolebindings/{name}"), object)
    };
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}});
    [
        (format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}"), account),
        (format!("/apis/{version}/clusterroles/orc:ui"), role),
        binding("orc:ui", "orc:ui"),
        binding("orc:ui-view", "view"),
    ]
}
