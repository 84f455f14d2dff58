mod args;
mod points;

use super::*;

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn read(rest: &str) -> Result<SchedulerConfig, ConfigError> {
    Catalogue::default().read("f", &format!("{HEAD}{rest}"))
}

fn names(rest: &str) -> Vec<(&'static str, i64)> {
    let config = read(rest).unwrap();
    config.profiles[0].plugins.iter().map(|(plugin, weight)| (plugin.name(), *weight)).collect()
}

#[test]
fn the_defaults_are_the_default_profile() {
    let built: Vec<_> =
        crate::Profile::default().plugins.iter().map(|(plugin, weight)| (plugin.name(), *weight)).collect();
    assert_eq!(names("profiles: [{}]"), built);
    assert_eq!(names(""), built);
}

#[test]
fn plugins_are_enabled_disabled_and_weighed() {
    let some = names(
        "profiles: [{plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeName}, {name: NodeResourcesFit, \
         weight: 7}]}, score: {enabled: [{name: ImageLocality, weight: 3}]}}}]",
    );
    assert_eq!(some, [("NodeName", 0), ("NodeResourcesFit", 7), ("ImageLocality", 3)]);
    let without = read("profiles: [{plugins: {postFilter: {disabled: [{name: '*'}]}}}]").unwrap();
    assert!(without.profiles[0].points.post_filter.is_empty());
    let two = read("profiles: [{schedulerName: a}, {schedulerName: b}]").unwrap();
    assert_eq!(two.profiles.len(), 2);
}

#[test]
fn what_is_wrong_is_told_with_line_and_field() {
    let told = |rest: &str| read(rest).err().unwrap().to_string();
    assert!(
        told("profiles: [{plugins: {multiPoint: {disabled: [{name: DefaultBinder}]}}}]")
            .contains("profiles[0].plugins.multiPoint.disabled[0].name: Forbidden: DefaultBinder cannot be disabled")
    );
    assert_eq!(
        told("profiles:\n- plugins:\n    score:\n      enabled:\n      - name: Nonsense\n"),
        "f:7: profiles[0].plugins.score.enabled[0].name: Not found: \"Nonsense\": there is no plugin of this name"
    );
    let unknown = told("profiles:\n- pluginConfig:\n  - name: InterPodAffinity\n    args:\n      weight: 1\n");
    assert!(
        unknown.starts_with("f:7: profiles[0].pluginConfig[0].args.weight: Invalid value: unknown field `weight`"),
        "{unknown}"
    );
    let misspelt = told("profiles:\n- schedulerNam: a\n");
    assert!(misspelt.starts_with("f:4: ") && misspelt.contains("schedulerNam"), "{misspelt}");
    assert!(told("podInitialBackoffSeconds: 0").contains("podInitialBackoffSeconds: Invalid value: 0"));
    assert!(told("extenders: [{urlPrefix: x}]").contains("extenders[0]: Forbidden"));
    assert!(told("profiles: [{schedulerName: a}, {schedulerName: a}]").contains("Duplicate value: \"a\""));
    let weight = told("profiles: [{plugins: {score: {enabled: [{name: ImageLocality, weight: 101}]}}}]");
    assert!(weight.contains("enabled[0].weight: Invalid value: 101"), "{weight}");
    let curve = "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio, \
                 requestedToCapacityRatio: {shape: [{utilization: 50, score: 1}, {utilization: 40, score: 1}]}}}}]}]";
    assert!(told(curve).contains("shape[1].utilization: Invalid value: 40"));
    assert!(told("profiles: [{schedulerName: ''}]").contains("profiles[0].schedulerName: Required value"));
    assert!(told("profiles: [{schedulerName: a}, {}]").contains("profiles[1].schedulerName: Required value"));
    assert!(
        told("percentageOfNodesToScore: 101").starts_with("f:3: percentageOfNodesToScore: Invalid value: 101: not in")
    );
    assert!(
        told("profiles: [{percentageOfNodesToScore: -1}]").contains("profiles[0].percentageOfNodesToScore: Invalid")
    );
    assert!(
        told("parallelism: 0").contains("parallelism: Invalid value: 0: should be an integer value greater than zero")
    );
    assert!(
        told("podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 4")
            .starts_with("f:4: podMaxBackoffSeconds: Invalid value: 4")
    );
}
