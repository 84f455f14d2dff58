//! What the queues promise, on arbitrary runs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Ask { flow: u64, width: u32 },
    Finish { which: usize, cost: u64 },
    Cancel { which: usize },
    Limit(u32),
    Reshape(Shape),
}

fn shape() -> impl Strategy<Value = Shape> {
    (1_u32..9, 1_u32..5, 0_usize..6).prop_map(|(queues, hand, length)| Shape { queues, hand, length })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u64..5, 1_u32..6).prop_map(|(flow, width)| Step::Ask { flow: flow.wrapping_mul(0x9E37_79B9_7F4A_7C15), width }),
        4 => (any::<usize>(), 1_u64..50_000).prop_map(|(which, cost)| Step::Finish { which, cost }),
        2 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => (0_u32..8).prop_map(Step::Limit),
        1 => shape().prop_map(Step::Reshape),
    ]
}

/// Requests by a number of their own.
struct World {
    queues: Queues<u64>,
    running: Vec<(u64, Seat, u32)>,
    waiting: BTreeMap<u64, (Ticket, u32)>,
    names: u64,
    /// Whether the limit or shape changed while something ran: seats may then be over the limit until that ends.
    shrunk: bool,
}

impl World {
    fn drain(&mut self) {
        while let Some((name, seat)) = self.queues.next_start() {
            let (_, width) = self.waiting.remove(&name).expect("only what waits is started");
            self.running.push((name, seat, width));
        }
    }

    fn check(&self) {
        let running: u64 = self.running.iter().map(|(_, _, width)| u64::from(*width)).sum();
        let waiting: u64 = self.waiting.values().map(|(_, width)| u64::from(*width)).sum();
        assert_eq!(self.queues.demand(), (running, waiting));
        let alone = self.running.len() == 1;
        assert!(
            self.shrunk || alone || running <= u64::from(self.queues.seats()),
            "{running} of {}",
            self.queues.seats()
        );
        // Work-conserving: with nobody running nobody waits, and a free seat is held back only for a wider one.
        assert!(waiting == 0 || running > 0);
        if let Some(&(_, at)) = self.queues.ready.first() {
            assert!(!self.queues.fits(self.queues.queues[at as usize].waiting[0].width));
        }
        assert_eq!(self.queues.ready.is_empty(), self.waiting.is_empty());
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Ask { flow, width } => {
                let name = self.names;
                self.names += 1;
                match self.queues.start(flow, width) {
                    Some(seat) => self.running.push((name, seat, width)),
                    None => {
                        if let Ok(ticket) = self.queues.wait(flow, width, name) {
                            self.waiting.insert(name, (ticket, width));
                        }
                    }
                }
            }
            Step::Finish { which, cost } if !self.running.is_empty() => {
                let (_, seat, _) = self.running.swap_remove(which % self.running.len());
                self.queues.finish(seat, cost);
            }
            Step::Cancel { which } if !self.waiting.is_empty() => {
                let name = *self.waiting.keys().nth(which % self.waiting.len()).unwrap();
                let (ticket, _) = self.waiting.remove(&name).unwrap();
                assert_eq!(self.queues.cancel(ticket), Some(name));
                assert_eq!(self.queues.cancel(ticket), None, "it is taken back once");
            }
            Step::Limit(seats) => {
                self.shrunk |= seats < self.queues.seats();
                self.queues.limit(seats);
            }
            Step::Reshape(shape) => self.queues.reshape(shape),
            _ => {}
        }
        self.shrunk &= !self.running.is_empty();
        self.drain();
    }
}

proptest! {
    #[test]
    fn seats_are_kept_and_used(shape in shape(), limit in 0_u32..8, steps in prop::collection::vec(step(), 1..200)) {
        let queues = Queues::new(shape, limit);
        let mut world = World { queues, running: Vec::new(), waiting: BTreeMap::new(), names: 0, shrunk: false };
        for step in steps {
            world.apply(step);
            world.check();
        }
        // Nobody starves: as requests end, every waiting one gets its turn, and then nothing is held.
        while let Some((_, seat, _)) = world.running.pop() {
            world.queues.finish(seat, 7);
            world.drain();
        }
        prop_assert!(world.waiting.is_empty());
        prop_assert_eq!(world.queues.demand(), (0, 0));
        prop_assert!(world.queues.ready.is_empty());
    }

    /// Flows that always have somebody waiting get the same work, whatever their requests are like.
    #[test]
    fn backlogged_flows_share_alike(
        limit in 1_u32..12,
        flows in prop::collection::vec((1_u32..5, 1_u64..40_000), 2..6),
        pick in any::<u64>(),
    ) {
        // One queue a flow: a hand of 1 out of many, and flows chosen so that no two share.
        let mut queues: Queues<usize> = Queues::new(Shape { queues: 64, hand: 1, length: 50 }, limit);
        let mut running: Vec<(usize, Seat)> = Vec::new();
        let (mut work, mut turns) = (vec![0_u64; flows.len()], 0_u64);
        let charge = |flow: usize| u64::from(flows[flow].0) * flows[flow].1;
        for (flow, (width, _)) in flows.iter().enumerate() {
            for _ in 0..2 {
                queues.wait(flow as u64, *width, flow).unwrap();
            }
        }
        let largest = (0..flows.len()).map(charge).max().unwrap();
        for _ in 0..3_000 {
            while let Some((flow, seat)) = queues.next_start() {
                running.push((flow, seat));
                queues.wait(flow as u64, flows[flow].0, flow).unwrap();
            }
            turns += 1;
            let (flow, seat) = running.swap_remove((pick.wrapping_mul(turns) % running.len() as u64) as usize);
            queues.finish(seat, flows[flow].1);
            work[flow] += charge(flow);
        }
        // What runs is not counted in `work` yet, and may be all of one flow; an estimate may be wrong by as much again.
        let bound = (largest + u64::from(limit) * ESTIMATE + ESTIMATE * 5) * u64::from(limit) * 2;
        let (least, most) = (work.iter().min().unwrap(), work.iter().max().unwrap());
        prop_assert!(most - least <= bound, "{work:?}, bound {bound}");
    }
}

#[test]
fn a_newcomer_waits_for_no_more_than_what_runs() {
    let mut queues: Queues<&str> = Queues::new(Shape { queues: 64, hand: 1, length: 50 }, 2);
    let running: Vec<Seat> = (0..2).map(|_| queues.start(1, 1).unwrap()).collect();
    for _ in 0..50 {
        queues.wait(1, 1, "noise").unwrap();
    }
    assert_eq!(queues.wait(1, 1, "noise"), Err("noise"), "the queue is full");
    queues.wait(2, 1, "quiet").unwrap();
    queues.finish(running[0], 1_000_000);
    assert_eq!(queues.next_start().unwrap().0, "quiet");
}

#[test]
fn an_idle_flow_saves_nothing_up() {
    let mut queues: Queues<u32> = Queues::new(Shape { queues: 64, hand: 1, length: 50 }, 1);
    for _ in 0..1000 {
        let seat = queues.start(1, 1).unwrap();
        queues.finish(seat, 10_000);
    }
    let seat = queues.start(1, 1).unwrap();
    for turn in 0..6 {
        queues.wait(1 + u64::from(turn % 2), 1, 1 + turn % 2).unwrap();
    }
    queues.finish(seat, 10_000);
    let mut order = Vec::new();
    while let Some((flow, seat)) = queues.next_start() {
        order.push(flow);
        queues.finish(seat, 10_000);
    }
    // Flow 2 is let in first and at most twice in a row, and is not owed for the time it did not ask.
    assert_eq!(order.iter().filter(|flow| **flow == 2).count(), 3);
    assert!(order[..4].contains(&1), "{order:?}");
}
