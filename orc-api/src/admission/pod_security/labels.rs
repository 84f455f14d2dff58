//! The labels of a namespace that say which standard holds.

use orc_core::labels::Labels;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// The newest minor version of the standards: what `latest` means.
const LATEST: u32 = 36;
/// What the labels start with.
const PREFIX: &str = "pod-security.kubernetes.io/";

/// How strict a standard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything goes.
    #[default]
    Privileged,
    /// No known privilege escalation.
    Baseline,
    /// Hardened.
    Restricted,
}

/// The version of a standard: one of Kubernetes 1.x, or the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(Option<u32>);

impl Version {
    /// The minor version; newer ones than known count as the newest known.
    pub fn minor(self) -> u32 {
        self.0.unwrap_or(LATEST).min(LATEST)
    }
}

/// A level at a version, written `restricted:latest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard {
    /// The level.
    pub level: Level,
    /// Its version.
    pub version: Version,
}

/// What a namespace asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Pods that violate it are refused.
    pub enforce: Standard,
    /// Violations are noted in the audit log.
    pub audit: Standard,
    /// Violations are told to the client.
    pub warn: Standard,
}

/// Why a label does not read; worded as upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LabelError(&'static str);

impl FromStr for Level {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Self, LabelError> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err(LabelError("must be one of privileged, baseline, restricted")),
        }
    }
}

impl FromStr for Version {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Self, LabelError> {
        if text == "latest" {
            return Ok(Self(None));
        }
        let digits = text.strip_prefix("v1.").filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
        let minor = digits.filter(|d| *d == "0" || !d.starts_with('0')).and_then(|d| d.parse().ok());
        minor.map(|minor| Self(Some(minor))).ok_or(LabelError("must be \"latest\" or \"v1.x\""))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version.0 {
            None => write!(f, "{}:latest", self.level),
            Some(minor) => write!(f, "{}:v1.{minor}", self.level),
        }
    }
}

impl Policy {
    /// Reads a namespace's labels. Where `enforce` is set and `audit` or `warn` is not, those stay at `privileged`. A label
    /// that does not read fails safe: `enforce` becomes `restricted`, the others stay as they were.
    pub fn of(labels: Option<&Value>) -> Self {
        Self::read(|name| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str))
    }

    /// As [`Policy::of`], of labels that were read already.
    pub fn of_labels(labels: &Labels) -> Self {
        if labels.iter().any(|(name, _)| name.starts_with(PREFIX)) {
            Self::read(|name| labels.get(name))
        } else {
            Self::default()
        }
    }

    fn read<'a>(labels: impl Fn(&str) -> Option<&'a str>) -> Self {
        let label = |name: &str| labels(&format!("{PREFIX}{name}"));
        let standard = |mode: &str, fallback: Level| Standard {
            level: label(mode).map_or(Level::Privileged, |text| text.parse().unwrap_or(fallback)),
            version: label(&format!("{mode}-version")).and_then(|text| text.parse().ok()).unwrap_or_default(),
        };
        let enforce = standard("enforce", Level::Restricted);
        let audit = standard("audit", Level::Privileged);
        let mut warn = standard("warn", Level::Privileged);
        // Who enforces also wants to hear of it where enforcement does not reach, unless told otherwise.
        if label("enforce").is_some() && label("warn").is_none() {
            warn = enforce;
        }
        Self { enforce, audit, warn }
    }

    /// Whether nothing is asked for.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|standard| standard.level == Level::Privileged)
    }

    /// The labels of a namespace that do not read: label, value and why.
    pub fn broken(labels: Option<&Value>) -> Vec<(String, String, String)> {
        let mut out = Vec::new();
        for mode in ["enforce", "audit", "warn"] {
            for (name, versioned) in [(format!("{PREFIX}{mode}"), false), (format!("{PREFIX}{mode}-version"), true)] {
                let Some(text) = labels.and_then(|l| l.get(&name)).and_then(Value::as_str) else { continue };
                let read = if versioned { text.parse::<Version>().map(drop) } else { text.parse::<Level>().map(drop) };
                if let Err(why) = read {
                    out.push((name, text.to_owned(), why.to_string()));
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_read() {
        let labels = json!({"pod-security.kubernetes.io/enforce": "baseline",
            "pod-security.kubernetes.io/enforce-version": "v1.24"});
        let policy = Policy::of(Some(&labels));
        assert_eq!(policy.enforce.to_string(), "baseline:v1.24");
        assert_eq!(policy.warn.to_string(), "baseline:v1.24");
        assert_eq!(policy.audit.to_string(), "privileged:latest");
        assert!(Policy::of(None).is_privileged());
        let read: Labels = serde_json::from_value(labels.clone()).unwrap();
        assert_eq!(Policy::of_labels(&read), policy);
        assert_eq!(Policy::of_labels(&Labels::default()), Policy::of(None));
        assert!("v1.01".parse::<Version>().is_err() && "1.2".parse::<Version>().is_err());
        let odd = json!({"pod-security.kubernetes.io/enforce": "tight"});
        assert_eq!(Policy::of(Some(&odd)).enforce.level, Level::Restricted);
        assert_eq!(Policy::broken(Some(&odd)).len(), 1);
    }
}
