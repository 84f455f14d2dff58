//! Sheets by signature, a bounded number of them.

use super::sheet::{Scratch, Sheet};
use crate::plugin::Fragment;
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::view::{ByName, View};

/// How many signatures are kept. Pods of one workload share one, and the least recently used goes first.
const KEPT: usize = 64;
/// The most nodes that all sheets together describe, at some 50 bytes each; beyond 50,000 nodes fewer sheets are kept.
const NODES_KEPT: usize = 3_200_000;
/// The fewest that are kept however large the cluster is.
const LEAST: usize = 4;

/// The sheets of a profile.
#[derive(Default)]
pub(super) struct Sheets {
    by_signature: ByName<Vec<u8>, usize>,
    kept: Vec<(Vec<u8>, Sheet, u64)>,
    /// The sheet of a pod that is unlike any other; not kept for the next.
    alone: Sheet,
    /// Which of `kept` was opened last; `None` is `alone`.
    last: Option<usize>,
    uses: u64,
    /// The buffer that signatures are written into.
    buffer: Vec<u8>,
}

impl Sheets {
    /// Makes the sheet of a pod the last one, caught up.
    pub(super) fn open(&mut self, profile: &Profile, view: &View, pod: &PodInfo, scratch: &mut Scratch) {
        let mut fragment = Fragment::within(std::mem::take(&mut self.buffer));
        profile.plugins.iter().for_each(|(plugin, _)| plugin.fragment(view, pod, &mut fragment));
        let Some(signature) = fragment.finish() else {
            self.alone = Sheet::new(profile, view, pod, scratch);
            self.last = None;
            return;
        };
        self.uses += 1;
        // Pods of one sort come in a row: most often it is the last sheet again.
        let same = self.last.filter(|at| self.kept[*at].0 == signature);
        let at = match same.or_else(|| self.by_signature.get(&signature).copied()) {
            Some(at) => {
                self.kept[at].1.catch_up(profile, view, pod, scratch);
                self.buffer = signature;
                at
            }
            None => self.keep(signature, Sheet::new(profile, view, pod, scratch), view),
        };
        self.kept[at].2 = self.uses;
        self.last = Some(at);
    }

    /// The sheet that was opened last.
    pub(super) fn last(&self) -> &Sheet {
        self.last.map_or(&self.alone, |at| &self.kept[at].1)
    }

    /// The sheet that was opened last.
    pub(super) fn last_mut(&mut self) -> &mut Sheet {
        match self.last {
            Some(at) => &mut self.kept[at].1,
            None => &mut self.alone,
        }
    }

    fn keep(&mut self, signature: Vec<u8>, sheet: Sheet, view: &View) -> usize {
        let most = (NODES_KEPT / view.slot_count().max(1)).clamp(LEAST, KEPT);
        while self.kept.len() >= most {
            let oldest = (0..self.kept.len()).min_by_key(|at| self.kept[*at].2).unwrap_or_default();
            let (gone, ..) = self.kept.swap_remove(oldest);
            self.by_signature.remove(&gone);
            if let Some((moved, ..)) = self.kept.get(oldest) {
                self.by_signature.insert(moved.clone(), oldest);
            }
        }
        self.by_signature.insert(signature.clone(), self.kept.len());
        self.kept.push((signature, sheet, 0));
        self.kept.len() - 1
    }
}
