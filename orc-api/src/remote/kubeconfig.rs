//! The part of a kubeconfig that a client needs: server, CA and a client certificate or token.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::RemoteError;

/// Where a server is and how to prove who asks.
#[derive(Clone, Default)]
pub struct Kubeconfig {
    /// The server's URL.
    pub server: String,
    /// PEM of the CA that signed the server's certificate.
    pub ca: Vec<u8>,
    /// PEM of the client's certificate and key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// A bearer token.
    pub token: Option<String>,
    /// The namespace of the current context.
    pub namespace: String,
}

impl Kubeconfig {
    /// Reads a file's current context. File references inside are taken relative to the file.
    ///
    /// # Errors
    /// When the file cannot be read or does not say what is needed.
    pub fn read(path: &Path) -> Result<Self, RemoteError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| RemoteError::File { path: path.to_owned(), source })?;
        let wrong = |why: String| RemoteError::Kubeconfig { path: path.to_owned(), why };
        let file: Value = serde_saphyr::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let named = |list: &str, name: &str, inner: &str| {
            let items = file.get(list).and_then(Value::as_array).into_iter().flatten();
            items.filter(|item| item["name"] == name).find_map(|item| item.get(inner)).cloned()
        };
        let current = file["current-context"].as_str().ok_or_else(|| wrong("there is no current-context".into()))?;
        let context =
            named("contexts", current, "context").ok_or_else(|| wrong(format!("there is no context {current}")))?;
        let text_of =
            |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let cluster = text_of(&context, "cluster");
        let cluster =
            named("clusters", &cluster, "cluster").ok_or_else(|| wrong(format!("there is no cluster {cluster}")))?;
        let user = named("users", &text_of(&context, "user"), "user").unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new("."));
        let pem = |value: &Value, name: &str| pem(value, name, folder).map_err(&wrong);
        let client = match (pem(&user, "client-certificate")?, pem(&user, "client-key")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => None,
        };
        let token = Some(text_of(&user, "token")).filter(|token| !token.is_empty());
        let namespace =
            Some(text_of(&context, "namespace")).filter(|n| !n.is_empty()).unwrap_or_else(|| "default".into());
        Ok(Self {
            server: text_of(&cluster, "server"),
            ca: pem(&cluster, "certificate-authority")?.unwrap_or_default(),
            client,
            token,
            namespace,
        })
    }
}

/// A PEM text, inline as `<name>-data` or in the file `<name>`.
fn pem(value: &Value, name: &str, folder: &Path) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = value.get(format!("{name}-data")).and_then(Value::as_str) {
        return BASE64.decode(data).map(Some).map_err(|e| format!("{name}-data: {e}"));
    }
    let Some(file) = value.get(name).and_then(Value::as_str) else { return Ok(None) };
    std::fs::read(folder.join(file)).map(Some).map_err(|e| format!("{file}: {e}"))
}
