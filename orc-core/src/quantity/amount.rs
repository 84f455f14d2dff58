//! The number behind a quantity: `mantissa * 10^scale`, without trailing zeros in the mantissa, so that equal amounts
//! have equal parts.

use std::cmp::Ordering;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Amount {
    mantissa: i128,
    scale: i32,
}

impl Default for Amount {
    fn default() -> Self {
        Amount::ZERO
    }
}

fn pow10(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

impl Amount {
    pub(super) const ZERO: Amount = Amount { mantissa: 0, scale: 0 };

    pub(super) fn new(mut mantissa: i128, mut scale: i32) -> Self {
        if mantissa == 0 {
            return Amount::ZERO;
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale += 1;
        }
        Amount { mantissa, scale }
    }

    pub(super) fn parts(self) -> (i128, i32) {
        (self.mantissa, self.scale)
    }

    pub(super) fn sign(self) -> i32 {
        self.mantissa.signum() as i32
    }

    pub(super) fn neg(self) -> Self {
        Amount { mantissa: self.mantissa.saturating_neg(), ..self }
    }

    pub(super) fn is_whole(self) -> bool {
        self.scale >= 0
    }

    /// The mantissa at another scale, rounded away from zero; saturates.
    pub(super) fn at_scale(self, scale: i32) -> i128 {
        let saturated = if self.mantissa < 0 { i128::MIN } else { i128::MAX };
        match self.scale.cmp(&scale) {
            Ordering::Equal => self.mantissa,
            Ordering::Greater => pow10(self.scale.abs_diff(scale))
                .and_then(|factor| self.mantissa.checked_mul(factor))
                .unwrap_or(saturated),
            Ordering::Less => match pow10(self.scale.abs_diff(scale)) {
                Some(factor) => {
                    let rest = self.mantissa % factor;
                    self.mantissa / factor + rest.signum()
                }
                None => self.mantissa.signum(),
            },
        }
    }

    pub(super) fn scaled(self, scale: i32) -> i64 {
        let wide = self.at_scale(scale);
        i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
    }

    pub(super) fn as_f64(self) -> f64 {
        if self.scale < 0 {
            self.mantissa as f64 / 10_f64.powi(-self.scale)
        } else {
            self.mantissa as f64 * 10_f64.powi(self.scale)
        }
    }

    /// The sum. Where the two are too far apart for 38 digits, the smaller one is lost.
    pub(super) fn add(self, other: Amount) -> Amount {
        if self.mantissa == 0 {
            return other;
        }
        if other.mantissa == 0 {
            return self;
        }
        let scale = self.scale.min(other.scale);
        let exact = |a: Amount| pow10(a.scale.abs_diff(scale)).and_then(|f| a.mantissa.checked_mul(f));
        match (exact(self), exact(other)) {
            (Some(a), Some(b)) => match a.checked_add(b) {
                Some(sum) => Amount::new(sum, scale),
                None => Amount::new(a / 10 + b / 10, scale + 1),
            },
            (None, _) => self,
            (_, None) => other,
        }
    }

    pub(super) fn mul(self, factor: i64) -> Amount {
        match self.mantissa.checked_mul(i128::from(factor)) {
            Some(product) => Amount::new(product, self.scale),
            None => Amount::new((self.mantissa / 10_i128.pow(19)).saturating_mul(i128::from(factor)), self.scale + 19),
        }
    }

    /// The number of decimal digits before the point (negative: zeros after it).
    fn magnitude(self) -> i64 {
        let digits = self.mantissa.unsigned_abs().checked_ilog10().map_or(0, |d| i64::from(d) + 1);
        digits + i64::from(self.scale)
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_sign = self.sign().cmp(&other.sign());
        if by_sign != Ordering::Equal || self.mantissa == 0 {
            return by_sign;
        }
        let by_size = self.magnitude().cmp(&other.magnitude());
        if by_size != Ordering::Equal {
            return if self.mantissa > 0 { by_size } else { by_size.reverse() };
        }
        // The same number of digits before the point: at the smaller scale both have at most 38 digits.
        let scale = self.scale.min(other.scale);
        self.at_scale(scale).cmp(&other.at_scale(scale))
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
