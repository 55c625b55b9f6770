//! Properties of the reverse pass through the public interface; `tests/gradient` in Python compares it with an oracle.

use proptest::prelude::*;
use pyasync_core::*;

/// A recurrent network of 6 inputs, 9 hidden neurons, which may have synaptic currents, and 3 outputs.
fn network(weights: &[f64], reset: Reset, tau_syn: Option<f64>) -> Network<f64> {
    let mut builder = NetworkBuilder::new(6);
    let lif = Lif { v_threshold: vec![0.4], reset, ..Lif::default() };
    let with_current = Lif { tau_syn: tau_syn.map(|tau| vec![tau]), ..lif.clone() };
    let hidden = builder.population("hidden", 9, with_current);
    let output = builder.population("output", 3, lif);
    let part = |from: usize, n: usize| &weights[from..from + n];
    let dense = |from, n_out, n_in| Projection::dense(part(from, n_out * n_in), n_out, n_in).unwrap();
    builder.projection(Source::Input, hidden, dense(0, 9, 6), Some(part(162, 9).to_vec()));
    builder.projection(Source::Population(hidden), hidden, dense(54, 9, 9), None);
    builder.projection(Source::Population(hidden), output, dense(135, 3, 9), None);
    builder.build().unwrap()
}

fn run(network: &Network<f64>, x: &[u8], dropout: Option<Dropout>, schedule: &ScheduleSpec) -> Trace {
    let input = Input::dense_u8(x, 3, 20, 6).unwrap();
    let options = Options { record: true, dropout, ..Options::new(0.01) };
    simulate(network, &input, schedule, &options, &mut |_| true).unwrap().trace.unwrap()
}

fn options(scope: GradientScope, threads: usize) -> GradientOptions {
    GradientOptions { threads, scope, ..GradientOptions::new(0.01) }
}

fn of_counts(counts: &[f64]) -> Cotangents<'_, f64> {
    let counts = Strided::contiguous(counts, [3, 20, 3]).unwrap();
    Cotangents { counts: Some(counts), output_v: None, spike_counts: None, state: None }
}

fn bits(gradient: &Gradient<f64>) -> Vec<u64> {
    let biases = gradient.biases.iter().flatten();
    let parts = gradient.weights.iter().chain(biases).chain([
        &gradient.beta,
        &gradient.v_threshold,
        &gradient.alpha,
        &gradient.input,
        &gradient.initial_state,
    ]);
    parts.flatten().map(|number| number.to_bits()).collect()
}

fn scopes() -> impl Strategy<Value = GradientScope> {
    prop_oneof![Just(GradientScope::Spikes), Just(GradientScope::NextEmission), Just(GradientScope::Touched)]
}

proptest! {
    #[test]
    fn no_bit_depends_on_the_number_of_threads(
        weights in prop::collection::vec(-0.6..0.8, 171),
        x in prop::collection::vec(0..2_u8, 360),
        counts in prop::collection::vec(-1.0..1.0, 180),
        scope in scopes(),
        layered: bool,
        refractory in prop_oneof![Just(0.0), Just(0.5)],
        tau_syn in prop::option::of(1e-3..0.1),
    ) {
        let network = network(&weights, Reset::Zero, tau_syn);
        let schedule = if layered {
            ScheduleSpec::Layered { feedback: true }
        } else {
            ScheduleSpec::Random { group_size: 2, seed: 7 }
        };
        let trace = run(&network, &x, Some(Dropout { refractory, spike: 0.1, seed: 3 }), &schedule);
        let input = Input::dense_u8(&x, 3, 20, 6).unwrap();
        let cotangents = of_counts(&counts);
        let of = |threads| {
            gradient(&network, &input, &trace, cotangents, &options(scope, threads), &mut |_| true).unwrap()
        };
        let one = bits(&of(1));
        for threads in [2, 3, 8] {
            prop_assert_eq!(&one, &bits(&of(threads)));
        }
    }

    #[test]
    fn a_group_of_all_pending_spikes_learns_the_same_in_any_order(
        weights in prop::collection::vec(-0.6..0.8, 171),
        x in prop::collection::vec(0..2_u8, 360),
        counts in prop::collection::vec(-1.0..1.0, 180),
        scope in scopes(),
        tau_syn in prop::option::of(1e-3..0.1),
    ) {
        let network = network(&weights, Reset::Subtract, tau_syn);
        let input = Input::dense_u8(&x, 3, 20, 6).unwrap();
        let cotangents = of_counts(&counts);
        let of = |schedule: ScheduleSpec| {
            let trace = run(&network, &x, None, &schedule);
            bits(&gradient(&network, &input, &trace, cotangents, &options(scope, 1), &mut |_| true).unwrap())
        };
        let fifo = of(ScheduleSpec::Fifo { group_size: 1000 });
        prop_assert_eq!(&fifo, &of(ScheduleSpec::Lifo { group_size: 1000 }));
        prop_assert_eq!(&fifo, &of(ScheduleSpec::Momentum { group_size: 1000, noise: 0.0, seed: 0 }));
    }

    /// Whatever a trace of this network says, the reverse pass returns a gradient or an error that says what is wrong.
    #[test]
    fn no_trace_makes_it_panic(
        x in prop::collection::vec(0..2_u8, 360),
        emitted in prop::collection::vec(0..12_u32, 4),
        fired in prop::collection::vec(0..14_u32, 3),
        scope in scopes(),
    ) {
        let network = network(&[0.3; 171], Reset::Zero, Some(0.02));
        let trace = run(&network, &x, None, &ScheduleSpec::Fifo { group_size: 2 });
        let mut steps = trace.to_steps().unwrap();
        for (to, from) in steps.emitted.iter_mut().zip(emitted) {
            *to = from;
        }
        let n = steps.steps.first().map_or(0, |step| step.n_fired as usize).min(fired.len());
        steps.fired[..n].copy_from_slice(&fired[..n]);
        let Ok(trace) = trace.with_steps(&steps) else { return Ok(()) };
        let input = Input::dense_u8(&x, 3, 20, 6).unwrap();
        let cotangents = Cotangents { counts: None, output_v: None, spike_counts: None, state: None };
        let _ = gradient(&network, &input, &trace, cotangents, &options(scope, 1), &mut |_| true);
    }
}

/// The whole gradient would take a good part of a second, and `progress` is asked between samples, however few there
/// are.
#[test]
fn a_gradient_of_few_samples_can_be_stopped() {
    let network = network(&vec![0.3; 171], Reset::Zero, None);
    let (n_timesteps, n_samples) = (3000, 40);
    let x = vec![1; n_timesteps * n_samples * 6];
    let input = Input::dense_u8(&x, n_timesteps, n_samples, 6).unwrap();
    let recording = Options { record: true, ..Options::new(0.01) };
    let fifo = ScheduleSpec::Fifo { group_size: 1 };
    let trace = simulate(&network, &input, &fifo, &recording, &mut |_| true).unwrap().trace.unwrap();
    let none = Cotangents { counts: None, output_v: None, spike_counts: None, state: None };
    let options = options(GradientScope::Touched, 1);
    let stopped = gradient(&network, &input, &trace, none, &options, &mut |_| false);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}
