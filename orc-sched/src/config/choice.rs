//! Which plugins a profile has: the defaults, merged with what is enabled and disabled at each point.

use std::collections::BTreeSet;

use super::Catalogue;
use super::build::{Wrong, known};
use super::extends::{NEEDED, REMOVED, is_upstream, points, rests_on};
use super::raw::{Enabled, Points as RawPoints, Set};
use crate::points::Points;
use crate::profile::DEFAULTS;

/// One plugin of a profile being put together.
pub(super) struct Chosen {
    pub(super) name: String,
    /// The weight of its scores; 0 when it does not score.
    pub(super) weight: i64,
    pub(super) filters: bool,
    pub(super) line: u64,
    pub(super) field: String,
}

/// The plugins of the engine in their order. Those of other points go to `points`.
pub(super) fn choose(
    catalogue: &Catalogue,
    raw: &RawPoints,
    field: &str,
    outside: &mut Points,
) -> Result<Vec<Chosen>, Wrong> {
    check(catalogue, raw, field)?;
    let mut all = defaults(field);
    multi_point(&raw.multi_point, &format!("{field}.multiPoint"), &mut all, outside)?;
    one_point(&raw.filter, &format!("{field}.filter"), &mut all, true)?;
    one_point(&raw.score, &format!("{field}.score"), &mut all, false)?;
    outside_of_engine(raw, outside);
    all.retain(|one| one.filters || one.weight != 0);
    joint(raw, field, &all)?;
    Ok(in_order(all, &raw.filter))
}

fn defaults(field: &str) -> Vec<Chosen> {
    let default = |(name, weight): &(&str, i64)| Chosen {
        name: (*name).to_owned(),
        weight: *weight,
        filters: points(name).contains(&"filter"),
        line: 0,
        field: field.to_owned(),
    };
    DEFAULTS.iter().map(default).collect()
}

/// Checks the names of all sets, and that nothing is disabled that has to be there.
fn check(catalogue: &Catalogue, raw: &RawPoints, field: &str) -> Result<(), Wrong> {
    for (point, set) in raw.sets().into_iter().chain([("multiPoint", &raw.multi_point)]) {
        let field = format!("{field}.{point}");
        for (at, disabled) in set.disabled.iter().enumerate() {
            let (name, line) = (&*disabled.name.value, disabled.name.referenced.line());
            let field = format!("{field}.disabled[{at}].name");
            if name != "*" && !REMOVED.contains(&name) {
                known(catalogue, name, line, &field)?;
            }
            // `*` at all points leaves what no scheduler can be without; at its own point it means just that.
            let needed = NEEDED.iter().find(|(own, plugin)| name == *plugin || (name == "*" && *own == point));
            if let Some((_, plugin)) = needed.filter(|(_, plugin)| set.bars(plugin).is_some()) {
                let reason = format!("Forbidden: {plugin} cannot be disabled: there is nothing to take its place");
                return Err((line, field, reason));
            }
        }
        let mut seen = BTreeSet::new();
        for (at, enabled) in set.enabled.iter().enumerate() {
            let (name, line) = (&*enabled.name.value, enabled.name.referenced.line());
            let field = format!("{field}.enabled[{at}].name");
            known(catalogue, name, line, &field)?;
            if point != "multiPoint" && !points(name).contains(&point) {
                let reason = format!("Invalid value: \"{name}\": the plugin does not extend the point {point}");
                return Err((line, field, reason));
            }
            if !seen.insert(name) {
                return Err((line, field, format!("Duplicate value: \"{name}\"")));
            }
        }
    }
    Ok(())
}

/// What is said for all points of a plugin at once.
fn multi_point(set: &Set, field: &str, all: &mut Vec<Chosen>, outside: &mut Points) -> Result<(), Wrong> {
    for disabled in &set.disabled {
        let name = &*disabled.name.value;
        all.retain(|one| name != "*" && one.name != name);
        if matches!(name, "*" | "SchedulingGates") {
            outside.pre_enqueue.clear();
        }
        if matches!(name, "*" | "DefaultPreemption") {
            outside.post_filter.clear();
        }
    }
    for (at, enabled) in set.enabled.iter().enumerate() {
        let name = &*enabled.name.value;
        match name {
            "SchedulingGates" => outside.pre_enqueue = Points::defaults().pre_enqueue,
            "DefaultPreemption" => outside.post_filter = Points::defaults().post_filter,
            "PrioritySort" | "DefaultBinder" => {}
            _ => {
                let field = format!("{field}.enabled[{at}]");
                let (filters, scores) = (points(name).contains(&"filter"), points(name).contains(&"score"));
                let weight = weight(enabled, &field)?.unwrap_or(1) * i64::from(scores);
                match all.iter_mut().find(|one| one.name == name) {
                    Some(one) => (one.weight, one.filters) = (weight, filters),
                    None => all.push(chosen(enabled, weight, filters, field)),
                }
            }
        }
    }
    Ok(())
}

fn chosen(enabled: &Enabled, weight: i64, filters: bool, field: String) -> Chosen {
    Chosen { name: enabled.name.value.clone(), weight, filters, line: enabled.name.referenced.line(), field }
}

/// Enables and disables at one of the two points that plugins of the engine are chosen for.
fn one_point(set: &Set, field: &str, all: &mut Vec<Chosen>, filters: bool) -> Result<(), Wrong> {
    for disabled in &set.disabled {
        let name = &*disabled.name.value;
        for one in all.iter_mut().filter(|one| name == "*" || one.name == name) {
            match filters {
                true => one.filters = false,
                false => one.weight = 0,
            }
        }
    }
    for (at, enabled) in set.enabled.iter().enumerate() {
        let field = format!("{field}.enabled[{at}]");
        let wanted = weight(enabled, &field)?.unwrap_or(1);
        match all.iter_mut().find(|one| one.name == enabled.name.value) {
            Some(one) if filters => one.filters = true,
            Some(one) => one.weight = wanted,
            None => all.push(chosen(enabled, if filters { 0 } else { wanted }, filters, field)),
        }
    }
    Ok(())
}

fn outside_of_engine(raw: &RawPoints, outside: &mut Points) {
    let set = |set: &Set, name: &str, is_there: bool| {
        set.bars(name).is_none() && (is_there || set.enabled.iter().any(|one| one.name.value == name))
    };
    let defaults = Points::defaults();
    let gates = set(&raw.pre_enqueue, "SchedulingGates", !outside.pre_enqueue.is_empty());
    outside.pre_enqueue = if gates { defaults.pre_enqueue } else { Vec::new() };
    let preempts = set(&raw.post_filter, "DefaultPreemption", !outside.post_filter.is_empty());
    outside.post_filter = if preempts { defaults.post_filter } else { Vec::new() };
}

/// Points where the engine works together with another one: a plugin is at both or at neither.
fn joint(raw: &RawPoints, field: &str, all: &[Chosen]) -> Result<(), Wrong> {
    for (point, set) in raw.sets() {
        let Some(with) = rests_on(point) else { continue };
        let works = |name: &str| {
            let found = all.iter().find(|one| one.name == name);
            found.is_some_and(|one| if with == "score" { one.weight != 0 } else { one.filters })
        };
        for one in all.iter().filter(|one| works(&one.name) && points(&one.name).contains(&point)) {
            // An embedder's plugin says nothing of the points that it needs not.
            if let Some(disabled) = set.bars(&one.name).filter(|_| is_upstream(&one.name)) {
                let reason = format!("Forbidden: {} is enabled at {with} and needs {point}", one.name);
                return Err((disabled.name.referenced.line(), format!("{field}.{point}.disabled"), reason));
            }
        }
        if let Some(at) = set.enabled.iter().position(|enabled| !works(&enabled.name.value)) {
            let enabled = &set.enabled[at];
            let reason = format!("Forbidden: {} does nothing at {point} unless it is at {with}", enabled.name.value);
            let field = format!("{field}.{point}.enabled[{at}].name");
            return Err((enabled.name.referenced.line(), field, reason));
        }
    }
    Ok(())
}

/// Those that are named at the filter point go first, in the order of their names there, as upstream has it.
fn in_order(mut all: Vec<Chosen>, filter: &Set) -> Vec<Chosen> {
    let named = |one: &Chosen| filter.enabled.iter().position(|enabled| enabled.name.value == one.name);
    let default = |one: &Chosen| one.line == 0;
    all.sort_by_key(|one| named(one).filter(|_| default(one)).unwrap_or(usize::MAX));
    all
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
