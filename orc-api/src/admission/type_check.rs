//! The type check of a ValidatingAdmissionPolicy against the kinds that it matches, for `status.typeChecking`.
//!
//! A policy is compiled with `object` as `dyn`, so that a misspelt field is met when a request comes. The check compiles its
//! validations once more for each kind that the rules name, and tells what does not fit. It changes nothing of what the policy
//! does (`k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go`).

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{types, variables};
use crate::cel::{Program, Type};
use crate::kinds::tree::{at, get, list, text, texts};

/// The most kinds that one rule is checked against, as upstream.
const MAX_KINDS: usize = 10;

/// Group, version and kind, in the order in which they are told.
type Kind = (String, String, String);

/// What is served, and the types of it.
pub trait Types {
    /// The kind of a resource; `None` where it is not served.
    fn kind_of(&self, group: &str, version: &str, plural: &str) -> Option<String>;
    /// The type of a kind; `None` where nothing is known of it.
    fn type_of(&self, group: &str, version: &str, kind: &str) -> Option<Type>;
}

/// The `expressionWarnings` of a policy: `{fieldRef, warning}` for each expression that does not fit one of its kinds.
pub fn warnings(policy: &Json, served: &dyn Types) -> Vec<Json> {
    let spec = get(policy, "spec");
    let objects: Vec<(Kind, Type)> = kinds(spec, served)
        .into_iter()
        .filter_map(|kind| Some((kind.clone(), served.type_of(&kind.0, &kind.1, &kind.2)?)))
        .collect();
    let params = params(spec, served);
    let check = |field: String, source: &str| {
        let findings: Vec<String> =
            objects.iter().filter_map(|(kind, object)| finding(spec, source, kind, object, params.as_ref())).collect();
        (!findings.is_empty()).then(|| json!({"fieldRef": field, "warning": findings.join("\n")}))
    };
    let mut out = Vec::new();
    for (i, validation) in list(spec, "validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let source = text(validation, field);
            if field == "expression" || !source.is_empty() {
                out.extend(check(format!("spec.validations[{i}].{field}"), source));
            }
        }
    }
    out
}

/// The type of `params`: `dyn` where nothing is known of the kind, `None` where the policy takes none.
fn params(spec: &Json, served: &dyn Types) -> Option<Type> {
    let kind = Some(get(spec, "paramKind")).filter(|kind| !kind.is_null())?;
    let (group, version) = split(text(kind, "apiVersion"));
    Some(served.type_of(group, version, text(kind, "kind")).unwrap_or(Type::Dyn))
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// What does not fit in an expression for one kind.
fn finding(spec: &Json, source: &str, kind: &Kind, object: &Type, params: Option<&Type>) -> Option<String> {
    let mut environment = variables::environment(true, false)
        .with("object", object.clone())
        .with("oldObject", object.clone())
        .with("request", types::request())
        .with("namespaceObject", types::namespace());
    if let Some(params) = params {
        environment = environment.with("params", params.clone());
    }
    for variable in list(spec, "variables") {
        // A variable that does not fit is met by the expressions that read it: they are told that it is not there.
        if let Ok(program) = Program::compile(text(variable, "expression").trim(), &environment) {
            environment = environment.with(&format!("variables.{}", text(variable, "name")), program.kind().clone());
        }
    }
    let error = Program::compile(source.trim(), &environment).err()?;
    let (group, version, kind) = kind;
    Some(format!("{group}/{version}, Kind={kind}: {error}\n"))
}

/// The kinds that the rules name. A rule with `*` for a group or version names none; sub-resources are no kinds of it.
fn kinds(spec: &Json, served: &dyn Types) -> BTreeSet<Kind> {
    let mut out = BTreeSet::new();
    for rule in list(at(spec, "matchConstraints"), "resourceRules") {
        let sorted = |field: &str| {
            let mut all = texts(rule, field);
            all.sort_unstable();
            all
        };
        let (groups, versions, mut resources) = (sorted("apiGroups"), sorted("apiVersions"), sorted("resources"));
        if groups.iter().chain(&versions).any(|name| name.contains('*')) {
            continue;
        }
        resources.retain(|name| !name.contains(['*', '/']));
        let each = groups.iter().flat_map(|group| versions.iter().map(move |version| (*group, *version)));
        let named = each.flat_map(|(group, version)| resources.iter().map(move |resource| (group, version, *resource)));
        let found = named.filter_map(|(group, version, resource)| {
            Some((group.to_owned(), version.to_owned(), served.kind_of(group, version, resource)?))
        });
        let before = out.len();
        out.extend(found.take(MAX_KINDS));
        if out.len() - before == MAX_KINDS {
            return out;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use orc_core::catalogue::Catalogue;
    use orc_core::schema::Schema;

    use super::*;

    struct BuiltIn;

    impl Types for BuiltIn {
        fn kind_of(&self, group: &str, version: &str, plural: &str) -> Option<String> {
            Some(Catalogue::builtin().served(group, version, plural)?.info.kind.clone())
        }

        fn type_of(&self, group: &str, version: &str, kind: &str) -> Option<Type> {
            Schema::builtin().message_of(group, version, kind).map(types::of_message)
        }
    }

    fn told(resources: &[&str], rest: Json) -> Vec<(String, String)> {
        let rule = json!({"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": resources});
        let mut spec = rest;
        spec["matchConstraints"] = json!({"resourceRules": [rule]});
        let warnings = warnings(&json!({"spec": spec}), &BuiltIn);
        warnings.iter().map(|w| (text(w, "fieldRef").to_owned(), text(w, "warning").to_owned())).collect()
    }

    #[test]
    fn a_field_that_is_not_there_and_types_that_do_not_compare() {
        let found = told(
            &["deployments"],
            json!({"validations": [
                {"expression": "object.replicas > 1"}, {"expression": "object.spec.replicas > '5'"},
                {"expression": "object.spec.replicas > 1", "messageExpression": "object.metadata.nam"}]}),
        );
        let deployment = "apps/v1, Kind=Deployment: ERROR: <input>:1";
        let wanted = [
            ("spec.validations[0].expression", ":7: undefined field 'replicas'\n | object.replicas > 1\n | ......^\n".to_owned()),
            (
                "spec.validations[1].expression",
                ":22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > '5'\n | "
                    .to_owned() + &".".repeat(21) + "^\n",
            ),
            ("spec.validations[2].messageExpression", ":16: undefined field 'nam'\n | object.metadata.nam\n | ...............^\n".to_owned()),
        ];
        let wanted = wanted.map(|(field, text)| (field.to_owned(), format!("{deployment}{text}")));
        assert_eq!(found, wanted);
    }

    #[test]
    fn each_kind_is_told_of_by_itself() {
        let found = told(
            &["deployments", "daemonsets", "deployments/scale"],
            json!({"validations": [{"expression": "object.spec.replicas > 1"}]}),
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].1.starts_with("apps/v1, Kind=DaemonSet: ") && !found[0].1.contains("Deployment"), "{found:?}");
        assert_eq!(told(&["*"], json!({"validations": [{"expression": "object.nope"}]})), []);
    }

    #[test]
    fn what_fits_is_not_told() {
        let expressions = [
            "object.metadata.namespace == request.namespace && oldObject == null",
            "object.spec.template.spec.containers.all(c, c.resources.limits['cpu'] == '1' && has(c.livenessProbe))",
            "object.metadata.?labels['a'].orValue('') == params.data.x || variables.n > 1",
            "authorizer.group('').resource('pods').check('get').allowed() || namespaceObject.metadata.labels['a'] == 'b'",
            "object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z') && object.spec.strategy.rollingUpdate.maxSurge == 1",
        ];
        let validations: Vec<Json> = expressions.iter().map(|e| json!({"expression": e})).collect();
        let spec = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": validations,
            "variables": [{"name": "n", "expression": "object.spec.replicas"}]});
        assert_eq!(told(&["deployments"], spec), []);
    }
}
