//! Kinds that limit or rank others: budgets, quotas, limit ranges, priority classes.

use super::pod_spec::{labels::label_selector, resources};
use super::ports::{at_most_all, count_or_percent};
use super::rules::{Generation, Kind};
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;
use std::collections::BTreeSet;

const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `poddisruptionbudgets.policy`.
pub(super) static BUDGET: Kind = Kind {
    unconditional_update: false,
    validate: budget,
    validate_update: |new, _, e| budget(new, e),
    validate_sub: |new, _, _, e| budget_status(new, e),
    ..Kind::NAMESPACED.with_status()
};

/// The rules of `resourcequotas`.
pub(super) static QUOTA: Kind = Kind {
    status: true,
    validate: quota,
    validate_update: quota_update,
    validate_sub: |new, _, _, e| {
        let path = FieldPath::new("status");
        for side in ["hard", "used"] {
            hard(get(get(new, "status"), side), &path.child(side), e);
        }
    },
    ..Kind::NAMESPACED
};

/// The rules of `limitranges`.
pub(super) static LIMIT_RANGE: Kind =
    Kind { default: limit_default, validate: limits, validate_update: |new, _, e| limits(new, e), ..Kind::NAMESPACED };

/// The rules of `priorityclasses.scheduling.k8s.io`.
pub(super) static PRIORITY_CLASS: Kind = Kind {
    default: |class| put_default(class, "preemptionPolicy", "PreemptLowerPriority"),
    validate: priority,
    validate_update: |new, old, e| {
        for field in ["value", "preemptionPolicy"] {
            if !same(get(new, field), get(old, field)) {
                let rule = if field == "value" { "may not be changed in an update." } else { IMMUTABLE };
                let path = FieldPath::new(field);
                if field == "value" {
                    e.forbidden(&FieldPath::new("Value"), rule);
                } else {
                    e.invalid(&path, get(new, field), rule);
                }
            }
        }
    },
    ..Kind::CLUSTER.with_generation(Generation::Fixed)
};

fn budget(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    if has(spec, "minAvailable") && has(spec, "maxUnavailable") {
        e.invalid(&SPEC, spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if has(spec, field) {
            count_or_percent(get(spec, field), &SPEC.child(field), e);
            at_most_all(get(spec, field), &SPEC.child(field), e);
        }
    }
    label_selector(get(spec, "selector"), &SPEC.child("selector"), e);
    if has(spec, "unhealthyPodEvictionPolicy") {
        let path = SPEC.child("unhealthyPodEvictionPolicy");
        e.supported(&path, text(spec, "unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

fn budget_status(object: &Value, e: &mut FieldErrors) {
    let path = FieldPath::new("status");
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        e.not_negative(&path.child(field), int(get(object, "status"), field));
    }
}

const QUOTA_RESOURCES: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

fn quota_name(name: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    resources::resource_name(name, path, e);
    let huge = resources::is_huge_page(name) || name.starts_with("requests.hugepages-");
    if !name.contains('/') && !QUOTA_RESOURCES.contains(&name) && !huge {
        e.invalid(path, name, "must be a standard resource for quota");
    }
}

fn hard(map: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for (name, value) in map.as_object().into_iter().flatten() {
        let at = path.key(name);
        quota_name(name, &at, e);
        if let Some(amount) = resources::quantity(value) {
            resources::amount(name, amount, &at, e);
        }
    }
}

const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

fn quota(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    hard(get(spec, "hard"), &SPEC.child("hard"), e);
    let scopes = texts(spec, "scopes");
    let path = SPEC.child("scopes");
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            e.invalid(&path, *scope, "unsupported scope");
        }
        misfits(scope, spec, get(spec, "scopes"), &path, e);
    }
    conflicts(&scopes, get(spec, "scopes"), &path, e);
    let selector = SPEC.child("scopeSelector");
    let all = selector.child("matchExpressions");
    let expressions = list(get(spec, "scopeSelector"), "matchExpressions");
    let mut named = Vec::new();
    for requirement in expressions {
        scope_requirement(requirement, spec, &all, e);
        named.push(text(requirement, "scopeName"));
    }
    conflicts(&named, get(get(spec, "scopeSelector"), "matchExpressions"), &all, e);
}

fn scope_requirement(requirement: &Value, spec: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let scope = text(requirement, "scopeName");
    let (operator, values) = (text(requirement, "operator"), texts(requirement, "values"));
    if !SCOPES.contains(&scope) {
        e.invalid(&path.child("scopeName"), scope, "unsupported scope");
    }
    misfits(scope, spec, get(requirement, "scopeName"), path, e);
    let exists_only = !["PriorityClass", "VolumeAttributesClass"].contains(&scope);
    if exists_only && operator != "Exists" {
        let rule = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        e.invalid(&path.child("operator"), operator, rule);
    }
    match operator {
        "In" | "NotIn" => {
            if values.is_empty() {
                let rule = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                e.required(&path.child("values"), rule);
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let rule = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                e.invalid(&path.child("values"), get(requirement, "values"), rule);
            }
        }
        other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
}

/// A scope counts pods of some kind only, so resources that are not about pods do not fit it.
fn misfits(scope: &str, spec: &Value, shown: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let fits = |name: &str| match scope {
        "BestEffort" => name == "pods",
        "NotBestEffort" | "Terminating" | "NotTerminating" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            ["pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"].contains(&name)
                || (scope != "NotBestEffort" && scope != "PriorityClass" && name.contains("ephemeral-storage"))
        }
        "VolumeAttributesClass" => name == "persistentvolumeclaims" || name.contains("storage"),
        _ => true,
    };
    if entries(spec, "hard").any(|(name, _)| QUOTA_RESOURCES.contains(&name) && !fits(name)) {
        e.invalid(path, shown, "unsupported scope applied to resource");
    }
}

fn conflicts(scopes: &[&str], shown: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            e.invalid(path, shown, "conflicting scopes");
        }
    }
}

fn quota_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    quota(new, e);
    let sorted = |o: &Value| texts(get(o, "spec"), "scopes").into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    if sorted(new) != sorted(old) {
        e.invalid(&SPEC.child("scopes"), get(get(new, "spec"), "scopes"), IMMUTABLE);
    }
    let selector = SPEC.child("scopeSelector");
    e.immutable(&selector, at(new, "spec.scopeSelector"), at(old, "spec.scopeSelector"));
}

/// A limit of containers fills in what it leaves out: defaults from limits, requests from defaults or the least.
fn limit_default(object: &mut Value) {
    for item in items(ensure(object, "spec"), "limits") {
        if text(item, "type") != "Container" {
            continue;
        }
        let fill = |item: &mut Value, target: &str, from: &str| {
            let source = get(item, from).as_object().cloned().unwrap_or_default();
            if source.is_empty() {
                return;
            }
            let to = ensure(item, target);
            source.into_iter().for_each(|(name, value)| put_default(to, &name, value));
        };
        fill(item, "default", "max");
        fill(item, "defaultRequest", "default");
        fill(item, "defaultRequest", "min");
    }
}

fn limits(object: &Value, e: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    let path = SPEC.child("limits");
    for (i, limit) in list(get(object, "spec"), "limits").iter().enumerate() {
        let at = path.index(i);
        let kind = text(limit, "type");
        if kind.is_empty() {
            e.required(&at.child("type"), "");
        } else {
            e.each(&at.child("type"), kind, names::qualified_name(kind));
        }
        if !seen.insert(kind) {
            e.duplicate(&at.child("type"), kind);
        }
        if kind == "Pod" {
            for field in ["default", "defaultRequest"] {
                if !empty(get(limit, field)) {
                    e.forbidden(&at.child(field), "may not be specified when `type` is 'Pod'");
                }
            }
        }
        if kind == "PersistentVolumeClaim" {
            let bounded = ["min", "max"].iter().any(|side| has(get(limit, side), "storage"));
            if !bounded {
                e.required(&at, "either minimum or maximum storage value is required, but neither was provided");
            }
        }
        limit_bounds(limit, &at, e);
    }
}

fn limit_bounds(limit: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    const SIDES: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let mut all = BTreeSet::new();
    for side in SIDES {
        let at = path.child(side);
        for (name, value) in entries(limit, side) {
            resources::resource_name(name, &at.key(name), e);
            if let Some(amount) = resources::quantity(value) {
                resources::amount(name, amount, &at.key(name), e);
            }
            all.insert(name);
        }
    }
    for name in all {
        let of = |side: &str| {
            let map = get(limit, side);
            map.get(name).and_then(resources::quantity)
        };
        let compare = |low: &str, high: &str, words: (&str, &str), shown: &str, e: &mut FieldErrors| {
            if let (Some(a), Some(b)) = (of(low), of(high))
                && a > b
            {
                // Kubernetes shows the smaller side, but for a request below the least the request.
                let value = if (low, shown) == ("min", "defaultRequest") { b } else { a };
                let at = path.child(shown);
                let rule = format!("{} value {a} is greater than {} value {b}", words.0, words.1);
                e.invalid(&at.key(name), value.to_string(), rule);
            }
        };
        compare("min", "max", ("min", "max"), "min", e);
        compare("min", "defaultRequest", ("min", "default request"), "defaultRequest", e);
        compare("defaultRequest", "max", ("default request", "max"), "defaultRequest", e);
        compare("defaultRequest", "default", ("default request", "default limit"), "defaultRequest", e);
        compare("min", "default", ("min", "default"), "default", e);
        compare("default", "max", ("default", "max"), "default", e);
        if let Some(ratio) = of("maxLimitRequestRatio") {
            let at = path.child("maxLimitRequestRatio");
            if ratio < orc_core::quantity::Quantity::from_milli(1000) {
                e.invalid(&at.key(name), ratio.to_string(), format!("ratio {ratio} is less than 1"));
            }
        }
    }
}

fn priority(class: &Value, e: &mut FieldErrors) {
    const HIGHEST: i64 = 1_000_000_000;
    const SYSTEM: [(&str, i64); 2] =
        [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    let metadata = FieldPath::new("metadata");
    let name = text(get(class, "metadata"), "name");
    let value = int(class, "value").unwrap_or(0);
    if name.starts_with("system-") {
        let wrong = match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, right)) if *right != value => Some(format!("value of {name} PriorityClass must be {right}")),
            Some(_) if flag(class, "globalDefault") => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(wrong) = wrong {
            let rule = "priority class names with 'system-' prefix are reserved for system use only. error: ";
            e.forbidden(&metadata.child("name"), format!("{rule}{wrong}"));
        }
    } else if value > HIGHEST {
        let rule = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        e.forbidden(&FieldPath::new("value"), rule);
    }
    if has(class, "preemptionPolicy") {
        let policy = text(class, "preemptionPolicy");
        e.supported(&FieldPath::new("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
}
