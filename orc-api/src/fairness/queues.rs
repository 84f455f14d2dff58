//! The queues of one priority level. Pure: no clock, no task, no lock; time comes in as the cost of what was done.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) over seats: each queue carries the work that it was given so
//! far, in seat microseconds, and the queue with the least comes next. What a request costs is not known before it ends: it is
//! charged [`ESTIMATE`] a seat at first and corrected then, as KEP-1040 does. A queue that was idle starts at the work of the
//! request started last, so that nobody saves up a right to the server.
//!
//! Kept always: seats in use never pass the limit, except by one request alone that is wider than the limit; while requests
//! wait, the next one does not fit; a request that is taken back leaves nothing behind.

use std::collections::{BTreeSet, VecDeque};

use super::deal::Hand;

/// What a request is thought to take before it ended, in microseconds; upstream's `estimatedServiceDuration`.
pub const ESTIMATE: u64 = 3_000;

/// How requests of a level are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Queues, at least 1.
    pub queues: u32,
    /// Queues that one flow may use.
    pub hand: u32,
    /// Requests that may wait in one queue. 0: requests beyond the limit are refused.
    pub length: usize,
}

impl Shape {
    /// No queues: what does not fit is refused.
    pub const REJECT: Self = Self { queues: 1, hand: 1, length: 0 };
}

/// The seats of a running request. To be given back by [`Queues::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "seats that are not given back are lost"]
pub struct Seat {
    queue: u32,
    width: u32,
    generation: u32,
}

/// Where a request waits, for [`Queues::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    number: u64,
    queue: u32,
    generation: u32,
}

#[derive(Debug)]
struct Waiting<T> {
    number: u64,
    flow: u64,
    width: u32,
    item: T,
}

#[derive(Debug)]
struct Queue<T> {
    /// Work given to this queue so far, in seat microseconds.
    work: u64,
    /// Seats in use.
    running: u64,
    waiting: VecDeque<Waiting<T>>,
    /// Seats waited for.
    wanted: u64,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { work: 0, running: 0, waiting: VecDeque::new(), wanted: 0 }
    }
}

/// The queues of one level; `T` is what a waiting request is known by.
#[derive(Debug)]
pub struct Queues<T> {
    shape: Shape,
    limit: u32,
    queues: Vec<Queue<T>>,
    /// Queues in which requests wait, by their work.
    ready: BTreeSet<(u64, u32)>,
    running: u64,
    wanted: u64,
    /// The work at which the last request was started.
    floor: u64,
    next: u64,
    /// Counts shapes: seats and tickets of an earlier one name queues that are no more.
    generation: u32,
    peak: u64,
}

impl<T> Queues<T> {
    /// Empty queues with so many seats.
    pub fn new(shape: Shape, limit: u32) -> Self {
        let queues = (0..shape.queues.max(1)).map(|_| Queue::new()).collect();
        let ready = BTreeSet::new();
        Self { shape, limit, queues, ready, running: 0, wanted: 0, floor: 0, next: 0, generation: 0, peak: 0 }
    }

    /// Starts a request at once if nobody waits and its seats are free.
    pub fn start(&mut self, flow: u64, width: u32) -> Option<Seat> {
        if self.wanted > 0 || !self.fits(width) {
            return None;
        }
        let at = self.choose(flow);
        let floor = self.floor;
        let queue = &mut self.queues[at as usize];
        queue.work = queue.work.max(floor);
        Some(self.run(at, width))
    }

    /// Lets a request wait.
    ///
    /// # Errors
    /// Gives the item back when its queue is full.
    pub fn wait(&mut self, flow: u64, width: u32, item: T) -> Result<Ticket, T> {
        let at = self.choose(flow);
        if self.queues[at as usize].waiting.len() >= self.shape.length {
            return Err(item);
        }
        let number = self.next;
        self.next += 1;
        self.push(at, Waiting { number, flow, width, item });
        Ok(Ticket { number, queue: at, generation: self.generation })
    }

    /// Takes a waiting request back; `None` when it was started already.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let queues = if ticket.generation == self.generation {
            ticket.queue..ticket.queue + 1
        } else {
            0..self.queues.len() as u32
        };
        for at in queues {
            let queue = &mut self.queues[at as usize];
            let Some(place) = queue.waiting.iter().position(|w| w.number == ticket.number) else { continue };
            let waiting = queue.waiting.remove(place)?;
            self.left(at, waiting.width);
            return Some(waiting.item);
        }
        None
    }

    /// Starts the waiting request that is next in turn, if its seats are free. To be called until it gives nothing, after
    /// each [`Queues::wait`], [`Queues::cancel`], [`Queues::finish`], [`Queues::limit`] and [`Queues::reshape`].
    pub fn next_start(&mut self) -> Option<(T, Seat)> {
        let &(_, at) = self.ready.first()?;
        let width = self.queues[at as usize].waiting.front()?.width;
        // One that does not fit yet keeps its turn: smaller ones behind it would pass it for ever.
        if !self.fits(width) {
            return None;
        }
        let waiting = self.queues[at as usize].waiting.pop_front()?;
        self.left(at, width);
        let seat = self.run(at, width);
        Some((waiting.item, seat))
    }

    /// Gives seats back; `cost` is how long they were used, in microseconds.
    pub fn finish(&mut self, seat: Seat, cost: u64) {
        self.running -= u64::from(seat.width);
        if seat.generation != self.generation {
            return;
        }
        let queue = &mut self.queues[seat.queue as usize];
        queue.running -= u64::from(seat.width);
        let (was, width) = (queue.work, u64::from(seat.width));
        queue.work = (was + width * cost.max(1)).saturating_sub(width * ESTIMATE);
        let now = queue.work;
        if !queue.waiting.is_empty() {
            self.ready.remove(&(was, seat.queue));
            self.ready.insert((now, seat.queue));
        }
    }

    /// Sets the number of seats.
    pub fn limit(&mut self, seats: u32) {
        self.limit = seats;
    }

    /// The number of seats.
    pub fn seats(&self) -> u32 {
        self.limit
    }

    /// Deals those who wait anew, in the order they came; none is refused.
    pub fn reshape(&mut self, shape: Shape) {
        if shape == self.shape {
            return;
        }
        let queues = (0..shape.queues.max(1)).map(|_| Queue::new()).collect();
        let mut waiting: Vec<Waiting<T>> =
            std::mem::replace(&mut self.queues, queues).into_iter().flat_map(|queue| queue.waiting).collect();
        waiting.sort_by_key(|w| w.number);
        self.ready.clear();
        (self.shape, self.wanted) = (shape, 0);
        self.generation = self.generation.wrapping_add(1);
        for one in waiting {
            let at = self.choose(one.flow);
            self.push(at, one);
        }
    }

    /// Seats in use and seats waited for.
    pub fn demand(&self) -> (u64, u64) {
        (self.running, self.wanted)
    }

    /// The highest sum of [`Queues::demand`] since the last call.
    pub fn take_peak(&mut self) -> u64 {
        std::mem::replace(&mut self.peak, self.running + self.wanted)
    }

    fn fits(&self, width: u32) -> bool {
        self.running == 0 || self.running + u64::from(width) <= u64::from(self.limit)
    }

    /// The queue of a flow's hand with the least to do.
    fn choose(&self, flow: u64) -> u32 {
        let hand = Hand::deal(flow, self.queues.len() as u32, self.shape.hand);
        let load = |at: &&u32| {
            let queue = &self.queues[**at as usize];
            (queue.waiting.len(), queue.wanted + queue.running)
        };
        hand.cards().iter().min_by_key(load).copied().unwrap_or_default()
    }

    fn push(&mut self, at: u32, waiting: Waiting<T>) {
        let (floor, width) = (self.floor, u64::from(waiting.width));
        let queue = &mut self.queues[at as usize];
        if queue.waiting.is_empty() {
            queue.work = queue.work.max(floor);
            self.ready.insert((queue.work, at));
        }
        queue.waiting.push_back(waiting);
        queue.wanted += width;
        self.wanted += width;
        self.peak = self.peak.max(self.running + self.wanted);
    }

    /// One that waited is no longer in its queue.
    fn left(&mut self, at: u32, width: u32) {
        let queue = &mut self.queues[at as usize];
        queue.wanted -= u64::from(width);
        self.wanted -= u64::from(width);
        if queue.waiting.is_empty() {
            self.ready.remove(&(queue.work, at));
        }
    }

    fn run(&mut self, at: u32, width: u32) -> Seat {
        let queue = &mut self.queues[at as usize];
        let was = queue.work;
        self.floor = self.floor.max(was);
        queue.work += u64::from(width) * ESTIMATE;
        queue.running += u64::from(width);
        if !queue.waiting.is_empty() {
            self.ready.remove(&(was, at));
            self.ready.insert((queue.work, at));
        }
        self.running += u64::from(width);
        self.peak = self.peak.max(self.running + self.wanted);
        Seat { queue: at, width, generation: self.generation }
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
