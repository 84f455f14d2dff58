//! The configuration of a scheduler, from a file and flags.

use std::path::Path;

use anyhow::Context as _;
use orc_core::Name;
use orc_sched::Profile;
use orc_sched::config::Catalogue;
use orc_sched::driver::SchedulerConfig;

use crate::device_selectors;

/// The defaults, with CEL for device claims.
pub fn defaults() -> SchedulerConfig {
    let profile = Profile::default().instead(device_selectors::plugin());
    SchedulerConfig { profiles: vec![profile], ..SchedulerConfig::default() }
}

/// Reads a KubeSchedulerConfiguration, or takes the defaults; `name` renames the profile.
///
/// # Errors
/// When the file is not as it should be, or a name is given for several profiles.
pub fn read(file: Option<&Path>, name: Option<&str>) -> anyhow::Result<SchedulerConfig> {
    let mut config = match file {
        None => defaults(),
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("--config {}", file.display()))?;
            catalogue().read(&file.display().to_string(), &text)?
        }
    };
    if let Some(name) = name {
        anyhow::ensure!(!name.is_empty(), "--scheduler-name must not be empty");
        let [profile] = config.profiles.as_mut_slice() else {
            anyhow::bail!(
                "--scheduler-name {name} says which pods one profile is for; the configuration has {} profiles, each with \
                 its own schedulerName",
                config.profiles.len()
            );
        };
        profile.name = Name::new(name);
    }
    Ok(config)
}

/// Kubernetes' plugins, with CEL for device claims.
fn catalogue() -> Catalogue {
    Catalogue::default().with_devices(device_selectors::plugin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_one_profile() {
        assert_eq!(read(None, Some("own")).unwrap().profiles[0].name.as_str(), "own");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: a\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(read(Some(&file), None).unwrap().profiles[0].name.as_str(), "a");
        std::fs::write(&file, format!("{text}- schedulerName: b\n")).unwrap();
        let wrong = read(Some(&file), Some("own")).err().unwrap().to_string();
        assert!(wrong.contains("has 2 profiles"), "{wrong}");
        std::fs::write(&file, text.replace("profiles", "profile")).unwrap();
        let wrong = read(Some(&file), None).err().unwrap().to_string();
        assert!(wrong.contains("config.yaml:3"), "{wrong}");
        assert!(read(Some(Path::new("/nowhere")), None).err().unwrap().to_string().contains("--config /nowhere"));
    }
}
