//! Names of interfaces: at most 15 bytes, and different for each cluster and pod.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault};

/// Tells the clusters on one host apart: 1 to 8 letters or digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceId(String);

/// The text is no instance id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no instance id: 1 to 8 lower case letters and digits")]
pub struct InvalidInstanceId(String);

impl InstanceId {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, InvalidInstanceId> {
        let good = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidInstanceId(text.to_owned())) }
    }

    /// An id that is always the same for the same text, such as the path of a data directory.
    pub fn of(text: &str) -> Self {
        Self(format!("{:06x}", hash(text) & 0xff_ffff))
    }

    /// The name of this cluster's bridge.
    pub fn bridge(&self) -> String {
        format!("orc-{}", self.0)
    }

    /// The host's end of a pod's link: 15 bytes, at least six of them from the pod.
    pub(crate) fn link(&self, sandbox: &str) -> String {
        let digits = 14 - self.0.len();
        format!("v{}{}", self.0, &format!("{:016x}", hash(sandbox))[16 - digits..])
    }

    /// A locally administered address, so that the bridge keeps one whatever is plugged in.
    pub(crate) fn bridge_mac(&self) -> Vec<u8> {
        let digest = hash(&self.0).to_be_bytes();
        vec![0x02, digest[0], digest[1], digest[2], digest[3], digest[4]]
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// FNV-1a: the same in every build, which std's hasher does not promise.
fn hash(text: &str) -> u64 {
    #[derive(Default)]
    struct Fnv(Option<u64>);
    impl std::hash::Hasher for Fnv {
        fn write(&mut self, bytes: &[u8]) {
            let mut state = self.0.unwrap_or(0xcbf2_9ce4_8422_2325);
            for byte in bytes {
                state = (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
            self.0 = Some(state);
        }
        fn finish(&self) -> u64 {
            // The last bytes touch only the low bits of FNV; spread them.
            let state = self.0.unwrap_or_default();
            state ^ (state >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }
    }
    BuildHasherDefault::<Fnv>::default().hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        for id in ["a", "ab12cd", "12345678"] {
            let id = InstanceId::new(id).unwrap();
            assert!(id.bridge().len() <= 15);
            assert_eq!(id.link("pod-a").len(), 15);
            assert_ne!(id.link("pod-a"), id.link("pod-b"));
        }
        assert_ne!(InstanceId::of("/var/lib/orc"), InstanceId::of("/var/lib/orc2"));
        assert!(InstanceId::new("Big").is_err());
        assert!(InstanceId::new("").is_err());
    }
}
