//! How spikes and biases reach their targets (`docs/semantics.md`, "One forward step").

use crate::float::Float;
use crate::network::{Network, Source};
use crate::schedule::Pending;
use crate::state::State;

/// Delivers all biases, or those of one population.
pub(crate) fn deliver_biases<T: Float>(
    network: &Network<T>,
    population: Option<usize>,
    state: &mut State<T>,
) {
    for bias in network.biases.iter().filter(|bias| population.is_none_or(|p| p == bias.target.population)) {
        state.biases(bias.target, &bias.values, bias.whole);
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
    let fan_out = network.fan_out(source);
    let at_a_time = if fan_out.parallel { 1 } else { spikes.len().max(1) };
    for spikes in spikes.chunks(at_a_time) {
        for &connection in &fan_out.connections {
            let connection = &network.connections[connection];
            connection.projection.deliver(spikes, connection.target, state);
        }
    }
}

/// Delivers a group in its order, in runs of neighbours that have the same source; `spikes` is a buffer, `multiplicity` that of an input spike by arrival number.
#[inline]
pub(crate) fn deliver_group<T: Float>(
    network: &Network<T>,
    group: &[Pending],
    multiplicity: impl Fn(u32) -> T,
    spikes: &mut Vec<(u32, T)>,
    state: &mut State<T>,
) {
    let n_neurons = network.n_neurons();
    let mut rest = group;
    while let Some(first) = rest.first() {
        spikes.clear();
        let source = first.source() as usize;
        let (run, tail) = if source >= n_neurons {
            let n = rest.iter().take_while(|spike| spike.source() as usize >= n_neurons).count();
            let (run, tail) = rest.split_at(n);
            spikes.extend(
                run.iter().map(|spike| (spike.source() - n_neurons as u32, multiplicity(spike.arrival()))),
            );
            (Source::Input, tail)
        } else {
            let index = network.population_of[source] as usize;
            let population = &network.populations()[index];
            let range = population.start as u32..population.end as u32;
            let n = rest.iter().take_while(|spike| range.contains(&spike.source())).count();
            let (run, tail) = rest.split_at(n);
            spikes.extend(run.iter().map(|spike| (spike.source() - range.start, T::ONE)));
            (Source::Population(index), tail)
        };
        deliver_run(network, run, spikes, state);
        rest = tail;
    }
}
