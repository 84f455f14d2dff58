//! Profiles from what is written: defaults, merged with what is enabled and disabled.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::Name;
use serde_json::Value;

use super::Catalogue;
use super::masked::ScoresOnly;
use super::raw::{Enabled, Points as RawPoints, RawProfile, Set};
use crate::plugin::Plugin;
use crate::pod::DEFAULT_SCHEDULER;
use crate::points::{DefaultPreemption, Points};
use crate::profile::{DEFAULTS, Profile};

/// What is wrong: line, field and reason.
pub(super) type Wrong = (u64, String, String);

/// Plugins that are no [`Plugin`] but stand at one other point.
const POINTS: [&str; 4] = ["SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder"];
/// There is no queue without an order and no scheduler that does not bind, and no other plugin does either. `*` leaves them.
const NEEDED: [&str; 2] = ["PrioritySort", "DefaultBinder"];
/// Part of `NodeVolumeLimits` since their disks are handled by CSI drivers; accepted and without effect, as in Kubernetes.
const MIGRATED: [&str; 3] = ["EBSLimits", "GCEPDLimits", "AzureDiskLimits"];

/// One plugin of a profile being put together.
struct Chosen {
    name: String,
    weight: i64,
    filters: bool,
    line: u64,
    field: String,
}

pub(super) fn profiles(catalogue: &Catalogue, written: &[RawProfile]) -> Result<Vec<Profile>, Wrong> {
    let mut profiles: Vec<Profile> = Vec::new();
    for (at, raw) in written.iter().enumerate() {
        let field = format!("profiles[{at}]");
        let made = profile(catalogue, raw, &field)?;
        if profiles.iter().any(|other| other.name == made.name) {
            let line = raw.scheduler_name.as_ref().map_or(0, |name| name.referenced.line());
            return Err((line, format!("{field}.schedulerName"), format!("Duplicate value: \"{}\"", made.name)));
        }
        profiles.push(made);
    }
    Ok(profiles)
}

fn profile(catalogue: &Catalogue, raw: &RawProfile, field: &str) -> Result<Profile, Wrong> {
    let name = raw.scheduler_name.as_ref().map_or(DEFAULT_SCHEDULER, |name| &name.value);
    let plugins = format!("{field}.plugins");
    for (point, set, instead) in raw.plugins.joint() {
        let first = set.enabled.iter().map(|e| &e.name).chain(set.disabled.iter().map(|d| &d.name)).next();
        if let Some(first) = first {
            let reason = format!("Forbidden: plugins of this point cannot be chosen apart; name them under {instead}");
            return Err((first.referenced.line(), format!("{plugins}.{point}"), reason));
        }
    }
    let args = arguments(catalogue, raw, field)?;
    let mut points = Points::defaults();
    let chosen = choose(catalogue, &raw.plugins, &plugins, &mut points)?;
    if let Some((value, line, at)) = args.get("DefaultPreemption")
        && !points.post_filter.is_empty()
    {
        let args = super::args::preemption(value).map_err(|wrong| within(*line, at, wrong))?;
        points.post_filter = vec![Arc::new(DefaultPreemption(args))];
    }
    let mut profile = Profile { name: Name::new(name), plugins: Vec::new(), points };
    for one in chosen {
        let (value, line, at) = args.get(&*one.name).cloned().unwrap_or((Value::Null, one.line, one.field.clone()));
        let Some(make) = catalogue.plugins.get(&*one.name) else { continue };
        let made = make(&value).map_err(|wrong| within(line, &at, wrong))?;
        let made: Arc<dyn Plugin> = if one.filters { made } else { Arc::new(ScoresOnly(made)) };
        profile.plugins.push((made, one.weight));
    }
    Ok(profile)
}

fn within(line: u64, at: &str, (field, reason): super::ArgsError) -> Wrong {
    (line, if field.is_empty() { at.to_owned() } else { format!("{at}.{field}") }, reason)
}

type Arguments = BTreeMap<String, (Value, u64, String)>;

/// Arguments by plugin, with line and path.
fn arguments(catalogue: &Catalogue, raw: &RawProfile, field: &str) -> Result<Arguments, Wrong> {
    let mut all = Arguments::new();
    for (at, config) in raw.plugin_config.iter().enumerate() {
        let (name, line) = (&config.name.value, config.name.referenced.line());
        let field = format!("{field}.pluginConfig[{at}]");
        known(catalogue, name, line, &format!("{field}.name"))?;
        let args = (config.args.value.clone(), config.args.referenced.line(), format!("{field}.args"));
        if all.insert(name.clone(), args).is_some() {
            return Err((line, format!("{field}.name"), format!("Duplicate value: \"{name}\"")));
        }
    }
    Ok(all)
}

fn known(catalogue: &Catalogue, name: &str, line: u64, field: &str) -> Result<(), Wrong> {
    if catalogue.plugins.contains_key(name) || POINTS.contains(&name) || MIGRATED.contains(&name) {
        return Ok(());
    }
    Err((line, field.to_owned(), format!("Not found: \"{name}\": there is no plugin of this name")))
}

/// The plugins of the engine in their order. Those of other points go to `points`.
fn choose(catalogue: &Catalogue, raw: &RawPoints, field: &str, points: &mut Points) -> Result<Vec<Chosen>, Wrong> {
    let default = |(name, weight): &(&str, i64)| Chosen {
        name: (*name).to_owned(),
        weight: *weight,
        filters: true,
        line: 0,
        field: field.to_owned(),
    };
    let mut all: Vec<Chosen> = DEFAULTS.iter().map(default).collect();
    let multi = format!("{field}.multiPoint");
    each(catalogue, &raw.multi_point, &multi, &mut |name| {
        all.retain(|one| name != "*" && one.name != name);
        disable_point(points, name);
    })?;
    for (at, enabled) in raw.multi_point.enabled.iter().enumerate() {
        let field = format!("{multi}.enabled[{at}]");
        if !catalogue.plugins.contains_key(&*enabled.name.value) {
            enable_point(points, &enabled.name.value);
            continue;
        }
        let weight = weight(enabled, &field)?;
        match all.iter_mut().find(|one| one.name == enabled.name.value) {
            Some(one) => one.weight = weight.unwrap_or(1),
            None => all.push(Chosen {
                name: enabled.name.value.clone(),
                weight: weight.unwrap_or(1),
                filters: true,
                line: enabled.name.referenced.line(),
                field,
            }),
        }
    }
    one_point(catalogue, &raw.filter, &format!("{field}.filter"), &mut all, true)?;
    one_point(catalogue, &raw.score, &format!("{field}.score"), &mut all, false)?;
    for (point, set) in [
        ("postFilter", &raw.post_filter),
        ("preEnqueue", &raw.pre_enqueue),
        ("queueSort", &raw.queue_sort),
        ("bind", &raw.bind),
    ] {
        each(catalogue, set, &format!("{field}.{point}"), &mut |name| match (name, point) {
            ("*", "postFilter") => points.post_filter.clear(),
            ("*", "preEnqueue") => points.pre_enqueue.clear(),
            _ => disable_point(points, name),
        })?;
        set.enabled.iter().for_each(|enabled| enable_point(points, &enabled.name.value));
    }
    all.retain(|one| one.filters || one.weight != 0);
    Ok(all)
}

/// Checks the names of a set, and goes through those that it disables.
fn each(catalogue: &Catalogue, set: &Set, field: &str, disable: &mut dyn FnMut(&str)) -> Result<(), Wrong> {
    for (at, disabled) in set.disabled.iter().enumerate() {
        let (name, line) = (&disabled.name.value, disabled.name.referenced.line());
        let at = format!("{field}.disabled[{at}].name");
        if name != "*" {
            known(catalogue, name, line, &at)?;
        }
        if NEEDED.contains(&&**name) {
            let reason = format!("Forbidden: {name} cannot be disabled: there is nothing to take its place");
            return Err((line, at, reason));
        }
        disable(name);
    }
    for (at, enabled) in set.enabled.iter().enumerate() {
        let line = enabled.name.referenced.line();
        known(catalogue, &enabled.name.value, line, &format!("{field}.enabled[{at}].name"))?;
    }
    Ok(())
}

/// Enables and disables at one of the two points of a plugin of the engine.
fn one_point(catalogue: &Catalogue, set: &Set, field: &str, all: &mut Vec<Chosen>, filters: bool) -> Result<(), Wrong> {
    each(catalogue, set, field, &mut |name| {
        for one in all.iter_mut().filter(|one| name == "*" || one.name == name) {
            if filters {
                one.filters = false;
            } else {
                one.weight = 0;
            }
        }
    })?;
    for (at, enabled) in set.enabled.iter().enumerate() {
        let field = format!("{field}.enabled[{at}]");
        let wanted = weight(enabled, &field)?.unwrap_or(1);
        match all.iter_mut().find(|one| one.name == enabled.name.value) {
            Some(one) if filters => one.filters = true,
            Some(one) => one.weight = wanted,
            None => all.push(Chosen {
                name: enabled.name.value.clone(),
                weight: if filters { 0 } else { wanted },
                filters,
                line: enabled.name.referenced.line(),
                field,
            }),
        }
    }
    Ok(())
}

fn weight(enabled: &Enabled, field: &str) -> Result<Option<i64>, Wrong> {
    match &enabled.weight {
        None => Ok(None),
        Some(weight) if (0..=100).contains(&weight.value) => Ok(Some(weight.value).filter(|weight| *weight > 0)),
        Some(weight) => {
            let reason = format!("Invalid value: {}: must be in the range 0-100", weight.value);
            Err((weight.referenced.line(), format!("{field}.weight"), reason))
        }
    }
}

fn disable_point(points: &mut Points, name: &str) {
    match name {
        "SchedulingGates" => points.pre_enqueue.clear(),
        "DefaultPreemption" => points.post_filter.clear(),
        "*" => {
            points.pre_enqueue.clear();
            points.post_filter.clear();
        }
        _ => {}
    }
}

fn enable_point(points: &mut Points, name: &str) {
    let defaults = Points::defaults();
    match name {
        "SchedulingGates" => points.pre_enqueue = defaults.pre_enqueue,
        "DefaultPreemption" => points.post_filter = defaults.post_filter,
        _ => {}
    }
}
