//! Why nodes were refused, as data, and the message made of it in Kubernetes' words.

use std::collections::BTreeMap;
use std::fmt;

use orc_core::Name;

use crate::plugin::Refusal;

/// Why a plugin refused a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Reason {
    /// The message, such as `Insufficient cpu`.
    pub text: Name,
    /// The plugin.
    pub plugin: &'static str,
    /// Whether removing pods from the node could help.
    pub resolvable: bool,
}

/// The reasons by slot, with the number of nodes a reason.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    kinds: Vec<Reason>,
    counts: Vec<usize>,
    by_slot: Vec<Vec<u16>>,
}

impl Reasons {
    /// No reasons.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes why a node was refused. A node may have several reasons, all from one plugin.
    pub fn refuse(&mut self, slot: usize, plugin: &'static str, text: &str, resolvable: bool) {
        let known = |kind: &Reason| kind.plugin == plugin && kind.text == *text && kind.resolvable == resolvable;
        let kind = self.kinds.iter().position(known).unwrap_or_else(|| {
            self.kinds.push(Reason { text: Name::new(text), plugin, resolvable });
            self.counts.push(0);
            self.kinds.len() - 1
        });
        if slot >= self.by_slot.len() {
            self.by_slot.resize_with(slot + 1, Vec::new);
        }
        // A plugin has a handful of messages; extended resources are the one open set, bounded by what a pod can name.
        self.by_slot[slot].push(u16::try_from(kind).unwrap_or(u16::MAX));
        self.counts[kind] += 1;
    }

    /// Forgets what was said of a node.
    pub(crate) fn clear(&mut self, slot: usize) {
        for kind in self.by_slot.get_mut(slot).into_iter().flat_map(|kinds| kinds.drain(..)) {
            self.counts[usize::from(kind)] -= 1;
        }
    }

    /// Why a node was refused.
    pub fn of(&self, slot: usize) -> impl Iterator<Item = &Reason> {
        self.by_slot.get(slot).into_iter().flatten().map(|kind| &self.kinds[usize::from(*kind)])
    }

    /// The reasons with the number of nodes each, in an order that does not depend on history.
    pub fn counted(&self) -> Vec<(Reason, usize)> {
        self.counts().finish()
    }

    /// The numbers of nodes, to be added to.
    pub(crate) fn counts(&self) -> Counts {
        Counts(self.kinds.iter().cloned().zip(self.counts.iter().copied()).collect())
    }
}

/// Numbers of nodes a reason.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<Reason, usize>);

impl Counts {
    pub(crate) fn add(&mut self, reason: Reason, nodes: usize) {
        *self.0.entry(reason).or_default() += nodes;
    }

    pub(crate) fn add_refusal(&mut self, plugin: &'static str, refusal: Refusal, nodes: usize) {
        self.add(Reason { text: refusal.text.into(), plugin, resolvable: refusal.resolvable }, nodes);
    }

    pub(crate) fn finish(self) -> Vec<(Reason, usize)> {
        self.0.into_iter().filter(|(_, nodes)| *nodes > 0).collect()
    }
}

/// No node suits a pod. Its text is the message of the pod's condition and event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct FitError {
    /// How many nodes there are.
    pub nodes: usize,
    /// The reasons with the number of nodes each.
    pub reasons: Vec<(Reason, usize)>,
}

impl FitError {
    /// The plugins that refused nodes.
    pub fn plugins(&self) -> Vec<&'static str> {
        let mut plugins: Vec<_> = self.reasons.iter().map(|(reason, _)| reason.plugin).collect();
        plugins.sort_unstable();
        plugins.dedup();
        plugins
    }
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        let mut by_text: BTreeMap<&str, usize> = BTreeMap::new();
        for (reason, count) in &self.reasons {
            *by_text.entry(&reason.text).or_default() += count;
        }
        // Kubernetes sorts the finished parts as texts, so that "10 x" stands before "2 y".
        let mut parts: Vec<String> = by_text.iter().map(|(text, count)| format!("{count} {text}")).collect();
        parts.sort();
        write!(f, "0/{} nodes are available:", self.nodes)?;
        if !parts.is_empty() {
            write!(f, " {}.", parts.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_kubernetes_writes_them() {
        let mut why = Reasons::new();
        why.refuse(0, "NodeResourcesFit", "Insufficient memory", false);
        why.refuse(0, "NodeResourcesFit", "Insufficient cpu", true);
        why.refuse(1, "NodeResourcesFit", "Insufficient cpu", false);
        why.refuse(2, "TaintToleration", "node(s) had untolerated taint(s)", false);
        why.refuse(2, "TaintToleration", "gone again", false);
        why.clear(2);
        why.refuse(2, "TaintToleration", "node(s) had untolerated taint(s)", false);
        let error = FitError { nodes: 3, reasons: why.counted() };
        let text =
            "0/3 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint(s), 2 Insufficient cpu.";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.plugins(), ["NodeResourcesFit", "TaintToleration"]);
        let none = FitError { nodes: 0, reasons: Vec::new() };
        assert_eq!(none.to_string(), "no nodes available to schedule pods");
    }
}
