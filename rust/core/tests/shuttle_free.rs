//! Whole free runs of small networks under shuttle: what is too large for loom, under thousands of random and PCT
//! schedules (`src/free/PROTOCOL.md`; run by `make loom`). `SHUTTLE_SCHEDULES` says how many of each. A failing
//! schedule is printed; keep it here with `shuttle::replay`.
#![cfg(shuttle)]

use std::sync::Arc;

use pyasync_core::*;

fn schedules() -> usize {
    std::env::var("SHUTTLE_SCHEDULES").ok().map_or(5000, |n| n.parse().expect("SHUTTLE_SCHEDULES"))
}

/// Runs `model` under random schedules, and under PCT's, which find bugs that need few preemptions at the right places.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let same = Arc::clone(&model);
    shuttle::check_random(move || same(), schedules());
    shuttle::check_pct(move || model(), schedules(), 4);
}

fn free(group_size: usize, shards: usize) -> ScheduleSpec {
    ScheduleSpec::FreeRunning(FreeRunning { group_size, shards: Some(shards), parallel: Parallel::Shards })
}

/// Populations of a few neurons each. Each has synapses from the input, to the next population and, inhibiting, to
/// itself, so that the order decides who fires. Inboxes have few slots.
fn network(sizes: &[usize], refractory: Refractory) -> Network<f32> {
    let mut builder = NetworkBuilder::new(4);
    let lif = || Lif { v_threshold: vec![0.5], refractory, ..Lif::default() };
    let populations: Vec<_> =
        (0..sizes.len()).map(|k| builder.population(&k.to_string(), sizes[k], lif())).collect();
    let dense = |n_out: usize, n_in: usize, weight: f32| {
        let weights: Vec<f32> = (0..n_out * n_in).map(|k| if k % 3 == 1 { 0.0 } else { weight }).collect();
        Projection::dense(&weights, n_out, n_in).unwrap()
    };
    for k in 0..sizes.len() {
        builder.projection(Source::Input, populations[k], dense(sizes[k], 4, 0.3), None);
        let next = (k + 1) % sizes.len();
        builder.projection(
            Source::Population(populations[k]),
            populations[next],
            dense(sizes[next], sizes[k], 0.7),
            None,
        );
        builder.projection(
            Source::Population(populations[k]),
            populations[k],
            dense(sizes[k], sizes[k], -0.2),
            None,
        );
    }
    builder.build().unwrap()
}

/// Runs the network, and checks that the record is whole and replays to the bit, in whatever order the workers met.
fn run_is_sound(
    network: &Network<f32>,
    n_samples: usize,
    schedule: &ScheduleSpec,
    options: &Options,
) -> Output<f32> {
    let x: Vec<u8> = (0..2 * n_samples * 4).map(|k| u8::from(k % 3 != 1)).collect();
    let input = Input::dense_u8(&x, 2, n_samples, 4).unwrap();
    let output = simulate(network, &input, schedule, options, &mut |_| true).unwrap();
    let trace = Arc::new(output.trace.clone().unwrap());
    trace.validate(network).unwrap();
    let alone = Options { threads: 1, ..options.clone() };
    let again = simulate(network, &input, &ScheduleSpec::Replay { trace }, &alone, &mut |_| true).unwrap();
    assert_eq!(again.state, output.state);
    assert_eq!(again.measures, output.measures);
    assert_eq!(again.trace, output.trace);
    output
}

fn options(threads: usize) -> Options {
    Options { threads, record: true, keep_state: true, ..Options::new(0.01) }
}

#[test]
fn two_workers() {
    let network = network(&[4, 3], Refractory::Timestep);
    check(move || {
        run_is_sound(&network, 2, &free(1, 2), &options(2));
    });
}

#[test]
fn three_workers_of_four_shards() {
    let network = network(&[3, 2, 2, 3], Refractory::Timestep);
    check(move || {
        run_is_sound(&network, 1, &free(2, 4), &options(3));
    });
}

#[test]
fn four_workers_with_scheduled_input_and_dropouts() {
    let network = network(&[3, 2, 2, 1], Refractory::Timestep);
    let dropout = Some(Dropout { refractory: 0.3, spike: 0.2, seed: 7 });
    let options = Options { input_mode: InputMode::Scheduled, dropout, ..options(4) };
    check(move || {
        run_is_sound(&network, 1, &free(1, 4), &options);
    });
}

#[test]
fn stops_that_discard() {
    let network = network(&[3, 2, 2], Refractory::None);
    let options = Options { max_forward_steps: 4, ..options(3) };
    check(move || {
        run_is_sound(&network, 2, &free(1, 3), &options);
    });
}

#[test]
fn stops_that_carry() {
    let network = network(&[3, 2, 2], Refractory::None);
    let options = Options { max_forward_steps: 4, on_stop: OnStop::Carry, ..options(3) };
    check(move || {
        run_is_sound(&network, 2, &free(1, 3), &options);
    });
}

#[test]
fn stops_of_the_sample() {
    let network = network(&[3, 2, 2], Refractory::Timestep);
    let options = Options { stop_on_output: Some(OutputStop::Sample), max_spikes: Some(12), ..options(3) };
    check(move || {
        run_is_sound(&network, 3, &free(1, 3), &options);
    });
}

/// The caller may want to stop at any time: the run then ends, and says so unless it was over.
#[test]
fn an_interrupted_run_ends() {
    let network = network(&[4, 3], Refractory::Timestep);
    let x = [1; 2 * 2 * 4];
    check(move || {
        let input = Input::dense_u8(&x, 2, 2, 4).unwrap();
        let mut asked = 0;
        let ended = simulate(&network, &input, &free(1, 2), &options(2), &mut |_| {
            asked += 1;
            asked < 3
        });
        assert!(matches!(ended, Ok(_) | Err(Error::Interrupted)));
    });
}
