//! Finds when a timestep is over: every spike that was sent has been delivered, and so has all that it caused. This
//! takes no lock and no barrier; see `PROTOCOL.md`, "Quiescence".

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// What one worker has published about itself; only that worker writes it.
#[derive(Debug)]
struct Tally {
    /// Spikes that it has sent, each counted once for every shard that it goes to.
    sent: AtomicU64,
    /// Spikes that its shards are done with, and the steps 0 that they have taken.
    completed: AtomicU64,
}

/// The tallies of all workers, and the timestep that they are in.
#[derive(Debug)]
pub(crate) struct Quiescence {
    tallies: Box<[CachePadded<Tally>]>,
    /// Timesteps begun before this one, since the beginning of the run.
    epoch: CachePadded<AtomicU64>,
    n_shards: u64,
}

impl Quiescence {
    pub(crate) fn new(n_workers: usize, n_shards: usize) -> Self {
        let tally = || Tally { sent: AtomicU64::new(0), completed: AtomicU64::new(0) };
        Self {
            tallies: (0..n_workers).map(|_| CachePadded::new(tally())).collect(),
            epoch: CachePadded::new(AtomicU64::new(0)),
            n_shards: n_shards as u64,
        }
    }

    /// Publishes how many spikes a worker has sent. To be called before the spikes can be read.
    pub(crate) fn publish_sent(&self, worker: usize, sent: u64) {
        // Relaxed: the ring's Release, which follows, orders it before the spike's delivery anywhere; for spikes to the
        // worker's own shards, `publish_completed` does.
        self.tallies[worker].sent.store(sent, Ordering::Relaxed);
    }

    /// Publishes how many spikes and steps 0 a worker's shards are done with. To be called after all that they caused
    /// has been published as sent.
    pub(crate) fn publish_completed(&self, worker: usize, completed: u64) {
        // Release, with the Acquire in `is_quiescent`: whoever counts a spike as completed also sees as sent all that
        // it caused, and the spike itself. Nothing makes the last worker see at once what others have published: it
        // looks again, at the latest behind the fence in `Sleep::sleep`.
        self.tallies[worker].completed.store(completed, Ordering::Release);
    }

    /// Whether nothing is left of the timestep `epoch`. Once true, it stays so until someone begins the next.
    pub(crate) fn is_quiescent(&self, epoch: u64) -> bool {
        // `completed` first: see the proof in PROTOCOL.md.
        let completed: u64 = self.tallies.iter().map(|t| t.completed.load(Ordering::Acquire)).sum();
        // Relaxed: the loads above order them.
        let sent: u64 = self.tallies.iter().map(|t| t.sent.load(Ordering::Relaxed)).sum();
        // Step 0 of each shard counts as a spike that was sent when its timestep began.
        completed == sent + self.n_shards * (epoch + 1)
    }

    /// Begins the timestep after `epoch`; returns false if somebody else has.
    pub(crate) fn advance(&self, epoch: u64) -> bool {
        // Release, with the Acquire in `epoch`: whoever learns from it that the timestep is over sees all that was done
        // in it, as this worker does since `is_quiescent`.
        self.epoch.compare_exchange(epoch, epoch + 1, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// The timestep that has begun.
    pub(crate) fn epoch(&self) -> u64 {
        // Acquire, with the Release in `advance`.
        self.epoch.load(Ordering::Acquire)
    }
}
