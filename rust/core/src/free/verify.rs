//! The protocol under loom, part by part and then whole (`PROTOCOL.md`, "How it is tested"; run by `make loom`).

use std::sync::Arc;
use std::time::Instant;

use loom::cell::UnsafeCell;
use loom::thread;

use super::division::Division;
use super::log::Log;
use super::quiescence::Quiescence;
use super::reach::Reach;
use super::ring::{Message, Ring};
use super::sleep::Sleep;
use super::worker::{FoundByShard, Shared, Worker};
use crate::engine::Run;
use crate::error::Error;
use crate::input::Input;
use crate::network::{Network, NetworkBuilder, Source};
use crate::neuron::{Lif, Refractory};
use crate::options::{Ending, OnStop, Options, OutputStop, StopReason};
use crate::projection::Projection;
use crate::sync::{AtomicBool, Ordering, yield_now};
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
        for sender in senders {
            sender.join().unwrap();
        }
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
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
}

// ---- Quiescence ----

/// Whoever finds a timestep over finds all that was sent delivered, and sees what the deliveries did; here one who has no part in it.
#[test]
fn a_timestep_is_over_when_what_was_sent_is_delivered() {
    check(Some(3), || {
        let shared = Arc::new((Quiescence::new(2, 2), Ring::new(1), UnsafeCell::new(0)));
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.publish_sent(0, 1);
                assert_eq!(shared.1.write(&[Message::new(0, 0)]), 1);
                // Its step 0.
                shared.0.publish_completed(0, 1);
            })
        };
        let receiver = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.publish_completed(1, 1);
                while shared.1.read(|_| ()) == 0 {
                    yield_now();
                }
                // SAFETY: loom checks that nobody else touches it.
                shared.2.with_mut(|delivered| unsafe { *delivered = 1 });
                shared.0.publish_completed(1, 2);
            })
        };
        if shared.0.is_quiescent(0) {
            // SAFETY: loom checks that nobody writes it meanwhile.
            assert_eq!(shared.2.with(|delivered| unsafe { *delivered }), 1);
        }
        sender.join().unwrap();
        receiver.join().unwrap();
    });
}

/// Workers that finish at once: of those that then go to sleep, one finds the timestep over first.
#[test]
fn of_workers_that_finish_at_once_one_notices() {
    check(None, || {
        let parts = Arc::new((Quiescence::new(2, 2), Sleep::new(2)));
        let finish = |worker: usize| {
            let parts = Arc::clone(&parts);
            move || {
                let (quiescence, sleep) = &*parts;
                quiescence.publish_completed(worker, 1);
                while !quiescence.is_quiescent(0) && quiescence.epoch() == 0 {
                    sleep.sleep(worker, || quiescence.is_quiescent(0) || quiescence.epoch() != 0);
                }
                if quiescence.advance(0) {
                    sleep.wake_all();
                }
            }
        };
        let other = thread::spawn(finish(1));
        finish(0)();
        other.join().unwrap();
        assert_eq!(parts.0.epoch(), 1);
    });
}

/// What one worker writes down in a timestep, all may read when it is over, and none reads what is written two timesteps later: so two places do for the timesteps' endings.
#[test]
fn a_timestep_is_over_for_all_before_the_next_but_one_begins() {
    type Parts = (Quiescence, Sleep, [UnsafeCell<u64>; 2]);
    fn work((quiescence, sleep, places): &Parts, worker: usize) {
        for epoch in 0..3 {
            let place = &places[epoch as usize & 1];
            if worker == 0 {
                // SAFETY: loom checks that nobody else touches it.
                place.with_mut(|place| unsafe { *place = epoch });
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
            assert_eq!(place.with(|place| unsafe { *place }), epoch);
        }
    }
    check(Some(3), || {
        let places = [UnsafeCell::new(0), UnsafeCell::new(0)];
        let parts = Arc::new((Quiescence::new(2, 2), Sleep::new(2), places));
        let other = {
            let parts = Arc::clone(&parts);
            thread::spawn(move || work(&parts, 1))
        };
        work(&parts, 0);
        other.join().unwrap();
    });
}

/// A worker that learns only from the epoch that a timestep is over sees what was done in it all the same.
#[test]
fn the_epoch_tells_all_that_the_timestep_did() {
    check(None, || {
        let parts = Arc::new((Quiescence::new(1, 1), UnsafeCell::new(0)));
        let worker = {
            let parts = Arc::clone(&parts);
            thread::spawn(move || {
                // SAFETY: loom checks that nobody else touches it.
                parts.1.with_mut(|place| unsafe { *place = 1 });
                parts.0.publish_completed(0, 1);
                assert!(parts.0.is_quiescent(0) && parts.0.advance(0));
            })
        };
        while parts.0.epoch() == 0 {
            yield_now();
        }
        // SAFETY: loom checks that nobody writes it meanwhile.
        assert_eq!(parts.1.with(|place| unsafe { *place }), 1);
        worker.join().unwrap();
    });
}

// ---- The whole ----

/// A network small enough for loom: each neuron is a population, and fires at every event unless it is refractory.
struct Toy {
    /// Where each worker's one shard ends.
    shards: &'static [usize],
    synapses: &'static [(usize, usize)],
    /// Neurons that the one input channel drives.
    driven: &'static [usize],
    /// By timestep: whether it spikes.
    x: &'static [u8],
    refractory: Refractory,
    slots: usize,
    options: Options,
}

type Results = Vec<Result<FoundByShard<f32>, (usize, Error)>>;

impl Toy {
    fn new(shards: &'static [usize], synapses: &'static [(usize, usize)], x: &'static [u8]) -> Self {
        let options = Options { record: true, threads: shards.len(), ..Options::new(0.01) };
        Self { shards, synapses, driven: &[0], x, refractory: Refractory::Timestep, slots: 4, options }
    }

    fn network(&self) -> Network<f32> {
        let mut builder = NetworkBuilder::new(1);
        for neuron in 0..*self.shards.last().unwrap() {
            let lif = Lif { v_threshold: vec![0.5], refractory: self.refractory, ..Lif::default() };
            builder.population(&neuron.to_string(), 1, lif);
        }
        let inputs = self.driven.iter().map(|to| (Source::Input, *to));
        let synapses = self.synapses.iter().map(|(from, to)| (Source::Population(*from), *to));
        for (from, to) in inputs.chain(synapses) {
            builder.projection(from, to, Projection::dense(&[1.0], 1, 1).unwrap(), None);
        }
        builder.build().unwrap()
    }

    /// Has a worker a shard run it, in every interleaving with so many preemptions; hands over what each found, or why it failed, and the reach of each neuron.
    fn check_all(
        self,
        preemptions: usize,
        stopped: Option<usize>,
        found: impl Fn(Results, &Reach) + Send + Sync + 'static,
    ) {
        let n_workers = self.shards.len();
        let network: &Network<f32> = Box::leak(Box::new(self.network()));
        let options: &Options = Box::leak(Box::new(self.options));
        let input: &Input<'_, f32> =
            Box::leak(Box::new(Input::dense_u8(self.x, self.x.len(), 1, 1).unwrap()));
        let beta = network.decay(options.dt).unwrap();
        let run = Run { network, input, options, beta, has_fates: false, shards: self.shards.to_vec() };
        let run: &Run<'_, f32> = Box::leak(Box::new(run));
        let division = network.divisions.with_ends(network, self.shards).unwrap();
        let division: &Division = Box::leak(Box::new(division));
        let slots = self.slots;
        check(Some(preemptions), move || {
            let shared = Arc::new(Shared::new(run, division, 1, n_workers, (0, 1), slots));
            let flags: Vec<_> = (0..n_workers).map(|_| Arc::new(AtomicBool::new(false))).collect();
            let work = |number: usize| {
                let (shared, flag) = (Arc::clone(&shared), Arc::clone(&flags[number]));
                move || Worker::new(&shared, number).run(&mut Watch::Shared(&flag), &mut || ())
            };
            let others: Vec<_> = (1..n_workers).map(|number| thread::spawn(work(number))).collect();
            if let Some(worker) = stopped {
                flags[worker].store(true, Ordering::Relaxed);
            }
            let mut results = vec![work(0)()];
            results.extend(others.into_iter().map(|other| other.join().unwrap()));
            found(results, &division.reach);
        });
    }

    /// The same where no worker may fail. All have to agree how the timesteps ended, and every delivered spike to have been fired; hands over the neurons that fired in each timestep.
    fn check(self, preemptions: usize, found: impl Fn(&[Vec<u32>], &[Ending]) + Send + Sync + 'static) {
        self.check_all(preemptions, None, move |results, reach| {
            let shards = results.into_iter().flat_map(|result| result.expect("no worker fails"));
            let logs: Vec<_> = shards.map(|(_, found)| found.log).collect();
            let endings: Vec<_> = logs[0].timesteps.iter().map(|timestep| timestep.1).collect();
            assert!(
                logs.iter().all(|log| log
                    .timesteps
                    .iter()
                    .map(|timestep| timestep.1)
                    .eq(endings.iter().copied()))
            );
            let nothing_dropped = endings.iter().all(|ending| *ending == Ending::Quiescent);
            for (to, log) in logs.iter().enumerate() {
                for from in &logs {
                    let fired =
                        (0..).zip(&from.fired).map(|(serial, (neuron, _))| Message::new(serial, *neuron));
                    let sent: Vec<_> =
                        fired.filter(|spike| reach.shards(spike.source()) >> to & 1 == 1).collect();
                    let delivered: Vec<_> = log
                        .delivered
                        .iter()
                        .filter(|spike| from.fired.iter().any(|(neuron, _)| *neuron == spike.source()))
                        .collect();
                    let mut rest = sent.iter();
                    assert!(
                        delivered.iter().all(|spike| rest.any(|sent| sent == *spike)),
                        "doubled, reordered or made up"
                    );
                    assert!(delivered.len() == sent.len() || !nothing_dropped, "lost");
                }
            }
            found(&fired(&logs), &endings);
        });
    }
}

/// The neurons that fired in each timestep, ascending.
fn fired(logs: &[Log]) -> Vec<Vec<u32>> {
    let mut at = vec![(0, 0); logs.len()];
    let mut timestep = |number: usize| {
        let mut all = Vec::new();
        for (log, (step, fired)) in logs.iter().zip(&mut at) {
            let (steps, end) = (*step, log.mark(number + 1).steps);
            let n: usize = log.steps[steps..end].iter().map(|step| step.n_fired as usize).sum();
            all.extend(log.fired[*fired..*fired + n].iter().map(|(neuron, _)| *neuron));
            (*step, *fired) = (end, *fired + n);
        }
        all.sort_unstable();
        all
    };
    (0..logs[0].timesteps.len()).map(&mut timestep).collect()
}

/// To and fro.
#[test]
fn two_workers_exchange_spikes() {
    let toy = Toy::new(&[1, 2], &[(0, 1), (1, 0)], &[1]);
    toy.check(2, |fired, _| assert_eq!(fired, [[0, 1]]));
}

/// The worker that is ahead sends into the next timestep, which the other has not begun.
#[test]
fn two_workers_go_from_one_timestep_to_the_next() {
    let toy = Toy::new(&[1, 2], &[(0, 1)], &[1, 1]);
    toy.check(1, |fired, _| assert_eq!(fired, [[0, 1], [0, 1]]));
}

/// A worker that has sent a spike has more to send later: the timestep must not end between the two.
#[test]
fn two_workers_wait_for_what_is_still_to_be_sent() {
    let toy = Toy::new(&[2, 4], &[(0, 1), (0, 2), (1, 3)], &[1, 0]);
    toy.check(1, |fired, _| assert_eq!(fired, [vec![0, 1, 2, 3], vec![]]));
}

/// Both inboxes are full, of spikes of workers that have more for each other.
#[test]
fn two_workers_with_full_inboxes_go_on() {
    let synapses = &[(0, 2), (1, 2), (2, 0), (3, 0)];
    let toy = Toy { driven: &[0, 1, 2, 3], slots: 1, ..Toy::new(&[2, 4], synapses, &[1]) };
    toy.check(2, |fired, _| assert_eq!(fired, [[0, 1, 2, 3]]));
}

/// A spike causes one at a third worker that had nothing to do before. (With one preemption: 609,270 executions, four minutes.)
#[test]
fn three_workers_hand_on_a_spike() {
    let toy = Toy::new(&[1, 2, 3], &[(0, 1), (1, 2)], &[1]);
    toy.check(0, |fired, _| assert_eq!(fired, [[0, 1, 2]]));
}

/// A stop of the sample ends it for all in the same timestep.
#[test]
fn a_stop_of_the_sample_is_seen_by_all() {
    let mut toy = Toy { driven: &[0, 1], ..Toy::new(&[1, 2], &[(0, 1), (1, 0)], &[1, 1]) };
    toy.options.max_spikes = Some(2);
    toy.check(2, |fired, endings| match endings {
        [Ending::Stopped(StopReason::MaxSpikes)] => assert_eq!(fired, [[0, 1]]),
        _ => panic!("{endings:?}"),
    });
}

/// A stop of the timestep may come too late for some spikes, but all agree on what it did, and the next timestep is whole.
#[test]
fn a_stop_of_the_timestep_is_seen_by_all() {
    let mut toy = Toy::new(&[1, 2], &[(0, 1), (1, 0)], &[1, 1]);
    toy.options.stop_on_output = Some(OutputStop::Timestep);
    toy.check(1, |fired, endings| {
        assert!(
            endings.iter().all(|e| matches!(e, Ending::Quiescent | Ending::Discarded(StopReason::Output)))
        );
        assert_eq!(fired, [[0, 1], [0, 1]]);
    });
}

/// Of two stops at once, all take the same.
#[test]
fn of_two_stops_one_stands() {
    let mut toy = Toy {
        driven: &[0, 1],
        refractory: Refractory::None,
        ..Toy::new(&[1, 2], &[(0, 1), (1, 0)], &[1, 0])
    };
    toy.options.max_forward_steps = 1;
    toy.options.stop_on_output = Some(OutputStop::Timestep);
    toy.options.on_stop = OnStop::Carry;
    toy.check(1, |_, endings| assert_eq!(endings.len(), 2));
}

/// A worker that has to stop wakes the others, which end too; or all had finished before.
#[test]
fn a_worker_that_fails_ends_all() {
    let toy = Toy::new(&[1, 2], &[(0, 1), (1, 0)], &[1]);
    toy.check_all(2, Some(1), |results, _| {
        let failed = |result: &Result<_, (usize, Error)>| matches!(result, Err((0, Error::Interrupted)));
        assert!(results.iter().all(|result| result.is_ok() || failed(result)));
    });
}
