//! Kubernetes' `KubeSchedulerConfiguration` (`kubescheduler.config.k8s.io/v1`), read into profiles.
//!
//! What cannot be done is an error with file, line and field, never passed over. Accepted and said to have no effect:
//! `percentageOfNodesToScore` (all feasible nodes are scored) and `parallelism`.
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
mod masked;
mod raw;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::raw::File;
use crate::driver::{SchedulerConfig, Timing};
use crate::plugin::Plugin;

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
        let mut config = SchedulerConfig { timing: timing(raw)?, ..SchedulerConfig::default() };
        config.percentage_of_nodes_to_score = raw.percentage_of_nodes_to_score.as_ref().map(|p| p.value);
        if !raw.profiles.is_empty() {
            config.profiles = build::profiles(self, &raw.profiles)?;
            let percentages = raw.profiles.iter().filter_map(|profile| profile.percentage_of_nodes_to_score.as_ref());
            config.percentage_of_nodes_to_score =
                config.percentage_of_nodes_to_score.or(percentages.map(|p| p.value).next());
        }
        Ok(config)
    }
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
