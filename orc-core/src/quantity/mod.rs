//! Quantities: exact amounts of resources, as `100m`, `1.5Gi` or `2e3`.
//!
//! A quantity keeps the family of suffixes it was written with, since that decides how it prints; equality and order
//! look at the amount alone. Arithmetic is exact within 38 significant digits and saturates beyond.

mod amount;
mod format;
mod parse;

use amount::Amount;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The family of suffixes that a quantity prints with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `m`, none, `k`, `M`, ...
    #[default]
    DecimalSi,
    /// `Ki`, `Mi`, `Gi`, ...
    BinarySi,
    /// `e3`, `e6`, ...
    DecimalExponent,
}

/// Why a text is not a quantity, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text has another form.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// The digits do not read as a number.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An exact amount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    amount: Amount,
    format: Format,
}

#[allow(clippy::should_implement_trait, reason = "the operators exist too; methods chain without imports")]
impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity { amount: Amount::ZERO, format: Format::DecimalSi };

    /// Reads a quantity. Amounts below a nano are rounded away from zero to one.
    ///
    /// # Errors
    /// The text is not a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse::quantity(text)
    }

    /// The text that Kubernetes shows of a quantity that was written as `text`: the canonical one, but for a few other
    /// spellings that it keeps.
    ///
    /// # Errors
    /// The text is not a quantity.
    pub fn shown(text: &str) -> Result<String, QuantityError> {
        let quantity = Self::parse(text)?;
        Ok(if parse::keeps_spelling(text) { text.to_owned() } else { quantity.to_string() })
    }

    /// The amount rounded up to thousandths, or nothing when it needs no rounding.
    pub fn rounded_to_milli(&self) -> Option<Self> {
        let rounded = Amount::new(self.amount.at_scale(-3), -3);
        (self.amount.parts().1 < -3).then_some(Quantity { amount: rounded, ..*self })
    }

    /// A whole amount.
    pub fn from_integer(value: i64, format: Format) -> Self {
        Quantity { amount: Amount::new(i128::from(value), 0), format }
    }

    /// An amount in thousandths: `from_milli(1500)` is `1500m`.
    pub fn from_milli(value: i64) -> Self {
        Quantity { amount: Amount::new(i128::from(value), -3), format: Format::DecimalSi }
    }

    /// The family of suffixes it prints with.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The same amount printed with another family of suffixes.
    pub fn with_format(self, format: Format) -> Self {
        Quantity { format, ..self }
    }

    /// The amount in whole units, rounded away from zero; saturates.
    pub fn value(&self) -> i64 {
        self.amount.scaled(0)
    }

    /// The amount in thousandths, rounded away from zero; saturates.
    pub fn milli_value(&self) -> i64 {
        self.amount.scaled(-3)
    }

    /// The whole amount, or none when it has a fraction or does not fit.
    pub fn as_integer(&self) -> Option<i64> {
        self.amount.is_whole().then(|| self.value())
    }

    /// The amount as a float, for ratios.
    pub fn as_f64(&self) -> f64 {
        self.amount.as_f64()
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.amount.sign() == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.amount.sign()
    }

    /// The sum, printed like `self` (like `other` when `self` is zero).
    #[must_use]
    pub fn add(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { amount: self.amount.add(other.amount), format }
    }

    /// The difference, printed like `self` (like `other` when `self` is zero).
    #[must_use]
    pub fn sub(self, other: Quantity) -> Quantity {
        self.add(other.neg())
    }

    /// The amount with its sign changed.
    #[must_use]
    pub fn neg(self) -> Quantity {
        Quantity { amount: self.amount.neg(), ..self }
    }

    /// The amount times a whole number; saturates.
    #[must_use]
    pub fn mul(self, factor: i64) -> Quantity {
        Quantity { amount: self.amount.mul(factor), ..self }
    }
}

impl std::ops::Add for Quantity {
    type Output = Quantity;
    fn add(self, other: Quantity) -> Quantity {
        Quantity::add(self, other)
    }
}

impl std::ops::Sub for Quantity {
    type Output = Quantity;
    fn sub(self, other: Quantity) -> Quantity {
        Quantity::sub(self, other)
    }
}

impl std::ops::Neg for Quantity {
    type Output = Quantity;
    fn neg(self) -> Quantity {
        Quantity::neg(self)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.amount.hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.amount.cmp(&other.amount)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Quantity::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format::write(self.amount, self.format, f)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// From a string, or from a bare number as JSON allows.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            serde_json::Value::Null => return Ok(Quantity::ZERO),
            other => other.to_string(),
        };
        Quantity::parse(text.trim()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
