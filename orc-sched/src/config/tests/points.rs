//! What is enabled and disabled at each extension point.

use super::*;

/// The first profile of a file whose plugins are these.
fn plugins(written: &str) -> Result<SchedulerConfig, ConfigError> {
    read(&format!("profiles: [{{plugins: {{{written}}}}}]"))
}

/// What the plugins of a profile do: those that refuse, and those that score.
fn work(written: &str) -> (Vec<String>, Vec<String>) {
    let config = plugins(written).unwrap_or_else(|error| panic!("{written}: {error}"));
    let all = &config.profiles[0].plugins;
    let left_out = |plugin: &dyn Plugin| plugin.helped_by(crate::plugin::Hint::NodeAdded);
    let filters = all.iter().filter(|(plugin, _)| left_out(&**plugin)).map(|(plugin, _)| plugin.name().to_owned());
    let scores = all.iter().filter(|(_, weight)| *weight > 0).map(|(plugin, _)| plugin.name().to_owned());
    (filters.collect(), scores.collect())
}

#[test]
fn a_star_at_each_point() {
    let (filters, scores) = work("");
    assert_eq!((filters.len(), scores.len()), (13, 7), "{filters:?} {scores:?}");
    // The second profile of Kubernetes' own page on profiles.
    let (unchanged, none) = work("preScore: {disabled: [{name: '*'}]}, score: {disabled: [{name: '*'}]}");
    assert_eq!((unchanged, none), (filters.clone(), Vec::<String>::new()));
    let all_but =
        "preFilter: {disabled: [{name: '*'}]}, filter: {disabled: [{name: '*'}]}, reserve: {disabled: [{name: '*'}]}";
    assert_eq!(work(all_but), (Vec::new(), scores.clone()));
    assert_eq!(work("multiPoint: {disabled: [{name: '*'}]}"), (Vec::new(), Vec::new()));
    assert_eq!(work("permit: {disabled: [{name: '*'}]}, postBind: {disabled: [{name: '*'}]}"), (filters, scores));
    let empty = |written: &str| {
        let points = plugins(written).unwrap().profiles.remove(0).points;
        (points.pre_enqueue.is_empty(), points.post_filter.is_empty())
    };
    assert_eq!(empty("preEnqueue: {disabled: [{name: '*'}]}"), (true, false));
    assert_eq!(empty("preEnqueue: {disabled: [{name: DefaultPreemption}]}"), (false, false), "another point of it");
    assert_eq!(empty("postFilter: {disabled: [{name: '*'}]}"), (false, true));
    assert_eq!(empty("postFilter: {disabled: [{name: '*'}], enabled: [{name: DefaultPreemption}]}"), (false, false));
    assert_eq!(empty("multiPoint: {disabled: [{name: '*'}]}"), (true, true));
    assert_eq!(empty("multiPoint: {disabled: [{name: '*'}], enabled: [{name: DefaultPreemption}]}"), (true, false));
    assert_eq!(
        empty("multiPoint: {disabled: [{name: '*'}]}, preEnqueue: {enabled: [{name: SchedulingGates}]}"),
        (false, true)
    );
    for needed in [
        "queueSort: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}]}",
        "bind: {disabled: [{name: '*'}], enabled: [{name: DefaultBinder}]}",
    ] {
        assert!(plugins(needed).is_ok(), "{needed}");
    }
}

#[test]
fn what_is_named_at_a_point_is_there_and_first() {
    let (filters, scores) = work(
        "filter: {enabled: [{name: NodePorts}, {name: NodeName}]}, score: {enabled: [{name: NodeAffinity, weight: 9}]}",
    );
    assert_eq!(filters[..3], ["NodePorts", "NodeName", "NodeUnschedulable"]);
    assert_eq!(scores.len(), 7);
    let few = "multiPoint: {disabled: [{name: '*'}]}, filter: {enabled: [{name: NodeResourcesFit}]}, \
               preFilter: {enabled: [{name: NodeResourcesFit}]}, score: {enabled: [{name: TaintToleration}]}";
    assert_eq!(work(few), (vec!["NodeResourcesFit".to_owned()], vec!["TaintToleration".to_owned()]));
}

#[test]
fn what_a_point_cannot_have_is_told() {
    let told = |written: &str| plugins(written).err().unwrap_or_else(|| panic!("{written} is accepted")).to_string();
    for (written, expected) in [
        (
            "score: {enabled: [{name: NodeName}]}",
            "score.enabled[0].name: Invalid value: \"NodeName\": the plugin does not extend the point score",
        ),
        ("permit: {enabled: [{name: NodeAffinity}]}", "the plugin does not extend the point permit"),
        (
            "filter: {enabled: [{name: NodeName}, {name: NodeName}]}",
            "filter.enabled[1].name: Duplicate value: \"NodeName\"",
        ),
        (
            "preScore: {disabled: [{name: '*'}]}",
            "preScore.disabled: Forbidden: TaintToleration is enabled at score and needs preScore",
        ),
        ("preFilter: {disabled: [{name: NodePorts}]}", "Forbidden: NodePorts is enabled at filter and needs preFilter"),
        ("reserve: {disabled: [{name: '*'}]}", "Forbidden: VolumeBinding is enabled at filter and needs reserve"),
        (
            "preBind: {disabled: [{name: DynamicResources}]}",
            "Forbidden: DynamicResources is enabled at filter and needs preBind",
        ),
        (
            "multiPoint: {disabled: [{name: '*'}]}, preScore: {enabled: [{name: NodeAffinity}]}",
            "preScore.enabled[0].name: Forbidden: NodeAffinity does nothing at preScore unless it is at score",
        ),
        (
            "queueSort: {disabled: [{name: '*'}]}",
            "queueSort.disabled[0].name: Forbidden: PrioritySort cannot be disabled",
        ),
        ("bind: {disabled: [{name: DefaultBinder}]}", "Forbidden: DefaultBinder cannot be disabled"),
        ("filter: {enabled: [{name: EBSLimits}]}", "Invalid value: \"EBSLimits\": was invalid in version"),
        ("postFiltr: {}", "postFiltr"),
    ] {
        assert!(told(written).contains(expected), "{written}: {}", told(written));
    }
    for point in [
        "preEnqueue",
        "preFilter",
        "filter",
        "postFilter",
        "preScore",
        "score",
        "reserve",
        "permit",
        "preBind",
        "bind",
        "postBind",
        "queueSort",
        "multiPoint",
    ] {
        for what in ["enabled", "disabled"] {
            let field = format!("profiles[0].plugins.{point}.{what}[0].name: Not found: \"Nonsense\"");
            let told = told(&format!("{point}: {{{what}: [{{name: Nonsense}}]}}"));
            assert!(told.starts_with("f:3: ") && told.contains(&field), "{told}");
        }
    }
}
