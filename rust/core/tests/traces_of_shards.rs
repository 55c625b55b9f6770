//! Altered records of free runs of several shards: what `validate` proves about shards, and what a replay refuses.

use std::sync::Arc;

use pyasync_core::*;

/// Four neurons that all fire in the first of two timesteps. Each has synapses to all of them, too weak to make any
/// fire.
fn network() -> Network<f32> {
    let mut builder = NetworkBuilder::new(1);
    let all = builder.population("all", 4, Lif { v_threshold: vec![0.5], ..Lif::default() });
    builder.projection(Source::Input, all, Projection::dense(&[1.0; 4], 4, 1).unwrap(), None);
    builder.projection(Source::Population(all), all, Projection::dense(&[0.01; 16], 4, 4).unwrap(), None);
    builder.build().unwrap()
}

fn run(schedule: &ScheduleSpec) -> Result<Output<f32>, Error> {
    let options = Options { record: true, ..Options::new(0.01) };
    simulate(&network(), &Input::dense_u8(&[1, 0], 2, 1, 1)?, schedule, &options, &mut |_| true)
}

/// The record of a run with this many shards, and its columns.
fn record(shards: usize) -> (Trace, Steps) {
    let free = FreeRunning { group_size: 1, shards: Some(shards), parallel: Parallel::Samples };
    let trace = run(&ScheduleSpec::FreeRunning(free)).unwrap().trace.unwrap();
    trace.validate(&network()).unwrap();
    let steps = trace.to_steps().unwrap();
    assert_eq!(steps.fired, [0, 1, 2, 3]);
    (trace, steps)
}

/// The record of two shards; neurons 0 and 1 are those of shard 0.
fn record_of_two() -> (Trace, Steps) {
    let (trace, steps) = record(2);
    assert_eq!(trace.header().shards, [2, 4]);
    (trace, steps)
}

fn assert_invalid(trace: &Trace, altered: &Steps, why: &str) {
    let valid = trace.with_steps(altered).unwrap().validate(&network());
    assert!(matches!(&valid, Err(Error::Trace(given)) if given.contains(why)), "{why}: {valid:?}");
}

fn replay(trace: &Trace, altered: &Steps) -> Result<Output<f32>, Error> {
    run(&ScheduleSpec::Replay { trace: Arc::new(trace.with_steps(altered).unwrap()) })
}

/// Where the steps 0 of the second timestep begin; nothing happens in that timestep.
fn silent(steps: &Steps) -> usize {
    steps.steps.iter().position(|step| step.timestep == 1).unwrap()
}

/// Exchanges the shards of two steps 0 in which nothing happens.
fn with_steps_0_exchanged(steps: &Steps) -> Steps {
    let (mut altered, at) = (steps.clone(), silent(steps));
    assert_eq!([at, at + 1].map(|at| steps.steps[at].shard), [0, 1]);
    (altered.steps[at].shard, altered.steps[at + 1].shard) = (1, 0);
    altered
}

#[test]
fn the_steps_0_are_those_of_the_shards_in_their_order() {
    let (trace, steps) = record_of_two();
    assert_invalid(&trace, &with_steps_0_exchanged(&steps), "got shard 1; accepted: step 0 of shard 0");
}

#[test]
fn a_neuron_fires_in_its_own_shard_only() {
    let (trace, steps) = record_of_two();
    // Neuron 1 in shard 1, or neuron 2 in shard 0: the spikes and their numbers stay what they are.
    for (n_fired, why) in [([1, 3], "neuron 1 firing in shard 1"), ([3, 1], "neuron 2 firing in shard 0")] {
        let mut altered = steps.clone();
        for (step, n_fired) in altered.steps.iter_mut().zip(n_fired) {
            step.n_fired = n_fired;
        }
        assert_invalid(&trace, &altered, why);
    }
}

#[test]
fn a_shards_spikes_arrive_in_the_order_in_which_they_were_fired() {
    let (trace, steps) = record_of_two();
    let mut emissions = Vec::new();
    for step in &steps.steps {
        emissions.extend((0..step.n_emitted).map(|_| step.shard));
    }
    for to in 0..2 {
        let here: Vec<usize> = (0..emissions.len()).filter(|at| emissions[*at] == to).collect();
        assert_eq!(here.len(), 4);
        for pair in here.windows(2) {
            let mut altered = steps.clone();
            altered.emitted.swap(pair[0], pair[1]);
            let [first, second] = [0, 1].map(|at| steps.emitted[pair[at]]);
            // Spikes 0 and 1 are shard 0's. Of two spikes from different shards, either may come first.
            if first / 2 == second / 2 {
                assert_invalid(&trace, &altered, "after one that its shard sent later");
            } else {
                trace.with_steps(&altered).unwrap().validate(&network()).unwrap();
            }
        }
    }
}

#[test]
fn a_replay_refuses_steps_0_of_other_shards() {
    let (trace, steps) = record_of_two();
    let replayed = replay(&trace, &with_steps_0_exchanged(&steps));
    assert!(matches!(replayed, Err(Error::Replay(_))), "{:?}", replayed.map(drop));
}

#[test]
fn a_replay_refuses_a_step_0_that_emits_a_spike() {
    for shards in [1, 2] {
        let (trace, steps) = record(shards);
        for shard in 0..shards {
            let mut altered = steps.clone();
            altered.steps[silent(&steps) + shard].n_emitted = 1;
            altered.emitted.push(0);
            let replayed = replay(&trace, &altered);
            let replayed = replayed.map(drop);
            assert!(matches!(replayed, Err(Error::Replay(_))), "{shard} of {shards}: {replayed:?}");
        }
    }
}
