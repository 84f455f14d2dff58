//! What operators measure: counters, gauges and histograms, and the text that Prometheus reads.
//!
//! Instruments are atomic numbers: counting takes no lock, and looking up an instrument by its labels takes none either
//! ([`Family`]). Much of what is shown is not counted at all but asked for when somebody reads it ([`Collect`]): a loop's
//! queue knows its depth. Who reads gets one [`Text`].
//!
//! Not prometheus-client: its histograms take a lock for each observation, and it writes OpenMetrics only, where a counter's
//! type line has another name than in the text format that kube-apiserver answers with by default. What is needed of such a
//! library is these four short files.

mod family;
mod instrument;
mod text;

use std::sync::Arc;

use parking_lot::RwLock;

pub use family::Family;
pub use instrument::{Counter, Distribution, Gauge, Histogram};
pub use text::{Kind, Text};

/// Something that has numbers to show.
///
/// # Contract
/// Must write each of its families once, under names that no other source uses. Must not block: it is called on a task of
/// the server that is asked.
pub trait Collect: Send + Sync + 'static {
    /// Writes the numbers as they are now.
    fn collect(&self, text: &mut Text);
}

impl<F: Fn(&mut Text) + Send + Sync + 'static> Collect for F {
    fn collect(&self, text: &mut Text) {
        self(text);
    }
}

/// The sources of a process. Cheap to clone; clones share the list.
#[derive(Clone, Default)]
pub struct Sources(Arc<RwLock<Vec<Arc<dyn Collect>>>>);

impl Sources {
    /// Adds a source, for as long as the list lives.
    pub fn add(&self, source: Arc<dyn Collect>) {
        self.0.write().push(source);
    }

    /// Everything there is to show now, in the order that sources were added.
    pub fn read(&self) -> String {
        let sources = self.0.read().clone();
        let mut text = Text::default();
        sources.iter().for_each(|source| source.collect(&mut text));
        text.into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_in_their_order() {
        let sources = Sources::default();
        for name in ["b_total", "a_total"] {
            sources.add(Arc::new(move |text: &mut Text| {
                text.family(name, Kind::Counter, "Counts.");
                text.sample(&[], 1.0);
            }));
        }
        let shown = sources.read();
        assert!(shown.find("b_total 1\n").unwrap() < shown.find("a_total 1\n").unwrap(), "{shown}");
    }
}
