//! Which rules belong to which storage resource.

use super::Strategy;
use super::rules::{Generation, Kind};
use super::{
    admission, apimachinery, autoscaling, certificate, claims, config, definition, endpoints, event, lease, namespace,
    network, node, pod, policy, rbac, service,
};
use super::{storage, workload};

/// The rules of a storage resource, as `pods` or `deployments.apps`. Resources that are not built in get the storage
/// semantics of a plain namespaced kind; ask [`known`] where that matters.
pub fn strategy(resource_id: &str) -> &'static dyn Strategy {
    find(resource_id).unwrap_or(&PLAIN)
}

/// Whether a storage resource is one of the built-in ones.
pub fn known(resource_id: &str) -> bool {
    find(resource_id).is_some()
}

static PLAIN: Kind = Kind::NAMESPACED;
static CLUSTER: Kind = Kind::CLUSTER;
static CLUSTER_SPEC: Kind = Kind::CLUSTER.with_generation(Generation::Spec);

fn find(resource_id: &str) -> Option<&'static dyn Strategy> {
    core(resource_id).or_else(|| grouped(resource_id)).or_else(|| machinery(resource_id))
}

fn core(id: &str) -> Option<&'static dyn Strategy> {
    Some(match id {
        "pods" => &pod::POD,
        "namespaces" => &namespace::NAMESPACE,
        "nodes" => &node::NODE,
        "services" => &service::SERVICE,
        "endpoints" => &endpoints::ENDPOINTS,
        "configmaps" => &config::CONFIG_MAP,
        "secrets" => &config::SECRET,
        "serviceaccounts" => &config::SERVICE_ACCOUNT,
        "events" => &event::CORE,
        "persistentvolumes" => &claims::VOLUME,
        "persistentvolumeclaims" => &claims::CLAIM,
        "replicationcontrollers" => &workload::REPLICATION_CONTROLLER,
        "podtemplates" => &workload::POD_TEMPLATE,
        "resourcequotas" => &policy::QUOTA,
        "limitranges" => &policy::LIMIT_RANGE,
        _ => return None,
    })
}

fn grouped(id: &str) -> Option<&'static dyn Strategy> {
    Some(match id {
        "events.events.k8s.io" => &event::NEW,
        "endpointslices.discovery.k8s.io" => &endpoints::SLICE,
        "leases.coordination.k8s.io" => &lease::LEASE,
        "deployments.apps" => &workload::DEPLOYMENT,
        "replicasets.apps" => &workload::REPLICA_SET,
        "daemonsets.apps" => &workload::DAEMON_SET,
        "statefulsets.apps" => &workload::STATEFUL_SET,
        "controllerrevisions.apps" => &workload::CONTROLLER_REVISION,
        "jobs.batch" => &workload::JOB,
        "cronjobs.batch" => &workload::CRON_JOB,
        "horizontalpodautoscalers.autoscaling" => &autoscaling::AUTOSCALER,
        "poddisruptionbudgets.policy" => &policy::BUDGET,
        "priorityclasses.scheduling.k8s.io" => &policy::PRIORITY_CLASS,
        "roles.rbac.authorization.k8s.io" => &rbac::ROLE,
        "clusterroles.rbac.authorization.k8s.io" => &rbac::CLUSTER_ROLE,
        "rolebindings.rbac.authorization.k8s.io" => &rbac::ROLE_BINDING,
        "clusterrolebindings.rbac.authorization.k8s.io" => &rbac::CLUSTER_ROLE_BINDING,
        "ingresses.networking.k8s.io" => &network::INGRESS,
        "ingressclasses.networking.k8s.io" => &network::INGRESS_CLASS,
        "networkpolicies.networking.k8s.io" => &network::POLICY,
        "servicecidrs.networking.k8s.io" => &network::SERVICE_CIDR,
        "storageclasses.storage.k8s.io" => &storage::CLASS,
        "csidrivers.storage.k8s.io" => &storage::DRIVER,
        "csinodes.storage.k8s.io" => &storage::NODE,
        "csistoragecapacities.storage.k8s.io" => &storage::CAPACITY,
        "volumeattachments.storage.k8s.io" => &storage::ATTACHMENT,
        "volumeattributesclasses.storage.k8s.io" => &storage::ATTRIBUTES,
        "runtimeclasses.node.k8s.io" => &storage::RUNTIME,
        _ => return None,
    })
}

fn machinery(id: &str) -> Option<&'static dyn Strategy> {
    Some(match id {
        "validatingwebhookconfigurations.admissionregistration.k8s.io" => &admission::VALIDATING,
        "mutatingwebhookconfigurations.admissionregistration.k8s.io" => &admission::MUTATING,
        "validatingadmissionpolicies.admissionregistration.k8s.io" => &admission::POLICY,
        "validatingadmissionpolicybindings.admissionregistration.k8s.io" => &admission::BINDING,
        "mutatingadmissionpolicies.admissionregistration.k8s.io" => &admission::MUTATING_POLICY,
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io" => &admission::MUTATING_BINDING,
        "flowschemas.flowcontrol.apiserver.k8s.io" => &apimachinery::FLOW_SCHEMA,
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" => &apimachinery::PRIORITY_LEVEL,
        "apiservices.apiregistration.k8s.io" => &apimachinery::API_SERVICE,
        "certificatesigningrequests.certificates.k8s.io" => &certificate::CERTIFICATE,
        "customresourcedefinitions.apiextensions.k8s.io" => &definition::DEFINITION,
        "resourceclaims.resource.k8s.io" => &apimachinery::RESOURCE_CLAIM,
        "resourceclaimtemplates.resource.k8s.io" => &apimachinery::RESOURCE_CLAIM_TEMPLATE,
        "deviceclasses.resource.k8s.io" => &apimachinery::DEVICE_CLASS,
        // Storage semantics only: no rules of their own yet.
        "ipaddresses.networking.k8s.io" => &CLUSTER,
        "resourceslices.resource.k8s.io" => &CLUSTER_SPEC,
        _ => return None,
    })
}
