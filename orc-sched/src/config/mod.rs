//! Kubernetes' `KubeSchedulerConfiguration` (`kubescheduler.config.k8s.io/v1`), read into profiles.
//!
//! What cannot be done is an error with file, line and field, never passed over. What is accepted and has no effect, such as
//! `percentageOfNodesToScore` (all feasible nodes are scored), is told in [`SchedulerConfig::notes`].
//!
//! ```
//! use orc_sched::config::Catalogue;
//!
//! let text = "
//! apiVersion: kubescheduler.config.k8s.io/v1
//! kind: KubeSchedulerConfiguration
//! profiles:
//! - schedulerName: packing
//!   plugins:
//!     score:
//!       disabled: [{name: NodeResourcesBalancedAllocation}]
//!   pluginConfig:
//!   - name: NodeResourcesFit
//!     args:
//!       scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}
//! ";
//! let read = Catalogue::default().read("packing.yaml", text)?;
//! assert_eq!(&*read.profiles[0].name, "packing");
//! let broken = Catalogue::default().read("bad.yaml", &text.replace("MostAllocated", "Fullest")).err().unwrap();
//! assert!(broken.to_string().starts_with("bad.yaml:12: profiles[0].pluginConfig[0].args.scoringStrategy.type: "));
//! # Ok::<(), orc_sched::config::ConfigError>(())
//! ```

mod args;
mod build;
mod choice;
mod extends;
mod masked;
mod raw;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::raw::File;
use crate::driver::{SchedulerConfig, Timing};
use crate::plugin::Plugin;
use crate::plugins::DynamicResources;

/// What is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file}:{line}: {field}: {reason}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// The path of the field.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A field that is wrong within a plugin's arguments: its path from there, and what is wrong.
pub type ArgsError = (String, String);

type Factory = Arc<dyn Fn(&Value) -> Result<Arc<dyn Plugin>, ArgsError> + Send + Sync>;

/// The plugins that a configuration may name: Kubernetes' own, and those of an embedder.
#[derive(Clone)]
pub struct Catalogue {
    plugins: BTreeMap<&'static str, Factory>,
}

impl Default for Catalogue {
    /// Kubernetes' plugins.
    fn default() -> Self {
        let mut catalogue = Self { plugins: BTreeMap::new() };
        args::fill(&mut catalogue);
        catalogue
    }
}

impl Catalogue {
    /// Adds a plugin, made from its arguments (`null` when the configuration has none).
    pub fn with<P: Plugin>(
        mut self,
        name: &'static str,
        make: impl Fn(&Value) -> Result<P, ArgsError> + Send + Sync + 'static,
    ) -> Self {
        self.add(name, make);
        self
    }

    /// Device claims with an evaluator of the expressions in classes and claims; without it those have to wait.
    #[must_use]
    pub fn with_devices(mut self, plugin: DynamicResources) -> Self {
        args::devices(&mut self, plugin);
        self
    }

    fn add<P: Plugin>(
        &mut self,
        name: &'static str,
        make: impl Fn(&Value) -> Result<P, ArgsError> + Send + Sync + 'static,
    ) {
        self.plugins.insert(name, Arc::new(move |args| make(args).map(|plugin| Arc::new(plugin) as Arc<dyn Plugin>)));
    }

    /// Reads a configuration; `file` is for messages.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(&self, file: &str, text: &str) -> Result<SchedulerConfig, ConfigError> {
        let at = |line: u64, field: &str, reason: String| ConfigError {
            file: file.to_owned(),
            line,
            field: field.to_owned(),
            reason,
        };
        let raw: File = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            at(line, "KubeSchedulerConfiguration", error.to_string())
        })?;
        self.build(&raw).map_err(|(line, field, reason)| at(line, &field, reason))
    }

    fn build(&self, raw: &File) -> Result<SchedulerConfig, build::Wrong> {
        let expect = |field: &str, found: &serde_saphyr::Spanned<String>, wanted: &str| {
            if found.value == wanted {
                return Ok(());
            }
            let reason = format!("Unsupported value: \"{}\": supported values: \"{wanted}\"", found.value);
            Err((found.referenced.line(), field.to_owned(), reason))
        };
        expect("apiVersion", &raw.api_version, "kubescheduler.config.k8s.io/v1")?;
        expect("kind", &raw.kind, "KubeSchedulerConfiguration")?;
        if let Some(extender) = raw.extenders.first() {
            let reason = "Forbidden: extenders are not supported; write a plugin".to_owned();
            return Err((extender.referenced.line(), "extenders[0]".to_owned(), reason));
        }
        percentage("", raw.percentage_of_nodes_to_score.as_ref())?;
        if let Some(parallelism) = raw.parallelism.as_ref().filter(|parallelism| parallelism.value <= 0) {
            let reason = format!("Invalid value: {}: should be an integer value greater than zero", parallelism.value);
            return Err((parallelism.referenced.line(), "parallelism".to_owned(), reason));
        }
        let mut config = SchedulerConfig { timing: timing(raw)?, notes: notes(raw), ..SchedulerConfig::default() };
        let of_profiles = raw.profiles.iter().filter_map(|profile| profile.percentage_of_nodes_to_score.as_ref());
        let written = raw.percentage_of_nodes_to_score.iter().chain(of_profiles);
        config.percentage_of_nodes_to_score = written.map(|percentage| percentage.value).next();
        if raw.profiles.is_empty() {
            config.profiles = build::profiles(self, &[raw::RawProfile::default()], &mut config.notes)?;
        } else {
            config.profiles = build::profiles(self, &raw.profiles, &mut config.notes)?;
        }
        Ok(config)
    }
}

fn percentage(within: &str, written: Option<&serde_saphyr::Spanned<i32>>) -> Result<(), build::Wrong> {
    match written {
        Some(percentage) if !(0..=100).contains(&percentage.value) => {
            let reason = format!("Invalid value: {}: not in valid range [0-100]", percentage.value);
            Err((percentage.referenced.line(), format!("{within}percentageOfNodesToScore"), reason))
        }
        _ => Ok(()),
    }
}

/// What is written and does nothing.
fn notes(raw: &File) -> Vec<String> {
    let sampled = raw.percentage_of_nodes_to_score.is_some()
        || raw.profiles.iter().any(|profile| profile.percentage_of_nodes_to_score.is_some());
    let all = [
        (sampled, "percentageOfNodesToScore has no effect: all feasible nodes are scored"),
        (raw.parallelism.is_some(), "parallelism has no effect: a decision is not split"),
        (raw.leader_election.is_some(), "leaderElection is not read here: it is set where the scheduler is started"),
        (
            raw.client_connection.is_some(),
            "clientConnection is not read here: it is set where the scheduler is started",
        ),
        (raw.enable_profiling == Some(true), "enableProfiling has no effect"),
        (raw.enable_contention_profiling == Some(true), "enableContentionProfiling has no effect"),
        (raw.delay_cache_until_active == Some(true), "delayCacheUntilActive has no effect"),
    ];
    all.into_iter().filter(|(written, _)| *written).map(|(_, note)| note.to_owned()).collect()
}

fn timing(raw: &File) -> Result<Timing, build::Wrong> {
    let mut timing = Timing::default();
    let seconds = |field: &str, written: &Option<serde_saphyr::Spanned<i64>>, default: Duration| match written {
        None => Ok(default),
        Some(seconds) => match u64::try_from(seconds.value) {
            Ok(value) if value > 0 => Ok(Duration::from_secs(value)),
            _ => {
                let reason = format!("Invalid value: {}: must be greater than 0", seconds.value);
                Err((seconds.referenced.line(), field.to_owned(), reason))
            }
        },
    };
    timing.first = seconds("podInitialBackoffSeconds", &raw.pod_initial_backoff_seconds, timing.first)?;
    timing.most = seconds("podMaxBackoffSeconds", &raw.pod_max_backoff_seconds, timing.most)?;
    if timing.most < timing.first {
        let line = raw.pod_max_backoff_seconds.as_ref().map_or(0, |most| most.referenced.line());
        let reason = format!(
            "Invalid value: {}: must be greater than or equal to podInitialBackoffSeconds",
            timing.most.as_secs()
        );
        return Err((line, "podMaxBackoffSeconds".to_owned(), reason));
    }
    Ok(timing)
}

#[cfg(test)]
mod tests;
