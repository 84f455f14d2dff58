//! Tests of the catalogue on facts of the served level.

use super::{Catalogue, Scope, resource::compare_versions};
use crate::key::ResourceId;

#[test]
fn pods_as_served() {
    let catalogue = Catalogue::builtin();
    let pods = catalogue.served("", "v1", "pods").unwrap();
    assert_eq!((pods.info.kind.as_str(), pods.info.scope), ("Pod", Scope::Namespaced));
    assert!(pods.version().fields.iter().any(|f| f == "spec.nodeName"));
    assert_eq!(pods.version().columns[1].name, "Ready");
    let eviction = pods.version().subresource("eviction").unwrap();
    assert_eq!(eviction.foreign.as_ref().unwrap().to_string(), "policy/v1");
    assert!(pods.version().subresource("status").unwrap().foreign.is_none());
    assert!(
        pods.version().allows("deletecollection")
            && !catalogue.served("", "v1", "namespaces").unwrap().version().allows("deletecollection")
    );
    assert!(catalogue.served("", "v2", "pods").is_none());
}

#[test]
fn events_of_both_groups_share_storage() {
    let catalogue = Catalogue::builtin();
    let id = ResourceId::new("", "events");
    let groups: Vec<_> = catalogue.sharing(&id).map(|r| r.group.to_string()).collect();
    assert_eq!(groups, ["", "events.k8s.io"]);
    assert_eq!(catalogue.resource("events.k8s.io", "events").unwrap().storage.to_string(), "v1");
    assert_eq!(&*catalogue.by_id(&id).unwrap().group, "");
}

#[test]
fn two_versions_one_storage() {
    let catalogue = Catalogue::builtin();
    let info = catalogue.by_id(&ResourceId::new("autoscaling", "horizontalpodautoscalers")).unwrap();
    assert_eq!(info.versions.iter().map(|v| &*v.name).collect::<Vec<_>>(), ["v2", "v1"]);
    assert_eq!(info.storage.to_string(), "autoscaling/v2");
    assert!(catalogue.by_kind("autoscaling", "v1", "HorizontalPodAutoscaler").is_some());
    assert_eq!(catalogue.group("autoscaling").unwrap().versions.iter().map(|v| &**v).collect::<Vec<_>>(), ["v2", "v1"]);
}

#[test]
fn groups_in_discoverys_order() {
    let groups = Catalogue::builtin().groups();
    let names: Vec<_> = groups.iter().map(|g| &*g.name).collect();
    assert_eq!(names[..5], ["", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]);
    assert_eq!(Catalogue::builtin().in_version("apps", "v1").len(), 5);
}

#[test]
fn names_that_users_type() {
    let catalogue = Catalogue::builtin();
    for (typed, plural) in [
        ("po", "pods"),
        ("deploy", "deployments"),
        ("node", "nodes"),
        ("ev", "events"),
        ("hpa", "horizontalpodautoscalers"),
    ] {
        assert_eq!(catalogue.by_name(typed).unwrap().plural, plural);
    }
    assert!(catalogue.by_name("nothing").is_none());
}

#[test]
fn virtual_resources_are_marked() {
    let catalogue = Catalogue::builtin();
    assert!(catalogue.resource("", "bindings").unwrap().is_virtual());
    assert!(catalogue.resource("authorization.k8s.io", "subjectaccessreviews").unwrap().is_virtual());
    assert_eq!(catalogue.resources().filter(|r| r.is_virtual()).count(), 8);
}

#[test]
fn custom_resources_come_and_go() {
    let before = Catalogue::builtin();
    let mut widget = (**before.resource("", "configmaps").unwrap()).clone();
    let id = ResourceId::new("example.com", "widgets");
    (widget.id, widget.group, widget.plural, widget.kind) =
        (Some(id.clone()), "example.com".into(), "widgets".into(), "Widget".into());
    let with = before.with(widget);
    assert!(with.served("example.com", "v1", "widgets").is_some() && before.by_id(&id).is_none());
    assert_eq!(&*with.groups().last().unwrap().name, "example.com");
    assert!(with.without(&id).group("example.com").is_none());
}

#[test]
fn version_preference() {
    let mut versions = ["v1alpha1", "foo", "v2", "v1beta2", "v10", "v1"];
    versions.sort_by(|a, b| compare_versions(b, a));
    assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1alpha1", "foo"]);
}
