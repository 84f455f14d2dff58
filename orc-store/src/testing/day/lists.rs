//! Lists, a page a second, so that writes come in between.

use orc_core::Revision;
use orc_core::env::{Rng, System};

use super::watchers::interests;
use crate::client::{Freshness, ListOptions};
use crate::store::Store;
use crate::testing::Violation;
use crate::testing::conformance::pages::{Listed, text};

pub(super) struct Lists {
    rng: Rng,
    open: Option<(Listed, ListOptions)>,
    taken: Vec<Listed>,
}

impl Lists {
    pub(super) fn new(system: &System) -> Self {
        Self { rng: system.rng.fork(), open: None, taken: Vec::new() }
    }

    /// The lists that came to their end.
    pub(super) fn taken(&self) -> &[Listed] {
        &self.taken
    }

    /// Takes the next page of the open list, or begins one now and then.
    pub(super) async fn turn(&mut self, store: &Store) -> Result<(), Violation> {
        let (mut listed, mut options) = match self.open.take() {
            Some(open) => open,
            None if self.rng.below(10) == 0 => self.begin(store),
            None => return Ok(()),
        };
        let page = store.list(&listed.scope, &options).await;
        let page = page.map_err(|error| Violation::new("a list goes on while its pin is kept", error.to_string()))?;
        if options.next.is_none() {
            listed.revision = page.revision;
        }
        listed.texts.extend(page.items.iter().map(text));
        listed.items.extend(page.items);
        options.next = page.next;
        match options.next {
            Some(_) => self.open = Some((listed, options)),
            None => self.taken.push(listed),
        }
        Ok(())
    }

    fn begin(&self, store: &Store) -> (Listed, ListOptions) {
        let interests = interests();
        let (scope, select) = interests[self.rng.below(interests.len() as u64) as usize].clone();
        let freshness = if self.rng.below(2) == 0 { Freshness::Latest } else { Freshness::Any };
        let limit = Some(1 + self.rng.below(20) as usize);
        let options = ListOptions { select: select.clone(), freshness, limit, next: None };
        let (items, texts, revision) = (Vec::new(), Vec::new(), Revision::ZERO);
        (Listed { scope, select, least: store.current(), exact: None, revision, items, texts }, options)
    }
}
