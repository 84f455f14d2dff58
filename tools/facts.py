#!/usr/bin/env python3
"""Make orc-core's data files from facts about the served Kubernetes API.

    tools/facts.py [FACTS_DIR] [OUT_DIR]

FACTS_DIR holds protobuf-fields-*.tsv, merge-keys-*.json, discovery-*.json, field-selectors-*.json and
table-columns-*.json; the repository carries only what this script makes of them:

    schema.txt      every message of the API: names, numbers, types, presence, list and patch marks
    catalogue.txt   every served resource: names, verbs, sub-resources, selectable fields, printer columns

Both formats are described where they are read: orc-core/src/schema/parse.rs and orc-core/src/catalogue/parse.rs.
"""
import collections, json, pathlib, sys

FACTS = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "/work/shared/facts")
OUT = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parent.parent / "orc-core/data")

SCALARS = {"string": "s", "bool": "b", "int32": "i", "int64": "l", "double": "d", "bytes": "y"}

# Package -> API group, where the group is not "<package>.k8s.io".
GROUPS = {
    "core": "", "apps": "apps", "batch": "batch", "autoscaling": "autoscaling", "policy": "policy",
    "rbac": "rbac.authorization.k8s.io", "flowcontrol": "flowcontrol.apiserver.k8s.io",
    "runtime": "-", "resource_": "-", "intstr": "-",
}

# Optional scalars that are nullable: an explicit false, 0 or "" is kept and written. Neither the protobuf descriptors nor
# the OpenAPI document says which these are; the list is of what a server does with them. `*` stands for all optional
# scalars of the message.
NULLABLE = """
admission.v1.AdmissionRequest dryRun
admission.v1.AdmissionResponse patchType
admissionregistration.v1.MatchResources matchPolicy
admissionregistration.v1.MutatingAdmissionPolicySpec failurePolicy
admissionregistration.v1.MutatingWebhook *
admissionregistration.v1.ParamRef parameterNotFoundAction
admissionregistration.v1.Rule scope
admissionregistration.v1.ServiceReference *
admissionregistration.v1.ValidatingAdmissionPolicySpec failurePolicy
admissionregistration.v1.ValidatingWebhook *
admissionregistration.v1.Validation reason
admissionregistration.v1.WebhookClientConfig url
apps.v1.DaemonSetSpec revisionHistoryLimit
apps.v1.DaemonSetStatus collisionCount
apps.v1.DeploymentSpec replicas revisionHistoryLimit progressDeadlineSeconds
apps.v1.DeploymentStatus terminatingReplicas collisionCount
apps.v1.ReplicaSetSpec replicas
apps.v1.ReplicaSetStatus terminatingReplicas
apps.v1.RollingUpdateStatefulSetStrategy partition
apps.v1.StatefulSetSpec replicas revisionHistoryLimit
apps.v1.StatefulSetStatus collisionCount
autoscaling.v1.ContainerResourceMetricSource *
autoscaling.v1.ContainerResourceMetricStatus *
autoscaling.v1.HorizontalPodAutoscalerSpec *
autoscaling.v1.HorizontalPodAutoscalerStatus *
autoscaling.v1.ResourceMetricSource *
autoscaling.v1.ResourceMetricStatus *
autoscaling.v2.HPAScalingRules *
autoscaling.v2.HorizontalPodAutoscalerSpec minReplicas
autoscaling.v2.HorizontalPodAutoscalerStatus observedGeneration
autoscaling.v2.MetricTarget averageUtilization
autoscaling.v2.MetricValueStatus averageUtilization
batch.v1.CronJobSpec timeZone startingDeadlineSeconds suspend successfulJobsHistoryLimit failedJobsHistoryLimit
batch.v1.JobSpec *
batch.v1.JobStatus terminating ready failedIndexes
batch.v1.PodFailurePolicyOnExitCodesRequirement containerName
batch.v1.SuccessPolicyRule *
certificates.v1.CertificateSigningRequestSpec expirationSeconds
coordination.v1.LeaseSpec *
core.v1.AppArmorProfile localhostProfile
core.v1.AzureDiskVolumeSource *
core.v1.AzureFilePersistentVolumeSource secretNamespace
core.v1.CSIVolumeSource readOnly fsType
core.v1.ClientIPConfig timeoutSeconds
core.v1.ClusterTrustBundleProjection name signerName optional
core.v1.ConfigMap immutable
core.v1.ConfigMapEnvSource optional
core.v1.ConfigMapKeySelector optional
core.v1.ConfigMapProjection optional
core.v1.ConfigMapVolumeSource defaultMode optional
core.v1.Container restartPolicy
core.v1.ContainerStatus started stopSignal
core.v1.DownwardAPIVolumeFile mode
core.v1.DownwardAPIVolumeSource defaultMode
core.v1.EndpointAddress nodeName
core.v1.EndpointPort appProtocol
core.v1.EphemeralContainerCommon restartPolicy
core.v1.FCVolumeSource lun
core.v1.FileKeySelector optional
core.v1.GlusterfsPersistentVolumeSource endpointsNamespace
core.v1.HostPathVolumeSource type
core.v1.ISCSIPersistentVolumeSource initiatorName
core.v1.ISCSIVolumeSource initiatorName
core.v1.KeyToPath mode
core.v1.Lifecycle stopSignal
core.v1.LoadBalancerIngress ipMode
core.v1.LocalVolumeSource fsType
core.v1.NodeFeatures *
core.v1.NodeRuntimeHandlerFeatures *
core.v1.NodeSwapStatus capacity
core.v1.PersistentVolumeClaimSpec storageClassName volumeMode volumeAttributesClassName
core.v1.PersistentVolumeClaimStatus currentVolumeAttributesClassName
core.v1.PersistentVolumeSpec volumeMode volumeAttributesClassName
core.v1.PodCertificateProjection maxExpirationSeconds
core.v1.PodDNSConfigOption value
core.v1.PodLogOptions sinceSeconds tailLines limitBytes stream
core.v1.PodResourceClaim *
core.v1.PodResourceClaimStatus resourceClaimName
core.v1.PodSchedulingGroup podGroupName
core.v1.PodSecurityContext *
core.v1.PodSpec terminationGracePeriodSeconds activeDeadlineSeconds automountServiceAccountToken shareProcessNamespace priority enableServiceLinks setHostnameAsFQDN hostUsers runtimeClassName preemptionPolicy hostnameOverride
core.v1.PortStatus error
core.v1.Preconditions uid
core.v1.Probe terminationGracePeriodSeconds
core.v1.ProjectedVolumeSource defaultMode
core.v1.ReplicationControllerSpec replicas
core.v1.SeccompProfile localhostProfile
core.v1.Secret immutable
core.v1.SecretEnvSource optional
core.v1.SecretKeySelector optional
core.v1.SecretProjection optional
core.v1.SecretVolumeSource defaultMode optional
core.v1.SecurityContext *
core.v1.ServiceAccount automountServiceAccountToken
core.v1.ServiceAccountTokenProjection expirationSeconds
core.v1.ServicePort appProtocol
core.v1.ServiceSpec ipFamilyPolicy loadBalancerClass internalTrafficPolicy trafficDistribution allocateLoadBalancerNodePorts
core.v1.Toleration tolerationSeconds
core.v1.TopologySpreadConstraint minDomains nodeAffinityPolicy nodeTaintsPolicy
core.v1.TypedObjectReference namespace
core.v1.VolumeMount recursiveReadOnly mountPropagation
core.v1.VolumeMountStatus recursiveReadOnly
core.v1.WindowsSecurityContextOptions *
discovery.v1.Endpoint hostname nodeName zone
discovery.v1.EndpointConditions *
discovery.v1.EndpointPort *
flowcontrol.v1.ExemptPriorityLevelConfiguration *
flowcontrol.v1.LimitedPriorityLevelConfiguration *
networking.v1.IngressClassParametersReference apiGroup namespace
networking.v1.IngressPortStatus error
networking.v1.IngressSpec ingressClassName
networking.v1.NetworkPolicyPort protocol endPort
policy.v1.PodDisruptionBudgetSpec unhealthyPodEvictionPolicy
resource.v1.AllocatedDeviceStatus shareID
resource.v1.Device allNodes bindsToNode allowMultipleAllocations nodeName
resource.v1.DeviceAttribute *
resource.v1.DeviceClassSpec extendedResourceName
resource.v1.DeviceConstraint *
resource.v1.DeviceRequestAllocationResult adminAccess shareID
resource.v1.DeviceToleration tolerationSeconds
resource.v1.ExactDeviceRequest adminAccess
resource.v1.NodeAllocatableResourceMapping capacityKey
resource.v1.ResourceSliceSpec *
scheduling.v1.PriorityClass preemptionPolicy
storage.v1.CSIDriverSpec *
storage.v1.StorageClass *
storage.v1.TokenRequest expirationSeconds
storage.v1.VolumeAttachmentSource persistentVolumeName
storage.v1.VolumeError errorCode
storage.v1.VolumeNodeResources count
apiextensions.v1.CustomResourceDefinitionVersion deprecationWarning
apiextensions.v1.CustomResourceSubresourceScale labelSelectorPath
apiextensions.v1.JSONSchemaProps $ref maximum minimum maxLength minLength maxItems minItems multipleOf maxProperties minProperties x-kubernetes-preserve-unknown-fields x-kubernetes-list-type x-kubernetes-map-type
apiextensions.v1.ServiceReference *
apiextensions.v1.ValidationRule reason optionalOldSelf
apiextensions.v1.WebhookClientConfig url
apiregistration.v1.ServiceReference port
meta.v1.DeleteOptions gracePeriodSeconds orphanDependents ignoreStoreReadErrorWithClusterBreakingPotential propagationPolicy
meta.v1.ListMeta remainingItemCount
meta.v1.ListOptions timeoutSeconds sendInitialEvents
meta.v1.ObjectMeta deletionGracePeriodSeconds
meta.v1.OwnerReference controller blockOwnerDeletion
meta.v1.PatchOptions force
meta.v1.Preconditions *
"""

# Fields written always whose missing value is null, not the zero of their type.
NULL_WHEN_MISSING = """
apps.v1.DaemonSetSpec selector
apps.v1.DeploymentSpec selector
apps.v1.ReplicaSetSpec selector
apps.v1.StatefulSetSpec selector
admissionregistration.v1.MutatingWebhook sideEffects
admissionregistration.v1.ValidatingWebhook sideEffects
authentication.v1.TokenRequestSpec boundObjectRef expirationSeconds
core.v1.GRPCAction service
core.v1.TypedLocalObjectReference apiGroup
core.v1.TypedObjectReference apiGroup
flowcontrol.v1.LimitedPriorityLevelConfiguration nominalConcurrencyShares
networking.v1.HTTPIngressPath pathType
networking.v1.IngressClassParametersReference scope
resource.v1.CapacityRequestPolicy default
"""

# Optional messages held by value: written (as {} or null) though marked optional. `metadata`, `spec` and `status` of
# kinds are such without being listed, and so are times named last*Time of conditions.
BY_VALUE = """
admission.v1.AdmissionRequest object oldObject options
apps.v1.ControllerRevision data
apps.v1.DaemonSetCondition lastTransitionTime
apps.v1.DaemonSetSpec updateStrategy
apps.v1.DeploymentCondition lastUpdateTime lastTransitionTime
apps.v1.DeploymentSpec strategy
apps.v1.ReplicaSetCondition lastTransitionTime
apps.v1.ReplicaSetSpec template
apps.v1.StatefulSetCondition lastTransitionTime
apps.v1.StatefulSetSpec updateStrategy
authentication.v1.SelfSubjectReviewStatus userInfo
authentication.v1.TokenReviewStatus user
autoscaling.v1.HorizontalPodAutoscalerCondition lastTransitionTime
autoscaling.v2.HorizontalPodAutoscalerCondition lastTransitionTime
batch.v1.JobCondition lastProbeTime lastTransitionTime
batch.v1.JobTemplateSpec spec
certificates.v1.CertificateSigningRequestCondition lastUpdateTime lastTransitionTime
core.v1.Container resources
core.v1.ContainerStateRunning startedAt
core.v1.ContainerStateTerminated startedAt finishedAt
core.v1.ContainerStatus state lastState
core.v1.EphemeralContainerCommon resources
core.v1.Event source firstTimestamp lastTimestamp eventTime
core.v1.EventSeries lastObservedTime
core.v1.NamespaceCondition lastTransitionTime
core.v1.NodeCondition lastHeartbeatTime lastTransitionTime
core.v1.NodeDaemonEndpoints kubeletEndpoint
core.v1.NodeStatus daemonEndpoints nodeInfo
core.v1.PersistentVolumeClaimCondition lastProbeTime lastTransitionTime
core.v1.PersistentVolumeClaimSpec resources
core.v1.PodCondition lastProbeTime lastTransitionTime
core.v1.PodTemplate template
core.v1.PodTemplateSpec spec
core.v1.PreferAvoidPodsEntry evictionTime
core.v1.ReplicationControllerCondition lastTransitionTime
core.v1.ResourceFieldSelector divisor
core.v1.SerializedReference reference
core.v1.ServicePort targetPort
core.v1.ServiceStatus loadBalancer
discovery.v1.Endpoint conditions
events.v1.Event regarding deprecatedSource deprecatedFirstTimestamp deprecatedLastTimestamp
flowcontrol.v1.FlowSchemaCondition lastTransitionTime
flowcontrol.v1.LimitedPriorityLevelConfiguration limitResponse
flowcontrol.v1.PriorityLevelConfigurationCondition lastTransitionTime
networking.v1.IngressServiceBackend port
networking.v1.IngressStatus loadBalancer
resource.v1.AllocationResult devices
storage.v1.VolumeError time
apiextensions.v1.CustomResourceDefinitionCondition lastTransitionTime
apiregistration.v1.APIServiceCondition lastTransitionTime
meta.v1.APIGroup preferredVersion
"""

# Messages with `metadata` that are parts of others and have no kind or apiVersion of their own.
NOT_KINDS = {"PodTemplateSpec", "JobTemplateSpec", "PersistentVolumeClaimTemplate", "ResourceClaimTemplateSpec",
             "APIGroupDiscovery"}
# Kinds without metadata.
BARE_KINDS = {"DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "ListOptions", "GetOptions", "TableOptions",
              "APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "AdmissionReview", "ConversionReview",
              "SerializedReference", "PodExecOptions", "PodAttachOptions", "PodLogOptions", "PodPortForwardOptions",
              "PodProxyOptions", "NodeProxyOptions", "ServiceProxyOptions"}


def marks(text):
    """Parse `message field field...` lines to {message: fields}."""
    found = {}
    for line in text.split("\n"):
        if line.strip():
            message, *fields = line.split()
            found[message] = set(fields)
    return found


def alias(package):
    """`k8s.io.api.core.v1` -> `core.v1`: the last two parts name a package uniquely."""
    return ".".join(package.split(".")[-2:])


def schema():
    merge = json.loads(next(FACTS.glob("merge-keys-*.json")).read_text())
    nullable, nulls, by_value = marks(NULLABLE), marks(NULL_WHEN_MISSING), marks(BY_VALUE)
    used = set()
    messages = collections.OrderedDict()
    for line in next(FACTS.glob("protobuf-fields-*.tsv")).read_text().splitlines()[1:]:
        message, number, name, label, kind, empty = line.split("\t")
        messages.setdefault(message, []).append((int(number), name, label, kind, empty))
    # messages that are referred to but have no fields (ExecAction has; StorageOS...): keep them as empty objects
    for fields in list(messages.values()):
        for _, _, _, kind, _ in fields:
            kind = kind[11:-1] if kind.startswith("map<string,") else kind
            if kind not in SCALARS and kind not in messages:
                messages[kind] = []
    packages = sorted({m.rpartition(".")[0] for m in messages})
    assert len({alias(p) for p in packages}) == len(packages)
    lines = []
    for package in packages:
        a = alias(package)
        stem = a.split(".")[0]
        group = GROUPS.get(stem, stem + ".k8s.io") if a[-2:] in ("v1", "v2") or "beta" in a else "-"
        lines.append(f"@{a} {package} {group or '+'}")
        for message in sorted(m for m in messages if m.rpartition(".")[0] == package):
            lines += message_lines(message, messages[message], a, merge, nullable, nulls, by_value, used)
    for table in (nullable, nulls, by_value):
        for message, fields in table.items():
            for field in fields - {"*"}:
                if (message, field) not in used:
                    sys.exit(f"no such field in the facts: {message} {field}")
    (OUT / "schema.txt").write_text("\n".join(lines) + "\n")


def openapi_name(message):
    """The name of a message in the OpenAPI document: `io.k8s.` first and dashes where Go import paths have them."""
    for old, new in (("k8s.io.apiextensions_apiserver", "io.k8s.apiextensions-apiserver"),
                     ("k8s.io.kube_aggregator", "io.k8s.kube-aggregator"), ("k8s.io.", "io.k8s.")):
        if message.startswith(old):
            return new + message[len(old):]
    return message


def message_lines(message, fields, package, merge, nullable, nulls, by_value, used):
    name = message.rpartition(".")[2]
    key = f"{package}.{name}"
    facts = merge.get(openapi_name(message), {})
    has_meta = any(f[1] == "metadata" for f in fields)
    kind = (has_meta and name not in NOT_KINDS) or name in BARE_KINDS
    atomic = facts.get("type", {}).get("map-type") == "atomic"
    lines = [f"={name}" + (" a" if atomic else "") + (" k" if kind else "")]
    for number, field, label, type_, empty in sorted(fields):
        mark = facts.get("fields", {}).get(field, {})
        presence = presence_of(key, field, label, type_, empty, kind, nullable, nulls, by_value, used)
        tail = marks_of(mark)
        lines.append(f"{'~' if field == '~inline' else field} {number} {type_token(label, type_, package)} {presence}{tail}")
    return lines


def type_token(label, type_, package):
    prefix = ""
    if type_.startswith("map<string,"):
        prefix, type_ = "%", type_[11:-1]
    elif label == "rep":
        prefix = "*"
    if type_ in SCALARS:
        return prefix + SCALARS[type_]
    home, _, name = type_.rpartition(".")
    return prefix + (f".{name}" if alias(home) == package else f"{alias(home)}.{name}")


def presence_of(key, field, label, type_, empty, kind, nullable, nulls, by_value, used):
    """A: always; N: always, null when missing; o: left out when zero; p: left out when missing, zero kept."""
    for table in (nullable, nulls, by_value):
        if field in table.get(key, ()):
            used.add((key, field))
    if empty == "always":
        return "N" if field in nulls.get(key, ()) else "A"
    if label == "rep" or label == "map" or type_.startswith("map<"):
        return "o"
    if type_ in SCALARS:
        wanted = nullable.get(key, ())
        return "p" if field in wanted or ("*" in wanted and type_ != "bytes") else "o"
    value = field == "metadata" or (kind and field in ("spec", "status") and key != "meta.v1.Status")
    return "A" if value or field in by_value.get(key, ()) else "p"


def marks_of(mark):
    """List and map types, and patch strategies, as short tokens after a field."""
    out = []
    list_type = mark.get("list-type")
    if list_type == "map":
        out.append("K:" + ",".join(mark["list-map-keys"]))
    elif list_type:
        out.append({"atomic": "a", "set": "S"}[list_type])
    if mark.get("map-type"):
        out.append({"atomic": "a", "granular": "g"}[mark["map-type"]])
    for strategy in filter(None, mark.get("patch-strategy", "").split(",")):
        if strategy == "merge":
            out.append("m:" + mark.get("patch-merge-key", ""))
        else:
            out.append({"replace": "r", "retainKeys": "k"}[strategy])
    return "".join(" " + o for o in out)


# Resources that answer reviews and bindings, or are computed: nothing is stored under them.
VIRTUAL = {"bindings", "componentstatuses", "tokenreviews", "selfsubjectreviews", "localsubjectaccessreviews",
           "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"}
# Resources of one group that are kept in another's storage.
SHARED_STORAGE = {("events.k8s.io", "events"): "events"}
# The version that objects are stored in, where it is not the first listed.
STORAGE_VERSION = {"events": "v1", "horizontalpodautoscalers.autoscaling": "v2"}


def catalogue():
    discovery = json.loads(next(FACTS.glob("discovery-*.json")).read_text())
    fields = json.loads(next(FACTS.glob("field-selectors-*.json")).read_text())
    columns = json.loads(next(FACTS.glob("table-columns-*.json")).read_text())
    texts = sorted({c["description"] for cs in columns.values() for c in cs})
    index = {t: i for i, t in enumerate(texts)}
    lines = ["# " + json.dumps(t, ensure_ascii=False) for t in texts]
    for part in ("api", "apis"):
        for group in discovery[part]["items"]:
            name = group["metadata"].get("name", "")
            lines.append(f"@{name}")
            for version in group["versions"]:
                lines.append(f"={version['version']}")
                for resource in version["resources"]:
                    lines += resource_lines(name, version["version"], resource, fields, columns, index)
    (OUT / "catalogue.txt").write_text("\n".join(lines) + "\n")


def resource_lines(group, version, r, fields, columns, index):
    plural = r["resource"]
    storage = "-" if plural in VIRTUAL else SHARED_STORAGE.get((group, plural), f"{plural}.{group}" if group else plural)
    stored = STORAGE_VERSION.get(storage, version)
    words = lambda xs: ",".join(xs) if xs else "-"
    lines = [" ".join([plural, r["responseKind"]["kind"], r["singularResource"], r["scope"][0], words(r["verbs"]),
                       words(r.get("shortNames")), words(r.get("categories")), storage, stored])]
    for s in r.get("subresources", []):
        k = s["responseKind"]
        lines.append(f"/{s['subresource']} {k['group'] or '-'} {k['version'] or '-'} {k['kind']} {words(s['verbs'])}")
    key = f"{group}/{version}/{plural}" if group else f"{version}/{plural}"
    if fields.get(key):
        lines.append("?" + " ".join(fields[key]))
    for c in columns.get(key, []):
        lines.append("|".join(["", c["name"], c["type"], c["format"], str(c["priority"]), str(index[c["description"]])]))
    return lines


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    schema()
    catalogue()
    for name in ("schema.txt", "catalogue.txt"):
        print(name, (OUT / name).stat().st_size, "bytes")
