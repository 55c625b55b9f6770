//! Workers with their shards, on networks of two to four neurons.

use std::sync::Arc;

use loom::thread;

use super::check;
use crate::engine::Run;
use crate::error::Error;
use crate::free::division::Division;
use crate::free::log::Log;
use crate::free::reach::Reach;
use crate::free::ring::Message;
use crate::free::worker::{FoundByShard, Shared, Worker};
use crate::input::Input;
use crate::network::{Network, NetworkBuilder, Source};
use crate::neuron::{Lif, Refractory};
use crate::options::{Ending, OnStop, Options, OutputStop, StopReason};
use crate::projection::Projection;
use crate::sync::{AtomicBool, Ordering};
use crate::workers::Watch;

/// A network small enough for loom: each neuron is a population, and fires at every event unless it is refractory.
struct Toy {
    /// Where each worker's one shard ends.
    shards: &'static [usize],
    synapses: &'static [(usize, usize)],
    /// Neurons that the one input channel drives.
    driven: &'static [usize],
    /// By timestep: whether the input channel spikes.
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

    /// Runs it with one worker per shard, in every interleaving with at most this many preemptions; the worker
    /// `stopped` is told to stop. Passes to `found` what each worker found, or why it failed, and the reach of each
    /// neuron.
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
        let decays = network.decays(options.dt).unwrap();
        let run = Run { network, input, options, decays, has_fates: false, shards: self.shards.to_vec() };
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

    /// The same where no worker may fail. All must agree how the timesteps ended, and every delivered spike must have
    /// been fired. Passes to `found` the neurons that fired in each timestep, and how each ended.
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

/// Spikes go to and fro.
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

/// Both inboxes are full, and both workers have more spikes for each other.
#[test]
fn two_workers_with_full_inboxes_go_on() {
    let synapses = &[(0, 2), (1, 2), (2, 0), (3, 0)];
    let toy = Toy { driven: &[0, 1, 2, 3], slots: 1, ..Toy::new(&[2, 4], synapses, &[1]) };
    toy.check(2, |fired, _| assert_eq!(fired, [[0, 1, 2, 3]]));
}

/// A spike causes another at a third worker, which had nothing to do before. (With one preemption: 609,270 executions,
/// four minutes.)
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

/// A stop of the timestep comes in time for what is sent after it: what neuron 2, the output, sends does not reach
/// neuron 1, which would fire. All agree that spikes were dropped, and the next timestep is whole.
#[test]
fn a_stop_of_the_timestep_is_seen_by_all() {
    let mut toy = Toy::new(&[2, 3], &[(0, 2), (2, 1)], &[1, 1]);
    toy.options.stop_on_output = Some(OutputStop::Timestep);
    toy.check(1, |fired, endings| {
        assert_eq!(endings, [Ending::Discarded(StopReason::Output); 2]);
        assert_eq!(fired, [[0, 2], [0, 2]]);
    });
}

/// Of two stops at once, all workers take the same one.
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

/// A worker that has to stop wakes the others, which end too; unless all have finished before.
#[test]
fn a_worker_that_fails_ends_all() {
    let toy = Toy::new(&[1, 2], &[(0, 1), (1, 0)], &[1]);
    toy.check_all(2, Some(1), |results, _| {
        let failed = |result: &Result<_, (usize, Error)>| matches!(result, Err((0, Error::Interrupted)));
        assert!(results.iter().all(|result| result.is_ok() || failed(result)));
    });
}
