//! Profiles from what is written: defaults, merged with what is enabled and disabled.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::Name;
use serde_json::Value;

use super::Catalogue;
use super::choice::{Chosen, choose};
use super::extends::{REMOVED, is_known, is_upstream, points};
use super::masked::ScoresOnly;
use super::raw::RawProfile;
use super::tree::Tree;
use crate::plugin::Plugin;
use crate::pod::DEFAULT_SCHEDULER;
use crate::points::{DefaultPreemption, Points};
use crate::profile::Profile;

/// What is wrong: line, field and reason.
pub(super) type Wrong = (u64, String, String);

const VERSION: &str = "kubescheduler.config.k8s.io/v1";

/// Arguments that are read and checked, and why they do nothing.
const WITHOUT_EFFECT: [(&str, &str, &str); 3] = [
    (
        "VolumeBinding",
        "bindTimeoutSeconds",
        "a pod holds no node while its volumes are made; it is tried again when they are there, and every five minutes",
    ),
    ("DynamicResources", "filterTimeout", "a search for devices ends after so many steps, not after a time"),
    ("DynamicResources", "bindingTimeout", "devices with binding conditions are not handed out"),
];

/// Reads the profiles; what has no effect is added to `notes`.
pub(super) fn profiles(
    catalogue: &Catalogue,
    written: &[RawProfile],
    notes: &mut Vec<String>,
) -> Result<Vec<Profile>, Wrong> {
    let mut profiles: Vec<Profile> = Vec::new();
    for (at, raw) in written.iter().enumerate() {
        let field = format!("profiles[{at}]");
        let line = raw.scheduler_name.as_ref().map_or(0, |name| name.referenced.line());
        // As upstream, a single profile may go without a name.
        let unnamed = raw.scheduler_name.as_ref().map_or(written.len() > 1, |name| name.value.is_empty());
        if unnamed {
            return Err((line, format!("{field}.schedulerName"), "Required value".to_owned()));
        }
        let made = profile(catalogue, raw, &field, notes)?;
        if profiles.iter().any(|other| other.name == made.name) {
            return Err((line, format!("{field}.schedulerName"), format!("Duplicate value: \"{}\"", made.name)));
        }
        profiles.push(made);
    }
    Ok(profiles)
}

fn profile(catalogue: &Catalogue, raw: &RawProfile, field: &str, notes: &mut Vec<String>) -> Result<Profile, Wrong> {
    let name = raw.scheduler_name.as_ref().map_or(DEFAULT_SCHEDULER, |name| &name.value);
    super::percentage(&format!("{field}."), raw.percentage_of_nodes_to_score.as_ref())?;
    let args = arguments(catalogue, raw, field, notes)?;
    let mut outside = Points::defaults();
    let chosen = choose(catalogue, &raw.plugins, &format!("{field}.plugins"), &mut outside)?;
    if let Some(given) = args.get("DefaultPreemption") {
        let args = super::args::preemption(&given.tree.value).map_err(|wrong| given.within(wrong))?;
        if !outside.post_filter.is_empty() {
            outside.post_filter = vec![Arc::new(DefaultPreemption(args))];
        }
    }
    let mut profile = Profile { name: Name::new(name), plugins: Vec::new(), points: outside };
    for Chosen { name, weight, filters, line, field } in chosen {
        let Some(make) = catalogue.plugins.get(&*name) else { continue };
        let made = match args.get(&name) {
            Some(given) => make(&given.tree.value).map_err(|wrong| given.within(wrong))?,
            None => make(&Value::Null).map_err(|wrong| Given { tree: Tree::default(), line, field }.within(wrong))?,
        };
        let left_out = !filters && points(&name).contains(&"filter");
        let made: Arc<dyn Plugin> = if left_out { Arc::new(ScoresOnly(made)) } else { made };
        profile.plugins.push((made, weight));
    }
    Ok(profile)
}

/// Arguments as they are written.
struct Given {
    tree: Tree,
    line: u64,
    field: String,
}

impl Given {
    /// What is wrong within them, with its own line.
    fn within(&self, (path, reason): super::ArgsError) -> Wrong {
        // serde tells the name of a field that it does not know, not where it is.
        let unknown = reason.split_once("unknown field `").and_then(|(_, rest)| rest.split('`').next());
        let found = unknown.filter(|_| path.is_empty()).and_then(|name| self.tree.find(name));
        let path = found.unwrap_or(&path);
        let field = if path.is_empty() { self.field.clone() } else { format!("{}.{path}", self.field) };
        (self.tree.line(path).unwrap_or(self.line), field, reason)
    }
}

/// Arguments by plugin. All are checked, those of plugins that are not chosen as well.
fn arguments(
    catalogue: &Catalogue,
    raw: &RawProfile,
    field: &str,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Given>, Wrong> {
    let mut all = BTreeMap::new();
    for (at, config) in raw.plugin_config.iter().enumerate() {
        let (name, line) = (&config.name.value, config.name.referenced.line());
        let field = format!("{field}.pluginConfig[{at}]");
        known(catalogue, name, line, &format!("{field}.name"))?;
        let Some(args) = &config.args else { continue };
        let given = Given { tree: args.value.clone(), line: args.referenced.line(), field: format!("{field}.args") };
        header(name, &given)?;
        check(catalogue, name, &given)?;
        for (_, argument, why) in WITHOUT_EFFECT.iter().filter(|(plugin, ..)| plugin == name) {
            if given.tree.value.get(argument).is_some_and(|value| !value.is_null()) {
                notes.push(format!("{}.{argument} has no effect: {why}", given.field));
            }
        }
        if all.insert(name.clone(), given).is_some() {
            return Err((line, format!("{field}.name"), format!("Duplicate value: \"{name}\"")));
        }
    }
    Ok(all)
}

/// `apiVersion` and `kind` may stand with the arguments of Kubernetes' plugins, and say whose they are.
fn header(name: &str, given: &Given) -> Result<(), Wrong> {
    let expected = [("apiVersion", VERSION.to_owned()), ("kind", format!("{name}Args"))];
    for (field, wanted) in expected.iter().filter(|_| is_upstream(name)) {
        let found = given.tree.value.get(field).filter(|found| found.as_str() != Some(wanted));
        if let Some(found) = found {
            return Err(given.within(((*field).to_owned(), format!("Invalid value: {found}: must be \"{wanted}\""))));
        }
    }
    Ok(())
}

fn check(catalogue: &Catalogue, name: &str, given: &Given) -> Result<(), Wrong> {
    match (name, catalogue.plugins.get(name)) {
        (_, Some(make)) => make(&given.tree.value).map(drop),
        ("DefaultPreemption", None) => super::args::preemption(&given.tree.value).map(drop),
        (_, None) => super::args::nothing(&given.tree.value),
    }
    .map_err(|wrong| given.within(wrong))
}

/// Whether there is a plugin of a name.
///
/// # Errors
/// There is none, or none any more.
pub(super) fn known(catalogue: &Catalogue, name: &str, line: u64, field: &str) -> Result<(), Wrong> {
    if is_known(catalogue, name) {
        return Ok(());
    }
    let reason = match REMOVED.contains(&name) {
        true => format!("Invalid value: \"{name}\": was invalid in version \"{VERSION}\""),
        false => format!("Not found: \"{name}\": there is no plugin of this name"),
    };
    Err((line, field.to_owned(), reason))
}
