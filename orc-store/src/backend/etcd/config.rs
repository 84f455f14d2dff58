//! How to reach an etcd cluster.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::super::BackendError;

/// A certificate or a key, in PEM.
#[derive(Clone)]
pub enum Pem {
    /// A file, read at [`connect`](super::EtcdBackend::connect).
    File(PathBuf),
    /// The text itself.
    Bytes(Vec<u8>),
}

impl Pem {
    /// The PEM text; `what` names it in the error.
    pub(super) fn read(&self, what: &str) -> Result<Vec<u8>, BackendError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => std::fs::read(path).map_err(|error| {
                BackendError::Open(format!("etcd: the {what} {} cannot be read: {error}", path.display()))
            }),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "Pem({})", path.display()),
            Self::Bytes(_) => f.write_str("Pem(in memory)"),
        }
    }
}

/// Where etcd is, who we are to it, and how long to wait for it.
#[derive(Clone)]
pub struct EtcdConfig {
    /// `http://` or `https://` addresses of client ports, at least one. Calls go to whichever member answers.
    pub endpoints: Vec<String>,
    /// What every key begins with: starts with `/` and does not end with it. Servers that share it share one store.
    pub prefix: String,
    /// The certificates that etcd's own must be signed by; with `https://` and none of these nobody is trusted.
    pub ca: Option<Pem>,
    /// Our certificate, for etcd with `--client-cert-auth`. Together with `key`.
    pub cert: Option<Pem>,
    /// The key of `cert`.
    pub key: Option<Pem>,
    /// User and password, for etcd with authentication on. The user needs read and write on everything below the prefix.
    pub user: Option<(String, String)>,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for an answer; after it the outcome of a change is not known.
    pub request_timeout: Duration,
    /// How much history to keep at least; older revisions of the *whole* etcd are compacted by one of the servers.
    /// `None`: somebody else compacts (etcd's `--auto-compaction-retention`, or another user of a shared etcd).
    pub compact_every: Option<Duration>,
}

impl EtcdConfig {
    /// The defaults: prefix `/orc`, no TLS, no user, 5 s to connect, 10 s to answer, compaction every 5 minutes.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: "/orc".to_owned(),
            ca: None,
            cert: None,
            key: None,
            user: None,
            connect_timeout: Duration::from_secs(5),
            // etcd gives up on a proposal after 5 s plus two election timeouts (7 s by default): its own answer comes first.
            request_timeout: Duration::from_secs(10),
            // kube-apiserver's --etcd-compaction-interval.
            compact_every: Some(Duration::from_secs(300)),
        }
    }

    /// Checks what can be checked without etcd.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        let wrong = |text: String| Err(BackendError::Open(text));
        if self.endpoints.is_empty() {
            return wrong("etcd: `endpoints` is empty; give at least one, as http://127.0.0.1:2379".to_owned());
        }
        let tls = self.endpoints.iter().filter(|endpoint| endpoint.starts_with("https://")).count();
        if let Some(odd) = self.endpoints.iter().find(|e| !e.starts_with("http://") && !e.starts_with("https://")) {
            return wrong(format!("etcd: endpoint `{odd}` must start with http:// or https://"));
        }
        if tls != 0 && tls != self.endpoints.len() {
            return wrong("etcd: `endpoints` mixes http:// and https://; use one of them".to_owned());
        }
        if self.cert.is_some() != self.key.is_some() {
            return wrong("etcd: `cert` and `key` belong together; one of them is missing".to_owned());
        }
        if tls == 0 && (self.ca.is_some() || self.cert.is_some()) {
            return wrong("etcd: certificates are given, but the endpoints are http://; use https://".to_owned());
        }
        if tls > 0 && self.ca.is_none() {
            return wrong(
                "etcd: https:// endpoints need `ca`, the certificate that etcd's own is signed by".to_owned(),
            );
        }
        if !self.prefix.starts_with('/') || self.prefix.ends_with('/') {
            return wrong(format!("etcd: prefix `{}` must start with / and not end with it, as /orc", self.prefix));
        }
        if self.compact_every.is_some_and(|every| every.is_zero()) {
            return wrong("etcd: `compact_every` is zero; use None to leave compaction to others".to_owned());
        }
        Ok(())
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, prefix, ca, cert, user, compact_every, .. } = self;
        let user = user.as_ref().map(|(name, _)| name);
        f.debug_struct("EtcdConfig")
            .field("endpoints", endpoints)
            .field("prefix", prefix)
            .field("ca", ca)
            .field("cert", cert)
            .field("user", &user)
            .field("compact_every", compact_every)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said_before_anything_is_tried() {
        let base = || EtcdConfig::new(["http://a:1"]);
        base().check().unwrap();
        let pem = || Some(Pem::Bytes(b"x".to_vec()));
        let wrong = [
            (EtcdConfig::new(Vec::<String>::new()), "is empty"),
            (EtcdConfig::new(["a:1"]), "must start with http://"),
            (EtcdConfig::new(["http://a:1", "https://b:1"]), "mixes"),
            (EtcdConfig::new(["https://a:1"]), "need `ca`"),
            (EtcdConfig { ca: pem(), ..base() }, "use https://"),
            (EtcdConfig { cert: pem(), ..base() }, "belong together"),
            (EtcdConfig { prefix: "/orc/".into(), ..base() }, "not end with it"),
            (EtcdConfig { compact_every: Some(Duration::ZERO), ..base() }, "use None"),
        ];
        for (config, says) in wrong {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = EtcdConfig {
            user: Some(("root".into(), "hunter2".into())),
            key: Some(Pem::Bytes(b"secret".to_vec())),
            ..EtcdConfig::new(["http://a:1"])
        };
        let text = format!("{config:?}");
        assert!(text.contains("root") && !text.contains("hunter2") && !text.contains("secret"), "{text}");
    }
}
