//! How spikes, synaptic currents and biases reach their targets (`docs/semantics.md`, "One forward step").

use crate::float::Float;
use crate::network::{Network, Source};
use crate::schedule::Pending;
use crate::state::State;

/// Delivers what all populations, or one, receive in each timestep without a spike: synaptic currents, then biases.
pub(crate) fn deliver_own<T: Float>(network: &Network<T>, population: Option<usize>, state: &mut State<T>) {
    if network.has_currents() {
        for index in population.map_or(0..network.populations().len(), |p| p..p + 1) {
            if network.populations()[index].lif.tau_syn.is_some() {
                state.currents(index);
            }
        }
    }
    for bias in network.biases.iter().filter(|bias| population.is_none_or(|p| p == bias.target.population)) {
        state.biases(state.target(bias.connection), &bias.values, bias.whole);
    }
}

/// Delivers spikes of one source through all projections that leave it.
#[inline]
pub(crate) fn deliver_run<T: Float>(
    network: &Network<T>,
    source: Source,
    spikes: &[(u32, T)],
    state: &mut State<T>,
) {
    deliver_run_to(network, source, spikes, |_| true, state);
}

/// Like `deliver_run`, but only through projections whose target population is `wanted`.
#[inline]
pub(crate) fn deliver_run_to<T: Float>(
    network: &Network<T>,
    source: Source,
    spikes: &[(u32, T)],
    wanted: impl Fn(usize) -> bool,
    state: &mut State<T>,
) {
    let fan_out = network.fan_out(source);
    let at_a_time = if fan_out.parallel { 1 } else { spikes.len().max(1) };
    for spikes in spikes.chunks(at_a_time) {
        for &number in &fan_out.connections {
            let connection = &network.connections[number];
            if wanted(connection.target.population) {
                connection.projection.deliver(spikes, state.target(number), state);
            }
        }
    }
}

/// Prefetches what delivering the next spike will read and, for the spike after it, the index that says where its data
/// lies.
#[inline]
pub(crate) fn prefetch<T: Float>(
    network: &Network<T>,
    [next, after_next]: [Option<u32>; 2],
    state: &State<T>,
) {
    let n = network.n_neurons();
    let is_neuron = |neuron: &u32| (*neuron as usize) < n;
    if let Some(neuron) = after_next.filter(is_neuron) {
        let (index, local) = network.place_of(neuron);
        for &number in &network.from_population[index].connections {
            network.connections[number].projection.prefetch_place(local);
        }
    }
    if let Some(neuron) = next.filter(is_neuron) {
        let (index, local) = network.place_of(neuron);
        for &number in &network.from_population[index].connections {
            network.connections[number].projection.prefetch(local, state.target(number));
        }
    }
}

/// Delivers a group to all populations, updates the neurons that it reaches, and fills `fired` with those that fire, in
/// neuron order.
#[inline]
pub(crate) fn forward_step<T: Float>(
    network: &Network<T>,
    group: &[Pending],
    multiplicity: impl Fn(u32) -> T,
    is_lost: impl Fn(u32) -> bool,
    buffers: &mut Buffers<T>,
    state: &mut State<T>,
    fired: &mut Vec<u32>,
) {
    if let [spike] = group
        && !is_lost(spike.arrival())
        && update_through_list(network, spike.source(), state, fired)
    {
        return;
    }
    deliver_group(network, group, multiplicity, is_lost, |_| true, buffers, state);
    state.update(network, fired);
}

/// Takes the forward step of a single neuron's spike, if the neuron's synapses are one list; otherwise does nothing and
/// returns false. No neuron then receives more than one event, so each is updated as soon as its event arrives.
#[inline]
fn update_through_list<T: Float>(
    network: &Network<T>,
    source: u32,
    state: &mut State<T>,
    fired: &mut Vec<u32>,
) -> bool {
    if source as usize >= network.n_neurons() {
        return false;
    }
    let (index, local) = network.place_of(source);
    let &[number] = network.from_population[index].connections.as_slice() else { return false };
    let Some(events) = network.connections[number].projection.list(local, state.target(number)) else {
        return false;
    };
    state.update_one_by_one(network, events, fired);
    true
}

/// Reusable buffers for delivering a group.
#[derive(Debug)]
pub(crate) struct Buffers<T> {
    group: Vec<Pending>,
    spikes: Vec<(u32, T)>,
}

impl<T> Buffers<T> {
    pub(crate) fn new() -> Self {
        Self { group: Vec::new(), spikes: Vec::new() }
    }
}

/// Delivers a group, except for its lost spikes, to the populations that are `wanted`. `multiplicity` gives an input
/// spike's multiplicity by its arrival number.
///
/// Consecutive spikes from the same population, or from the input, are delivered together. Where no population has two
/// sources, so are all spikes of a population: the order of events at each neuron stays the same.
#[inline]
pub(crate) fn deliver_group<T: Float>(
    network: &Network<T>,
    group: &[Pending],
    multiplicity: impl Fn(u32) -> T,
    is_lost: impl Fn(u32) -> bool,
    wanted: impl Fn(usize) -> bool,
    buffers: &mut Buffers<T>,
    state: &mut State<T>,
) {
    let Buffers { group: rest, spikes } = buffers;
    rest.clear();
    rest.extend(group.iter().filter(|spike| !is_lost(spike.arrival())));
    let n_neurons = network.n_neurons() as u32;
    let (mut start, mut end) = (0, rest.len());
    while start < end {
        let first = rest[start].source();
        let (source, range) = if first >= n_neurons {
            (Source::Input, n_neurons..u32::MAX)
        } else {
            let index = network.population_index(first);
            let population = &network.populations()[index];
            (Source::Population(index), population.start as u32..population.end as u32)
        };
        spikes.clear();
        if network.single_sources && source != Source::Input {
            // A stable partition that does not branch on the sources, which are unpredictable.
            let mut left = start;
            spikes.resize(end - start, (0, T::ONE));
            let mut taken = 0;
            for at in start..end {
                let spike = rest[at];
                let is_in = range.contains(&spike.source());
                spikes[taken].0 = spike.source().wrapping_sub(range.start);
                rest[left] = spike;
                taken += usize::from(is_in);
                left += usize::from(!is_in);
            }
            spikes.truncate(taken);
            end = left;
        } else {
            let run = rest[start..end].iter().take_while(|spike| range.contains(&spike.source()));
            spikes.extend(run.map(|spike| match source {
                Source::Input => (spike.source() - n_neurons, multiplicity(spike.arrival())),
                Source::Population(_) => (spike.source() - range.start, T::ONE),
            }));
            start += spikes.len();
        }
        deliver_run_to(network, source, spikes, &wanted, state);
    }
}
