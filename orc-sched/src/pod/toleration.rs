//! Taints and tolerations.

use k8s_openapi::api::core::v1 as core;
use orc_core::Name;

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// They are not placed on the node.
    NoSchedule,
    /// They are placed elsewhere if possible.
    PreferNoSchedule,
    /// They are not placed on the node and are evicted from it.
    NoExecute,
}

impl Effect {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }

    /// Whether it forbids placement.
    pub fn forbids(self) -> bool {
        matches!(self, Self::NoSchedule | Self::NoExecute)
    }
}

/// A taint of a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Taint {
    /// The key.
    pub key: Name,
    /// The value, `""` when there is none.
    pub value: Name,
    /// What it does.
    pub effect: Effect,
}

impl Taint {
    /// Reads a taint; one of an unknown effect does nothing.
    pub fn of(taint: &core::Taint) -> Option<Self> {
        let effect = Effect::parse(&taint.effect)?;
        Some(Self { key: Name::new(&taint.key), value: Name::new(taint.value.as_deref().unwrap_or_default()), effect })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Operator {
    Equal,
    Exists,
    Less,
    Greater,
    Unknown,
}

/// A toleration of a pod.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Toleration {
    key: Name,
    value: Name,
    operator: Operator,
    /// `None` is every effect.
    effect: Option<Effect>,
    known: bool,
}

impl Toleration {
    /// Reads a toleration.
    pub fn of(written: &core::Toleration) -> Self {
        let effect = written.effect.as_deref().filter(|effect| !effect.is_empty());
        let parsed = effect.and_then(Effect::parse);
        let operator = match written.operator.as_deref() {
            None | Some("" | "Equal") => Operator::Equal,
            Some("Exists") => Operator::Exists,
            Some("Lt") => Operator::Less,
            Some("Gt") => Operator::Greater,
            Some(_) => Operator::Unknown,
        };
        Self {
            key: Name::new(written.key.as_deref().unwrap_or_default()),
            value: Name::new(written.value.as_deref().unwrap_or_default()),
            operator,
            effect: parsed,
            known: effect.is_none() || parsed.is_some(),
        }
    }

    /// Whether it speaks of an effect.
    pub fn concerns(&self, effect: Effect) -> bool {
        self.known && self.effect.is_none_or(|own| own == effect)
    }

    /// Whether it tolerates a taint. An empty key with `Exists` tolerates every one.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if !self.concerns(taint.effect) || !(self.key.is_empty() || self.key == taint.key) {
            return false;
        }
        match self.operator {
            Operator::Exists => true,
            Operator::Equal => self.value == taint.value,
            Operator::Less => self.compared(taint).is_some_and(|(taint, own)| taint < own),
            Operator::Greater => self.compared(taint).is_some_and(|(taint, own)| taint > own),
            Operator::Unknown => false,
        }
    }

    fn compared(&self, taint: &Taint) -> Option<(i64, i64)> {
        Some((taint.value.parse().ok()?, self.value.parse().ok()?))
    }
}

impl Toleration {
    /// Writes everything it says into a signature.
    pub(crate) fn write(&self, out: &mut crate::plugin::Fragment) {
        out.text(&self.key);
        out.text(&self.value);
        let effect = self.effect.map_or(0, |effect| effect as i64 + 1);
        out.number(self.operator as i64 + 16 * effect + 256 * i64::from(self.known));
    }
}
