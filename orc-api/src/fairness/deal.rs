//! Shuffle sharding: a flow is dealt a small hand of queues, and two flows seldom share all of theirs.
//!
//! The scheme is that of upstream's `shufflesharding`: the hash is read as a number in a mixed base, a digit a card. See
//! KEP-1040, "Assignment to a Queue", for the odds that a light flow meets a heavy one in its whole hand.

/// The most cards of a hand: 6 of 128 queues use 42 bits of a hash; validation refuses hands of more than 60 bits.
pub const MAX_HAND: usize = 16;

/// The queues of a hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand {
    cards: [u32; MAX_HAND],
    size: usize,
}

impl Hand {
    /// Deals `size` different cards out of `deck`, the same for the same hash. A hand is never larger than its deck or
    /// [`MAX_HAND`], nor empty while there is a deck.
    pub fn deal(hash: u64, deck: u32, size: u32) -> Self {
        let size = (size.clamp(1, deck.max(1)) as usize).min(MAX_HAND);
        let mut hand = Self { cards: [0; MAX_HAND], size };
        let mut rest = hash;
        // Cards dealt so far, ascending: the next one is counted among those that are left.
        let mut dealt = [0_u32; MAX_HAND];
        for at in 0..size {
            let left = u64::from(deck.max(1)) - at as u64;
            let mut card = u32::try_from(rest % left).unwrap_or_default();
            rest /= left;
            let mut place = 0;
            while place < at && dealt[place] <= card {
                card += 1;
                place += 1;
            }
            dealt.copy_within(place..at, place + 1);
            dealt[place] = card;
            hand.cards[at] = card;
        }
        hand
    }

    /// The cards, in the order they were dealt.
    pub fn cards(&self) -> &[u32] {
        &self.cards[..self.size]
    }
}

/// A hash of the parts that make a flow (FNV-1a, then SplitMix64's finish, so that all bits depend on all of the text): the
/// same in each process.
pub fn hash(parts: [&str; 2]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // A byte that no text has stands between the parts.
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hand_has_different_cards_of_its_deck(hash: u64, deck in 1_u32..300, size in 1_u32..20) {
            let hand = Hand::deal(hash, deck, size);
            let different: BTreeSet<u32> = hand.cards().iter().copied().collect();
            prop_assert_eq!(different.len(), (size.min(deck) as usize).min(MAX_HAND));
            prop_assert!(hand.cards().iter().all(|card| *card < deck));
            prop_assert_eq!(hand, Hand::deal(hash, deck, size));
        }
    }

    #[test]
    fn hands_are_spread_over_the_deck() {
        let mut times = [0_u32; 64];
        for user in 0..6400 {
            Hand::deal(hash(["schema", &format!("user-{user}")]), 64, 4)
                .cards()
                .iter()
                .for_each(|c| times[*c as usize] += 1);
        }
        // 400 each is expected; with a deviation of 20, none is seven deviations off.
        assert!(times.iter().all(|times| (260..540).contains(times)), "{times:?}");
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }
}
