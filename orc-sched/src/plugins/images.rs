//! Nodes that have a pod's images already.

use orc_core::Name;

use crate::plugin::{Fragment, Hint, MAX_SCORE, Normal, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Prefers nodes with many megabytes of the pod's images, an image counting the more the more nodes have it, so that pods do
/// not gather on the first node that pulled one.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageLocality;

const MEGABYTE: i64 = 1024 * 1024;
/// Less than this is not worth anything; a container's worth more than `MOST` is worth no more.
const LEAST: i64 = 23 * MEGABYTE;
const MOST: i64 = 1000 * MEGABYTE;

struct Wanted {
    images: Vec<Image>,
    nodes: usize,
}

struct Image {
    name: Name,
    /// How many nodes have it.
    on: usize,
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        out.number(i64::try_from(pod.images.len()).unwrap_or(i64::MAX));
        pod.images.iter().for_each(|image| out.text(image));
    }

    fn prepare(&self, view: &View, pod: &PodInfo) -> Prepared {
        let image = |name: &Name| {
            let on = view.nodes().filter(|(_, node)| node.images.contains_key(name)).count();
            Image { name: name.clone(), on }
        };
        let images: Vec<Image> = pod.images.iter().map(image).collect();
        Box::new(Wanted { images, nodes: view.present().len() })
    }

    /// An image that no node has, changes no score until a node has it; then it prepares anew.
    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        state::<Wanted>(prepared).images.iter().any(|image| image.on > 0).then_some(Normal::None)
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let wanted = state::<Wanted>(prepared);
        let most = MOST * i64::try_from(wanted.images.len()).unwrap_or(1);
        for slot in nodes.iter() {
            let Some(node) = view.node(slot) else { continue };
            let worth = |image: &Image| {
                let size = node.images.get(&image.name).copied().unwrap_or_default();
                (size as f64 * (image.on as f64 / wanted.nodes as f64)) as i64
            };
            let sum = wanted.images.iter().map(worth).sum::<i64>().clamp(LEAST, most.max(LEAST));
            out[slot] = if most > LEAST { MAX_SCORE * (sum - LEAST) / (most - LEAST) } else { 0 };
        }
    }

    fn touched(&self, prepared: &mut Prepared, _: &View, change: &Change) -> Touched {
        let ChangeKind::Node { before, after } = &change.kind else { return Touched::None };
        let wanted = state::<Wanted>(prepared);
        // The worth of an image depends on the number of nodes; without images that a node has, nothing does.
        let counted = wanted.images.iter().any(|image| image.on > 0) && before.is_some() != after.is_some();
        let has = |node: &Option<std::sync::Arc<crate::NodeInfo>>, image: &Image| {
            node.as_ref().is_some_and(|node| node.images.contains_key(&image.name))
        };
        let moved = wanted.images.iter().any(|image| has(before, image) != has(after, image));
        if counted || moved { Touched::All } else { Touched::None }
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, _: Hint) -> bool {
        false
    }
}
