//! A worker: it runs its shards, hands spikes to other workers' shards, and waits when there is nothing to do. The
//! protocol is in `PROTOCOL.md`.

use super::division::Division;
use super::log::Found;
use super::quiescence::Quiescence;
use super::ring::{Message, Ring};
use super::shard::{Place, Shard};
use super::sleep::Sleep;
use super::stops::Stops;
use crate::engine::Run;
use crate::error::Error;
use crate::float::Float;
use crate::options::{Ending, OnStop};
use crate::sync::{AtomicBool, Ordering, yield_now};
use crate::workers::{A_STEP, Watch};

/// The most deliveries of one shard before the worker turns to its other shards and hands on what was sent.
pub(super) const DELIVERIES_AT_A_TIME: usize = 32;
/// How often a worker looks for something to do before it gives up its core, and before it sleeps. Under a model
/// checker it sleeps after one look: looking again would only repeat what it saw.
const LOOKS_BEFORE_YIELD: u32 = if cfg!(any(loom, shuttle)) { 1 } else { 200 };
const LOOKS_BEFORE_SLEEP: u32 = if cfg!(any(loom, shuttle)) { 1 } else { 220 };

/// What the workers of one group share.
pub(super) struct Shared<'a, T> {
    pub(super) run: &'a Run<'a, T>,
    pub(super) division: &'a Division,
    pub(super) group_size: usize,
    pub(super) n_workers: usize,
    /// The samples of this group: every `n_groups`-th from `group` on.
    pub(super) group: usize,
    pub(super) n_groups: usize,
    /// By writing worker, then by reading shard.
    rings: Vec<Ring>,
    quiescence: Quiescence,
    sleep: Sleep,
    stops: Stops<'a>,
    /// Whether a worker has failed, or the caller wants to stop.
    aborted: AtomicBool,
}

impl<'a, T: Float> Shared<'a, T> {
    pub(super) fn new(
        run: &'a Run<'a, T>,
        division: &'a Division,
        group_size: usize,
        n_workers: usize,
        (group, n_groups): (usize, usize),
        ring_slots: usize,
    ) -> Self {
        let n_shards = division.partition.n_shards();
        let ring =
            |writer: usize, shard: usize| Ring::new(if shard % n_workers == writer { 1 } else { ring_slots });
        Self {
            run,
            division,
            group_size,
            n_workers,
            group,
            n_groups,
            rings: (0..n_workers * n_shards).map(|at| ring(at / n_shards, at % n_shards)).collect(),
            quiescence: Quiescence::new(n_workers, n_shards),
            sleep: Sleep::new(n_workers),
            stops: Stops::new(run.options, run.input.n_timesteps(), n_shards),
            aborted: AtomicBool::new(false),
        }
    }

    fn n_shards(&self) -> usize {
        self.division.partition.n_shards()
    }

    fn ring(&self, writer: usize, shard: usize) -> &Ring {
        &self.rings[writer * self.n_shards() + shard]
    }

    /// The worker that owns a shard.
    fn owner(&self, shard: usize) -> usize {
        shard % self.n_workers
    }

    fn abort(&self) {
        // Relaxed: it only has to be seen before long, which for sleepers the fence in `wake_all` ensures.
        self.aborted.store(true, Ordering::Relaxed);
        self.sleep.wake_all();
    }
}

/// Aborts all workers of a group when one of them panics.
struct AbortOnPanic<'s, 'a, T: Float>(&'s Shared<'a, T>);

impl<T: Float> Drop for AbortOnPanic<'_, '_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort();
        }
    }
}

pub(super) struct Worker<'s, 'a, T> {
    shared: &'s Shared<'a, T>,
    number: usize,
    shards: Vec<Shard<'a, T>>,
    /// By shard: spikes that are to be handed on.
    outgoing: Vec<Vec<Message>>,
    /// Spikes sent, each counted once for every shard that it goes to, and spikes completed; see `Quiescence`.
    sent: u64,
    completed: u64,
    inputs: Vec<(u32, T)>,
    indices: Vec<u32>,
    /// How often it has looked in vain since there was last something to do.
    looks: u32,
}

/// The number and the results of each of a worker's shards.
pub(super) type FoundByShard<T> = Vec<(usize, Found<T>)>;

impl<'s, 'a, T: Float> Worker<'s, 'a, T> {
    pub(super) fn new(shared: &'s Shared<'a, T>, number: usize) -> Self {
        let n_shards = shared.n_shards();
        let own = (number..n_shards).step_by(shared.n_workers);
        let new = |number| {
            Shard::new(shared.run, number, shared.division.partition.neurons(number), shared.group_size)
        };
        Self {
            shared,
            number,
            shards: own.map(new).collect(),
            outgoing: vec![Vec::new(); n_shards],
            sent: 0,
            completed: 0,
            inputs: Vec::new(),
            indices: Vec::new(),
            looks: 0,
        }
    }

    /// Runs all samples of the group; returns the results of each of this worker's shards, or in which sample it failed
    /// and why.
    pub(super) fn run(
        mut self,
        watch: &mut Watch<'_>,
        finished: &mut dyn FnMut(),
    ) -> Result<FoundByShard<T>, (usize, Error)> {
        let _guard = AbortOnPanic(self.shared);
        if let Err(failed) = self.samples(watch, finished) {
            self.shared.abort();
            return Err(failed);
        }
        Ok(self.shards.into_iter().map(|shard| (shard.number, shard.found)).collect())
    }

    fn samples(&mut self, watch: &mut Watch<'_>, finished: &mut dyn FnMut()) -> Result<(), (usize, Error)> {
        let Shared { run, group, n_groups, .. } = *self.shared;
        let samples = (group..run.input.n_samples()).step_by(n_groups);
        for shard in &mut self.shards {
            shard.reserve(samples.len()).map_err(|error| (group, error))?;
        }
        let mut epoch = 0;
        for sample in samples {
            self.sample(sample, &mut epoch, watch).map_err(|error| (sample, error))?;
            if self.number == 0 {
                finished();
            }
        }
        Ok(())
    }

    fn sample(&mut self, sample: usize, epoch: &mut u64, watch: &mut Watch<'_>) -> Result<(), Error> {
        let run = self.shared.run;
        let sample_id = run.options.sample_ids.as_ref().map_or(sample as u64, |ids| ids[sample]);
        self.shards.iter_mut().for_each(|shard| shard.begin_sample(sample));
        for timestep in 0..run.input.n_timesteps() {
            let at = Place { sample, sample_id, timestep, epoch: *epoch };
            self.begin_timestep(at)?;
            self.until_quiescent(at, watch)?;
            let ending = self.shared.stops.ending(at);
            self.shards.iter_mut().for_each(|shard| shard.end_timestep(ending));
            *epoch += 1;
            if matches!(ending, Ending::Stopped(_)) {
                break;
            }
        }
        self.shards.iter_mut().for_each(Shard::end_sample);
        Ok(())
    }

    /// Forward step 0 of every shard.
    fn begin_timestep(&mut self, at: Place) -> Result<(), Error> {
        let Shared { run, division, stops, .. } = self.shared;
        self.looks = 0;
        run.input.timestep(at.sample, at.timestep, &mut self.inputs, &mut self.indices)?;
        for index in 0..self.shards.len() {
            self.sent += self.shards[index].begin_timestep(at, &self.inputs, stops)? as u64;
            self.send(index);
            self.sent += self.shards[index].join_inputs(&self.inputs, &division.reach)? as u64;
            self.shards[index].after_step(at, stops);
            self.completed += 1;
        }
        self.hand_on(at);
        Ok(())
    }

    /// Sorts the spikes that a shard's neurons have just fired by the shards that they go to.
    fn send(&mut self, index: usize) {
        let Self { shards, outgoing, sent, .. } = self;
        let number = shards[index].number;
        let mut own = std::mem::take(&mut outgoing[number]);
        shards[index].send(&self.shared.division.reach, |mut to, spike| {
            *sent += u64::from(to.count_ones());
            if to >> number & 1 == 1 {
                own.push(spike);
                to &= !(1 << number);
            }
            while to != 0 {
                outgoing[to.trailing_zeros() as usize].push(spike);
                to &= to - 1;
            }
        });
        shards[index].waiting.extend(own.drain(..));
        outgoing[number] = own;
    }

    /// Hands on what was sent, as far as there is room, and wakes the receivers that sleep.
    fn hand_on(&mut self, at: Place) {
        let shared = self.shared;
        for shard in &self.shards {
            shared.stops.publish_spikes(at, shard.number, shard.spikes());
        }
        if self.outgoing.iter().all(Vec::is_empty) {
            return;
        }
        shared.quiescence.publish_sent(self.number, self.sent);
        for shard in 0..self.outgoing.len() {
            let spikes = &mut self.outgoing[shard];
            if spikes.is_empty() {
                continue;
            }
            let owner = shared.owner(shard);
            if owner == self.number {
                self.shards[shard / shared.n_workers].waiting.extend(spikes.drain(..));
                continue;
            }
            let n = shared.ring(self.number, shard).write(spikes);
            spikes.drain(..n);
            shared.sleep.wake(owner);
        }
    }

    /// Delivers until no spike is left anywhere.
    fn until_quiescent(&mut self, at: Place, watch: &mut Watch<'_>) -> Result<(), Error> {
        loop {
            // Relaxed: see `abort`.
            if !watch.go_on(A_STEP + self.inputs.len()) || self.shared.aborted.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            if self.receive(at) {
                return Ok(());
            }
            if self.deliver(at)? {
                self.looks = 0;
                self.hand_on(at);
                continue;
            }
            if self.outgoing.iter().any(|spikes| !spikes.is_empty()) {
                // An inbox is full; its owner reads it, so there will be room.
                self.hand_on(at);
                yield_now();
                continue;
            }
            if self.rest(at) {
                return Ok(());
            }
        }
    }

    /// Takes in the spikes that have arrived; returns true if the next timestep has begun, to which they then belong.
    fn receive(&mut self, at: Place) -> bool {
        let shared = self.shared;
        let mut n = 0;
        for shard in &mut self.shards {
            for writer in (0..shared.n_workers).filter(|writer| *writer != self.number) {
                let ring = shared.ring(writer, shard.number);
                n += ring.read(|spike| shard.waiting.push_back(spike));
            }
        }
        // The epoch is read after the spikes: whoever sent one in the next timestep had seen it begin.
        n > 0 && shared.quiescence.epoch() != at.epoch
    }

    /// Lets each shard deliver some of what waits for it; returns whether there was anything.
    fn deliver(&mut self, at: Place) -> Result<bool, Error> {
        let stops = &self.shared.stops;
        let carry = self.shared.run.options.on_stop == OnStop::Carry;
        let mut any = false;
        for index in 0..self.shards.len() {
            for _ in 0..DELIVERIES_AT_A_TIME {
                if self.shards[index].n_waiting() == 0 {
                    break;
                }
                any = true;
                if stops.reason(at).is_some() {
                    stops.dropped(at);
                    self.completed += self.shards[index].drop_waiting(carry) as u64;
                    break;
                }
                self.completed += self.shards[index].deliver(at, stops)? as u64;
                self.send(index);
                self.shards[index].after_step(at, stops);
            }
        }
        Ok(any)
    }

    /// Called when there is nothing to do: finds out whether the timestep is over, and otherwise waits a little.
    /// Returns true if it is over.
    fn rest(&mut self, at: Place) -> bool {
        let Shared { quiescence, sleep, aborted, .. } = self.shared;
        if self.looks == 0 {
            quiescence.publish_sent(self.number, self.sent);
            quiescence.publish_completed(self.number, self.completed);
        }
        self.looks += 1;
        if quiescence.epoch() != at.epoch {
            self.looks = 0;
            return true;
        }
        if quiescence.is_quiescent(at.epoch) {
            self.looks = 0;
            if quiescence.advance(at.epoch) {
                sleep.wake_all();
            }
            return true;
        }
        if self.looks < LOOKS_BEFORE_YIELD {
            std::hint::spin_loop();
        } else if self.looks < LOOKS_BEFORE_SLEEP {
            yield_now();
        } else {
            let has_mail = || {
                let to_mine = |ring: (usize, &Ring)| {
                    let (at, ring) = ring;
                    self.shared.owner(at % self.shared.n_shards()) == self.number && ring.has_some()
                };
                self.shared.rings.iter().enumerate().any(to_mine)
            };
            sleep.sleep(self.number, || {
                has_mail()
                    || quiescence.epoch() != at.epoch
                    || quiescence.is_quiescent(at.epoch)
                    || aborted.load(Ordering::Relaxed)
            });
            self.looks = LOOKS_BEFORE_YIELD;
        }
        false
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::network::{NetworkBuilder, Source};
    use crate::neuron::Lif;
    use crate::options::Options;
    use crate::projection::Projection;

    /// A worker that panics takes the others along, even those that sleep: otherwise they would wait for it forever in
    /// the next sample.
    #[test]
    fn a_panic_ends_all_workers() {
        let mut builder = NetworkBuilder::<f32>::new(1);
        let mut source = Source::Input;
        for name in ["a", "b", "c"] {
            let population = builder.population(name, 1, Lif { v_threshold: vec![0.5], ..Lif::default() });
            builder.projection(source, population, Projection::dense(&[1.0], 1, 1).unwrap(), None);
            source = Source::Population(population);
        }
        let network = builder.build().unwrap();
        let input = Input::dense_u8(&[1, 1], 1, 2, 1).unwrap();
        let (options, division) =
            (Options::new(0.01), network.divisions.with_ends(&network, &[1, 2, 3]).unwrap());
        let decays = network.decays(0.01).unwrap();
        let run = Run {
            network: &network,
            input: &input,
            options: &options,
            decays,
            has_fates: false,
            shards: Vec::new(),
        };
        let shared = Shared::new(&run, &division, 1, 3, (0, 1), 4);
        let stopped = AtomicBool::new(false);
        let work = |number| {
            let (shared, stopped) = (&shared, &stopped);
            move || {
                Worker::new(shared, number).run(&mut Watch::Shared(stopped), &mut || {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    panic!("on purpose");
                })
            }
        };
        std::thread::scope(|scope| {
            let workers = [0, 1, 2].map(|number| scope.spawn(work(number)));
            let [first, second, third] = workers.map(std::thread::ScopedJoinHandle::join);
            assert!(first.is_err());
            for other in [second, third] {
                assert!(matches!(other.unwrap(), Err((1, Error::Interrupted))));
            }
        });
    }
}
