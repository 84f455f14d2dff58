//! How many seats each level has now: levels lend what they do not need to those that do. Pure.
//!
//! As KEP-1040's "Dispatching: borrowing": a level keeps what it may not lend, is given at least what it needs up to its
//! nominal share, and the rest goes where it is needed in one proportion for all, within what each may borrow.

/// One level as an allocation sees it. All numbers are seats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Its share by the configuration.
    pub nominal: u32,
    /// What it may lend of that.
    pub lendable: u32,
    /// What it may borrow beyond, `None` for no bound.
    pub borrowable: Option<u32>,
    /// The most that was wanted at once lately.
    pub peak: f64,
    /// The same, smoothed over a longer time.
    pub smooth: f64,
}

impl Wish {
    fn least(&self) -> f64 {
        let kept = f64::from(self.nominal - self.lendable.min(self.nominal));
        kept.max(f64::from(self.nominal).min(self.peak))
    }

    fn most(&self) -> f64 {
        self.borrowable.map_or(f64::INFINITY, |more| f64::from(self.nominal) + f64::from(more))
    }

    fn at(&self, fraction: f64) -> f64 {
        let least = self.least();
        (fraction * self.smooth.max(least)).max(least).min(self.most().max(least))
    }
}

/// The seats of each level out of `total`. None has fewer than what it keeps for itself; the sum is the total, up to rounding,
/// unless what the levels may have is less.
pub fn allocate(wishes: &[Wish], total: u32) -> Vec<u32> {
    let total = f64::from(total);
    let sum = |fraction: f64| wishes.iter().map(|wish| wish.at(fraction)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    // Enough for every ratio of total to demand that there can be; where the total cannot be used up, all have their most.
    while sum(high) < total && high < 1e9 {
        high *= 2.0;
    }
    // Sixty halvings reach the precision of the numbers themselves.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if sum(middle) <= total { low = middle } else { high = middle }
    }
    wishes.iter().map(|wish| wish.at(low).round().min(total.max(wish.least())) as u32).collect()
}

/// Seats of a share: `shares` of `sum` of the total, rounded up, as upstream.
pub fn nominal(shares: u32, sum: u64, total: u32) -> u32 {
    if sum == 0 {
        return 0;
    }
    u32::try_from((u64::from(total) * u64::from(shares)).div_ceil(sum)).unwrap_or(u32::MAX)
}

/// A percentage of seats, rounded.
pub fn percent(seats: u32, percent: i32) -> u32 {
    let share = f64::from(seats) * f64::from(percent.max(0)) / 100.0;
    share.round() as u32
}

/// Demand smoothed over time: rises at once, falls by a fortieth each time (upstream's `seatDemandSmoothingCoefficient`, for
/// a half-life of five minutes at one adjustment every ten seconds).
pub fn smooth(before: f64, peak: f64) -> f64 {
    const KEEP: f64 = 0.977;
    peak.max(before * KEEP + peak * (1.0 - KEEP))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish(nominal: u32, lendable: u32, borrowable: Option<u32>, peak: f64) -> Wish {
        Wish { nominal, lendable, borrowable, peak, smooth: peak }
    }

    #[test]
    fn who_is_idle_lends_to_who_is_not() {
        let seats = allocate(&[wish(50, 45, None, 0.0), wish(50, 0, None, 400.0)], 100);
        assert_eq!(seats, [5, 95]);
        assert_eq!(
            allocate(&[wish(50, 45, None, 50.0), wish(50, 0, None, 400.0)], 100),
            [50, 50],
            "needed: taken back"
        );
        assert_eq!(allocate(&[wish(50, 45, None, 0.0), wish(50, 0, Some(10), 400.0)], 100)[1], 60, "within the bound");
        assert_eq!([nominal(30, 245, 600), nominal(5, 245, 600), nominal(0, 0, 600)], [74, 13, 0]);
    }

    proptest! {
        #[test]
        fn nobody_gets_less_than_is_kept_or_more_than_may_be(
            shares in prop::collection::vec((1_u32..100, 0_i32..=100, prop::option::of(0_i32..200), 0_u32..1000), 1..8),
            total in 1_u32..1000,
        ) {
            let sum = shares.iter().map(|s| u64::from(s.0)).sum();
            let wishes: Vec<Wish> = shares.iter().map(|(share, lend, borrow, peak)| {
                let seats = nominal(*share, sum, total);
                wish(seats, percent(seats, *lend), borrow.map(|b| percent(seats, b)), f64::from(*peak))
            }).collect();
            let seats = allocate(&wishes, total);
            for (wish, seats) in wishes.iter().zip(&seats) {
                prop_assert!(f64::from(*seats) + 0.5 >= wish.least());
                prop_assert!(f64::from(*seats) <= wish.most().max(wish.least()) + 0.5);
            }
            // Nominal shares are rounded up, so what is needed may pass the total by one for each level.
            let sum: u32 = seats.iter().sum();
            prop_assert!(sum <= total + 2 * wishes.len() as u32, "{seats:?}");
        }
    }
}
