//! The connection: calls with a time limit, and what is known of etcd's revisions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, GetOptions, Identity, KvClient, TlsOptions};
use orc_core::Revision;
use orc_core::env::Clock;
use tokio::sync::watch;

use super::super::BackendError;
use super::config::EtcdConfig;
use super::errors::{Asked, CallError};
use super::layout::Layout;
use super::members::Members;

/// How often a quiet connection is tried, so that a member that vanished without a word is noticed. etcd hangs up on clients
/// that ping more often than its `--grpc-keepalive-min-time`, 5 s.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// What a response may have: as kube-apiserver, as much as the protocol can carry. Pages bound it in fact.
const MAX_RESPONSE: usize = i32::MAX as usize;
/// A connection and what is known through it.
pub(super) struct Link {
    members: Arc<Members>,
    timeout: Duration,
    connect_timeout: Duration,
    pub(super) clock: Clock,
    pub(super) layout: Layout,
    /// The revision that somebody wants feeds to have shown.
    pub(super) wanted: watch::Sender<Revision>,
    /// The revision that a barrier has to pass.
    pub(super) barrier: watch::Sender<Revision>,
    compacted: AtomicU64,
}

impl Link {
    /// Prepares the connection, without asking anything yet (with a user: logs in).
    pub(super) async fn open(config: &EtcdConfig, clock: Clock) -> Result<Self, BackendError> {
        config.check()?;
        let link = Self {
            members: Arc::new(Members::new(config.endpoints.clone(), options(config)?)),
            timeout: config.request_timeout,
            connect_timeout: config.connect_timeout,
            clock,
            layout: Layout::new(&config.prefix),
            wanted: watch::Sender::new(Revision::ZERO),
            barrier: watch::Sender::new(Revision::ZERO),
            compacted: AtomicU64::new(0),
        };
        let limit = link.connect_timeout + link.timeout;
        let connected =
            link.reach(limit, |members, member| async move { members.client(member).await.map(drop) }).await;
        connected.map_err(|error| unusable(config, &error.backend(Asked::Read)))?;
        Ok(link)
    }

    /// Does something over a connection of its own, for a feed: a consumer that does not read must not hold up calls, which
    /// share the flow control of their connection.
    pub(super) async fn apart<T, F>(&self, limit: Duration, act: impl Fn(Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let act = &act;
        let limit = self.connect_timeout + limit;
        self.reach(limit, |members, member| async move { act(members.open(member).await?).await }).await
    }

    /// Makes a call.
    pub(super) async fn call<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let call = &call;
        let act = |members: Arc<Members>, member| async move {
            let client = members.client(member).await?;
            call(client).await.map_err(|error| CallError::Etcd(Box::new(error)))
        };
        self.reach(self.timeout, act).await
    }

    /// Asks a member, and the next one when this certainly changed nothing. One that is silent is not asked again first.
    async fn reach<T, F>(&self, limit: Duration, act: impl Fn(Arc<Members>, usize) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let tries = async {
            let mut left = self.members.tries();
            loop {
                left -= 1;
                let member = self.members.asked();
                match act(self.members.clone(), member).await {
                    Err(error) if error.never_made() => {
                        self.members.leave(member);
                        if left == 0 {
                            return Err(error);
                        }
                    }
                    other => return other,
                }
            }
        };
        let answer = within(&self.clock, limit, tries).await;
        if let Err(CallError::Late(_)) = answer {
            self.members.leave(self.members.asked());
        }
        answer
    }

    /// Makes a call on keys.
    pub(super) async fn kv<T, F>(&self, call: impl Fn(KvClient) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        self.call(|client| call(client.kv_client().max_decoding_message_size(MAX_RESPONSE))).await
    }

    /// Reads etcd's revision, as a quorum has it.
    pub(super) async fn revision(&self) -> Result<Revision, CallError> {
        self.probe(None).await
    }

    /// Whether a revision can be read: answers etcd's present revision, or the error for the one asked.
    pub(super) async fn probe(&self, at: Option<Revision>) -> Result<Revision, CallError> {
        let options = GetOptions::new().with_count_only().with_revision(at.map_or(0, |at| at.0.cast_signed()));
        let key = self.layout.format();
        let found = self.kv(|mut kv| {
            let (key, options) = (key.clone(), options.clone());
            async move { kv.get(key, Some(options)).await }
        });
        Ok(found.await?.header().map_or(Revision::ZERO, |header| revision(header.revision())))
    }

    /// The oldest revision that can be read. etcd tells it only to watchers, and late; each answer here is exact, so halving
    /// finds it in at most 64 short reads.
    pub(super) async fn find_floor(&self) -> Result<Revision, CallError> {
        let mut fits = self.revision().await?;
        let mut low = Revision(self.compacted().0.max(1));
        while low < fits {
            let middle = Revision(low.0 + (fits.0 - low.0) / 2);
            match self.probe(Some(middle)).await {
                Ok(_) => fits = middle,
                Err(error) if error.compacted() => low = middle.next(),
                Err(error) => return Err(error),
            }
        }
        // Revision 1 is the empty etcd; nothing below it was ever there.
        let floor = if fits.0 <= 1 { Revision::ZERO } else { fits };
        self.note_compacted(floor);
        Ok(self.compacted())
    }

    /// The revision below which feeds are refused, as far as it is known.
    pub(super) fn compacted(&self) -> Revision {
        Revision(self.compacted.load(Ordering::Acquire))
    }

    /// Remembers a floor that etcd has told.
    pub(super) fn note_compacted(&self, floor: Revision) {
        self.compacted.fetch_max(floor.0, Ordering::AcqRel);
    }
}

/// Raises a revision that somebody watches.
pub(super) fn raise(mark: &watch::Sender<Revision>, to: Revision) {
    mark.send_if_modified(|now| {
        let higher = to > *now;
        *now = (*now).max(to);
        higher
    });
}

/// A revision as etcd writes it.
pub(super) fn revision(etcd: i64) -> Revision {
    Revision(u64::try_from(etcd).unwrap_or(0))
}

/// Waits for an answer for a limited time.
pub(super) async fn within<T>(
    clock: &Clock,
    limit: Duration,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::select! {
        biased;
        answer = call => answer,
        () = clock.sleep(limit) => Err(CallError::Late(limit)),
    }
}

/// What a user reads when etcd cannot be reached at start.
pub(super) fn unusable(config: &EtcdConfig, error: &BackendError) -> BackendError {
    let error = error.to_string();
    // A server that misses a certificate just hangs up: with TLS 1.3 the client believes the handshake to be over by then.
    let hung_up = ["closed", "broken pipe", "reset", "BadCertificate", "CertificateRequired"]
        .iter()
        .any(|text| error.contains(text));
    let hint = match config.ca.is_some() && config.cert.is_none() && hung_up {
        true => ". If etcd runs with --client-cert-auth it wants a client certificate: set `cert` and `key`",
        false => "",
    };
    BackendError::Open(format!("etcd at {} cannot be used: {error}{hint}", config.endpoints.join(", ")))
}

fn options(config: &EtcdConfig) -> Result<ConnectOptions, BackendError> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(config.connect_timeout)
        .with_keep_alive(PING_EVERY, PING_TIMEOUT)
        .with_keep_alive_while_idle(true)
        // A member that has lost its leader refuses at once, and ends its watches, so that another is asked.
        .with_require_leader(true);
    if let Some((user, password)) = &config.user {
        options = options.with_user(user, password).with_auto_token_refresh(true);
    }
    if let Some(ca) = &config.ca {
        let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(ca.read("CA certificate")?));
        if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
            tls = tls.identity(Identity::from_pem(cert.read("certificate")?, key.read("key")?));
        }
        options = options.with_tls(tls);
    }
    Ok(options)
}
