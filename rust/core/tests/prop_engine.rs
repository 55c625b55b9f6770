//! Properties of whole runs, through the public interface. Results are compared to the bit.

use std::sync::Arc;

use proptest::prelude::*;
use pyasync_core::{
    Error, Input, Lif, Network, NetworkBuilder, Options, Output, Projection, Refractory, Reset, ScheduleSpec,
    Source, Trace, simulate,
};

/// How the one projection between the populations is stored.
#[derive(Clone, Copy, Debug)]
enum Form {
    Dense,
    Sparse,
}

/// A recurrent network of two populations; its weights are drawn at random, and many are 0.
#[derive(Clone, Debug)]
struct Description {
    n_inputs: usize,
    sizes: [usize; 2],
    input: Vec<f32>,
    forward: Vec<f32>,
    lateral: Vec<f32>,
    lif: Lif,
}

fn weights(n: usize) -> impl Strategy<Value = Vec<f32>> {
    let weight = prop_oneof![2 => Just(0.0_f32), 3 => -1.0_f32..1.0];
    prop::collection::vec(weight, n)
}

fn descriptions() -> impl Strategy<Value = Description> {
    let tau_syn = prop::option::of((1e-3..0.1_f64).prop_map(|tau| vec![tau]));
    let reset = prop_oneof![Just(Reset::Zero), Just(Reset::Subtract)];
    let lif = (reset, 0..3_u32, 0.05..0.6_f64, tau_syn).prop_map(
        |(reset, sync_threshold, v_threshold, tau_syn)| Lif {
            v_threshold: vec![v_threshold],
            reset,
            refractory: Refractory::Timestep,
            sync_threshold,
            tau_syn,
            ..Lif::default()
        },
    );
    (1..5_usize, 1..40_usize, 1..9_usize, lif).prop_flat_map(|(n_inputs, a, b, lif)| {
        (weights(a * n_inputs), weights(b * a), weights(a * a)).prop_map(move |(input, forward, lateral)| {
            Description { n_inputs, sizes: [a, b], input, forward, lateral, lif: lif.clone() }
        })
    })
}

fn sparse(weight: &[f32], n_out: usize, n_in: usize) -> Result<Projection<f32>, Error> {
    let (mut indptr, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
    for row in weight.chunks(n_in) {
        // Stored zeros are kept on purpose: they are no synapses.
        indices.extend(0..n_in as u32);
        data.extend_from_slice(row);
        indptr.push(indices.len());
    }
    assert_eq!(indptr.len(), n_out + 1);
    Projection::sparse(&indptr, &indices, &data, n_out, n_in)
}

fn build(description: &Description, form: Form) -> Network<f32> {
    let Description { n_inputs, sizes: [a, b], input, forward, lateral, lif } = description;
    let mut builder = NetworkBuilder::new(*n_inputs);
    let hidden = builder.population("hidden", *a, lif.clone());
    let output = builder.population("output", *b, lif.clone());
    let project = |weight: &[f32], n_out, n_in| match form {
        Form::Dense => Projection::dense(weight, n_out, n_in).unwrap(),
        Form::Sparse => sparse(weight, n_out, n_in).unwrap(),
    };
    let biases = vec![0.125; *a];
    builder.projection(Source::Input, hidden, project(input, *a, *n_inputs), Some(biases));
    builder.projection(Source::Population(hidden), output, project(forward, *b, *a), None);
    builder.projection(Source::Population(hidden), hidden, project(lateral, *a, *a), None);
    builder.build().unwrap()
}

const N_TIMESTEPS: usize = 3;
const N_SAMPLES: usize = 5;

fn inputs(n_inputs: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..3_u8, N_TIMESTEPS * N_SAMPLES * n_inputs)
}

fn cases() -> impl Strategy<Value = (Description, Vec<u8>, ScheduleSpec)> {
    let schedule = (1..6_usize, any::<u64>(), 0..5).prop_map(|(group_size, seed, kind)| match kind {
        0 => ScheduleSpec::Random { group_size, seed },
        1 => ScheduleSpec::Momentum { group_size, noise: 0.01, seed },
        2 => ScheduleSpec::Fifo { group_size },
        3 => ScheduleSpec::Lifo { group_size },
        _ => ScheduleSpec::Layered { feedback: true },
    });
    (descriptions(), schedule).prop_flat_map(|(description, schedule)| {
        inputs(description.n_inputs).prop_map(move |x| (description.clone(), x, schedule.clone()))
    })
}

fn run(network: &Network<f32>, x: &[u8], schedule: &ScheduleSpec, threads: usize) -> Output<f32> {
    let input = Input::dense_u8(x, N_TIMESTEPS, N_SAMPLES, network.n_inputs()).unwrap();
    let options =
        Options { threads, record: true, keep_state: true, keep_output_v: true, ..Options::new(5e-3) };
    simulate(network, &input, schedule, &options, &mut |_| true).unwrap()
}

fn assert_same_bits(a: &Output<f32>, b: &Output<f32>) {
    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&a.state), bits(&b.state));
    assert_eq!(bits(&a.output_v), bits(&b.output_v));
    assert_eq!(a.counts, b.counts);
    assert_eq!(a.spike_counts, b.spike_counts);
    assert_eq!(a.measures, b.measures);
    assert_eq!((&a.output_spikes, &a.output_offsets), (&b.output_spikes, &b.output_offsets));
}

proptest! {
    #[test]
    fn threads_change_no_bit((description, x, schedule) in cases()) {
        let network = build(&description, Form::Dense);
        let alone = run(&network, &x, &schedule, 1);
        for threads in [2, 3, 8] {
            let other = run(&network, &x, &schedule, threads);
            assert_same_bits(&alone, &other);
            prop_assert_eq!(&alone.trace, &other.trace);
        }
    }

    #[test]
    fn storage_changes_no_bit((description, x, schedule) in cases()) {
        let dense = run(&build(&description, Form::Dense), &x, &schedule, 1);
        let sparse = run(&build(&description, Form::Sparse), &x, &schedule, 1);
        assert_same_bits(&dense, &sparse);
    }

    #[test]
    fn a_trace_is_valid_and_replays((description, x, schedule) in cases()) {
        let network = build(&description, Form::Dense);
        let original = run(&network, &x, &schedule, 1);
        let trace = original.trace.clone().unwrap();
        trace.validate(&network).unwrap();
        let loaded = Trace::from_bytes(&trace.to_bytes()).unwrap();
        prop_assert_eq!(&loaded, &trace);
        let replayed = run(&network, &x, &ScheduleSpec::Replay { trace: Arc::new(loaded) }, 2);
        assert_same_bits(&original, &replayed);
        prop_assert_eq!(replayed.trace, Some(trace));
    }

    #[test]
    fn a_replay_with_other_input_is_refused((description, x, schedule) in cases()) {
        let network = build(&description, Form::Dense);
        let trace = Arc::new(run(&network, &x, &schedule, 1).trace.unwrap());
        let silent = vec![0; x.len()];
        let input = Input::dense_u8(&silent, N_TIMESTEPS, N_SAMPLES, network.n_inputs()).unwrap();
        let options = Options { record: true, ..Options::new(5e-3) };
        let replay = ScheduleSpec::Replay { trace: Arc::clone(&trace) };
        match simulate(&network, &input, &replay, &options, &mut |_| true) {
            // Without input only the biases act: the record can be the same only if the input had no effect.
            Ok(output) => prop_assert_eq!(output.trace.as_ref(), Some(&*trace)),
            Err(error) => prop_assert!(matches!(error, Error::Replay(_)), "{}", error),
        }
    }

    #[test]
    fn altered_files_never_panic((description, x, schedule) in cases(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let network = build(&description, Form::Dense);
        let mut file = run(&network, &x, &schedule, 1).trace.unwrap().to_bytes();
        let at = at.index(file.len());
        file[at] ^= flip;
        prop_assert!(matches!(Trace::from_bytes(&file), Err(Error::Trace(_))));
    }
}

#[test]
fn a_run_stops_when_the_caller_says_so() {
    // Two neurons that excite each other without refractoriness never become quiescent.
    let mut builder = NetworkBuilder::<f32>::new(1);
    let lif = Lif { v_threshold: vec![0.5], refractory: Refractory::None, ..Lif::default() };
    let pair = builder.population("pair", 2, lif);
    builder.projection(Source::Input, pair, Projection::dense(&[1.0, 1.0], 2, 1).unwrap(), None);
    let exchange = Projection::dense(&[0.0, 1.0, 1.0, 0.0], 2, 2).unwrap();
    builder.projection(Source::Population(pair), pair, exchange, None);
    let network = builder.build().unwrap();
    for (threads, n_samples) in [(1, 1), (2, 4)] {
        let x = vec![1_u8; n_samples];
        let input = Input::dense_u8(&x, 1, n_samples, 1).unwrap();
        let options = Options { threads, max_forward_steps: u64::MAX, ..Options::new(1e-3) };
        let schedule = ScheduleSpec::Fifo { group_size: 1 };
        let result = simulate(&network, &input, &schedule, &options, &mut |_| false);
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    }
}

#[test]
fn events_out_of_order_or_of_channels_that_are_not_there_are_refused_by_name() {
    let mut builder = NetworkBuilder::<f32>::new(3);
    let population = builder.population("population", 1, Lif::default());
    builder.projection(Source::Input, population, Projection::dense(&[1.0; 3], 1, 3).unwrap(), None);
    let network = builder.build().unwrap();
    for (channels, accepted) in [([0, 2], true), ([2, 0], false), ([1, 1], false), ([0, 3], false)] {
        // In the second timestep of the second sample.
        let input = Input::events(&channels, &[0, 0, 0, 0, 2], None, 2, 3).unwrap();
        let schedule = ScheduleSpec::Fifo { group_size: 1 };
        match simulate(&network, &input, &schedule, &Options::new(1e-3), &mut |_| true) {
            Ok(_) => assert!(accepted, "{channels:?}"),
            Err(error) => {
                assert!(!accepted, "{channels:?}: {error}");
                assert!(error.to_string().contains("sample 1, timestep 1"), "{error}");
            }
        }
    }
}
