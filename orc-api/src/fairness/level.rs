//! A priority level: its queues under one short lock, and the seats of those who run.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use orc_core::env::Clock;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::queues::{Queues, Seat, Shape, Ticket};

/// A level that limits. It lives as long as a request of it does, also when its object is gone.
pub struct Level {
    queues: Mutex<Queues<oneshot::Sender<Permit>>>,
    clock: Clock,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The level has no queues, or those of the flow are full.
    #[error("queue-full")]
    Full,
    /// Its turn did not come in time.
    #[error("time-out")]
    TimeOut,
}

/// The seats of a running request; given back when this is dropped.
pub struct Permit {
    level: Arc<Level>,
    seat: Option<Seat>,
    since: Timestamp,
}

impl Level {
    /// A level without load.
    pub fn new(shape: Shape, seats: u32, clock: Clock) -> Arc<Self> {
        Arc::new(Self { queues: Mutex::new(Queues::new(shape, seats)), clock })
    }

    /// Seats for a request of a flow (a hash) if nobody waits and they are free.
    pub fn try_admit(self: &Arc<Self>, flow: u64, width: u32) -> Option<Permit> {
        let seat = self.queues.lock().start(flow, width)?;
        Some(self.permit(seat))
    }

    /// Seats for a request of a flow (a hash), at once where there is no contention, else when its turn comes. Dropping the
    /// future takes the request back.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit(self: &Arc<Self>, flow: u64, width: u32, patience: Duration) -> Result<Permit, Refused> {
        let (mut granted, mut waits) = {
            let mut queues = self.queues.lock();
            if let Some(seat) = queues.start(flow, width) {
                drop(queues);
                return Ok(self.permit(seat));
            }
            let (grant, granted) = oneshot::channel();
            let ticket = queues.wait(flow, width, grant).map_err(|_| Refused::Full)?;
            (granted, Waits { level: self, ticket: Some(ticket) })
        };
        // A limit that was raised meanwhile may have room for whoever is next.
        self.dispatch();
        tokio::select! {
            biased;
            permit = &mut granted => {
                waits.ticket = None;
                permit.map_err(|_| Refused::Full)
            }
            () = self.clock.sleep(patience) => {
                drop(waits);
                // Granted in the same moment: then it may run.
                granted.try_recv().map_err(|_| Refused::TimeOut)
            }
        }
    }

    /// Sets seats and queues.
    pub fn configure(self: &Arc<Self>, shape: Option<Shape>, seats: u32) {
        {
            let mut queues = self.queues.lock();
            queues.limit(seats);
            if let Some(shape) = shape {
                queues.reshape(shape);
            }
        }
        self.dispatch();
    }

    /// Seats in use, and seats waited for.
    pub fn demand(&self) -> (u64, u64) {
        self.queues.lock().demand()
    }

    /// The seats it has now.
    pub fn seats(&self) -> u32 {
        self.queues.lock().seats()
    }

    pub(super) fn take_peak(&self) -> u64 {
        self.queues.lock().take_peak()
    }

    fn permit(self: &Arc<Self>, seat: Seat) -> Permit {
        Permit { level: self.clone(), seat: Some(seat), since: self.clock.now() }
    }

    /// Starts whoever may start now.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let Some((grant, seat)) = self.queues.lock().next_start() else { return };
            // One that went away in this moment drops its permit here, which gives the seats on.
            let _ = grant.send(self.permit(seat));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let used = self.level.clock.now().duration_since(self.since).as_micros();
        let contended = {
            let mut queues = self.level.queues.lock();
            queues.finish(seat, u64::try_from(used).unwrap_or_default());
            queues.demand().1 > 0
        };
        if contended {
            self.level.dispatch();
        }
    }
}

/// Takes a request back that is still waiting.
struct Waits<'a> {
    level: &'a Arc<Level>,
    ticket: Option<Ticket>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // It may have stood before one that fits.
            if self.level.queues.lock().cancel(ticket).is_some() {
                self.level.dispatch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(15);

    fn clock() -> Clock {
        Clock::following_tokio(Timestamp::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn seats_go_round_and_nothing_is_left_behind() {
        let level = Level::new(Shape { queues: 8, hand: 2, length: 2 }, 2, clock());
        let one = level.admit(1, 1, LONG).await.unwrap();
        let two = level.admit(2, 1, LONG).await.unwrap();
        let mut third = pin!(level.admit(3, 2, LONG));
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(level.demand(), (2, 2));
        drop(one);
        assert!(third.as_mut().now_or_never().is_none(), "it needs both seats");
        drop(two);
        drop(third.await.unwrap());
        assert_eq!(level.demand(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_waits_no_longer_and_who_waits_too_long_is_refused() {
        let level = Level::new(Shape { queues: 1, hand: 1, length: 1 }, 1, clock());
        let running = level.admit(1, 1, LONG).await.unwrap();
        {
            let mut gone = Box::pin(level.admit(2, 1, LONG));
            assert!(gone.as_mut().now_or_never().is_none());
            assert_eq!(level.admit(3, 1, LONG).await.err(), Some(Refused::Full));
        }
        assert_eq!(level.demand(), (1, 0));
        assert_eq!(level.admit(2, 1, LONG).await.err(), Some(Refused::TimeOut));
        assert_eq!(level.demand(), (1, 0));
        drop(running);
        let reject = Level::new(Shape::REJECT, 1, clock());
        let _running = reject.admit(1, 1, LONG).await.unwrap();
        assert_eq!(reject.admit(1, 1, LONG).await.err(), Some(Refused::Full));
    }
}
