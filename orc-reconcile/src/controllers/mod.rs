//! The built-in Kubernetes control loops.
//!
//! Each is a function from an [`Env`] to a [`Controller`]: a pure `plan` from the state it looks at to the writes of one stage,
//! a status and a wake time, and a thin reconciler that gathers the state from caches, carries the plan out, and has the next
//! pass wait until the caches show what it wrote. [`all`] makes the set that a cluster needs. See `docs/design/controllers.md`.

mod aggregation;
mod certificates;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod garbage;
mod history;
mod horizontal_pod_autoscaler;
mod job;
mod namespace;
mod node;
mod per_namespace;
mod persistent_volumes;
mod quota;
mod replicaset;
mod replication;
mod resource_claim;
mod statefulset;
mod support;
mod token;
mod ttl;
mod volumes;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use orc_core::ObjectKey;
use orc_core::catalogue::Catalogue;
use orc_store::Env;
use tokio_util::sync::CancellationToken;

pub use aggregation::cluster_role_aggregation;
pub use certificates::{Asked, CertificateAuthority, Requester, certificate_signing};
pub use cronjob::cron_job;
pub use daemonset::daemon_set;
pub use deployment::deployment;
pub use disruption::disruption;
pub use endpoints::{endpoint_slice, endpoints, kubernetes_endpoints};
pub use garbage::garbage_collector;
pub use horizontal_pod_autoscaler::{PodUsage, ResourceMetrics, horizontal_pod_autoscaler};
pub use job::job;
pub use namespace::namespace;
pub use node::{node_lifecycle, pod_garbage_collector};
pub use per_namespace::{root_ca, service_account};
pub use persistent_volumes::{LOCAL_PATH, LocalVolumes, persistent_volume_binder};
pub use quota::resource_quota;
pub use replicaset::replicaset;
pub use replication::replication_controller;
pub use resource_claim::resource_claim;
pub use statefulset::stateful_set;
pub use token::{AccountToken, TOKEN_CONTROLLER, TokenSigner, service_account_token};
pub use ttl::ttl_after_finished;
pub use volumes::{pv_protection, pvc_protection};

use crate::{Controller, LoopStatus};

/// Gives the resources that are served now: built-in ones and those defined meanwhile.
pub type Kinds = Arc<dyn Fn() -> Arc<Catalogue> + Send + Sync>;

/// What the built-in loops need to be told.
#[derive(Clone)]
pub struct ControllersConfig {
    /// The cluster's certificate authority's certificate, PEM.
    pub root_ca: String,
    /// The resources that are served.
    pub kinds: Kinds,
    /// Signs certificates; without one, certificate signing requests wait for somebody else.
    pub certificates: Option<Arc<dyn CertificateAuthority>>,
    /// Says what pods use; without it, autoscalers are left alone.
    pub metrics: Option<Arc<dyn ResourceMetrics>>,
    /// Signs the tokens of secrets that hold one; without it, such secrets wait for somebody else.
    pub tokens: Option<Arc<dyn TokenSigner>>,
    /// Makes volumes of the class [`LOCAL_PATH`]; without it, such claims wait for somebody else.
    pub local_volumes: Option<Arc<dyn LocalVolumes>>,
}

impl ControllersConfig {
    /// The settings of a cluster with this certificate authority (PEM), with the built-in kinds only.
    pub fn new(root_ca: impl Into<String>) -> Self {
        Self {
            root_ca: root_ca.into(),
            kinds: Arc::new(Catalogue::builtin),
            certificates: None,
            metrics: None,
            tokens: None,
            local_volumes: None,
        }
    }
}

/// A loop that is ready to run.
pub struct RunningSpec {
    /// The loop's name, which is also its service account's in `kube-system`.
    pub name: &'static str,
    /// Reads the loop's status, before, while and after it runs.
    pub status: Arc<dyn Fn() -> LoopStatus + Send + Sync>,
    /// Runs the loop until the token is cancelled.
    pub run: Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>,
}

impl RunningSpec {
    fn new(name: &'static str, controller: Controller<ObjectKey>) -> Self {
        let reader = controller.status();
        Self { name, status: Arc::new(move || reader.read()), run: Box::new(|stop| controller.run(stop).boxed()) }
    }
}

/// All built-in loops. `env_for` gives the environment of the loop of a name: with a client that acts as the loop's service
/// account, and with caches that all loops may share.
///
/// # Panics
/// Outside a tokio runtime.
pub fn all(env_for: impl Fn(&str) -> Env, config: ControllersConfig) -> Vec<RunningSpec> {
    let kinds = config.kinds;
    let make =
        |name: &'static str, of: &dyn Fn(Env) -> Controller<ObjectKey>| RunningSpec::new(name, of(env_for(name)));
    let mut all = vec![
        make("namespace-controller", &|env| namespace(env, kinds.clone())),
        make("service-account-controller", &service_account),
        make("root-ca-cert-publisher", &|env| root_ca(env, config.root_ca.clone())),
        make("resourcequota-controller", &resource_quota),
        make("replicaset-controller", &replicaset),
        make("replication-controller", &replication_controller),
        make("deployment-controller", &deployment),
        make("statefulset-controller", &stateful_set),
        make("daemon-set-controller", &daemon_set),
        make("job-controller", &job),
        make("cronjob-controller", &cron_job),
        make("disruption-controller", &|env| disruption(env, kinds.clone())),
        make("ttl-after-finished-controller", &ttl_after_finished),
        make("resource-claim-controller", &resource_claim),
        make("pvc-protection-controller", &pvc_protection),
        make("pv-protection-controller", &pv_protection),
        make("persistent-volume-binder", &|env| persistent_volume_binder(env, config.local_volumes.clone())),
        make("endpoint-controller", &endpoints),
        make("endpointslice-controller", &endpoint_slice),
        make("node-controller", &node_lifecycle),
        make("pod-garbage-collector", &pod_garbage_collector),
        make("clusterrole-aggregation-controller", &cluster_role_aggregation),
        make("generic-garbage-collector", &|env| garbage_collector(env, kinds.clone())),
    ];
    if let Some(metrics) = config.metrics {
        let of = |env| horizontal_pod_autoscaler(env, kinds.clone(), metrics.clone());
        all.push(make("horizontal-pod-autoscaler", &of));
    }
    if let Some(signer) = config.tokens {
        let of = |env| service_account_token(env, config.root_ca.clone(), signer.clone());
        all.push(make(TOKEN_CONTROLLER, &of));
    }
    if let Some(authority) = config.certificates {
        all.push(make("certificate-controller", &|env| certificate_signing(env, authority.clone())));
    }
    all
}
