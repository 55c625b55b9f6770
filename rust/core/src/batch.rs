//! Runs the samples of a batch on several threads. A sample's bits depend on nothing but the network, its own input and
//! its own random numbers, so the threads only decide who computes it.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::collect::{End, Ragged, merge};
use crate::engine::{Run, Slot, Worker};
use crate::error::Error;
use crate::fates::Dropout;
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::free::{self, ShardedReplay};
use crate::input::Input;
use crate::layered::{Emitted, VisitingOrder, visiting_order};
use crate::measures::Measures;
use crate::network::Network;
use crate::options::{InputMode, OnStop, Options};
use crate::schedule::{Custom, Fifo, Lifo, Momentum, Priority, Random, Replay, Schedule, ScheduleSpec};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};
use crate::trace::Trace;
use crate::workers::{Caller, MOST_THREADS, Watch, on_threads};

/// The results of a run; those that were not kept are empty.
#[derive(Clone, Debug)]
pub struct Output<T> {
    /// Spikes of the output neurons: `[n_timesteps, n_samples, n_output]`.
    pub counts: Vec<f32>,
    /// Potentials of the output neurons at the end of each timestep: `[n_timesteps, n_samples, n_output]`; 0 in timesteps
    /// that were not run.
    pub output_v: Vec<T>,
    /// Spikes of all neurons: `[n_samples, n_neurons]`.
    pub spike_counts: Vec<u32>,
    /// Final state, as [`Network::state_len`] describes: `[n_samples, state_len]`.
    pub state: Vec<T>,
    /// Measures of each sample.
    pub measures: Vec<Measures>,
    /// A pair (spikes fired before it, output neuron) for each output spike; those of sample `s` are
    /// `output_spikes[output_offsets[s]..output_offsets[s + 1]]`.
    pub output_spikes: Vec<(u32, u32)>,
    /// See `output_spikes`.
    pub output_offsets: Vec<u64>,
    /// The recorded ordering.
    pub trace: Option<Trace>,
}

/// Runs every sample of `input`. `progress` is called on the calling thread from time to time with the number of
/// finished samples; if it returns false, the run stops with [`Error::Interrupted`]. If several samples fail, the error
/// of the first one is returned.
pub fn simulate<T: Float>(
    network: &Network<T>,
    input: &Input<'_, T>,
    schedule: &ScheduleSpec,
    options: &Options,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Output<T>, Error> {
    let _mode = DefaultFloatMode::set();
    check(network, input, schedule, options)?;
    let replayed = match schedule {
        ScheduleSpec::Replay { trace } => Some(trace.header().dropouts),
        _ => None,
    };
    let has_fates = replayed.unwrap_or(options.dropout.is_some());
    let shards = match schedule {
        ScheduleSpec::Replay { trace } => trace.header().shards.clone(),
        _ => Vec::new(),
    };
    let decays = network.decays(options.dt)?;
    let mut run = Run { network, input, options, decays, has_fates, shards };
    if let ScheduleSpec::FreeRunning(free) = schedule {
        return free::simulate(&mut run, *free, schedule, progress);
    }
    match schedule {
        ScheduleSpec::FreeRunning(_) => unreachable!("has been run"),
        ScheduleSpec::Layered { feedback } => {
            layered(&run, schedule, *feedback, progress, || Fifo::new(usize::MAX))
        }
        ScheduleSpec::Replay { trace } if trace.is_sharded() => sharded(&run, schedule, trace, progress),
        ScheduleSpec::Replay { trace } if trace.is_layered() => {
            layered(&run, schedule, true, progress, || Replay::new(Arc::clone(trace)))
        }
        ScheduleSpec::Replay { trace } => {
            asynchronous(&run, schedule, progress, || Replay::new(Arc::clone(trace)))
        }
        ScheduleSpec::Random { group_size, seed } => {
            asynchronous(&run, schedule, progress, || Random::new(*group_size, *seed))
        }
        ScheduleSpec::Momentum { group_size, noise, seed } => {
            asynchronous(&run, schedule, progress, || Momentum::new(*group_size, *noise, *seed))
        }
        ScheduleSpec::Fifo { group_size } => {
            asynchronous(&run, schedule, progress, || Fifo::new(*group_size))
        }
        ScheduleSpec::Lifo { group_size } => {
            asynchronous(&run, schedule, progress, || Lifo::new(*group_size))
        }
        ScheduleSpec::Priority { group_size, values } => {
            asynchronous(&run, schedule, progress, || Priority::new(*group_size, Arc::clone(values)))
        }
        ScheduleSpec::Custom { group_size, seed, pick } => asynchronous(&run, schedule, progress, || {
            Custom::new(*group_size, *seed, network.n_neurons(), Arc::clone(pick))
        }),
    }
}

fn check<T: Float>(
    network: &Network<T>,
    input: &Input<'_, T>,
    schedule: &ScheduleSpec,
    options: &Options,
) -> Result<(), Error> {
    schedule.check(network)?;
    if input.n_inputs() != network.n_inputs() {
        return Err(Error::input(
            "x",
            format!("{} input channels", input.n_inputs()),
            format!("the network's {}", network.n_inputs()),
        ));
    }
    input.check_initial_state(network.state_len())?;
    options.dropout.as_ref().map_or(Ok(()), Dropout::check)?;
    if let Some(ids) = options.sample_ids.as_ref().filter(|ids| ids.len() != input.n_samples()) {
        return Err(Error::input(
            "sample_ids",
            format!("{} ids", ids.len()),
            format!("{}, one a sample", input.n_samples()),
        ));
    }
    for (name, value) in [
        ("threads", options.threads as u64),
        ("max_forward_steps", options.max_forward_steps),
        ("max_spikes", options.max_spikes.unwrap_or(1)),
    ] {
        if value == 0 {
            return Err(Error::input(name, 0, "an integer of 1 or more"));
        }
    }
    if schedule.name() == "layered" && options.input_mode == InputMode::Scheduled {
        return Err(Error::input("input_mode", "\"scheduled\" with a layered schedule", "\"at_once\""));
    }
    if schedule.name() == "layered" && options.on_stop == OnStop::Carry {
        return Err(Error::input("on_stop", "\"carry\" with a layered schedule", "\"discard\""));
    }
    if let ScheduleSpec::Replay { trace } = schedule {
        let recorded = trace.header();
        if (trace.n_samples(), recorded.n_timesteps) != (input.n_samples(), input.n_timesteps()) {
            let given = format!("{} samples of {} timesteps", input.n_samples(), input.n_timesteps());
            return Err(Error::input(
                "x",
                given,
                format!("the trace's {} samples of {} timesteps", trace.n_samples(), recorded.n_timesteps),
            ));
        }
        if recorded.dt.to_bits() != options.dt.to_bits() {
            return Err(Error::input("dt", options.dt, format!("the trace's {}", recorded.dt)));
        }
        if recorded.input_mode != options.input_mode {
            return Err(Error::input(
                "input_mode",
                format!("{:?}", options.input_mode),
                format!("the trace's {:?}", recorded.input_mode),
            ));
        }
    }
    Ok(())
}

fn asynchronous<'a, T: Float, S: Schedule<T>>(
    run: &'a Run<'a, T>,
    spec: &ScheduleSpec,
    progress: &mut dyn FnMut(usize) -> bool,
    schedule: impl Fn() -> S + Sync,
) -> Result<Output<T>, Error> {
    over_samples(run, spec, progress, || {
        let mut schedule = schedule();
        move |worker: &mut Worker<'a, T>, sample: usize, slot: &mut Slot<'_, T>, watch: &mut Watch<'_>| {
            worker.sample(&mut schedule, sample, slot, watch)
        }
    })
}

fn layered<'a, T: Float, S: Schedule<T>>(
    run: &'a Run<'a, T>,
    spec: &ScheduleSpec,
    feedback: bool,
    progress: &mut dyn FnMut(usize) -> bool,
    schedule: impl Fn() -> S + Sync,
) -> Result<Output<T>, Error> {
    let order: &VisitingOrder = &visiting_order(run.network, feedback)?;
    over_samples(run, spec, progress, || {
        let (mut schedule, mut emitted) = (schedule(), Emitted::new(run.network));
        move |worker: &mut Worker<'a, T>, sample: usize, slot: &mut Slot<'_, T>, watch: &mut Watch<'_>| {
            worker.layered_sample(order, &mut emitted, &mut schedule, sample, slot, watch)
        }
    })
}

fn sharded<'a, T: Float>(
    run: &'a Run<'a, T>,
    spec: &ScheduleSpec,
    trace: &Arc<Trace>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Output<T>, Error> {
    let division = run.network.divisions.with_ends(run.network, &run.shards)?;
    over_samples(run, spec, progress, || {
        let mut replay = ShardedReplay::new(run, trace, &division);
        move |worker: &mut Worker<'a, T>, sample: usize, slot: &mut Slot<'_, T>, watch: &mut Watch<'_>| {
            worker.sharded_sample(&mut replay, sample, slot, watch)
        }
    })
}

/// The most samples that a thread claims at once. It claims several because neighbouring samples' results share cache
/// lines, and because claiming is slow when two threads do it at the same time.
const MOST_CLAIMED: usize = 8;

/// The samples that are still to be run, in order, each with its part of the output.
struct Queue<'o, T> {
    next: usize,
    widths: [usize; 4],
    /// By timestep.
    counts: Vec<&'o mut [f32]>,
    output_v: Vec<&'o mut [T]>,
    spike_counts: &'o mut [u32],
    state: &'o mut [T],
    measures: &'o mut [Measures],
}

impl<T> Queue<'_, T> {
    /// Splits off the first `n` samples.
    fn take(&mut self, n: usize) -> Self {
        let [counts, output_v, spike_counts, state] = self.widths;
        self.next += n;
        Self {
            next: self.next - n,
            widths: self.widths,
            counts: self.counts.iter_mut().map(|timestep| split(timestep, n * counts)).collect(),
            output_v: self.output_v.iter_mut().map(|timestep| split(timestep, n * output_v)).collect(),
            spike_counts: split(&mut self.spike_counts, n * spike_counts),
            state: split(&mut self.state, n * state),
            measures: split(&mut self.measures, n),
        }
    }

    /// Takes what one of `threads` threads should run next: a few samples, but towards the end only one at a time, so
    /// that all threads finish together.
    fn claim(&mut self, threads: usize) -> Self {
        let few = (self.measures.len() / (4 * threads)).clamp(1, MOST_CLAIMED);
        self.take(few.min(self.measures.len()))
    }

    fn is_empty(&self) -> bool {
        self.measures.is_empty()
    }
}

fn split<'o, E>(rest: &mut &'o mut [E], n: usize) -> &'o mut [E] {
    let (head, tail) = std::mem::take(rest).split_at_mut(n);
    *rest = tail;
    head
}

/// An array of zeros, or an error that names what needs too much memory.
pub(crate) fn zeros<E: Default + Clone>(name: &str, n_samples: usize, width: usize) -> Result<Vec<E>, Error> {
    // Only checks that there is enough memory: `vec!` then gets it zeroed lazily, at no cost.
    room::<E>(name, n_samples, width)?;
    Ok(vec![E::default(); n_samples * width])
}

/// An empty array with room for `n_samples` times `width` elements, or an error that names what needs too much memory.
pub(crate) fn room<E>(name: &str, n_samples: usize, width: usize) -> Result<Vec<E>, Error> {
    let mut array = Vec::new();
    if array.try_reserve_exact(n_samples.saturating_mul(width)).is_err() {
        let given = format!("{name:?}, {n_samples} samples of {width} numbers, which memory cannot hold");
        return Err(Error::input("keep", given, "less to keep, or smaller batches"));
    }
    Ok(array)
}

fn over_samples<'a, T: Float, F>(
    run: &'a Run<'a, T>,
    spec: &ScheduleSpec,
    progress: &mut dyn FnMut(usize) -> bool,
    make: impl Fn() -> F + Sync,
) -> Result<Output<T>, Error>
where
    F: FnMut(&mut Worker<'a, T>, usize, &mut Slot<'_, T>, &mut Watch<'_>) -> Result<(), Error>,
{
    let Run { network, input, options, .. } = run;
    let n_samples = input.n_samples();
    let width = |keep: bool, width: usize| if keep { width } else { 0 };
    let n_output = network.output().end - network.output().start;
    let widths = [
        width(options.keep_counts, n_output),
        width(options.keep_output_v, n_output),
        width(options.keep_spike_counts, network.n_neurons()),
        width(options.keep_state, network.state_len()),
    ];
    let mut output = Output {
        counts: zeros("counts", n_samples, input.n_timesteps() * widths[0])?,
        output_v: zeros("output_v", n_samples, input.n_timesteps() * widths[1])?,
        spike_counts: zeros("spike_counts", n_samples, widths[2])?,
        state: zeros("v", n_samples, widths[3])?,
        measures: vec![Measures::default(); n_samples],
        output_spikes: Vec::new(),
        output_offsets: Vec::new(),
        trace: None,
    };
    let queue = CachePadded::new(Mutex::new(Queue {
        next: 0,
        widths,
        counts: output.counts.chunks_mut((n_samples * n_output).max(1)).collect(),
        output_v: output.output_v.chunks_mut((n_samples * n_output).max(1)).collect(),
        spike_counts: &mut output.spike_counts,
        state: &mut output.state,
        measures: &mut output.measures,
    }));
    let threads = options.threads.min(n_samples).min(MOST_THREADS);
    let done = CachePadded::new(AtomicUsize::new(0));
    let failed = AtomicBool::new(false);
    let work = |watch: &mut Watch<'_>| {
        let _mode = DefaultFloatMode::set();
        let (mut worker, mut run_sample, mut ends, mut error) = (Worker::new(run), make(), Vec::new(), None);
        // Samples are claimed in order, and a thread runs what it has claimed even if another thread's sample fails, so
        // the first sample that fails is always found.
        'claim: while !failed.load(Ordering::Relaxed) {
            let mut claimed = queue.lock().expect("no worker panics while it claims").claim(threads);
            if claimed.is_empty() {
                break;
            }
            while !claimed.is_empty() {
                let sample = claimed.next;
                let Queue { counts, output_v, spike_counts, state, measures, .. } = claimed.take(1);
                let mut slot = Slot { counts, output_v, spike_counts, state };
                if let Err(cause) = run_sample(&mut worker, sample, &mut slot, watch) {
                    failed.store(true, Ordering::Relaxed);
                    if matches!(cause, Error::Ends(_)) {
                        watch.stop();
                    }
                    error = Some((sample, cause));
                    break 'claim;
                }
                measures[0] = worker.measures;
                ends.push(End::of(&worker, sample));
                if options.record {
                    worker.writer.end_sample();
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ragged::new(worker, ends, error)
    };
    let parts = on_threads(threads, Caller::Works, &work, &done, progress)?;
    merge(&mut output, parts, run, spec)?;
    Ok(output)
}
