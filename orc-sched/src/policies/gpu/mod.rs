//! GPUs that pods may share, as resources of nodes and pods.
//!
//! A node offers [`GPU`] (a thousand for each of its devices) and a thousand of [`device`] 0, 1, and so on; the label
//! [`MODEL`] says their type. A pod asks for [`GPU`]: less than a thousand is a share of one device, more is that many whole
//! devices, and it may ask for types by node affinity. On its node it also asks for its part of certain devices, which
//! [`Plugin::settle`](crate::Plugin::settle) adds. So devices are columns of the engine like any other resource: mark, undo and
//! candidate sheets need nothing further.

mod fit;
mod node;
mod typical;

use std::sync::LazyLock;

use orc_core::Name;

pub use self::fit::GpuFit;
pub use self::node::{Devices, GpuNode};
pub use self::typical::{Class, Typical};
use crate::plugin::Fragment;
use crate::pod::PodInfo;

/// The resource that pods ask for: thousandths of a GPU.
pub const GPU: &str = "gpu.orc.dev/milli";
/// The label of a node with the type of its GPUs.
pub const MODEL: &str = "gpu.orc.dev/model";
/// A whole GPU.
pub const WHOLE: i64 = 1000;
/// The most GPUs that a node may have.
pub const MOST: usize = 16;

static DEVICES: LazyLock<[Name; MOST]> =
    LazyLock::new(|| std::array::from_fn(|index| Name::new(format!("gpu.orc.dev/device-{index}"))));

/// The resource of one device.
///
/// # Panics
/// From [`MOST`] on.
pub fn device(index: usize) -> &'static Name {
    &DEVICES[index]
}

/// What a pod asks for, as policies read it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ask {
    /// CPU in thousandths; 100 when it asks for none.
    pub cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// How many devices.
    pub count: usize,
    /// Thousandths of each.
    pub each: i64,
}

/// What a pod that asks for no CPU counts with in scores.
const UNSAID_CPU: i64 = 100;

impl Ask {
    /// What a pod asks for.
    pub fn of(pod: &PodInfo) -> Self {
        let gpu = pod.requests.other.iter().find(|(name, _)| **name == *GPU).map_or(0, |(_, amount)| *amount);
        let cpu = if pod.requests.cpu == 0 { UNSAID_CPU } else { pod.requests.cpu };
        let count = usize::try_from((gpu + WHOLE - 1) / WHOLE).unwrap_or_default();
        Self { cpu, memory: pod.requests.memory, count, each: gpu.min(WHOLE) }
    }

    /// Thousandths of all devices together.
    pub fn gpu(&self) -> i64 {
        self.each * self.count as i64
    }

    /// Writes everything into a signature.
    pub fn write(&self, out: &mut Fragment) {
        [self.cpu, self.memory, self.count as i64, self.each].into_iter().for_each(|number| out.number(number));
    }
}

/// The pod as it counts on a node, with its part of the devices that it got.
pub fn with_devices(pod: &PodInfo, ask: &Ask, devices: &[usize]) -> PodInfo {
    let mut pod = pod.clone();
    pod.requests.other.extend(devices.iter().map(|index| (device(*index).clone(), ask.each)));
    pod
}
