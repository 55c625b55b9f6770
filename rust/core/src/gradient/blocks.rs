//! Spreads samples over threads: in fixed blocks, each with a gradient of its own, which are added up in the order of
//! the blocks.

use std::collections::BTreeMap;

use super::direct::Direct;
use super::layered::LayeredWalk;
use super::reverse::Walk;
use super::{Cotangents, Gradient, GradientOptions, GradientScope, OwnGradient, Pass, ShardParts, Sums};
use crate::batch::zeros;
use crate::error::Error;
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::input::Input;
use crate::layered::visiting_order;
use crate::network::{FanOut, Network};
use crate::neuron::Reset;
use crate::places::Places;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};
use crate::trace::Trace;
use crate::workers::{A_LOOK, Caller, Watch, on_threads};

/// Fewer blocks would leave threads without work, more would take time to add them up.
const FEWEST_BLOCKS: usize = 8;
const MOST_BLOCKS: usize = 64;
/// The number of blocks is a multiple of this, so that 2, 4 or 8 threads have equally many each and finish together.
const BLOCKS_STEP: usize = 8;
/// How many bytes all blocks' gradients take up together, unless that makes too few or too many blocks.
const BLOCKS_BYTES: usize = 8 << 20;

/// The gradient of a loss through a recorded run, given the derivatives of the loss with respect to the run's results.
/// `progress` works as in [`crate::simulate`].
pub fn gradient<T: Float>(
    network: &Network<T>,
    input: &Input<'_, T>,
    trace: &Trace,
    cotangents: Cotangents<'_, T>,
    options: &GradientOptions,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Gradient<T>, Error> {
    let _mode = DefaultFloatMode::set();
    let decays = network.decays(options.dt)?;
    let order = trace.is_layered().then(|| visiting_order(network, true)).transpose()?;
    let needed = needed_populations(network, cotangents, options);
    let feeding = feeding_populations(network, &needed);
    trace.check_network(network)?;
    let shards = ShardParts::all(network, trace)?;
    let direct = if shards.len() == 1 { Direct::all(network) } else { Vec::new() };
    let places = Places::of_adjoints(network);
    let pass = Pass {
        network,
        input,
        trace,
        cotangents,
        options,
        decays,
        places,
        needed,
        feeding,
        direct,
        order,
        shards,
    };
    pass.check()?;
    over_blocks(&pass, progress)
}

/// The populations whose silent updates have an adjoint, or whose potentials the trace does not hold exactly enough.
fn needed_populations<T: Float>(
    network: &Network<T>,
    cotangents: Cotangents<'_, T>,
    options: &GradientOptions,
) -> Vec<bool> {
    let all = options.scope != GradientScope::Spikes
        || cotangents.spike_counts.is_some()
        || options.want_neuron
        || T::NAME == "float64";
    let populations = network.populations().iter();
    let needed = populations.map(|p| {
        let is_output = p.start == network.output().start;
        all || (is_output && cotangents.counts.is_some())
            || (!options.detach_reset && p.lif.reset != Reset::None)
    });
    needed.collect()
}

/// The populations that project to a needed one.
fn feeding_populations<T: Float>(network: &Network<T>, needed: &[bool]) -> Vec<bool> {
    let feeds = |fan_out: &FanOut| {
        fan_out.connections.iter().any(|&c| needed[network.connections[c].target.population])
    };
    network.from_population.iter().map(feeds).collect()
}

/// One block's samples, and where they write the gradients that are theirs alone.
struct Block<'o, T> {
    number: usize,
    samples: std::ops::Range<usize>,
    input: &'o mut [T],
    initial_state: &'o mut [T],
}

fn over_blocks<T: Float>(
    pass: &Pass<'_, T>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Gradient<T>, Error> {
    let Pass { network, input, options, .. } = pass;
    let n_samples = input.n_samples();
    let n_input = if options.want_input { input.n_timesteps() * input.n_inputs() } else { 0 };
    let n_initial_state = if options.want_initial_state { network.state_len() } else { 0 };
    let mut input_gradient = zeros_for("x", n_samples, n_input)?;
    let mut initial_state = zeros_for("initial_state", n_samples, n_initial_state)?;
    let n_blocks = n_blocks(network, n_samples);
    let done = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Total::default());
    let errors = {
        let own = [(&mut *input_gradient, n_input), (&mut *initial_state, n_initial_state)];
        let queue = Mutex::new(blocks(n_blocks, n_samples, own));
        let work = |watch: &mut Watch<'_>| {
            let _mode = DefaultFloatMode::set();
            let mut walker = Walker::new(pass);
            while !failed.load(Ordering::Relaxed) {
                let Some(block) = queue.lock().expect("no worker panics while it claims").next() else {
                    break;
                };
                let number = block.number;
                let free = total.lock().expect("no worker panics while it adds").free.pop();
                let mut sums = free.unwrap_or_else(|| Sums::new(pass));
                if let Err(error) = walker.block(pass, block, &mut sums, watch, &done) {
                    failed.store(true, Ordering::Relaxed);
                    return Some(error);
                }
                total.lock().expect("no worker panics while it adds").add(number, sums);
            }
            None
        };
        on_threads(options.threads.min(n_blocks), Caller::Works, &work, &done, progress)?
    };
    let first = errors.into_iter().flatten();
    if let Some((_, error)) = first.min_by_key(|(sample, error)| (error.rank(), *sample)) {
        return Err(error);
    }
    let total = total.into_inner().expect("no worker panics while it adds").sums;
    let total = total.unwrap_or_else(|| Sums::new(pass));
    Ok(exported(pass, total, input_gradient, initial_state))
}

/// Zeros for a gradient that is written for each sample alone, or an error that names the argument whose gradient
/// memory cannot hold.
fn zeros_for<T: Float>(argument: &str, n_samples: usize, width: usize) -> Result<Vec<T>, Error> {
    zeros(argument, n_samples, width).map_err(|_| {
        let given = format!("{n_samples} samples of {width} numbers, whose gradient memory cannot hold");
        Error::input(argument, given, "smaller batches")
    })
}

/// The sum of the blocks' gradients. They are added in the order of the blocks, whatever the order in which they are
/// finished, so that there need only be as many copies as blocks are being worked on, and not one for each.
struct Total<T> {
    /// Blocks added so far.
    added: usize,
    sums: Option<Sums<T>>,
    /// Finished blocks that wait for one before them.
    waiting: BTreeMap<usize, Sums<T>>,
    /// Gradients of zeros, to be used again.
    free: Vec<Sums<T>>,
}

impl<T> Default for Total<T> {
    fn default() -> Self {
        Self { added: 0, sums: None, waiting: BTreeMap::new(), free: Vec::new() }
    }
}

impl<T: Float> Total<T> {
    fn add(&mut self, number: usize, sums: Sums<T>) {
        self.waiting.insert(number, sums);
        while let Some(mut next) = self.waiting.remove(&self.added) {
            self.added += 1;
            match &mut self.sums {
                None => self.sums = Some(next),
                Some(total) => {
                    total.take(&mut next);
                    self.free.push(next);
                }
            }
        }
    }
}

fn n_blocks<T: Float>(network: &Network<T>, n_samples: usize) -> usize {
    let numbers: usize = network.connections.iter().map(|c| c.projection.gradient_len()).sum();
    let bytes = (numbers + network.n_neurons()) * size_of::<T>();
    let nearest = (BLOCKS_BYTES / bytes.max(1) + BLOCKS_STEP / 2) / BLOCKS_STEP * BLOCKS_STEP;
    nearest.clamp(FEWEST_BLOCKS, MOST_BLOCKS).min(n_samples)
}

/// Splits samples, and what is written for each, into blocks of nearly the same size.
fn blocks<T>(
    n_blocks: usize,
    n_samples: usize,
    [(mut input, n_input), (mut initial_state, n_initial_state)]: [(&mut [T], usize); 2],
) -> impl Iterator<Item = Block<'_, T>> {
    (0..n_blocks).map(move |number| {
        let samples = number * n_samples / n_blocks..(number + 1) * n_samples / n_blocks;
        let (own_input, rest) = std::mem::take(&mut input).split_at_mut(samples.len() * n_input);
        input = rest;
        let (own_v, rest) = std::mem::take(&mut initial_state).split_at_mut(samples.len() * n_initial_state);
        initial_state = rest;
        Block { number, samples, input: own_input, initial_state: own_v }
    })
}

/// One worker's buffers.
enum Walker<T> {
    Asynchronous(Box<Walk<T>>),
    Layered(Box<LayeredWalk<T>>),
}

impl<T: Float> Walker<T> {
    fn new(pass: &Pass<'_, T>) -> Self {
        match pass.order {
            None => Self::Asynchronous(Box::new(Walk::new(pass))),
            Some(_) => Self::Layered(Box::new(LayeredWalk::new(pass))),
        }
    }

    fn block(
        &mut self,
        pass: &Pass<'_, T>,
        block: Block<'_, T>,
        sums: &mut Sums<T>,
        watch: &mut Watch<'_>,
        done: &AtomicUsize,
    ) -> Result<(), (usize, Error)> {
        let Block { samples, input, initial_state, .. } = block;
        let (n_input, n_initial_state) = (input.len() / samples.len(), initial_state.len() / samples.len());
        for (at, sample) in samples.enumerate() {
            if !watch.go_on(A_LOOK) {
                return Err((sample, Error::Interrupted));
            }
            let mut own = OwnGradient {
                input: &mut input[at * n_input..][..n_input],
                initial_state: &mut initial_state[at * n_initial_state..][..n_initial_state],
            };
            let walked = match self {
                Self::Asynchronous(walk) => walk.sample(pass, sample, sums, &mut own),
                Self::Layered(walk) => walk.sample(pass, sample, sums, &mut own),
            };
            walked.map_err(|error| (sample, error))?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        let postponed = match self {
            Self::Asynchronous(walk) => &mut walk.postponed,
            Self::Layered(walk) => &mut walk.postponed,
        };
        postponed.add(&mut sums.weights);
        Ok(())
    }
}

fn exported<T: Float>(
    pass: &Pass<'_, T>,
    sums: Sums<T>,
    input: Vec<T>,
    initial_state: Vec<T>,
) -> Gradient<T> {
    let Pass { network, places, .. } = pass;
    let by_id = |by_place: Vec<T>| {
        if places.follow_ids() || by_place.is_empty() {
            return by_place;
        }
        let mut by_id = vec![T::ZERO; by_place.len()];
        places.take(&by_place, &mut by_id);
        by_id
    };
    let mut biases = vec![None; network.connections.len()];
    for (bias, sum) in network.biases.iter().zip(sums.biases) {
        let population = bias.target.population;
        let laid = places.of_population(population, &sum);
        let by_id = places.plane(population).map(|_| (0..sum.len()).map(|neuron| laid.of(neuron)).collect());
        biases[bias.connection] = Some(by_id.unwrap_or(sum));
    }
    let connections = network.connections.iter().zip(&sums.weights);
    Gradient {
        weights: connections.map(|(c, sum)| c.projection.export(sum)).collect(),
        biases,
        beta: by_id(sums.beta),
        v_threshold: by_id(sums.v_threshold),
        alpha: by_id(sums.alpha),
        input,
        initial_state,
    }
}
