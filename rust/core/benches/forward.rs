//! Where the engine's own time goes: one thread, float32, random weights, random input.
//!
//! `cargo bench -p pyasync-core`. Throughput is in synaptic operations, which are events delivered. Comparisons with
//! other packages are in `benches/` at the repository's root.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use pyasync_core::{
    ConvGeometry, Input, Lif, Network, NetworkBuilder, Options, Output, Philox, Projection, ScheduleSpec,
    Source, simulate,
};

const TIMESTEPS: usize = 10;
const SAMPLES: usize = 32;
const DT: f64 = 0.01;
/// Percentage of input channels that spike in a timestep.
const ACTIVITY: u64 = 3;

/// Uniform numbers in [-1, 1).
fn uniform(seed: u64, n: usize) -> Vec<f32> {
    let random = Philox::new(seed, 0, 0, 0, 0).draws();
    random.take(n).map(|u| (u >> 40) as f32 * 2.0_f32.powi(-23) - 1.0).collect()
}

fn frames(n_inputs: usize) -> Vec<u8> {
    let random = Philox::new(1, 0, 0, 0, 0).draws();
    random.take(TIMESTEPS * SAMPLES * n_inputs).map(|u| u8::from(u % 100 < ACTIVITY)).collect()
}

fn lif() -> Lif {
    Lif { tau_mem: vec![0.02], v_threshold: vec![0.3], ..Lif::default() }
}

/// Fully connected layers with Xavier-uniform weights, of which a share is set to zero.
fn layers(sizes: &[usize], zeros: f32) -> Network<f32> {
    let mut builder = NetworkBuilder::new(sizes[0]);
    let mut source = Source::Input;
    for (k, pair) in sizes.windows(2).enumerate() {
        let (n_in, n_out) = (pair[0], pair[1]);
        let bound = (6.0 / (n_in + n_out) as f32 / (1.0 - zeros)).sqrt();
        let pruned = uniform(100 + k as u64, n_in * n_out);
        let drawn = uniform(k as u64, n_in * n_out);
        let weight: Vec<f32> = drawn
            .iter()
            .zip(pruned)
            .map(|(w, p)| if p < 2.0 * zeros - 1.0 { 0.0 } else { w * bound })
            .collect();
        let population = builder.population(&format!("layer{k}"), n_out, lif());
        builder.projection(
            source,
            population,
            Projection::dense(&weight, n_out, n_in).expect("finite weights"),
            None,
        );
        source = Source::Population(population);
    }
    builder.build().expect("a valid network")
}

/// Three convolutions of stride 2 from 2 x 34 x 34 and a fully connected output.
fn convolutions() -> Network<f32> {
    let mut builder = NetworkBuilder::new(2 * 34 * 34);
    let (mut source, mut size) = (Source::Input, [34, 34]);
    let channels = [2, 8, 16, 32];
    for k in 0..3 {
        let (channels_in, channels_out, padding) = (channels[k], channels[k + 1], usize::from(k > 0));
        let geometry = ConvGeometry {
            channels_in,
            channels_out,
            size_in: size,
            kernel: [3, 3],
            stride: [2, 2],
            padding: [padding; 2],
            dilation: [1, 1],
            groups: 1,
        };
        size = geometry.size_out();
        let weight: Vec<f32> = uniform(k as u64, channels_out * channels_in * 9)
            .iter()
            .map(|w| w * (2.0 / channels_in as f32).sqrt())
            .collect();
        let population = builder.population(&format!("conv{k}"), channels_out * size[0] * size[1], lif());
        builder.projection(
            source,
            population,
            Projection::conv(&weight, geometry).expect("a kernel that fits"),
            None,
        );
        source = Source::Population(population);
    }
    let n_in = channels[3] * size[0] * size[1];
    let weight: Vec<f32> =
        uniform(3, 10 * n_in).iter().map(|w| w * (6.0 / (10 + n_in) as f32).sqrt()).collect();
    let output = builder.population("output", 10, lif());
    builder.projection(source, output, Projection::dense(&weight, 10, n_in).expect("finite weights"), None);
    builder.build().expect("a valid network")
}

fn run(network: &Network<f32>, x: &[u8], schedule: &ScheduleSpec, record: bool) -> Output<f32> {
    let input = Input::dense_u8(x, TIMESTEPS, SAMPLES, network.n_inputs()).expect("a valid input");
    let options = Options { record, ..Options::new(DT) };
    simulate(network, &input, schedule, &options, &mut |_| true).expect("a run without error")
}

fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    network: &Network<f32>,
    schedule: &ScheduleSpec,
    record: bool,
) {
    let x = frames(network.n_inputs());
    let output = run(network, &x, schedule, record);
    let population_is_silent = |p: &pyasync_core::Population| {
        let of_sample = |counts: &[u32]| counts[p.start..p.end].iter().sum::<u32>();
        output.spike_counts.chunks(network.n_neurons()).map(of_sample).sum::<u32>() == 0
    };
    assert!(!network.populations().iter().any(population_is_silent), "{name}: a population is silent");
    group.throughput(Throughput::Elements(output.measures.iter().map(|m| m.synaptic_operations).sum()));
    group.bench_function(name, |b| {
        b.iter(|| run(black_box(network), black_box(&x), schedule, record));
    });
}

fn schedules(c: &mut Criterion) {
    let network = layers(&[2312, 64, 64, 64, 10], 0.0);
    let mut group = c.benchmark_group("schedule, F = 8");
    for schedule in [
        ScheduleSpec::Layered { feedback: true },
        ScheduleSpec::Random { group_size: 8, seed: 0 },
        ScheduleSpec::Momentum { group_size: 8, noise: 0.0, seed: 0 },
        ScheduleSpec::Momentum { group_size: 8, noise: 1e-6, seed: 0 },
        ScheduleSpec::Fifo { group_size: 8 },
        ScheduleSpec::Lifo { group_size: 8 },
    ] {
        let noise = if matches!(schedule, ScheduleSpec::Momentum { noise, .. } if noise > 0.0) {
            " with noise"
        } else {
            ""
        };
        bench(&mut group, &format!("{}{noise}", schedule.name()), &network, &schedule, false);
    }
}

fn group_sizes(c: &mut Criterion) {
    let network = layers(&[2312, 64, 64, 64, 10], 0.0);
    let mut group = c.benchmark_group("random, F");
    for group_size in [1, 8, 64] {
        bench(
            &mut group,
            &group_size.to_string(),
            &network,
            &ScheduleSpec::Random { group_size, seed: 0 },
            false,
        );
    }
}

fn traces(c: &mut Criterion) {
    let network = layers(&[2312, 64, 64, 64, 10], 0.0);
    let random = ScheduleSpec::Random { group_size: 8, seed: 0 };
    let trace = run(&network, &frames(network.n_inputs()), &random, true).trace.expect("a recorded trace");
    let mut group = c.benchmark_group("trace");
    bench(&mut group, "neither", &network, &random, false);
    bench(&mut group, "record", &network, &random, true);
    bench(&mut group, "replay", &network, &ScheduleSpec::Replay { trace: Arc::new(trace) }, false);
}

fn projections(c: &mut Criterion) {
    let random = ScheduleSpec::Random { group_size: 8, seed: 0 };
    let mut group = c.benchmark_group("projection");
    bench(&mut group, "dense, wide layers", &layers(&[700, 1024, 1024, 20], 0.0), &random, false);
    bench(&mut group, "dense, half zeros", &layers(&[700, 1024, 1024, 20], 0.5), &random, false);
    bench(&mut group, "dense, nine in ten zeros", &layers(&[700, 1024, 1024, 20], 0.9), &random, false);
    bench(&mut group, "convolutions, F = 8", &convolutions(), &random, false);
    bench(
        &mut group,
        "convolutions, F = 128",
        &convolutions(),
        &ScheduleSpec::Random { group_size: 128, seed: 0 },
        false,
    );
}

criterion_group!(forward, schedules, group_sizes, traces, projections);
criterion_main!(forward);
