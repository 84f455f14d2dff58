//! Arguments of plugins, and what is wrong with them.

use super::*;

/// The first profile of a file in which a plugin has these arguments, each on a line of its own.
fn with_args(plugin: &str, args: &str) -> Result<SchedulerConfig, ConfigError> {
    let args: String = args.split('|').map(|line| format!("      {line}\n")).collect();
    read(&format!("profiles:\n- pluginConfig:\n  - name: {plugin}\n    args:\n{args}"))
}

#[test]
fn wrong_arguments_are_told_with_line_and_field() {
    for (plugin, args, line, expected) in [
        (
            "NodeAffinity",
            "addedAffinity:|  requiredDuring: {}",
            8,
            "addedAffinity.requiredDuring: Invalid value: unknown field `requiredDuring`",
        ),
        (
            "NodeAffinity",
            "addedAffinity:|  requiredDuringSchedulingIgnoredDuringExecution:|    nodeSelectorTerms:|    - matchExpressions:|      - {key: a, operator: Near}",
            11,
            "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator",
        ),
        (
            "NodeAffinity",
            "addedAffinity:|  requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}",
            8,
            "Required value: must have at least one node selector term",
        ),
        (
            "NodeAffinity",
            "addedAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, preference: {}}]}",
            7,
            "[0].weight: Invalid value: 0: must be in the range 1-100",
        ),
        (
            "PodTopologySpread",
            "defaultConstraints:|- {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}",
            7,
            "defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty",
        ),
        (
            "PodTopologySpread",
            "defaultingType: List|defaultConstraints:|- maxSkew: 0|  topologyKey: zone|  whenUnsatisfiable: DoNotSchedule",
            9,
            "defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
        ),
        (
            "PodTopologySpread",
            "defaultingType: List|defaultConstraints:|- {maxSkew: 1, topologyKey: a, whenUnsatisfiable: Never}",
            9,
            "defaultConstraints[0].whenUnsatisfiable: Unsupported value: \"Never\"",
        ),
        (
            "PodTopologySpread",
            "defaultingType: List|defaultConstraints:|- {maxSkew: 1, topologyKey: '', whenUnsatisfiable: DoNotSchedule}",
            9,
            "topologyKey: Required value: can not be empty",
        ),
        (
            "PodTopologySpread",
            "defaultingType: List|defaultConstraints:|- {maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}",
            9,
            "labelSelector: Forbidden: constraint must not define a selector",
        ),
        (
            "PodTopologySpread",
            "defaultingType: List|defaultConstraints:|- {maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}|- {maxSkew: 2, topologyKey: a, whenUnsatisfiable: DoNotSchedule}",
            10,
            "defaultConstraints[1]: Duplicate value: \"{a, DoNotSchedule}\"",
        ),
        ("PodTopologySpread", "defaultingType: Some", 7, "defaultingType: Unsupported value: \"Some\""),
        ("NodeResourcesFit", "ignoredResources:|- 'a b'", 8, "ignoredResources[0]: Invalid value: \"a b\""),
        (
            "NodeResourcesFit",
            "ignoredResourceGroups: [a, b/c]",
            7,
            "ignoredResourceGroups[1]: Invalid value: \"b/c\": resource group name can't contain '/'",
        ),
        ("NodeResourcesFit", "scoringStrategy:|  type: Best", 8, "scoringStrategy.type: Unsupported value: \"Best\""),
        ("NodeResourcesFit", "scoringStrategy:|  resources: []", 7, "scoringStrategy.type: Unsupported value: \"\""),
        (
            "NodeResourcesFit",
            "scoringStrategy: {type: RequestedToCapacityRatio}",
            7,
            "requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio",
        ),
        (
            "NodeResourcesFit",
            "scoringStrategy: {type: MostAllocated, requestedToCapacityRatio: {shape: []}}",
            7,
            "requestedToCapacityRatio: Forbidden: must be nil when type is not",
        ),
        (
            "NodeResourcesFit",
            "scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: []}}",
            7,
            "shape: Required value: at least one point must be specified",
        ),
        (
            "NodeResourcesFit",
            "scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 0, score: 11}]}}",
            7,
            "shape[0].score: Invalid value: 11: not in valid range [0, 10]",
        ),
        (
            "NodeResourcesFit",
            "scoringStrategy:|  type: LeastAllocated|  resources:|  - name: cpu|    weight: 101",
            11,
            "resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]",
        ),
        (
            "NodeResourcesBalancedAllocation",
            "resources: [{name: cpu, weight: 2}]",
            7,
            "resources[0].weight: Invalid value: 2: must be 1",
        ),
        (
            "NodeResourcesBalancedAllocation",
            "resources: [{name: cpu}, {name: cpu}]",
            7,
            "resources[1].name: Duplicate value: \"cpu\"",
        ),
        (
            "InterPodAffinity",
            "hardPodAffinityWeight: 101",
            7,
            "hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        ),
        ("InterPodAffinity", "ignorePreferredTermsOfExistingPods: maybe", 7, "Invalid value: invalid type"),
        (
            "DefaultPreemption",
            "minCandidateNodesPercentage: 101",
            7,
            "minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]",
        ),
        (
            "DefaultPreemption",
            "minCandidateNodesAbsolute: -1",
            7,
            "minCandidateNodesAbsolute: Invalid value: -1: not in valid range [0, inf)",
        ),
        (
            "DefaultPreemption",
            "minCandidateNodesAbsolute: 0|minCandidateNodesPercentage: 0",
            8,
            "cannot be zero at the same time as minCandidateNodesAbsolute",
        ),
        (
            "VolumeBinding",
            "bindTimeoutSeconds: -1",
            7,
            "bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds",
        ),
        ("VolumeBinding", "bindTimeoutSeconds: 10|shape: [{utilization: 0, score: 0}]", 8, "shape: Invalid value"),
        (
            "DynamicResources",
            "filterTimeout: -1s",
            7,
            "filterTimeout: Invalid value: \"-1s\": must be zero or positive",
        ),
        ("DynamicResources", "filterTimeout: soon", 7, "filterTimeout: Invalid value: \"soon\": must be a duration"),
        (
            "DynamicResources",
            "bindingTimeout: 10ms",
            7,
            "bindingTimeout: Invalid value: \"10ms\": must be at least 1 second",
        ),
        ("NodeName", "weight: 1", 7, "args.weight: Invalid value: unknown field `weight`"),
        ("SchedulingGates", "some: 1", 7, "args.some: Invalid value: unknown field `some`"),
        (
            "NodeAffinity",
            "kind: InterPodAffinityArgs",
            7,
            "args.kind: Invalid value: \"InterPodAffinityArgs\": must be \"NodeAffinityArgs\"",
        ),
        ("NodeAffinity", "apiVersion: v2", 7, "args.apiVersion: Invalid value: \"v2\""),
    ] {
        let told = with_args(plugin, args).err().unwrap_or_else(|| panic!("{plugin} {args} is accepted")).to_string();
        let head = format!("f:{line}: profiles[0].pluginConfig[0].args");
        assert!(told.starts_with(&head) && told.contains(expected), "{plugin} {args}: {told}");
    }
    let disabled = "profiles: [{plugins: {multiPoint: {disabled: [{name: '*'}]}}, pluginConfig: [{name: InterPodAffinity, \
                    args: {hardPodAffinityWeight: -1}}]}]";
    assert!(
        read(disabled).err().unwrap().to_string().contains("hardPodAffinityWeight: Invalid value: -1"),
        "checked all the same"
    );
}

#[test]
fn what_has_no_effect_is_noted() {
    let notes = |read: Result<SchedulerConfig, ConfigError>| read.unwrap().notes;
    assert!(notes(read("profiles: [{}]")).is_empty());
    for field in [
        "percentageOfNodesToScore: 50",
        "parallelism: 4",
        "leaderElection: {leaderElect: true}",
        "clientConnection: {qps: 5}",
        "enableProfiling: true",
    ] {
        let noted = notes(read(field));
        assert!(noted.len() == 1 && noted[0].starts_with(field.split(':').next().unwrap()), "{noted:?}");
    }
    let expected = [
        ("VolumeBinding", "bindTimeoutSeconds: 5"),
        ("DynamicResources", "filterTimeout: 5s"),
        ("DynamicResources", "bindingTimeout: 1m30s"),
    ];
    for (plugin, args) in expected {
        let noted = notes(with_args(plugin, args));
        let field = format!("profiles[0].pluginConfig[0].args.{} has no effect", args.split(':').next().unwrap());
        assert!(noted.len() == 1 && noted[0].starts_with(&field), "{noted:?}");
    }
}
