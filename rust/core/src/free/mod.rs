//! Free running: neurons fire when their spikes arrive, on several threads at once, and nobody waits for a layer or a
//! step.
//!
//! Workers own disjoint shards of neurons. A spike goes to the inbox of every shard in which it has a synapse; a shard
//! takes the spikes that wait for it in the order in which they came. Shards wait for each other only at the end of a
//! timestep. What happens depends on the machine; each shard writes down the order of its own deliveries, and the
//! record, merged when the run is over, replays bit for bit. `PROTOCOL.md` states the protocol and why it is right.

mod division;
mod log;
mod merge;
mod partition;
mod quiescence;
mod reach;
mod replay;
mod results;
mod ring;
mod shard;
mod sleep;
mod stops;
#[cfg(all(test, loom))]
mod verify;
mod worker;

pub(crate) use division::{Division, Divisions};
pub(crate) use partition::Partition;
pub(crate) use replay::ShardedReplay;

use crate::batch::Output;
use crate::engine::Run;
use crate::error::Error;
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::schedule::ScheduleSpec;
use crate::sync::{AtomicUsize, Ordering};
use crate::workers::{Caller, MOST_THREADS, Watch, on_threads};
use log::Found;
use partition::MOST_SHARDS;
use worker::{Shared, Worker};

/// How many synapses keep one more worker busy, where the number of workers per sample is chosen by the network's size.
const SYNAPSES_A_WORKER: u64 = 500_000;
/// The most slots of an inbox: enough for what one worker sends between two looks of the other, and few enough to stay
/// in the cache.
const MOST_SLOTS: usize = 4096;

/// How threads share the work of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Parallel {
    /// As many threads per sample as suit the size of the network; the rest run other samples.
    #[default]
    Auto,
    /// Each sample runs on one thread.
    Samples,
    /// All threads work on one sample at a time.
    Shards,
}

/// How a free run uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeRunning {
    /// F: the most waiting spikes that a shard takes as one delivery.
    pub group_size: usize,
    /// Shards of the network; `None`: as many as threads work on a sample.
    pub shards: Option<usize>,
    /// How threads share the work of a batch.
    pub parallel: Parallel,
}

impl FreeRunning {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.shards {
            Some(n) if n == 0 || n > MOST_SHARDS => {
                Err(Error::schedule("shards", n, format!("1 to {MOST_SHARDS} shards")))
            }
            _ => Ok(()),
        }
    }

    /// How many workers a group has, how many threads there are in all, and how many shards.
    fn layout<T: Float>(&self, run: &Run<'_, T>) -> (usize, usize, usize) {
        let threads = run.options.threads.min(MOST_THREADS);
        let n_synapses: u64 = run.network.connections.iter().map(|c| c.projection.n_synapses()).sum();
        let workers = match self.parallel {
            Parallel::Samples => 1,
            Parallel::Shards => threads,
            Parallel::Auto => threads.min((n_synapses / SYNAPSES_A_WORKER) as usize).max(1),
        };
        let n_shards = self.shards.unwrap_or(workers.min(MOST_SHARDS));
        (workers, threads, n_shards)
    }
}

/// Runs every sample; like [`crate::simulate`].
pub(crate) fn simulate<T: Float>(
    run: &mut Run<'_, T>,
    free: FreeRunning,
    spec: &ScheduleSpec,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Output<T>, Error> {
    let (workers, threads, n_shards) = free.layout(run);
    let division = run.network.divisions.of(run.network, n_shards);
    let partition = &division.partition;
    let workers = workers.min(partition.n_shards());
    let groups = (threads / workers).clamp(1, run.input.n_samples());
    if partition.n_shards() > 1 {
        run.shards.clone_from(&partition.ends);
    }
    let run = &*run;
    let most_neurons = (0..partition.n_shards()).map(|s| partition.neurons(s).len()).max();
    let slots = most_neurons.unwrap_or(1).next_power_of_two().min(MOST_SLOTS);
    let group = |group| Shared::new(run, &division, free.group_size, workers, (group, groups), slots);
    let shared: Vec<_> = (0..groups).map(group).collect();
    let (tickets, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = |watch: &mut Watch<'_>| {
        let _mode = DefaultFloatMode::set();
        // Relaxed: only the number matters.
        let ticket = tickets.fetch_add(1, Ordering::Relaxed);
        let worker = Worker::new(&shared[ticket / workers], ticket % workers);
        let found = worker.run(watch, &mut || {
            done.fetch_add(1, Ordering::Relaxed);
        });
        (ticket / workers, found)
    };
    let parts = on_threads(groups * workers, Caller::Watches, &work, &done, progress)?;
    let mut found: Vec<Vec<Option<Found<T>>>> =
        (0..groups).map(|_| (0..partition.n_shards()).map(|_| None).collect()).collect();
    let mut errors = Vec::new();
    for (group, part) in parts {
        match part {
            Ok(shards) => shards.into_iter().for_each(|(shard, of)| found[group][shard] = Some(of)),
            Err(error) => errors.push(error),
        }
    }
    let first = errors.into_iter().min_by_key(|(sample, error)| (error.rank(), *sample));
    if let Some((_, error)) = first {
        return Err(error);
    }
    let found: Vec<Vec<_>> = found.into_iter().map(|group| group.into_iter().flatten().collect()).collect();
    results::gathered(run, spec, &division, &found, progress)
}
