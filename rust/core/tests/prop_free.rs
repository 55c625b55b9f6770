//! Properties of free runs: what is recorded replays to the bit, and one shard is a FIFO.

use std::sync::Arc;

use proptest::prelude::*;
use pyasync_core::*;

const T: usize = 4;

#[derive(Clone, Debug)]
struct Case {
    sizes: Vec<usize>,
    weights: Vec<f64>,
    x: Vec<u8>,
    n_samples: usize,
    recurrent: bool,
    reset: Reset,
    /// Of the second population.
    reset_amount: Option<Vec<f64>>,
    tau_syn: Option<Vec<f64>>,
    dropout: Option<Dropout>,
    scheduled: bool,
    group_size: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let amount = prop::option::of((0.1..0.9).prop_map(|amount| vec![amount]));
    let subtract = amount.prop_map(|amount| (Reset::Subtract, amount));
    let reset = prop_oneof![Just((Reset::Zero, None)), subtract, Just((Reset::None, None))];
    let sizes = prop::collection::vec(1..20_usize, 2..4);
    let reset = (reset, prop::option::of((1e-3..0.1).prop_map(|tau| vec![tau])));
    (sizes, 1..6_usize, any::<[bool; 3]>(), reset, 1..5_usize, any::<u64>()).prop_flat_map(
        |(
            sizes,
            n_samples,
            [recurrent, scheduled, drops],
            ((reset, reset_amount), tau_syn),
            group_size,
            seed,
        )| {
            let n_inputs = 8;
            let widest = sizes.iter().max().copied().unwrap_or(1).max(n_inputs);
            let weights = prop::collection::vec(-0.5..0.8, 2 * widest * widest);
            let x = prop::collection::vec(0..2_u8, T * n_samples * n_inputs);
            let dropout = drops.then_some(Dropout { refractory: 0.4, spike: 0.2, seed });
            (Just(sizes), weights, x).prop_map(move |(sizes, weights, x)| Case {
                sizes,
                weights,
                x,
                n_samples,
                recurrent,
                reset,
                reset_amount: reset_amount.clone(),
                tau_syn: tau_syn.clone(),
                dropout,
                scheduled,
                group_size,
            })
        },
    )
}

impl Case {
    fn network(&self) -> Network<f64> {
        let mut builder = NetworkBuilder::new(8);
        let (mut source, mut n_in) = (Source::Input, 8);
        for (number, &n) in self.sizes.iter().enumerate() {
            let reset_amount = self.reset_amount.clone().filter(|_| number == 1);
            let tau_syn = self.tau_syn.clone().filter(|_| number == 1);
            let (v_threshold, reset) = (vec![0.5], self.reset);
            let lif = Lif { v_threshold, reset, reset_amount, tau_syn, ..Lif::default() };
            let population = builder.population(&number.to_string(), n, lif);
            let dense = Projection::dense(&self.weights[..n * n_in], n, n_in).unwrap();
            let bias = (number == 0).then(|| self.weights[..n].to_vec());
            builder.projection(source, population, dense, bias);
            if self.recurrent {
                // Every second weight is 0, so that rows are lists and some spikes reach only one shard.
                let sparse: Vec<f64> = self.weights[..n * n]
                    .iter()
                    .enumerate()
                    .map(|(k, w)| if k % 2 == 0 { *w } else { 0.0 })
                    .collect();
                let lateral = Projection::dense(&sparse, n, n).unwrap();
                builder.projection(Source::Population(population), population, lateral, None);
            }
            (source, n_in) = (Source::Population(population), n);
        }
        builder.build().unwrap()
    }

    fn options(&self, threads: usize, stops: &Options) -> Options {
        Options {
            threads,
            record: true,
            keep_state: true,
            keep_output_v: true,
            dropout: self.dropout,
            input_mode: if self.scheduled { InputMode::Scheduled } else { InputMode::AtOnce },
            ..stops.clone()
        }
    }

    fn run(&self, schedule: &ScheduleSpec, threads: usize, stops: &Options) -> Output<f64> {
        let input = Input::dense_u8(&self.x, T, self.n_samples, 8).unwrap();
        let options = self.options(threads, stops);
        simulate(&self.network(), &input, schedule, &options, &mut |_| true).unwrap()
    }
}

/// Options, some of which end timesteps or samples before they are quiescent.
fn stops() -> impl Strategy<Value = Options> {
    let max_spikes = prop_oneof![2 => Just(None), 1 => (1..30_u64).prop_map(Some)];
    let stop_on_output =
        prop_oneof![Just(None), Just(Some(OutputStop::Timestep)), Just(Some(OutputStop::Sample))];
    let max_forward_steps = prop_oneof![2 => Just(Options::new(0.01).max_forward_steps), 1 => 1..8_u64];
    let on_stop = prop_oneof![Just(OnStop::Discard), Just(OnStop::Carry)];
    (max_spikes, stop_on_output, 0..4_u64, max_forward_steps, on_stop).prop_map(
        |(max_spikes, stop_on_output, extra_steps, max_forward_steps, on_stop)| Options {
            max_spikes,
            stop_on_output,
            extra_steps,
            max_forward_steps,
            on_stop,
            ..Options::new(0.01)
        },
    )
}

fn free(group_size: usize, shards: usize, parallel: Parallel) -> ScheduleSpec {
    ScheduleSpec::FreeRunning(FreeRunning { group_size, shards: Some(shards), parallel })
}

fn assert_same(a: &Output<f64>, b: &Output<f64>) -> Result<(), TestCaseError> {
    prop_assert_eq!(&a.counts, &b.counts);
    prop_assert_eq!(&a.spike_counts, &b.spike_counts);
    prop_assert_eq!(&a.measures, &b.measures);
    prop_assert_eq!(&a.output_spikes, &b.output_spikes);
    prop_assert_eq!(&a.output_offsets, &b.output_offsets);
    let potentials = |output: &Output<f64>| [output.state.clone(), output.output_v.clone()].concat();
    let bits = |output: &Output<f64>| potentials(output).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    prop_assert_eq!(bits(a), bits(b));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
    ))]

    #[test]
    fn what_is_recorded_replays_to_the_bit(
        case in cases(), stops in stops(), threads in 1..5_usize, shards in 1..6_usize, whole: bool,
    ) {
        // Of three samples on two threads, one thread runs two.
        let parallel = if whole { Parallel::Shards } else { Parallel::Samples };
        let run = case.run(&free(case.group_size, shards, parallel), threads, &stops);
        let trace = Arc::new(run.trace.clone().unwrap());
        let read = Trace::from_bytes(&trace.to_bytes()).unwrap();
        prop_assert_eq!(&read, &*trace);
        prop_assert_eq!(&trace.with_steps(&trace.to_steps().unwrap()).unwrap(), &*trace);
        for threads in [1, 3] {
            let again = case.run(&ScheduleSpec::Replay { trace: Arc::clone(&trace) }, threads, &stops);
            assert_same(&run, &again)?;
            prop_assert_eq!(again.trace.as_ref(), Some(&*trace));
        }
        trace.validate(&case.network()).unwrap();
    }

    #[test]
    fn one_shard_is_a_fifo(case in cases(), stops in stops(), threads in 1..4_usize) {
        let run = case.run(&free(case.group_size, 1, Parallel::Auto), threads, &stops);
        let fifo = case.run(&ScheduleSpec::Fifo { group_size: case.group_size }, 1, &stops);
        assert_same(&run, &fifo)?;
        let steps = |output: &Output<f64>| output.trace.as_ref().unwrap().to_steps().unwrap();
        prop_assert_eq!(steps(&run), steps(&fifo));
    }

    /// Neurons that do not leak and cannot reach their threshold just sum their input, and these numbers add exactly:
    /// no order can change the sums.
    #[test]
    fn sums_that_cannot_depend_on_the_order_do_not(
        x in prop::collection::vec(0..2_u8, T * 8), shards in 2..5_usize, eighths in prop::collection::vec(-8..8_i8, 64),
    ) {
        let weight: Vec<f64> = eighths.iter().map(|e| f64::from(*e) / 8.0).collect();
        let mut builder = NetworkBuilder::new(8);
        let relay = builder.population("relay", 8, Lif { v_threshold: vec![0.5], tau_mem: vec![f64::INFINITY], ..Lif::default() });
        let sum = builder.population("sum", 8, Lif { v_threshold: vec![1e9], tau_mem: vec![f64::INFINITY], ..Lif::default() });
        builder.projection(Source::Input, relay, Projection::one_to_one(&[1.0; 8]).unwrap(), None);
        builder.projection(Source::Population(relay), sum, Projection::dense(&weight, 8, 8).unwrap(), None);
        let network = builder.build().unwrap();
        let input = Input::dense_u8(&x, T, 1, 8).unwrap();
        let options = Options { threads: 3, keep_state: true, ..Options::new(0.01) };
        let run = |schedule| simulate(&network, &input, &schedule, &options, &mut |_| true).unwrap();
        let free = run(free(1, shards, Parallel::Shards));
        let fifo = run(ScheduleSpec::Fifo { group_size: 1 });
        prop_assert_eq!(&free.state, &fifo.state);
        prop_assert_eq!(&free.spike_counts, &fifo.spike_counts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    /// Each thread merges a stretch of timesteps of a long record or, if spikes are carried from one timestep to the
    /// next, whole samples.
    #[test]
    fn a_long_record_is_the_same_however_many_threads_merge_it(
        case in cases(), n_samples in 1..4_usize, shards in 2..5_usize, stops: bool, carries: bool,
    ) {
        const TIMESTEPS: usize = 10_000;
        let x: Vec<u8> = case.x.iter().copied().cycle().take(TIMESTEPS * n_samples * 8).collect();
        let input = Input::dense_u8(&x, TIMESTEPS, n_samples, 8).unwrap();
        let run = |threads| {
            let options = Options {
                max_forward_steps: if stops { 3 } else { Options::new(0.01).max_forward_steps },
                on_stop: if carries { OnStop::Carry } else { OnStop::Discard },
                ..case.options(threads, &Options::new(0.01))
            };
            let schedule = free(case.group_size, shards, Parallel::Samples);
            simulate(&case.network(), &input, &schedule, &options, &mut |_| true).unwrap()
        };
        let (one, several) = (run(1), run(4));
        assert_same(&one, &several)?;
        prop_assert!(one.trace == several.trace);
        one.trace.unwrap().validate(&case.network()).unwrap();
    }
}
