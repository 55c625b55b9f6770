//! The protocol under loom, part by part and then whole (`PROTOCOL.md`, "How it is tested"; run by `make loom`).

use std::sync::Arc;
use std::time::Instant;

use loom::cell::UnsafeCell;
use loom::thread;

use super::partition::Partition;
use super::quiescence::Quiescence;
use super::ring::{Message, Ring};
use super::shard::Found;
use super::sleep::Sleep;
use super::worker::{Shared, Worker};
use crate::engine::Run;
use crate::error::Error;
use crate::input::Input;
use crate::network::{Network, NetworkBuilder, Source};
use crate::neuron::{Lif, Refractory};
use crate::options::{OnStop, Options, OutputStop};
use crate::projection::Projection;
use crate::sync::{AtomicBool, AtomicU64, Ordering, yield_now};
use crate::workers::Watch;

/// Runs `model` in every interleaving with so many preemptions (`None`: in every one), and in each with every value that its loads may see.
fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut loom = loom::model::Builder::new();
    loom.preemption_bound = loom.preemption_bound.or(preemptions);
    loom.max_branches = 20_000;
    let executions = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (counted, start) = (Arc::clone(&executions), Instant::now());
    loom.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: {executions:?} executions, {:.1} s", start.elapsed().as_secs_f32());
}

// ---- Inbox ----

/// Nothing is lost, doubled or reordered, though the slots are fewer than the spikes and are written again.
#[test]
fn a_ring_gives_every_spike_once_and_in_order() {
    check(None, || {
        let ring = Arc::new(Ring::new(2));
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                let spikes = [1, 2, 3, 4].map(|n| Message::new(n, n + 10));
                let mut written = 0;
                while written < spikes.len() {
                    let n = ring.write(&spikes[written..]);
                    assert!(n <= 2);
                    written += n;
                    if n == 0 {
                        yield_now();
                    }
                }
            })
        };
        let mut read = Vec::new();
        while read.len() < 4 {
            if ring.read(|spike| read.push((spike.serial(), spike.source()))) == 0 {
                yield_now();
            }
        }
        assert_eq!(read, [(1, 11), (2, 12), (3, 13), (4, 14)]);
        writer.join().unwrap();
        assert!(!ring.has_some());
    });
}

// ---- Sleep ----

/// A worker that sleeps is woken by what is made for it, also the first time, when its name is just being written down.
#[test]
fn a_spike_wakes_the_worker_it_is_for() {
    check(None, || {
        let shared = Arc::new((Ring::new(2), Sleep::new(1)));
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for serial in 0..2 {
                    assert_eq!(shared.0.write(&[Message::new(serial, 0)]), 1);
                    shared.1.wake(0);
                }
            })
        };
        let mut read = 0;
        while read < 2 {
            let n = shared.0.read(|_| ());
            read += n;
            if n == 0 {
                shared.1.sleep(0, || shared.0.has_some());
            }
        }
        sender.join().unwrap();
    });
}

/// Of two wakers at once, one may leave the call to the other; none is lost.
#[test]
fn two_spikes_at_once_wake_the_worker_they_are_for() {
    check(Some(3), || {
        let shared = Arc::new(([Ring::new(1), Ring::new(1)], Sleep::new(1)));
        let senders = [0, 1].map(|sender| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                assert_eq!(shared.0[sender].write(&[Message::new(0, 0)]), 1);
                shared.1.wake(0);
            })
        });
        let mut read = 0;
        while read < 2 {
            let n = shared.0.iter().map(|ring| ring.read(|_| ())).sum::<usize>();
            read += n;
            if n == 0 {
                shared.1.sleep(0, || shared.0.iter().any(Ring::has_some));
            }
        }
        senders.map(|sender| sender.join().unwrap());
    });
}

/// Whoever begins the next timestep wakes all who sleep.
#[test]
fn the_next_timestep_wakes_all_who_sleep() {
    check(Some(3), || {
        let shared = Arc::new((Quiescence::new(3, 3), Sleep::new(3)));
        let sleepers = [1, 2].map(|worker| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                while shared.0.epoch() == 0 {
                    shared.1.sleep(worker, || shared.0.epoch() != 0);
                }
            })
        });
        assert!(shared.0.advance(0));
        shared.1.wake_all();
        assert!(!shared.0.advance(0));
        sleepers.map(|sleeper| sleeper.join().unwrap());
    });
}

// ---- Quiescence ----

/// What one worker writes down in a timestep, all may read when it is over, and none reads what is written two timesteps later: so two places do for the timesteps' endings.
#[test]
fn a_timestep_is_over_for_all_before_the_next_but_one_begins() {
    check(Some(3), || {
        let shared = Arc::new((Quiescence::new(2, 2), Sleep::new(2), [UnsafeCell::new(0), UnsafeCell::new(0)]));
        let work = |shared: Arc<(Quiescence, Sleep, [UnsafeCell<u64>; 2])>, worker: usize| {
            let (quiescence, sleep, cells) = &*shared;
            for epoch in 0..3 {
                let cell = &cells[epoch as usize & 1];
                if worker == 0 {
                    // SAFETY: loom checks that nobody else touches it.
                    cell.with_mut(|cell| unsafe { *cell = epoch });
                }
                quiescence.publish_completed(worker, epoch + 1);
                while quiescence.epoch() == epoch {
                    if quiescence.is_quiescent(epoch) {
                        if quiescence.advance(epoch) {
                            sleep.wake_all();
                        }
                        break;
                    }
                    sleep.sleep(worker, || quiescence.epoch() != epoch || quiescence.is_quiescent(epoch));
                }
                // SAFETY: loom checks that nobody writes it meanwhile.
                assert_eq!(cell.with(|cell| unsafe { *cell }), epoch);
            }
        };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(shared, 1))
        };
        work(shared, 0);
        other.join().unwrap();
    });
}

// ---- The whole ----

/// A network small enough for loom: neurons of which each is a population, fires at every event unless it is refractory, and forgets.
struct Toy {
    shards: &'static [usize],
    synapses: &'static [(usize, usize)],
    refractory: Refractory,
    slots: usize,
    /// By timestep, of the one sample: whether the one input channel, which drives neuron 0, spikes.
    x: &'static [u8],
    options: Options,
}

/// What was found, by shard.
type Results = Vec<Result<Vec<(usize, Found<f32>)>, (usize, Error)>>;

impl Toy {
    fn new(shards: &'static [usize], synapses: &'static [(usize, usize)], x: &'static [u8]) -> Self {
        let options = Options { record: true, threads: shards.len(), ..Options::new(0.01) };
        Self { shards, synapses, refractory: Refractory::Timestep, slots: 4, x, options }
    }

    fn network(&self) -> Network<f32> {
        let mut builder = NetworkBuilder::new(1);
        let one = || Projection::dense(&[1.0], 1, 1).unwrap();
        for neuron in 0..*self.shards.last().unwrap() {
            let lif = Lif { v_threshold: vec![0.5], refractory: self.refractory, ..Lif::default() };
            builder.population(&neuron.to_string(), 1, lif);
        }
        builder.projection(Source::Input, 0, one(), None);
        for &(from, to) in self.synapses {
            builder.projection(Source::Population(from), to, one(), None);
        }
        builder.build().unwrap()
    }

    /// Has one worker a shard run it in every interleaving with so many preemptions, and checks what they find.
    fn check(self, preemptions: usize, found: impl Fn(&[Found<f32>]) + Send + Sync + 'static) {
        self.check_all(preemptions, |_| (), move |results| {
            let mut shards: Vec<_> = results.into_iter().flat_map(|result| result.expect("no worker fails")).collect();
            shards.sort_by_key(|(number, _)| *number);
            let shards: Vec<_> = shards.into_iter().map(|(_, found)| found).collect();
            for shard in &shards {
                let steps: usize = shard.log.steps.iter().map(|step| step.n_fired as usize).sum();
                assert_eq!(steps, shard.log.fired.len());
                assert_eq!(shard.log.timesteps.iter().map(|t| t.1).collect::<Vec<_>>(), shards[0].log.timesteps.iter().map(|t| t.1).collect::<Vec<_>>());
            }
            found(&shards);
        });
    }

    fn check_all(self, preemptions: usize, meanwhile: impl Fn(&[Arc<AtomicBool>]) + Send + Sync + 'static, found: impl Fn(Results) + Send + Sync + 'static) {
        let n_workers = self.shards.len();
        let network: &Network<f32> = Box::leak(Box::new(self.network()));
        let options: &Options = Box::leak(Box::new(self.options));
        let input: &Input<'_, f32> = Box::leak(Box::new(Input::dense_u8(self.x, self.x.len(), 1, 1).unwrap()));
        let beta = network.decay(options.dt).unwrap();
        let run: &Run<'_, f32> = Box::leak(Box::new(Run { network, input, options, beta, has_fates: false, shards: self.shards.to_vec() }));
        let partition: &Partition = Box::leak(Box::new(Partition::from_ends(network, self.shards).unwrap()));
        let reach: &[u64] = partition.reach(network).leak();
        let slots = self.slots;
        check(Some(preemptions), move || {
            let shared = Arc::new(Shared::new(run, partition, reach, 1, n_workers, (0, 1), slots));
            let stopped: Vec<_> = (0..n_workers).map(|_| Arc::new(AtomicBool::new(false))).collect();
            let work = |number: usize| {
                let (shared, stopped) = (Arc::clone(&shared), Arc::clone(&stopped[number]));
                move || Worker::new(&shared, number).run(&mut Watch::Shared(&stopped), &mut |_| ())
            };
            let others: Vec<_> = (1..n_workers).map(|number| thread::spawn(work(number))).collect();
            meanwhile(&stopped);
            let mut results = vec![work(0)()];
            results.extend(others.into_iter().map(|other| other.join().unwrap()));
            found(results);
        });
    }
}

/// How often each neuron fired.
fn spikes(shards: &[Found<f32>]) -> Vec<u32> {
    shards.iter().flat_map(|found| found.spike_counts.iter().copied()).collect()
}

#[test]
fn two_workers_one_timestep() {
    Toy::new(&[1, 2], &[(0, 1), (1, 0)], &[1]).check(2, |shards| assert_eq!(spikes(shards), [1, 1]));
}

#[test]
fn two_workers_two_timesteps() {
    Toy::new(&[1, 2], &[(0, 1)], &[1, 1]).check(2, |shards| assert_eq!(spikes(shards), [2, 2]));
}

#[test]
fn three_workers_one_timestep() {
    Toy::new(&[1, 2, 3], &[(0, 1), (1, 2)], &[1]).check(2, |shards| assert_eq!(spikes(shards), [1, 1, 1]));
}
