//! The bytes of a file: pages that copies share, and holes that are zero.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE: u64 = 4096;

/// A file's content. Cloning costs as much as the number of pages.
#[derive(Clone, Default, Debug)]
pub(super) struct Image {
    length: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE as usize]>>,
}

impl Image {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn set_len(&mut self, length: u64) {
        if length < self.length {
            self.pages.retain(|page, _| page * PAGE < length);
            if let Some(page) = self.pages.get_mut(&(length / PAGE)) {
                Arc::make_mut(page)[(length % PAGE) as usize..].fill(0);
            }
        }
        self.length = length;
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.length = self.length.max(offset + data.len() as u64);
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let part = (PAGE as usize - inside).min(data.len() - done);
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Arc::new([0; PAGE as usize]));
            Arc::make_mut(page)[inside..inside + part].copy_from_slice(&data[done..done + part]);
            done += part;
        }
    }

    /// Fills the buffer; `false` when the file is shorter.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        if out.is_empty() {
            return true;
        }
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.length) {
            return false;
        }
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let part = (PAGE as usize - inside).min(out.len() - done);
            match self.pages.get(&(at / PAGE)) {
                Some(page) => out[done..done + part].copy_from_slice(&page[inside..inside + part]),
                None => out[done..done + part].fill(0),
            }
            done += part;
        }
        true
    }
}
