//! Sheets by signature, a bounded number of them.

use std::collections::BTreeMap;

use super::sheet::Sheet;
use crate::plugin::Fragment;
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::view::View;

/// How many signatures are kept. A sheet of 5,000 nodes takes a few hundred kilobytes; pods of one workload share one, and the
/// least recently used goes first.
const KEPT: usize = 64;

/// The sheets of a profile.
#[derive(Default)]
pub(super) struct Sheets {
    by_signature: BTreeMap<Vec<u8>, (Sheet, u64)>,
    /// The sheet of a pod that is unlike any other; not kept for the next.
    alone: Option<Sheet>,
    uses: u64,
}

impl Sheets {
    /// The sheet of a pod, caught up.
    pub(super) fn sheet(&mut self, profile: &Profile, view: &View, pod: &PodInfo) -> &mut Sheet {
        let mut fragment = Fragment::default();
        profile.plugins.iter().for_each(|(plugin, _)| plugin.fragment(pod, &mut fragment));
        let Some(signature) = fragment.finish() else { return self.alone.insert(Sheet::new(profile, view, pod)) };
        self.uses += 1;
        let uses = self.uses;
        if !self.by_signature.contains_key(&signature) {
            self.make_room();
        }
        let fresh = || (Sheet::new(profile, view, pod), uses);
        let (sheet, used) = self.by_signature.entry(signature).or_insert_with(fresh);
        *used = uses;
        sheet.catch_up(profile, view, pod);
        sheet
    }

    fn make_room(&mut self) {
        if self.by_signature.len() < KEPT {
            return;
        }
        let oldest =
            self.by_signature.iter().min_by_key(|(_, (_, used))| *used).map(|(signature, _)| signature.clone());
        if let Some(oldest) = oldest {
            self.by_signature.remove(&oldest);
        }
    }
}
