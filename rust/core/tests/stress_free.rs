//! Free runs of many spikes on many threads: none is lost, none doubled, and memory stays flat. `make soak` runs 10^9
//! spikes, with atomics that pause at random (`--cfg disturbed`); elsewhere `PYASYNC_SOAK_SPIKES` says how many, by
//! default as many as a test run can wait for.

use std::sync::Arc;
use std::time::Instant;

use pyasync_core::*;

const WIDTH: usize = 32;
const LAYERS: usize = 10;
const MOST_THREADS: usize = 16;

fn spikes_wanted() -> u64 {
    std::env::var("PYASYNC_SOAK_SPIKES").ok().map_or(1_000_000, |n| n.parse().expect("PYASYNC_SOAK_SPIKES"))
}

fn free(group_size: usize, shards: usize) -> ScheduleSpec {
    ScheduleSpec::FreeRunning(FreeRunning { group_size, shards: Some(shards), parallel: Parallel::Shards })
}

/// Layers in which every neuron fires at every event and has two targets in the next layer, far apart: spikes double
/// from layer to layer.
struct Cascade {
    network: Network<f32>,
    /// How often each neuron fires in a timestep, if no spike is lost or doubled.
    spikes: Vec<u32>,
}

impl Cascade {
    fn new() -> Self {
        let mut builder = NetworkBuilder::new(WIDTH);
        let lif = || Lif { v_threshold: vec![0.5], refractory: Refractory::None, ..Lif::default() };
        let layers: Vec<_> =
            (0..LAYERS).map(|layer| builder.population(&layer.to_string(), WIDTH, lif())).collect();
        builder.projection(Source::Input, layers[0], Projection::one_to_one(&[1.0; WIDTH]).unwrap(), None);
        let mut spikes = vec![1; WIDTH];
        for layer in 1..LAYERS {
            let mut weight = vec![0.0; WIDTH * WIDTH];
            for from in 0..WIDTH {
                for to in
                    [(5 * from + layer) % WIDTH, (5 * from + layer + 1 + 7 * from % (WIDTH - 1)) % WIDTH]
                {
                    weight[to * WIDTH + from] = 1.0;
                }
            }
            for to in 0..WIDTH {
                let from = &spikes[(layer - 1) * WIDTH..layer * WIDTH];
                let row = &weight[to * WIDTH..][..WIDTH];
                spikes.push(from.iter().zip(row).filter(|(_, weight)| **weight > 0.0).map(|(n, _)| n).sum());
            }
            builder.projection(
                Source::Population(layers[layer - 1]),
                layers[layer],
                Projection::dense(&weight, WIDTH, WIDTH).unwrap(),
                None,
            );
        }
        Self { network: builder.build().unwrap(), spikes }
    }
}

/// Resident memory in MiB, if the system tells.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[test]
fn of_many_spikes_none_is_lost_or_doubled() {
    const TIMESTEPS: usize = 2;
    let cascade = Cascade::new();
    let x = [1; TIMESTEPS * WIDTH];
    let input = Input::dense_u8(&x, TIMESTEPS, 1, WIDTH).unwrap();
    let a_timestep: u64 = cascade.spikes.iter().map(|n| u64::from(*n)).sum();
    let (start, wanted) = (Instant::now(), spikes_wanted());
    let (mut spikes, mut rounds, mut memory_at_first) = (0, 0, None);
    // Memory is compared between the first pass over all numbers of threads and the last, so there are at least two
    // passes.
    while spikes < wanted || rounds < 2 * MOST_THREADS {
        let threads = rounds % MOST_THREADS + 1;
        let options = Options { threads, ..Options::new(0.01) };
        let output = simulate(&cascade.network, &input, &free(1, threads), &options, &mut |_| true).unwrap();
        let expected: Vec<u32> = cascade.spikes.iter().map(|n| n * TIMESTEPS as u32).collect();
        assert_eq!(output.spike_counts, expected, "{threads} threads");
        assert!(output.measures[0].reached_quiescence);
        spikes += a_timestep * TIMESTEPS as u64;
        rounds += 1;
        if rounds == MOST_THREADS {
            memory_at_first = memory();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{spikes} spikes in {seconds:.0} s; memory {memory_at_first:?} MiB early, {:?} MiB at the end",
        memory()
    );
    if let (Some(first), Some(last)) = (memory_at_first, memory()) {
        assert!(last <= first + 8, "memory grew from {first} to {last} MiB");
    }
}

/// The same, but the number of spikes depends on their order: what was delivered is what was fired, synapse by synapse,
/// and the run replays to the bit.
#[test]
fn what_was_fired_was_delivered_whatever_the_order() {
    const NEURONS: usize = 48;
    let mut philox =
        (1..).map(|n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1 << 24) as f32);
    for round in 0..MOST_THREADS {
        let mut weights = |n: usize| -> Vec<f32> {
            philox.by_ref().take(n).map(|w| if w < 0.6 { 0.0 } else { w - 0.7 }).collect()
        };
        let mut builder = NetworkBuilder::<f32>::new(NEURONS);
        let lif = Lif { v_threshold: vec![0.2], ..Lif::default() };
        let all = builder.population("all", NEURONS, lif);
        let (from_input, lateral) = (weights(NEURONS * NEURONS), weights(NEURONS * NEURONS));
        builder.projection(
            Source::Input,
            all,
            Projection::dense(&from_input, NEURONS, NEURONS).unwrap(),
            None,
        );
        builder.projection(
            Source::Population(all),
            all,
            Projection::dense(&lateral, NEURONS, NEURONS).unwrap(),
            None,
        );
        let network = builder.build().unwrap();
        let x: Vec<u8> = (0..20 * NEURONS).map(|n| u8::from(n * 7 % 11 < 4)).collect();
        let input = Input::dense_u8(&x, 5, 4, NEURONS).unwrap();
        let threads = round % MOST_THREADS + 1;
        let options = Options { threads, record: true, keep_state: true, ..Options::new(0.01) };
        let run =
            |schedule: &ScheduleSpec| simulate(&network, &input, schedule, &options, &mut |_| true).unwrap();
        let output = run(&free(1 + round % 3, threads));
        let synapses = |weight: &[f32], from: usize| {
            (0..NEURONS).filter(|to| weight[to * NEURONS + from] != 0.0).count() as u64
        };
        for (sample, measures) in output.measures.iter().enumerate() {
            let counts = &output.spike_counts[sample * NEURONS..][..NEURONS];
            let of_neurons: u64 =
                counts.iter().enumerate().map(|(from, n)| u64::from(*n) * synapses(&lateral, from)).sum();
            // `x` is ordered by timestep, sample and channel.
            let spikes =
                |from: usize| (0..5).map(|t| u64::from(x[(t * 4 + sample) * NEURONS + from])).sum::<u64>();
            let of_inputs: u64 = (0..NEURONS).map(|from| spikes(from) * synapses(&from_input, from)).sum();
            assert_eq!(measures.synaptic_operations, of_neurons + of_inputs);
        }
        let trace = Arc::new(output.trace.clone().unwrap());
        trace.validate(&network).unwrap();
        let again = run(&ScheduleSpec::Replay { trace });
        assert_eq!(
            (again.state, again.spike_counts, again.trace),
            (output.state, output.spike_counts, output.trace)
        );
    }
}

/// A spike that goes round between shards forever leaves nothing waiting in the shard that has just fired it, and is
/// stopped all the same.
#[test]
fn a_spike_that_goes_round_between_shards_is_stopped() {
    let mut builder = NetworkBuilder::<f32>::new(1);
    let lif = || Lif { v_threshold: vec![0.5], refractory: Refractory::None, ..Lif::default() };
    let (a, b) = (builder.population("a", 1, lif()), builder.population("b", 1, lif()));
    let one = || Projection::dense(&[1.0], 1, 1).unwrap();
    builder.projection(Source::Input, a, one(), None);
    builder.projection(Source::Population(a), b, one(), None);
    builder.projection(Source::Population(b), a, one(), None);
    let network = builder.build().unwrap();
    let input = Input::dense_u8(&[1], 1, 1, 1).unwrap();
    for threads in [1, 2] {
        let options = Options { max_forward_steps: 1000, threads, ..Options::new(0.01) };
        let output = simulate(&network, &input, &free(1, 2), &options, &mut |_| true).unwrap();
        assert_eq!(output.measures[0].stopped_by, StopReason::MaxForwardSteps);
    }
}
